#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the fuzz targets of tests/fuzz side by side, as many as there are cores. Exit 1 on any finding.

usage: fuzz.py [TARGET] [SECONDS]      all targets and 60 seconds each unless said otherwise
       fuzz.py --minimise [TARGET]     put what the runs found worth keeping into tests/data/fuzz, as few and small files as will do

Each run begins with tests/data/fuzz/TARGET and what earlier runs found (build-fuzz/corpus). A finding (a crash, a report of a sanitizer, a
broken FUZZ_CHECK, an input that takes too long) lies in build-fuzz/findings; once fixed it belongs into tests/data/fuzz/TARGET, where
`./dev test fuzz` replays it for ever. Too long: ten seconds here, where sanitizers, counters and -O1 make everything some ten times slower
than in the product, so that no input takes a second there.
"""
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build-fuzz"
CORPUS, FINDINGS = BUILD / "corpus", BUILD / "findings"
SLOW_S = 10
MEMORY_MIB = 2048
SMALL_BYTES = 4096  # of a kept case
ENV = dict(os.environ, ASAN_OPTIONS="detect_leaks=1:allocator_may_return_null=1", UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1")


def targets():
    """name -> command of its row in tests/fuzz/meson.build, the kept corpus last."""
    listed = json.loads(subprocess.run(["meson", "introspect", "--tests", BUILD], capture_output=True, text=True, check=True).stdout)
    return {t["name"].removeprefix("fuzz-"): t["cmd"] for t in listed if "drover:fuzz" in t["suite"]}


def build():
    if not (BUILD / "build.ninja").exists():
        subprocess.run(["meson", "setup", BUILD, "-Dfuzz=true", "-Db_sanitize=address,undefined", "-Db_lundef=false", "-Doptimization=1"],
                       cwd=ROOT, env=dict(os.environ, CC="clang-14"), check=True, stdout=subprocess.DEVNULL)
    found = targets()
    wanted = [str(pathlib.Path(command[0]).relative_to(BUILD)) for command in found.values()]
    done = subprocess.run(["ninja", "-C", BUILD, *wanted], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        sys.exit(done.stdout[-6000:])
    return found


def run(name, command, seconds):
    own = CORPUS / name
    own.mkdir(parents=True, exist_ok=True)
    FINDINGS.mkdir(exist_ok=True)
    options = [f"-max_total_time={seconds}", f"-timeout={SLOW_S}", f"-rss_limit_mb={MEMORY_MIB}", f"-artifact_prefix={FINDINGS}/{name}-", "-print_final_stats=1"]
    done = subprocess.run([*command[:-1], *options, own, command[-1]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=ENV)
    text = done.stdout.decode(errors="replace")
    counted = re.findall(r"stat::number_of_executed_units: *(\d+)", text)
    edges = re.findall(r"cov: (\d+)", text)
    slowest = re.findall(r"stat::slowest_unit_time_sec: *(\d+)", text)
    print(f"{'ok  ' if done.returncode == 0 else 'FAIL'} fuzz {name}: {counted[0] if counted else '?'} inputs, {edges[-1] if edges else '?'} edges, "
          f"slowest {slowest[0] if slowest else '?'} s", flush=True)
    if done.returncode != 0:
        lines = [line for line in text.splitlines() if not re.match(r"#\d+\t", line)]
        print("\n".join(lines[-60:]), flush=True)
    return done.returncode == 0


def minimise(name, command):
    kept = pathlib.Path(command[-1])
    fresh = CORPUS / f"{name}.minimised"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    (CORPUS / name).mkdir(exist_ok=True)
    subprocess.run([command[0], "-merge=1", f"-max_len={SMALL_BYTES}", fresh, kept, CORPUS / name], env=ENV, check=True, stderr=subprocess.DEVNULL)
    print(f"{name}: {len(list(fresh.iterdir()))} cases, {sum(f.stat().st_size for f in fresh.iterdir())} bytes in {fresh}")


def main():
    words = sys.argv[1:]
    if "-h" in words or "--help" in words:
        print(__doc__)
        return 0
    wants_less = "--minimise" in words
    seconds = next((int(w) for w in words if w.isdigit()), 60)
    names = [w for w in words if not w.isdigit() and not w.startswith("-")]
    found = build()
    unknown = [n for n in names if n not in found]
    if unknown:
        sys.exit(f"no target {unknown[0]}; there are {', '.join(found)}")
    chosen = names or list(found)
    if wants_less:
        for name in chosen:
            minimise(name, found[name])
        return 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        good = list(pool.map(lambda name: run(name, found[name], seconds), chosen))
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
