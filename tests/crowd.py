# SPDX-License-Identifier: MIT
"""Clients that come together: each on a connection of its own, sent at once, read when asked; and the runner, held still or killed.

Nothing here measures time. A test waits until something is so (until), and a runner that is held still (held) makes sure that it stays so.
"""
import contextlib
import json
import os
import re
import signal
import socket
import time

MODEL = "smollm2"
COUNT = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,"  # SmolLM2 goes on counting


def until(is_so, what):
    """Waits until is_so() gives something true, and returns it. The limit is for what hangs, not for what is slow."""
    for _ in range(30000):
        got = is_so()
        if got:
            return got
        time.sleep(0.01)
    raise AssertionError("did not happen: " + what)


def count_on(n=100000, **options):
    """The body of a request that counts up to n tokens far."""
    return {"model": MODEL, "prompt": COUNT, "raw": True, "options": {"temperature": 0, "seed": 1, "num_predict": n, **options}}


class Failed(Exception):
    """The stream ended with an error."""


def pieces_of(line):
    """The text of one line of a stream or of a whole answer, in any dialect; None: the line has none."""
    if not line.strip() or line.strip() == b"data: [DONE]" or line.startswith(b": "):
        return None
    value = json.loads(line[6:] if line.startswith(b"data: ") else line)
    if "error" in value:
        raise Failed(value["error"] if isinstance(value["error"], str) else value["error"]["message"])
    if "choices" in value:
        if not value["choices"]:
            return None
        choice = value["choices"][0]
        return choice.get("text", (choice.get("message") or choice.get("delta") or {}).get("content"))
    return value["message"]["content"] if "message" in value else value["response"]


class Client:
    """One request. It is on its way when this returns."""

    def __init__(self, server, path, body, name=None, receive_bytes=None):
        self.name, self.path, self.body = name, path, body
        self.connection = server.connect()
        if receive_bytes:
            self.connection.sock = socket.socket()
            self.connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
            self.connection.sock.settimeout(self.connection.timeout)
            self.connection.sock.connect(("127.0.0.1", server.port))
        self.connection.request("POST", path, json.dumps(body), {"X-Request-Id": name} if name else {})
        self.lines, self.pieces, self.got = [], [], None

    def reply(self):
        """Waits for status and headers."""
        if self.got is None:
            self.got = self.connection.getresponse()
        return self.got

    def read_line(self):
        """One more line; False: that was all."""
        line = self.reply().readline()
        if line:
            self.lines.append(line)
            piece = pieces_of(line)
            if piece:
                self.pieces.append(piece)
        return bool(line)

    def read_pieces(self, n):
        while len(self.pieces) < n and self.read_line():
            pass
        assert len(self.pieces) >= n, self.lines[-3:]
        return self

    def finish(self):
        """Reads to the end, which has to be a proper one."""
        while self.read_line():
            pass
        self.connection.close()
        assert self.reply().status == 200, (self.reply().status, self.lines)
        last = [line for line in self.lines if line.strip()][-1]
        assert last.strip() == b"data: [DONE]" or b'"done":true' in last or b'"finish_reason"' in last, last
        return self

    @property
    def text(self):
        return "".join(self.pieces)

    def last(self):
        return json.loads(self.lines[-1])

    def leave(self):
        with contextlib.suppress(OSError):
            self.connection.sock.shutdown(socket.SHUT_RDWR)  # closing alone waits for the reply's own handle
        self.connection.close()

    def half_close(self):
        """Leaves by closing the sending side only."""
        self.connection.sock.shutdown(socket.SHUT_WR)


def ask(server, path, body):
    return Client(server, path, body).finish()


# ---- What the server says ----
def counts(server):
    """(running, queued) of the loaded or loading model."""
    models = json.loads(server.call("GET", "/api/ps").text)["models"]
    return (models[0]["running"], models[0]["queued"]) if models else (0, 0)


def wait_counts(server, running, queued):
    until(lambda: counts(server) == (running, queued), "%d running, %d queued; log: %s" % (running, queued, server.log.read_text()[-2000:]))


def log_events(server):
    """[(event, id, line)] of the log, in order: admitted, started, ended, refused."""
    lines = server.log.read_text().splitlines()
    found = [(re.search(r'msg="request (admitted|started|ended|refused)" id=([^ ]+)', line), line) for line in lines]
    return [(m[1], m[2], line) for m, line in found if m]


def wait_log(server, event, name):
    """The line that says so."""
    return until(lambda: next((line for e, n, line in log_events(server) if (e, n) == (event, name)), None), "%s %s" % (event, name))


def state_of(server, name):
    """"queued", "loading", "prompt", "decoding" or "ended", of a request that the server knows by that name."""
    return json.loads(server.call("GET", "/api/requests/" + name).text)["state"]


def load(server, model=MODEL):
    reply = server.post("/api/generate", {"model": model})
    assert reply.status == 200 and json.loads(reply.text)["done_reason"] == "load", reply.text


# ---- The runner ----
def children_of(server):
    """{pid: state} of the server's processes, dead ones that it has not buried too."""
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        with contextlib.suppress(OSError):
            with open("/proc/%s/stat" % name, encoding="ascii", errors="replace") as f:
                state, parent = f.read().rsplit(")", 1)[1].split()[:2]
            if int(parent) == server.process.pid:
                found[int(name)] = state
    return found


def runners_of(server):
    """The live ones: a process for each model that is loaded or loading. Until it executes the program the server waits for it: it is none yet."""
    return [pid for pid, state in children_of(server).items() if state not in "ZX" and arguments_of(pid)[1:2] == [b"runner"]]


def arguments_of(pid):
    with contextlib.suppress(OSError):
        with open("/proc/%d/cmdline" % pid, "rb") as f:
            return f.read().split(b"\0")
    return []


def runner_of(server):
    """The process of the loaded or loading model; None: there is none."""
    return next(iter(runners_of(server)), None)


def threads_of(pid):
    """{thread: (state, how often it has given way)}; fewer of a process that ends."""
    found = {}
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc/%d/task" % pid):
            with open("/proc/%d/task/%s/status" % (pid, name), encoding="ascii", errors="replace") as f:
                text = f.read()
            found[name] = (re.search(r"^State:\s+(\S)", text, re.M)[1], re.findall(r"ctxt_switches:\s+(\d+)", text))
    return found


def is_stopped(pid):
    """Or dead: the signal that stops a process reaches its threads one by one."""
    return all(state in "TZX" for state, _ in threads_of(pid).values())


def wait_quiet(server):
    """Until the server has done all that it was told, by clients and runners alike: all its threads sleep, and none has run between two looks."""
    def is_quiet():
        before = threads_of(server.process.pid)
        return server.process.poll() is not None or all(state == "S" for state, _ in before.values()) and threads_of(server.process.pid) == before

    until(is_quiet, "the server has nothing to do")


@contextlib.contextmanager
def held_process(server, pid):
    """Inside, that runner computes nothing: what runs, waits or loads stays as it is, however slow or quick the machine. What it said before has been
    heard, and when it goes on, it has been told all that was settled inside."""
    os.kill(pid, signal.SIGSTOP)
    try:
        until(lambda: is_stopped(pid), "process %d is stopped" % pid)
        wait_quiet(server)
        yield pid
        if any(state == "T" for state, _ in threads_of(pid).values()):  # else it was killed meanwhile
            wait_quiet(server)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def held_runners(server):
    """All runners of now are held."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(held_process(server, pid)) for pid in until(lambda: runners_of(server), "a runner")]


@contextlib.contextmanager
def held(server):
    """The same where there is one."""
    with held_runners(server) as pids:
        yield pids[0]


@contextlib.contextmanager
def held_while_loading(server, path, body, name="first"):
    """The model is being loaded, and stays so inside: a request asked for it. Yields its client; each try has a name of its own."""
    for i in range(100):
        client = Client(server, path, body, "%s-%d" % (name, i))
        with held(server):
            models = json.loads(server.call("GET", "/api/ps").text)["models"]
            if models and models[0]["state"] == "loading":
                wait_log(server, "admitted", client.name)
                yield client
                return
        client.leave()
        wait_log(server, "ended", client.name)
        server.post("/api/generate", {"model": MODEL, "keep_alive": 0})
        until(lambda: not json.loads(server.call("GET", "/api/ps").text)["models"], "the model is unloaded")
    raise AssertionError("the model loads too quickly to be stopped meanwhile")


def is_open(server, name):
    """Whether the request of that name has not ended."""
    reply = server.call("GET", "/api/requests/" + name)
    return reply.status == 200 and json.loads(reply.text)["state"] != "ended"


@contextlib.contextmanager
def held_amid(server, path, body, begin, name="amid"):
    """A request that is under way and stays so inside: (client, runner). begin(client) returns once it has begun; if it has ended before the runner was stopped
    it is asked anew, so its name is client.name."""
    for i in range(100):
        client = Client(server, path, body, "%s-%d" % (name, i))
        begin(client)
        with held(server) as pid:
            if is_open(server, client.name):
                yield client, pid
                return
        client.leave()
    raise AssertionError("the request ends too quickly to be stopped meanwhile")


@contextlib.contextmanager
def held_in_prompt(server, path, body_of, name):
    """A request has begun with its prompt and has no token yet, and it stays so inside. Yields its client; each try has a name of its own, and body_of(name)
    a prompt of its own."""
    for i in range(100):
        client = Client(server, path, body_of("%s-%d" % (name, i)), "%s-%d" % (name, i))
        wait_log(server, "started", client.name)
        with held(server):
            if state_of(server, client.name) == "prompt":
                yield client
                return
        client.leave()
        wait_log(server, "ended", client.name)
    raise AssertionError("the prompt is computed too quickly to be stopped meanwhile")


def kill_runner(server):
    """Kills it, all that it was sent being known to it, and waits until everybody who looks in sees that it is gone."""
    with held(server) as pid:
        os.kill(pid, signal.SIGKILL)
    until(lambda: "process %d) has unexpectedly stopped" % pid in server.log.read_text(), "the end of process %d is noticed" % pid)
    return pid
