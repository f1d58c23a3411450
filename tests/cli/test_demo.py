# SPDX-License-Identifier: MIT
"""`./dev run` shows what it says: four streams at once, and all of them going on after their model's process was killed."""
import os
import re
import subprocess
import sys

import pytest

from served import CACHE, PROGRAM, ROOT, SMOLLM, clean_env


def test_the_demo_kills_the_runner_and_all_four_streams_go_on(tmp_path):
    if not SMOLLM.exists():
        pytest.skip("%s is not there" % SMOLLM)
    env = clean_env(tmp_path, DROVER=os.path.abspath(PROGRAM), XDG_CACHE_HOME=str(CACHE.parents[1]))
    done = subprocess.run([sys.executable, ROOT / "tools" / "demo.py"], env=env, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=900)
    said = done.stdout.decode()
    assert done.returncode == 0, said + done.stderr.decode()
    assert "failed" not in said
    assert re.search(r"\(kill -9\), after (\d+, ){3}\d+ pieces of text: 4 of 4 streams went on", said), said
    assert re.search(r"streams answered together: \d at least, [\d.]+ on average, 4 at most", said)
    rows = re.findall(r"^(.{48}) +[\d.]+ s +(\d+) +[\d.]+$", said, re.M)  # the closing table: each prompt, first token, tokens, tokens/s
    assert len(rows) == 4 and all(int(n) > 30 for _, n in rows)
    together = re.search(r"^all together +(\d+) +[\d.]+$", said, re.M)
    assert int(together[1]) == sum(int(n) for _, n in rows)
