# SPDX-License-Identifier: MIT
"""The life of `drover serve`: starting, refusing to start, stopping, clients that come together and leave."""
import concurrent.futures
import json
import signal
import socket
import subprocess

import pytest

from crowd import Client, count_on, held, load, until, wait_counts
from served import PROGRAM, clean_env, tiny_store

ENDLESS = {"num_predict": 100000, "temperature": 1.0, "seed": 1}


@pytest.fixture
def store(tmp_path):
    return tiny_store(tmp_path / "store")


def test_help_and_wrong_usage(tmp_path):
    env = clean_env(tmp_path)
    done = subprocess.run([PROGRAM, "serve", "--help"], env=env, capture_output=True, check=False)
    assert done.returncode == 0 and b"--num-parallel" in done.stdout
    for args in (["--nonsense"], ["extra"], ["--max-queue", "many"]):
        done = subprocess.run([PROGRAM, "serve", *args], env=env, capture_output=True, check=False)
        assert done.returncode == 2 and done.stderr


def test_a_taken_port_is_a_clear_error(tmp_path, store):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        env = clean_env(tmp_path, OLLAMA_MODELS=str(store), OLLAMA_HOST="127.0.0.1:%d" % port)
        done = subprocess.run([PROGRAM, "serve"], env=env, capture_output=True, check=False, timeout=300)
    assert done.returncode == 1
    assert b"already in use" in done.stderr and str(port).encode() in done.stderr


def test_the_log_says_what_it_computes_with(start, store):
    server = start(store)
    log = server.log.read_text()
    assert "computing on the CPU level=" in log and "threads=" in log and "listening url=" in log


def test_one_line_at_admission_and_one_at_the_end(start, store):
    server = start(store)
    server.call("POST", "/api/generate", {"model": "plain", "prompt": "Hi", "stream": False, "options": {"num_predict": 3}}, {"X-Request-Id": "abc-1"})
    server.wait_idle()
    log = server.log.read_text().splitlines()
    first = [line for line in log if 'msg="request admitted" id=abc-1 ' in line]
    last = [line for line in log if 'msg="request ended" id=abc-1 ' in line]
    assert len(first) == 1 and len(last) == 1
    for name in ("queue_ms=", "load_ms=", "first_token_ms=", "total_ms=", "prompt_tokens=", "generated_tokens=", "outcome=", "status=200"):
        assert name in last[0]


def read_until_text(connection):
    """The answer of a stream once its first line is there."""
    reply = connection.getresponse()
    reply.first = reply.readline()
    assert json.loads(reply.first)["done"] is False
    return reply


def leave(connection):
    connection.sock.shutdown(socket.SHUT_RDWR)  # closing alone waits for the reply's own handle
    connection.close()


def begin(server, **options):
    connection = server.connect()
    connection.request("POST", "/api/generate", json.dumps({"model": "plain", "prompt": "Hi", "options": {**ENDLESS, **options}}))
    return connection


def test_term_lets_running_requests_finish(start, store):
    server = start(store)
    connections = [begin(server, num_predict=60, seed=i) for i in range(4)]
    replies = [read_until_text(c) for c in connections]
    server.process.send_signal(signal.SIGTERM)
    for reply in replies:
        last = json.loads(reply.read().decode().splitlines()[-1])
        assert last["done"] is True and last["done_reason"] in ("stop", "length")
    assert server.process.wait(300) == 0


def test_a_second_signal_stops_at_once(start, store):
    server = start(store, DROVER_DRAIN_TIMEOUT="1h")
    load(server, "plain")
    with held(server):
        waiting = [begin(server) for _ in range(40)]
        until(lambda: server.running() == 40, "all are there")
        server.process.send_signal(signal.SIGINT)
        until(lambda: "stopping signal=SIGINT" in server.said(), "it drains")
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(300) == 0
    assert "stopping at once signal=SIGINT" in server.said()
    for connection in waiting:
        connection.close()


def test_leaving_frees_the_place_wherever_it_is(start, store):
    server = start(store, OLLAMA_NUM_PARALLEL="1")
    loading = begin(server)
    leave(loading)
    running = begin(server)
    read_until_text(running)
    queued = [begin(server) for _ in range(3)]
    for connection in queued:
        leave(connection)
    leave(running)
    server.wait_idle()
    reply = server.post("/api/generate", {"model": "plain", "prompt": "Hi", "stream": False, "options": {"num_predict": 2}})
    assert reply.status == 200


def test_full_queue_is_503_in_each_dialect(start, smollm_models):
    server = start(smollm_models, OLLAMA_NUM_PARALLEL="1", OLLAMA_MAX_QUEUE="0")
    load(server)
    with held(server):
        running = Client(server, "/api/generate", count_on(3))
        wait_counts(server, 1, 0)
        reply = server.post("/api/generate", {"model": "smollm2", "prompt": "Hi"})
        assert reply.status == 503 and json.loads(reply.text) == {"error": "server busy, please try again.  maximum pending requests exceeded"}
        assert int(reply.headers["Retry-After"]) >= 1 and reply.headers["X-Queue-Depth"] == "0"
        reply = server.post("/v1/chat/completions", {"model": "smollm2", "messages": [{"role": "user", "content": "Hi"}]})
        error = json.loads(reply.text)["error"]
        assert reply.status == 503 and error["type"] == "api_error" and error["code"] == "queue_full"
        assert server.call("GET", "/api/tags").status == 200 and server.call("GET", "/health").status == 200
    running.finish()


def test_many_clients_get_their_own_answers(start, smollm_models):
    server = start(smollm_models)

    def ask(i):
        reply = server.post("/api/generate", {"model": "smollm2", "prompt": "Repeat exactly: item-%d" % i, "stream": False,
                                              "options": {"temperature": 0, "seed": i, "num_predict": 12}})
        return json.loads(reply.text)["response"]

    alone = [ask(i) for i in range(8)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        together = list(pool.map(ask, range(8)))
    assert together == alone


def test_bad_requests_do_not_stop_it(start, store):
    server = start(store)
    for body in (b"", b"{", b"\xff\xfe", b'{"model": "\xff"}', b"[" * 100000, b'{"model":"plain","prompt":"' + b"\xc3\x28" * 10 + b'"}'):
        assert server.call("POST", "/api/generate", body).status in (400, 404)
        assert server.call("POST", "/v1/chat/completions", body).status in (400, 404)
    assert server.call("POST", "/api/generate", b"x" * (33 << 20)).status == 413
    assert server.call("GET", "/health").status == 200


def test_the_log_says_why_a_host_or_an_origin_is_refused(start, store):
    """The answer has no text, as Ollama's."""
    server = start(store)
    for header, why in (({"Host": "evil.example"}, "the host is neither an address"), ({"Origin": "https://evil.example"}, "OLLAMA_ORIGINS")):
        reply = server.call("GET", "/api/tags", headers=header)
        assert reply.status == 403 and reply.text == ""
        assert [line for line in server.log.read_text().splitlines() if "request refused" in line and "evil.example" in line and why in line]


def test_prompts_beyond_the_context_are_refused_with_both_numbers(start, store):
    server = start(store)
    long = {"model": "plain", "prompt": "word " * 400, "stream": False, "options": {"num_ctx": 64, "num_predict": 2, "seed": 1}}
    reply = server.post("/api/generate", long)
    assert reply.status == 400 and "64" in json.loads(reply.text)["error"]
    reply = server.post("/api/generate", {**long, "truncate": True})
    assert reply.status == 200 and json.loads(reply.text)["truncated"] == int(reply.headers["X-Truncated"]) > 0
    turns = [{"role": "user", "content": "word " * 10}, {"role": "assistant", "content": "word " * 10}] * 5 + [{"role": "user", "content": "Hi"}]
    chat = {"model": "plain", "messages": turns, "stream": False, "options": {"num_ctx": 128, "num_predict": 2, "seed": 1}}
    reply = server.post("/api/chat", chat)
    assert reply.status == 200 and json.loads(reply.text)["truncated"] > 0
    assert server.post("/api/chat", {**chat, "truncate": False}).status == 400
    reply = server.post("/v1/completions", {"model": "plain", "prompt": "word " * 5000})
    assert reply.status == 400 and json.loads(reply.text)["error"]["code"] == "context_length_exceeded"
