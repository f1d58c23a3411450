# SPDX-License-Identifier: MIT
"""`./dev bench --service` works from end to end: nothing here looks at a time."""
import json
import pathlib
import subprocess
import sys

import pytest

from served import CACHE, PROGRAM, ROOT, SMOLLM

VIEWS = ["crowd", "long", "shared", "arrivals", "refused", "two"]


def test_the_service_view_of_the_bench_ends_with_its_table(tmp_path):
    for path in (SMOLLM, CACHE / "gemma3-270m-q4_k_m.gguf"):
        if not path.exists():
            pytest.skip("%s is not there" % path)
    samples = tmp_path / "samples.json"
    command = [sys.executable, ROOT / "bench/bench.py", "--build", pathlib.Path(PROGRAM).resolve().parents[1], "--service", "--quick", "--tiny",
               "--second-model", "gemma3", "--json", samples]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    for row in ("first token, p99", "times as long as alone", "times as long as one", "users a second, 90 % served in time", "503, p50", "gemma3, tokens/s"):
        assert row in done.stdout
    assert done.stdout.count("goal: at most") == 5
    measured = json.loads(samples.read_text())["service"]
    assert list(measured["figures"]) == VIEWS
    assert measured["figures"]["shared"][0]["cached_tokens"] > 0
    refused = measured["answers"]["refused"][0]
    assert len(refused) == measured["sizes"]["refusals"] and all(a["status"] == 503 for a in refused)
