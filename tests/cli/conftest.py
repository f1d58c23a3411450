# SPDX-License-Identifier: MIT
"""Fixtures of the command line's tests: a home of its own, a stand-in server, the program run against it."""
import os
import subprocess

import pytest

from standin import PROGRAM, StandIn


@pytest.fixture
def server():
    stand_in = StandIn()
    stand_in.routes["/api/generate"] = lambda body: (200, {"response": "", "done": True, "done_reason": "load"})
    stand_in.routes["/api/show"] = (200, {"capabilities": ["completion"]})
    yield stand_in
    stand_in.http.shutdown()
    stand_in.http.server_close()


@pytest.fixture
def env(tmp_path):
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "LD_LIBRARY_PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS")}
    return {**kept, "HOME": str(tmp_path), "LANG": "C.UTF-8", "OLLAMA_HOST": "127.0.0.1:9"}


@pytest.fixture
def run(env, server):
    """run("list") -> the finished process; stdin is empty unless given."""
    env["OLLAMA_HOST"] = server.address

    def call(*args, stdin=b"", **more):
        return subprocess.run([PROGRAM, *args], input=stdin, env={**env, **more}, capture_output=True, timeout=300, check=False)

    return call
