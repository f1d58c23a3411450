# SPDX-License-Identifier: MIT
"""SIGTERM and SIGHUP while streams run: nothing that was accepted is cut, and others are told to go elsewhere."""
import json
import signal

import pytest

from crowd import Client, count_on, held, load, runner_of, until

N = 40


@pytest.fixture(scope="module")
def alone(server):
    """What the request answers on a server that nobody stops."""
    return Client(server, "/api/generate", count_on(N)).finish().text


def config(tmp_path, text):
    path = tmp_path / "drover.conf"
    path.write_text(text)
    return path


def test_term_finishes_what_runs_and_what_waits_and_refuses_the_rest(serve, alone):
    server = serve(OLLAMA_NUM_PARALLEL="2", DROVER_DRAIN_TIMEOUT="10m")
    load(server)
    kept = server.connect()  # a connection from before
    kept.request("GET", "/api/version")
    kept.getresponse().read()
    with held(server):
        clients = [Client(server, "/api/generate", count_on(N)) for _ in range(4)]
        until(lambda: server.running() == 4, "four requests are in")
        assert server.call("GET", "/health/ready").status == 200
        server.process.send_signal(signal.SIGTERM)
        until(lambda: server.call("GET", "/health/ready").status == 503, "readiness is 503")
        ready = server.call("GET", "/health/ready")
        assert json.loads(ready.text)["status"] == "draining" and ready.headers["Connection"] == "close"
        assert server.call("GET", "/health/live").status == 200
        for path, body in (("/api/generate", count_on(1)), ("/v1/completions", {"model": "smollm2", "prompt": "Hi"}),
                           ("/api/pull", {"model": "nobody/nothing"}), ("/api/copy", {"source": "smollm2", "destination": "b"})):
            refused = server.post(path, body)
            assert refused.status == 503 and refused.headers["Connection"] == "close" and int(refused.headers["Retry-After"]) > 0
        assert server.call("GET", "/api/queue").status == 200  # looking in goes on
        kept.request("POST", "/api/chat", json.dumps({"model": "smollm2", "messages": []}))
        refused = kept.getresponse()
        assert refused.status == 503 and refused.headers["Connection"] == "close"
    for client in clients:
        assert client.finish().text == alone
    assert server.process.wait(300) == 0
    assert runner_of(server) is None


def test_a_second_term_stops_at_once(serve):
    server = serve(OLLAMA_NUM_PARALLEL="1")
    load(server)
    with held(server):
        clients = [Client(server, "/api/generate", count_on(N)) for _ in range(2)]
        until(lambda: server.running() == 2, "both requests are in")
        server.process.send_signal(signal.SIGTERM)
        until(lambda: server.call("GET", "/health/ready").status == 503, "readiness is 503")
        server.process.send_signal(signal.SIGTERM)
        for client in clients:
            assert client.reply().status == 503 and b"shutting down" in client.reply().read()
        assert server.process.wait(300) == 0


def test_the_drain_timeout_ends_it(serve):
    server = serve(DROVER_DRAIN_TIMEOUT="100ms")
    load(server)
    running = Client(server, "/api/generate", count_on()).read_pieces(1)
    with held(server):
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(300) == 0
    assert any(b"error" in line for line in running.reply())
    assert "requests are cut off requests=1" in server.log.read_text()


def test_hup_reads_the_configuration_and_cuts_no_stream(serve, tmp_path, alone):
    path = config(tmp_path, "max_queue = 5\n")
    server = serve(DROVER_CONFIG=str(path))
    load(server)
    running = Client(server, "/api/generate", count_on(N)).read_pieces(1)
    path.write_text("max_queue = 7\nhost = 1.2.3.4:5\ncpu = ref\n[model smollm2]\npreload = yes\n")
    server.process.send_signal(signal.SIGHUP)
    until(lambda: "the configuration was read again" in server.log.read_text(), "a reload")
    log = server.log.read_text()
    assert 'max_queue is now \\"7\\" (%s:1), it was \\"5\\"' % path in log
    assert "cpu stays" in log and "takes effect at the next start" in log
    assert "host stays" not in log  # OLLAMA_HOST is set, so the file's line never counted
    until(lambda: "model preloaded model=smollm2:latest" in server.log.read_text(), "the preload")
    assert running.finish().text == alone


def test_a_broken_file_changes_nothing(serve, tmp_path, alone):
    path = config(tmp_path, "max_queue = 5\n")
    server = serve(DROVER_CONFIG=str(path))
    running = Client(server, "/api/generate", count_on(N)).read_pieces(1)
    path.write_text("max_queue = 7\nno_such_option = 1\n")
    server.process.send_signal(signal.SIGHUP)
    until(lambda: "the configuration stays as it was: %s:2: unknown option" % path in server.log.read_text(), "a line that says so")
    assert "max_queue is now" not in server.log.read_text()
    assert running.finish().text == alone
