# SPDX-License-Identifier: MIT
"""What the parts of `./dev bench` share: messages, the cache, programs that print JSON, and numbers of many samples."""
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys


class Failed(Exception):
    """One sentence for a person."""


def say(text):
    print(text, file=sys.stderr, flush=True)


def cache_dir():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = pathlib.Path(base) / "drover" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def objects_of(command, **options):
    """The JSON objects that a program prints, one a line."""
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, text=True, **options)
    if done.returncode != 0:
        raise Failed(f"{pathlib.Path(command[0]).name} ended with exit code {done.returncode}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def middle(values):
    """The median; None of nothing."""
    return statistics.median(values) if values else None


def percentile(values, percent):
    """The smallest value that `percent` of all do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(math.ceil(percent / 100 * len(ordered)), 1) - 1]
