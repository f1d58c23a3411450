# SPDX-License-Identifier: MIT
"""Limits of bodies, heads, times and connections: a clear error for who is beyond one, and nobody else notices."""
import http.client
import json
import socket
import subprocess

import pytest

from crowd import until
from served import PROGRAM, clean_env, free_port, in_time, tiny_store

PATIENCE = 120
ASK = {"model": "plain", "prompt": "Hi", "stream": False, "options": {"num_predict": 3, "seed": 1}}


@pytest.fixture
def serve(start, tmp_path):
    return lambda **options: start(tiny_store(tmp_path / "store"), **{"DROVER_" + k.upper(): v for k, v in options.items()})


def dial(server, source="127.0.0.1"):
    return socket.create_connection(("127.0.0.1", server.port), PATIENCE, (source, 0))


def begin(server, text):
    """A connection on which so much was sent at once."""
    def attempt():
        s = dial(server)
        s.sendall(text)
        return s
    return in_time(attempt)


def read_all(s):
    """What comes until the server closes."""
    text = b""
    try:
        while piece := s.recv(65536):
            text += piece
    except ConnectionResetError:
        pass
    return text


def read_reply(s):
    """What comes until the server closes: status (None: nothing came), headers and body."""
    text = read_all(s)
    if not text:
        return None, {}, b""
    head, _, body = text.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    return int(lines[0].split()[1]), dict(line.split(": ", 1) for line in lines[1:]), body


def hold(server, n):
    """n connections that were answered and stay open; one that comes while an earlier one is still being closed may be refused."""
    held = []
    for _ in range(1000):
        s = dial(server)
        s.sendall(b"GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n")
        try:
            if s.recv(12, socket.MSG_WAITALL) == b"HTTP/1.1 200":
                held.append(s)
        except ConnectionResetError:
            pass
        if len(held) == n:
            return held
    raise AssertionError("%d connections of %d were taken" % (len(held), n))


def error_of(body):
    return json.loads(body)["error"]


def ask(connection, body):
    connection.request("POST", "/api/generate", json.dumps(body))
    return connection


def assert_others_are_served(server, source="127.0.0.1"):
    def attempt():
        return ask(http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE, source_address=(source, 0)), ASK)

    connection = in_time(attempt)
    reply = connection.getresponse()
    assert reply.status == 200 and json.loads(reply.read())["done"]
    connection.close()


def test_a_large_body_is_413_in_each_dialect(serve):
    server = serve(max_body="100KiB")
    body = {**ASK, "prompt": "x" * 200000}
    reply = server.post("/api/generate", body)
    assert reply.status == 413 and error_of(reply.text) == "request body too large"
    reply = server.post("/v1/chat/completions", {"model": "plain", "messages": [{"role": "user", "content": "x" * 200000}]})
    assert reply.status == 413 and error_of(reply.text)["message"] == "request body too large"
    s = dial(server)  # its length is not said before
    s.sendall(b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(30):
        s.sendall(b"1000\r\n" + b"x" * 4096 + b"\r\n")
    assert read_reply(s)[0] == 413
    assert_others_are_served(server)


def test_a_large_head_is_431(serve):
    server = serve(max_header="2KiB", max_headers="20")
    for headers in ({"X-Long": "x" * 2500}, {"X-Longer": "x" * 100000}, {"X-%d" % i: "x" for i in range(30)}):
        s = dial(server)
        lines = "".join("%s: %s\r\n" % h for h in headers.items())
        s.sendall(("GET /api/tags HTTP/1.1\r\nHost: localhost\r\n" + lines + "\r\n").encode())
        status, sent, _ = read_reply(s)
        assert status == 431 and sent["Connection"] == "close"
        assert_others_are_served(server)
    s = dial(server)
    s.sendall(b"GET /api/" + b"x" * 100000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert read_reply(s)[0] in (414, 431)
    assert server.call("GET", "/api/tags", None, {"X-%d" % i: "x" for i in range(10)}).status == 200


def test_slow_heads_are_408_and_hinder_nobody(serve):
    server = serve(header_timeout="1s")
    slow = [begin(server, b"POST /api/generate HTTP/1.1\r\nHost: loc") for _ in range(50)]
    assert_others_are_served(server)
    for s in slow:
        status, headers, body = read_reply(s)
        assert status == 408 and headers["Connection"] == "close" and "in time" in error_of(body)
    assert_others_are_served(server)


def test_dripping_heads_are_408(serve):
    server = serve(header_timeout="2s")
    s = begin(server, b"GET /api/tags HTTP/1.1\r\nX: ")
    s.settimeout(0.2)
    text = b""
    for _ in range(600):  # a byte at a time is no way around
        try:
            s.send(b"x")
            text += s.recv(65536)
            break
        except TimeoutError:
            continue
        except OSError:
            break
    text += read_all(s)
    assert text.startswith(b"HTTP/1.1 408 ")


def test_a_silent_connection_is_closed_without_a_word(serve):
    server = serve(header_timeout="1s", idle_timeout="1s")
    assert read_reply(dial(server)) == (None, {}, b"")
    status, headers, _ = read_reply(begin(server, b"GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n"))  # the connection is kept, then closed
    assert status == 200 and headers.get("Connection", "").lower() != "close"


@pytest.mark.parametrize("path", ["/api/generate", "/v1/chat/completions", "/api/blobs/sha256:" + "0" * 64])
def test_slow_bodies_are_408_and_hinder_nobody(serve, path):
    server = serve(body_timeout="1s")
    slow = [begin(server, b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{" % path.encode()) for _ in range(20)]
    assert_others_are_served(server)
    for s in slow:
        status, headers, body = read_reply(s)
        assert status == 408 and headers["Connection"] == "close"
        message = error_of(body)["message"] if path.startswith("/v1/") else error_of(body)
        assert "in time" in message
    assert_others_are_served(server)


def test_an_answer_may_take_longer_than_every_timeout(serve):
    """The clocks are for clients that send slowly, not for those that wait."""
    server = serve(header_timeout="1s", body_timeout="1s", idle_timeout="1s", num_parallel="1")
    long = {"model": "plain", "prompt": "Hi", "options": {"num_predict": 100000, "temperature": 1, "seed": 3}}
    held = [in_time(lambda: ask(server.connect(), {**long, "stream": False})) for _ in range(6)]
    assert [json.loads(c.getresponse().read())["done"] for c in held] == [True] * 6


def test_one_address_cannot_take_all_connections(serve):
    server = serve(max_connections_per_address="8", max_connections="40")
    held, greedy = hold(server, 8), []
    for _ in range(192):
        s = dial(server)
        try:
            s.sendall(b"GET /api/ver")
        except OSError:
            pass
        greedy.append(s)
    for address in ("127.0.0.2", "127.0.0.3"):
        assert_others_are_served(server, address)
    # Nine and more: told so, or not taken at all.
    statuses = []
    for s in greedy:
        try:
            s.sendall(b"sion HTTP/1.1\r\nHost: localhost\r\n\r\n")
        except OSError:
            pass
        statuses.append(read_reply(s)[0])
    assert set(statuses) <= {503, 408, None}  # 408: its second half came late
    until(lambda: read_reply(begin(server, b"GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n"))[0] == 503, "one is told so")
    for s in held:  # those within the limit are served all along
        s.sendall(b"GET /api/version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert b"HTTP/1.1 200" in read_all(s)  # behind the rest of the first answer


def test_a_trusted_proxy_may_have_more_connections_than_one_address(serve):
    """It carries many clients; neither does it use up the limit of its neighbours."""
    server = serve(max_connections_per_address="8", trusted_proxies="127.0.0.2")
    held = [dial(server, "127.0.0.2") for _ in range(60)]
    for s in held:
        s.sendall(b"GET /api/version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert read_reply(s)[0] == 200
    others = hold(server, 8)
    s = dial(server)
    s.sendall(b"GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n")
    status, _, body = read_reply(s)
    assert status == 503 and error_of(body) == "too many connections from this address"


def test_too_many_connections_are_503(serve):
    server = serve(max_connections="8")
    held = hold(server, 8)
    s = dial(server)
    s.sendall(b"GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n")
    status, headers, body = read_reply(s)
    assert status == 503 and headers["Retry-After"] and error_of(body) == "too many connections"
    for s in held:
        s.close()
    until(lambda: server.call("GET", "/api/version").status == 200, "there is room again")
    assert_others_are_served(server)


def test_bad_limits_are_refused_at_start(tmp_path):
    store = tiny_store(tmp_path / "store")
    for args, name in ((["--max-body", "1GiB"], "max_body"), (["--max-header", "10"], "max_header"), (["--max-headers", "1000"], "max_headers"),
                       (["--max-connections", "0"], "max_connections")):
        env = clean_env(tmp_path, OLLAMA_MODELS=str(store), OLLAMA_HOST="127.0.0.1:%d" % free_port())
        done = subprocess.run([PROGRAM, "serve", *args], env=env, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith("Error: %s:" % name)
