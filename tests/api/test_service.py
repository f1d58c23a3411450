# SPDX-License-Identifier: MIT
"""`drover serve` under a service manager, which this test plays: the notification socket, a passed-on socket, the watchdog; and `drover health`."""
import http.client
import os
import signal
import socket
import subprocess
import sys

import pytest

from crowd import Client, held, load, wait_counts
from served import PROGRAM, clean_env, free_port, tiny_store

# Puts descriptor N where socket activation wants it, sets LISTEN_PID to the process it becomes, and runs the server.
ACTIVATE = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ['LISTEN_PID'] = str(os.getpid()); os.execv(sys.argv[2], [sys.argv[2], 'serve'])"


class Manager:
    """The other side of NOTIFY_SOCKET."""

    def __init__(self, name):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(name)
        self.socket.settimeout(300)
        self.said = []

    def wait_for(self, line):
        """The datagram that has the line."""
        while True:
            message = self.socket.recv(4096).decode().splitlines()
            self.said.append(message)
            if line in message:
                return message


@pytest.fixture
def store(tmp_path):
    return tiny_store(tmp_path / "store")


@pytest.fixture
def spawn(tmp_path, store):
    processes = []

    def call(*argv, port=None, **more):
        env = clean_env(tmp_path, OLLAMA_MODELS=str(store), OLLAMA_HOST="127.0.0.1:%d" % (port or free_port()), **more.pop("env", {}))
        with open(tmp_path / "serve.log", "ab") as log:
            processes.append(subprocess.Popen(argv or [PROGRAM, "serve"], env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **more))
        return processes[-1]

    yield call
    for p in processes:
        if p.poll() is None:
            p.kill()
        p.wait()


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_the_manager_is_told_what_happens(tmp_path, spawn, kind):
    name = str(tmp_path / "notify") if kind == "path" else "\0drover-test-%d" % os.getpid()
    manager = Manager(name)
    port = free_port()
    process = spawn(port=port, env={"NOTIFY_SOCKET": name.replace("\0", "@")})
    assert "STATUS=listening on http://127.0.0.1:%d" % port in manager.wait_for("READY=1")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)  # READY=1 means that clients may come
    connection.request("GET", "/health/ready")
    assert connection.getresponse().status == 200
    connection.close()
    process.send_signal(signal.SIGHUP)
    assert any(line.startswith("MONOTONIC_USEC=") for line in manager.wait_for("RELOADING=1"))
    manager.wait_for("READY=1")
    process.send_signal(signal.SIGTERM)
    assert "EXTEND_TIMEOUT_USEC=40000000" in manager.wait_for("STOPPING=1")
    assert process.wait(300) == 0
    assert not any("WATCHDOG=1" in message for message in manager.said)


def test_the_watchdog_hears_of_a_server_that_lives(tmp_path, spawn):
    manager = Manager(str(tmp_path / "notify"))
    process = spawn(env={"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "3000000"})
    for _ in range(3):
        manager.wait_for("WATCHDOG=1")
    process.send_signal(signal.SIGTERM)
    assert process.wait(300) == 0
    assert "not telling the watchdog" not in (tmp_path / "serve.log").read_text()


def test_a_watchdog_for_another_process_is_not_ours(tmp_path, spawn):
    manager = Manager(str(tmp_path / "notify"))
    process = spawn(env={"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"})
    manager.wait_for("READY=1")
    process.send_signal(signal.SIGTERM)
    assert process.wait(300) == 0
    manager.wait_for("STOPPING=1")
    assert ["WATCHDOG=1"] not in manager.said


def test_a_socket_that_is_passed_on_is_served(tmp_path, spawn):
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(16)
        port = listening.getsockname()[1]
        early = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        early.request("GET", "/api/version")  # before there is a server: socket activation keeps it
        process = spawn(sys.executable, "-c", ACTIVATE, str(listening.fileno()), PROGRAM, pass_fds=[listening.fileno()], env={"LISTEN_FDS": "1"})
        assert early.getresponse().status == 200
        early.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(300) == 0
        late = socket.create_connection(("127.0.0.1", port), timeout=300)  # the socket is the manager's, and stays open
        late.close()
    assert "passed-on-socket port=%d" % port in (tmp_path / "serve.log").read_text()


def test_a_unix_socket_that_is_passed_on_is_served(tmp_path, spawn):
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "drover.sock"))
        listening.listen(16)
        process = spawn(sys.executable, "-c", ACTIVATE, str(listening.fileno()), PROGRAM, pass_fds=[listening.fileno()], env={"LISTEN_FDS": "1"})
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(300)
            client.connect(str(tmp_path / "drover.sock"))
            client.sendall(b"GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(4096).startswith(b"HTTP/1.1 200 ")
        process.send_signal(signal.SIGTERM)
        assert process.wait(300) == 0


def test_what_is_no_listening_socket_is_refused(tmp_path, spawn):
    read_end, write_end = os.pipe()
    process = spawn(sys.executable, "-c", ACTIVATE, str(read_end), PROGRAM, pass_fds=[read_end], env={"LISTEN_FDS": "1"})
    assert process.wait(300) == 1
    os.close(read_end)
    os.close(write_end)
    assert "Error: descriptor 3 that was passed on is no listening stream socket" in (tmp_path / "serve.log").read_text()


def test_a_socket_for_another_process_is_not_ours(tmp_path, spawn):
    manager = Manager(str(tmp_path / "notify"))
    process = spawn(env={"NOTIFY_SOCKET": str(tmp_path / "notify"), "LISTEN_FDS": "1", "LISTEN_PID": "1"})
    manager.wait_for("READY=1")
    assert "passed-on" not in (tmp_path / "serve.log").read_text()
    process.send_signal(signal.SIGTERM)
    assert process.wait(300) == 0


def test_health_is_0_or_1_and_one_line(tmp_path, start, store):
    nobody = subprocess.run([PROGRAM, "health"], env=clean_env(tmp_path, OLLAMA_HOST="127.0.0.1:%d" % free_port()), capture_output=True, check=False)
    assert nobody.returncode == 1 and nobody.stdout == b"" and nobody.stderr.count(b"\n") == 1 and nobody.stderr.startswith(b"Error: could not connect")
    server = start(store, DROVER_DRAIN_TIMEOUT="1h")
    well = subprocess.run([PROGRAM, "health"], env=server.env, capture_output=True, check=False)
    assert (well.returncode, well.stdout, well.stderr) == (0, b"ready\n", b"")
    load(server, "plain")
    with held(server):  # so that SIGTERM has something to wait for
        client = Client(server, "/api/generate", {"model": "plain", "prompt": "Hi", "options": {"num_predict": 3}})
        wait_counts(server, 1, 0)
        server.process.send_signal(signal.SIGTERM)
        asked = well
        while asked.returncode == 0:
            asked = subprocess.run([PROGRAM, "health"], env=server.env, capture_output=True, check=False)
        assert (asked.returncode, asked.stdout, asked.stderr) == (1, b"", b"Error: the server is shutting down\n")
    client.finish()
    assert server.process.wait(300) == 0
