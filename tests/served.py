# SPDX-License-Identifier: MIT
"""The real program serving on a free port, with a store of its own."""
import contextlib
import gzip
import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
DATA = ROOT / "tests" / "data"
PROGRAM = os.environ.get("DROVER", str(ROOT / "build" / "drover"))
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "drover" / "models"
SMOLLM = CACHE / "smollm2-135m-instruct-q4_1.gguf"
TINY_BLOB = "sha256-10a125641738227b3df10ab02e7136af9e1a998ab95735bbef7845162c55baaa"


def first_port_of_clients():
    """From here on the kernel gives ports to whoever connects."""
    with contextlib.suppress(OSError, ValueError):
        first = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
        if first > 12000:
            return first
    return 32768


def free_port():
    """One that stays free until it is bound: no client is given it, and nobody draws it twice."""
    draw = random.SystemRandom()
    while True:
        port = draw.randrange(10500, first_port_of_clients())
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(("127.0.0.1", port))
            return port


def clean_env(home, **more):
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "LD_LIBRARY_PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS")}
    return {**kept, "HOME": str(home), "LANG": "C.UTF-8", **more}


class Server:
    """`drover serve` as a process. Its log is in `log`."""

    def __init__(self, home, store, *args, host="127.0.0.1", **env):
        self.port = free_port()
        self.url = "http://127.0.0.1:%d" % self.port
        self.log = pathlib.Path(home) / "serve.log"
        patient = {"DROVER_STALL_TIMEOUT": "1h"}  # a runner that a test or the machine holds still does not hang
        self.env = clean_env(home, OLLAMA_MODELS=str(store), OLLAMA_HOST="%s:%d" % (host, self.port), **{k: v for k, v in {**patient, **env}.items() if v is not None})
        with open(self.log, "ab") as log:
            self.log_from = log.tell()  # another one may have written before
            self.process = subprocess.Popen([PROGRAM, "serve", *args], env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.wait()

    def answers(self):
        return self.call("GET", "/api/version").status == 200

    def said(self):
        """The log of this server."""
        return self.log.read_bytes()[self.log_from:].decode()

    def wait(self):
        """Until it answers and has said where, which it does a moment later."""
        for _ in range(6000):
            if self.process.poll() is not None:
                raise AssertionError("drover serve ended: " + self.log.read_text())
            with contextlib.suppress(OSError):
                if self.answers() and "listening url=" in self.said():
                    return
            time.sleep(0.05)
        raise AssertionError("drover serve does not answer: " + self.log.read_text())

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)

    def call(self, method, path, body=None, headers=None):
        connection = self.connect()
        data = body if body is None or isinstance(body, (bytes, str)) else json.dumps(body)
        try:
            connection.request(method, path, data, headers or {})
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before all of the body was taken: the answer is there to be read
        reply = connection.getresponse()
        reply.text = reply.read().decode()
        connection.close()
        return reply

    def post(self, path, body):
        return self.call("POST", path, body)

    def running(self):
        models = json.loads(self.call("GET", "/api/ps").text)["models"]
        return sum(m["running"] + m["queued"] for m in models)

    def wait_idle(self):
        for _ in range(6000):
            if self.running() == 0:
                return
            time.sleep(0.05)
        raise AssertionError("requests still run: " + self.log.read_text()[-4000:])

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(300)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode


def in_time(attempt):
    """What attempt() gives, once this side was quick: a server whose clock runs for a second has not had to wait for it."""
    for _ in range(1000):
        start = time.monotonic()
        try:
            got, error = attempt(), None
        except OSError as e:  # closed by a server that waited in vain
            got, error = None, e
        if time.monotonic() - start < 0.4:
            if error:
                raise error
            return got
    raise AssertionError("this machine is never quick enough")


def tiny_store(path):
    """The store of tests/data with the tiny model's weights in it."""
    shutil.copytree(DATA / "store", path, ignore=shutil.ignore_patterns("README.md"))
    (path / "blobs" / TINY_BLOB).write_bytes(gzip.decompress((DATA / "tiny" / "llama.gguf.gz").read_bytes()))
    return path


def import_model(store, home, file, name):
    """The model file into that store; a test that needs one that is not there is skipped."""
    if not file.exists():
        pytest.skip("%s is not there" % file)
    done = subprocess.run([PROGRAM, "import", str(file), name], env=clean_env(home, OLLAMA_MODELS=str(store)), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def smollm_store(path, home):
    import_model(path, home, SMOLLM, "smollm2")
    return path
