# SPDX-License-Identifier: MIT
"""`drover top`, `queue`, `why`, `cancel` and `ps --wide`: against a stand-in for the exact picture, against the real server for the rest."""
import json
import signal
import subprocess

import pexpect
import pytest

from crowd import Client, count_on, held, load, until, wait_counts
from served import PROGRAM

METRICS = b"""# TYPE drover_ready gauge
drover_ready 1
drover_uptime_seconds 65.5
drover_requests_running 2
drover_requests_waiting 1
drover_queue_length 1
drover_queue_limit 512
drover_requests_refused_total{reason="queue_full"} 3
drover_requests_refused_total{reason="draining"} 4
drover_front_resident_bytes 2000000
drover_memory_budget_bytes 8000000000
drover_memory_planned_bytes 1300000000
drover_model_resident_bytes{model="first-name:latest"} 1200000000
drover_model_swapped_bytes{model="first-name:latest"} 0
drover_model_generated_tokens_total{model="first-name:latest"} 100
drover_model_generated_tokens_total{model="first-name:latest2"} 7
drover_model_prompt_tokens_total{model="first-name:latest"} 50
"""
QUEUE = [{"id": "a-1", "state": "decoding", "model": "gemma3:latest", "client": "10.0.0.7", "age_seconds": 2.04, "generated_tokens": 40},
         {"id": "b-2", "state": "queued", "position": 1, "model": "gemma3:latest", "client": "10.0.0.8", "age_seconds": 0.5, "generated_tokens": 0}]
WHY = {"id": "b-2", "state": "ended", "route": "/api/chat", "model": "gemma3:latest", "client": "10.0.0.8",
       "reasons": ["waited 3.2 s: 2.9 s for the two streams of gemma3:latest, 0.3 s loading", "ended after 5.1 s (stop)"]}
TABLE = ("ID     STATE       POSITION    MODEL            CLIENT      AGE      TOKENS\n"
         "a-1    decoding    -           gemma3:latest    10.0.0.7    2.0 s    40\n"
         "b-2    queued      1           gemma3:latest    10.0.0.8    0.5 s    0\n")


@pytest.fixture
def busy(server):
    """The stand-in with one busy model."""
    server.routes["/metrics"] = (200, METRICS)
    server.routes["/api/ps"] = (200, {"models": [{"name": "gemma3:latest", "digest": "0123456789abcdef", "size": 1300000000, "context_length": 4096,
                                                  "state": "ready", "metrics_name": "first-name:latest", "slots": 4, "running": 2, "queued": 1, "kv_tokens_used": 2048,
                                                  "kv_tokens_total": 16384, "kv_usage": 0.125, "expires_at": "2318-01-01T00:00:00Z"}]})
    server.routes["/api/queue"] = (200, {"running": 1, "waiting": 1, "requests": QUEUE})
    server.routes["/api/requests?limit=20"] = (200, {"requests": [{"id": "o\u001b[31m-0", "outcome": "stop", "model": "gemma3:latest",
                                                                  "queue_seconds": 2.9, "load_seconds": 0.3, "first_token_seconds": 3.4,
                                                                  "total_seconds": 5.1, "generated_tokens": 80}]})
    server.routes["/api/requests/b-2"] = (200, WHY)
    return server


def test_one_picture(run, busy):
    p = run("top", "--once")
    assert p.returncode == 0 and p.stderr == b""
    assert p.stdout.decode().split("\n", 1)[1] == (
        "Requests   2 running   1 waiting   queue 1 of 512   7 refused\n"
        "Tokens/s   0.0 generated   0.0 of prompts\n"
        "Memory     models 1.2 GB, planned 1.3 GB of 8 GB   server 2 MB   swapped 0\n"
        "\n"
        "MODEL            STATE    SLOTS    QUEUED    KV     TOKENS/S    MEMORY    UNTIL\n"
        "gemma3:latest    ready    2/4      1         12%    0.0         1.2 GB    Forever\n"
        "\n" + TABLE +
        "\n"
        "ENDED      OUTCOME    MODEL            WAITED    FIRST    TOTAL    TOKENS\n"
        "o?[31m-0    stop       gemma3:latest    3.2 s     3.4 s    5.1 s    80\n")
    assert run("top").stdout == p.stdout  # no terminal


def test_no_server(env):
    p = subprocess.run([PROGRAM, "top"], env=env, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert p.returncode == 1 and p.stdout == b""
    assert p.stderr == b"Error: could not connect to drover server, run 'drover serve' to start it\n"


def terminal(env, *args, rows=24, columns=100, **more):
    child = pexpect.spawn(PROGRAM, ["top", *args], env={**env, "TERM": "xterm", **more}, dimensions=(rows, columns), timeout=300, encoding="utf-8")
    child.delaybeforesend = None
    return child


def test_a_terminal_gets_a_screen_of_its_own_and_q_leaves_it(env, busy):
    env["OLLAMA_HOST"] = busy.address
    child = terminal(env)
    child.expect_exact("\x1b[?1049h")
    child.expect_exact("gemma3:latest")
    child.expect_exact("gemma3:latest    ready")  # again: it is live
    child.send("q")
    child.expect_exact("\x1b[?1049l")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_lines_are_cut_at_the_window_and_follow_its_size(env, busy):
    env["OLLAMA_HOST"] = busy.address
    child = terminal(env, rows=10, columns=20)
    child.expect_exact("\x1b[H")
    child.expect_exact("\x1b[J")
    lines = child.before.split("\x1b[K\r\n")
    assert len(lines) == 10 and lines[-1] == "" and max(map(len, lines)) <= 20
    child.setwinsize(12, 60)
    while True:
        child.expect_exact("\x1b[H")
        child.expect_exact("\x1b[J")
        if len(child.before.split("\x1b[K\r\n")) == 12:
            break
    assert "2 running   1 waiting" in child.before
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 128 + signal.SIGINT


def test_a_dumb_terminal_gets_plain_lines(env, busy):
    env["OLLAMA_HOST"] = busy.address
    child = terminal(env, TERM="dumb")
    child.expect_exact("o?[31m-0")
    first = child.before
    child.expect_exact("o?[31m-0")
    assert "\x1b" not in first + child.before and "Requests" in child.before
    child.send("q")
    child.expect(pexpect.EOF)
    child.close()


def test_a_server_that_goes_away_is_told_and_found_again(env, busy):
    env["OLLAMA_HOST"] = busy.address
    child = terminal(env)
    child.expect_exact("gemma3:latest")
    ps, busy.routes["/api/ps"] = busy.routes["/api/ps"], (503, {"error": "server is shutting down"})
    child.expect_exact("Error: server is shutting down")
    busy.routes["/api/ps"] = ps
    child.expect_exact("gemma3:latest    ready")
    child.send("q")
    child.expect(pexpect.EOF)
    child.close()


def test_queue(run, busy):
    p = run("queue")
    assert (p.returncode, p.stdout.decode(), p.stderr) == (0, TABLE, b"")
    assert json.loads(run("queue", "--json").stdout)["requests"] == QUEUE


def test_why(run, busy):
    p = run("why", "b-2")
    assert p.returncode == 0 and p.stdout.decode() == (
        "b-2: /api/chat of gemma3:latest from 10.0.0.8, ended\n"
        "  waited 3.2 s: 2.9 s for the two streams of gemma3:latest, 0.3 s loading\n"
        "  ended after 5.1 s (stop)\n")
    assert json.loads(run("why", "b-2", "--json").stdout) == WHY
    busy.routes["/api/requests/x%20y%3F"] = (404, {"error": "request 'x y?' not found"})
    p = run("why", "x y?")
    assert (p.returncode, p.stdout, p.stderr) == (1, b"", b"Error: request 'x y?' not found\n")


def test_ps_wide(run, busy):
    p = run("ps", "--wide")
    assert p.stdout.decode() == (
        "NAME             ID              SIZE      PROCESSOR    CONTEXT    UNTIL      STATE    SLOTS    QUEUED    KV\n"
        "gemma3:latest    0123456789ab    1.3 GB    100% CPU     4096       Forever    ready    2/4      1         12%\n")
    assert "STATE" not in run("ps").stdout.decode()


# ---- Against the real server ----
def test_the_commands_see_a_real_queue(start, smollm_models):
    server = start(smollm_models, OLLAMA_NUM_PARALLEL="1")
    load(server)

    def drover(*args):
        return subprocess.run([PROGRAM, *args], env=server.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False)

    with held(server):
        first = Client(server, "/api/generate", count_on(3), "one")
        wait_counts(server, 1, 0)
        second = Client(server, "/api/generate", count_on(3), "two")
        wait_counts(server, 1, 1)
        lines = drover("queue").stdout.splitlines()
        assert [line.split()[:3] for line in lines[1:]] == [["one", "prompt", "-"], ["two", "queued", "1"]]
        picture = drover("top", "--once").stdout
        assert "1 running   1 waiting   queue 1 of 512   0 refused" in picture and "smollm2:latest    ready    1/1" in picture
        assert "is at position 1 of the queue of smollm2:latest" in drover("why", "two").stdout
        assert drover("cancel", "two").returncode == 0
        wait_counts(server, 1, 0)
        until(lambda: "canceled by an operator" in drover("why", "two").stdout, "it is told")
        assert drover("cancel", "two").stderr == "Error: request 'two' has ended already\n"
        assert drover("cancel", "nobody").returncode == 1
        assert second.reply().status == 499
    first.finish()
    until(lambda: "length" in drover("top", "--once").stdout, "one is among those that ended")
