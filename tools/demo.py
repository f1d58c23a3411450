#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`./dev run`: fetches the default model, starts a server, shows four prompts answered at once, kills the model's process amid them to show that
the four streams go on, and goes on serving until Ctrl-C.

Without a terminal it ends after the demonstration. Standard library only.
"""
import contextlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
DROVER = pathlib.Path(os.environ.get("DROVER", ROOT / "build" / "drover"))
MODEL = "smollm2"
KILL_AFTER = 30  # pieces of text of each stream
PROMPTS = [
    "Explain in a few sentences why the sky is blue.",
    "Write a short story about a shepherd and his dog.",
    "Give me five tips for learning to cook.",
    "What should I see in Rome in one day?",
]


def free_port(first=11434):
    for port in range(first, first + 50):
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port != first:
            print(f"port {first} is taken, using {port}", flush=True)
        return port
    sys.exit("no free port found")


def prepare():
    done = subprocess.run([sys.executable, ROOT / "tools/fetch_models.py", "smollm2-135m"], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(1)
    listed = subprocess.run([DROVER, "show", MODEL], capture_output=True)
    if listed.returncode != 0:
        subprocess.run([DROVER, "import", done.stdout.strip(), MODEL], check=True)


def wait_until_ready(port, server):
    while True:
        if server.poll() is not None:
            sys.exit(f"the server ended with exit code {server.returncode}")
        try:
            c = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            c.request("GET", "/api/version")
            c.getresponse().read()
            return
        except OSError:
            time.sleep(0.05)


class Stream(threading.Thread):
    """One client: a prompt and its answer as it arrives."""

    def __init__(self, port, prompt, board):
        super().__init__(daemon=True)
        self.port, self.prompt, self.board = port, prompt, board
        self.text, self.final, self.error = "", {}, None
        self.started = self.first = self.ended = None
        self.n_pieces, self.has_met = 0, False
        self.n_before_kill = None  # None: it was not running then

    def run(self):
        try:
            c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
            body = {"model": MODEL, "prompt": self.prompt, "options": {"num_predict": 160, "seed": 1}}
            self.started = time.monotonic()
            c.request("POST", "/api/generate", json.dumps(body), {"Content-Type": "application/json"})
            for line in c.getresponse():
                chunk = json.loads(line)
                if "error" in chunk:
                    raise RuntimeError(chunk["error"])
                if self.first is None:
                    self.first = time.monotonic()
                self.text += chunk["response"]
                self.n_pieces += bool(chunk["response"])
                self.board.took(self)
                if chunk["done"]:
                    self.final = chunk
        except Exception as e:  # shown in the closing table
            self.error = e
        self.ended = time.monotonic()
        self.board.half_way.abort()


class Board:
    """The four answers side by side, redrawn as they grow; plain text when there is no terminal."""

    def __init__(self, live, server):
        self.live, self.server, self.streams, self.lock = live, server, [], threading.Lock()
        self.batches, self.drawn, self.last = [], 0, 0.0
        self.half_way, self.killed = threading.Barrier(len(PROMPTS), self.kill), None

    def took(self, stream):
        with self.lock:
            self.batches.append(sum(1 for s in self.streams if s.first is not None and s.ended is None))
            if self.live and time.monotonic() - self.last > 0.08:
                self.draw()
        if stream.n_pieces >= KILL_AFTER and not stream.has_met:
            stream.has_met = True
            with contextlib.suppress(threading.BrokenBarrierError):  # one of them is over already
                self.half_way.wait()

    def kill(self):
        """kill -9 once every stream is well under way."""
        self.killed = runner_of(self.server)
        if self.killed is not None:
            for s in self.streams:
                s.n_before_kill = s.n_pieces
            os.kill(self.killed, signal.SIGKILL)

    def draw(self):
        size = shutil.get_terminal_size((100, 30))
        width, height = max(size.columns // len(self.streams) - 2, 12), max(size.lines - 6, 6)
        columns = []
        for s in self.streams:
            lines = [textwrap.shorten(s.prompt, width, placeholder="..."), "-" * width]
            for paragraph in s.text.strip().split("\n"):
                lines += textwrap.wrap(paragraph, width) or [""]
            columns.append(lines[:2] + lines[2:][-(height - 2):])
        rows = [[c[i] if i < len(c) else "" for c in columns] for i in range(height)]
        text = "\n".join("  ".join(cell.ljust(width) for cell in row).rstrip() + "\x1b[K" for row in rows)
        if self.drawn:
            sys.stdout.write(f"\x1b[{self.drawn}A")
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
        self.drawn, self.last = height, time.monotonic()


def runner_of(server):
    """The process in which the server's model computes: its child."""
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text(errors="replace").rsplit(")", 1)[1].split()[:2]
        except OSError:
            continue
        if int(parent) == server.pid and state not in "ZX":
            return int(stat.parent.name)
    return None


def tell_of_kill(board):
    """Whether it happened, and each stream that ran went on."""
    pid = board.killed
    cut = [s for s in board.streams if s.n_before_kill is not None]
    went_on = [s for s in cut if s.error is None and s.n_pieces > s.n_before_kill]
    if pid is None:
        print("the model's process was not killed: no stream was long enough\n", flush=True)
        return False
    print(f"amid this the model's process ({pid}) was killed (kill -9), after {', '.join(str(s.n_before_kill) for s in cut)} pieces of text: "
          f"{len(went_on)} of {len(cut)} streams went on in a new one where they had been\n", flush=True)
    return len(went_on) == len(cut)


def demonstrate(port, live, server):
    board = Board(live, server)
    print("\nFour people ask at the same moment:\n", flush=True)
    load = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    load.request("POST", "/api/generate", json.dumps({"model": MODEL}))
    load.getresponse().read()
    board.streams = [Stream(port, p, board) for p in PROMPTS]
    start = time.monotonic()
    for s in board.streams:
        s.start()
    for s in board.streams:
        s.join()
    seconds = time.monotonic() - start
    if live:
        board.draw()
    else:
        for s in board.streams:
            print(f"--- {s.prompt}\n{s.text.strip()}\n")
    print(f"\n{'prompt':48} {'first token':>12} {'tokens':>8} {'tokens/s':>10}")
    total = 0
    for s in board.streams:
        if s.error is not None:
            print(f"{textwrap.shorten(s.prompt, 48):48} failed: {s.error}")
            continue
        n = s.final.get("eval_count", 0)
        total += n
        print(f"{textwrap.shorten(s.prompt, 48):48} {s.first - s.started:10.2f} s {n:8} {n / (s.ended - s.first):10.1f}")
    batches = sorted(board.batches) or [0]
    print(f"{'all together':48} {'':12} {total:8} {total / seconds:10.1f}")
    print(f"streams answered together: {batches[0]} at least, {sum(batches) / len(batches):.1f} on average, {batches[-1]} at most\n", flush=True)
    return tell_of_kill(board) and all(s.error is None for s in board.streams)


def main():
    live = sys.stdout.isatty()
    prepare()
    port = free_port()
    log = open(DROVER.parent / "serve.log", "w")
    server = subprocess.Popen([DROVER, "serve"], env=dict(os.environ, OLLAMA_HOST=f"127.0.0.1:{port}"), stderr=log)
    good = False
    try:
        wait_until_ready(port, server)
        good = demonstrate(port, live, server)
        if live:
            print(f"Serving on http://127.0.0.1:{port} until Ctrl-C (log: build/serve.log). Try:\n"
                  f"  curl http://127.0.0.1:{port}/api/generate -d '{{\"model\":\"{MODEL}\",\"prompt\":\"Hello\"}}'", flush=True)
            server.wait()
    except KeyboardInterrupt:
        print()
    finally:
        if server.poll() is None:
            server.send_signal(signal.SIGTERM)
            server.wait()
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
