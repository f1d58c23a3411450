# SPDX-License-Identifier: MIT
"""OLLAMA_HOST=unix:///PATH: the server listens on a Unix socket, the commands speak to it."""
import http.client
import json
import os
import signal
import socket
import stat
import subprocess

import pytest

from served import PROGRAM, Server, clean_env, in_time, tiny_store

ENDLESS = {"model": "plain", "prompt": "Hi", "options": {"num_predict": 100000, "temperature": 1.0, "seed": 1}}


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=300)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class UnixServer(Server):
    def __init__(self, home, store, path, *args, **env):
        self.path = str(path)
        super().__init__(home, store, *args, DROVER_HOST="unix://" + self.path, **env)
        self.env["OLLAMA_HOST"] = self.env.pop("DROVER_HOST")

    def connect(self):
        return UnixConnection(self.path)


@pytest.fixture
def serve(tmp_path):
    servers = []

    def call(*args, path=tmp_path / "d.sock", **env):
        store = tmp_path / "store"
        servers.append(UnixServer(tmp_path, store if store.exists() else tiny_store(store), path, *args, **env))
        return servers[-1]

    yield call
    for s in servers:
        s.stop()


def test_it_serves_on_the_socket_and_removes_it_at_exit(serve, tmp_path):
    old = os.umask(0o077)
    try:
        server = serve()
    finally:
        os.umask(old)
    mode = os.stat(server.path).st_mode
    assert stat.S_ISSOCK(mode) and mode & 0o777 == 0o660
    reply = server.post("/api/generate", {**ENDLESS, "stream": False, "options": {"num_predict": 3}})
    assert reply.status == 200 and json.loads(reply.text)["done"]
    assert "listening url=unix://" + server.path in server.log.read_text()
    assert server.call("GET", "/api/tags", None, {"Host": "models.example.org"}).status == 200, "a proxy's host"
    server.wait_idle()
    assert json.loads(server.call("GET", "/api/requests").text)["requests"][0]["client"] == "unix"
    assert server.stop() == 0
    assert not os.path.exists(server.path)


def test_a_dead_socket_is_replaced_and_a_living_one_is_not(serve, tmp_path):
    server = serve()
    server.process.kill()
    server.process.wait()
    assert os.path.exists(server.path)
    server = serve()
    done = subprocess.run([PROGRAM, "serve"], env=server.env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and "already in use" in done.stderr
    assert server.call("GET", "/api/tags").status == 200, "the first one is untouched"
    assert server.stop() == 0


def test_what_is_no_socket_stays(tmp_path):
    store = tiny_store(tmp_path / "store")
    (tmp_path / "file").write_text("precious")
    for host, expected in (("unix://%s/file" % tmp_path, "already in use"), ("unix://", "write unix:///path"), ("unix:///" + "x" * 150, "longer than"),
                           ("unix://%s/none/d.sock" % tmp_path, "No such file")):
        env = clean_env(tmp_path, OLLAMA_MODELS=str(store), OLLAMA_HOST=host)
        done = subprocess.run([PROGRAM, "serve"], env=env, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1 and expected in done.stderr, (host, done.stderr)
    assert (tmp_path / "file").read_text() == "precious"


def test_a_socket_that_somebody_else_put_there_stays(serve):
    server = serve()
    os.unlink(server.path)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(server.path)
        assert server.stop() == 0
        assert os.path.exists(server.path)


def test_commands_speak_to_it(serve, tmp_path):
    server = serve()

    def run(*args):
        return subprocess.run([PROGRAM, *args], env=server.env, capture_output=True, text=True, timeout=120, check=False)

    assert run("health").returncode == 0
    assert "plain" in run("list").stdout
    assert run("run", "plain", "Hi").returncode == 0
    assert run("cp", "plain", "second").returncode == 0 and "second" in run("list").stdout
    assert server.stop() == 0
    done = run("list")
    assert done.returncode == 1 and "could not connect to drover server" in done.stderr


def test_clients_that_leave_are_noticed(serve):
    server = serve(OLLAMA_NUM_PARALLEL="1")
    connection = server.connect()
    connection.request("POST", "/api/generate", json.dumps(ENDLESS))
    reply = connection.getresponse()
    assert json.loads(reply.readline())["done"] is False
    queued = server.connect()
    queued.request("POST", "/api/generate", json.dumps(ENDLESS))
    for c in (queued, connection):
        c.sock.shutdown(socket.SHUT_RDWR)
        c.close()
    reply.close()
    server.wait_idle()
    assert all(r["outcome"] in ("cancelled", "length", "stop") for r in json.loads(server.call("GET", "/api/requests").text)["requests"])


def test_keys_count_there_too_and_slow_clients_are_408(serve, tmp_path):
    done = subprocess.run([PROGRAM, "key", "new", "--file", str(tmp_path / "keys")], env=clean_env(tmp_path), capture_output=True, text=True, check=True)
    key = done.stdout.strip()
    server = serve(DROVER_HEADER_TIMEOUT="1s", DROVER_BODY_TIMEOUT="1s", DROVER_MAX_CONNECTIONS_PER_ADDRESS="1")

    def begin():
        c = server.connect()
        c.connect()
        c.sock.sendall(b"POST /api/generate HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
        return c

    def list_models():
        c = server.connect()
        c.request("GET", "/api/tags")
        return c

    slow = [in_time(begin) for _ in range(4)]  # not counted by address
    assert in_time(list_models).getresponse().status == 200
    for c in slow:
        assert c.sock.recv(4096).startswith(b"HTTP/1.1 408 ")
    assert server.stop() == 0
    server = None
    keyed = subprocess.Popen([PROGRAM, "serve", "--api-keys", str(tmp_path / "keys")], env=clean_env(tmp_path, OLLAMA_MODELS=str(tmp_path / "store"), OLLAMA_HOST="unix://%s/k.sock" % tmp_path),
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        while "listening" not in keyed.stderr.readline():
            assert keyed.poll() is None
        for headers, status in (({}, 401), ({"Authorization": "Bearer " + key}, 200)):
            c = UnixConnection("%s/k.sock" % tmp_path)
            c.request("GET", "/api/tags", headers=headers)
            assert c.getresponse().status == status
            c.close()
    finally:
        keyed.send_signal(signal.SIGTERM)
        assert keyed.wait(300) == 0
        keyed.stderr.close()
