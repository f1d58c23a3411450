# SPDX-License-Identifier: MIT
"""A `drover serve` to measure, and clients that send it a plan of requests (clients.c says what a plan is)."""
import contextlib
import dataclasses
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import tempfile
import time

import common

# Words that are one token each in most vocabularies.
WORDS = "the house of water and green light on a small hill with white people from there".split()


def words(n, seed):
    """A prompt of n words that no other seed begins with."""
    return " ".join(random.Random(seed).choices(WORDS, k=n))


@dataclasses.dataclass
class Ask:
    """One request of a plan. at_s: seconds from its start, or after_tokens: once all before it have as many. is_cut: ends when the others have ended."""

    model: str
    prompt: str
    n_tokens: int
    at_s: float = 0.0
    after_tokens: int = 0
    is_cut: bool = False

    def line(self):
        body = {"model": self.model, "raw": True, "prompt": self.prompt, "options": {"num_predict": self.n_tokens, "temperature": 0}}
        when = f"+{self.after_tokens}" if self.after_tokens else f"{self.at_s:.6f}"
        return f"{when} {'cut' if self.is_cut else 'wait'} {json.dumps(body)}\n"


@dataclasses.dataclass
class Answer:
    """What became of a request; times are seconds from the start of the plan."""

    status: int
    sent_s: float
    reply_s: float
    end_s: float
    tokens_s: list
    last: dict

    def first_token_s(self):
        return self.tokens_s[0] - self.sent_s

    def gaps_s(self):
        return [b - a for a, b in zip(self.tokens_s, self.tokens_s[1:])]

    def tokens_per_s(self):
        return (len(self.tokens_s) - 1) / max(self.tokens_s[-1] - self.tokens_s[0], 1e-9)


class Window:
    """The time in which all of some streams run: from the last first token to the earliest last one."""

    def __init__(self, answers):
        self.begin_s = max(a.tokens_s[0] for a in answers)
        self.end_s = min(a.tokens_s[-1] for a in answers)

    def tokens_per_s(self, answers):
        n = sum(self.begin_s < t <= self.end_s for a in answers for t in a.tokens_s)
        return n / (self.end_s - self.begin_s) if self.end_s > self.begin_s else 0.0


class Server:
    """drover serve with some models in a store of its own, on a free port. `models`: names and files. `options`: variables of its environment."""

    def __init__(self, build, models, **options):
        self.drover, self.clients = str(build / "src" / "drover"), str(build / "bench" / "bench_clients")
        self.models = models
        self.stack = contextlib.ExitStack()
        self.environment = dict(os.environ, OLLAMA_KEEP_ALIVE="-1", **{k: str(v) for k, v in options.items()})

    def __enter__(self):
        store = self.stack.enter_context(tempfile.TemporaryDirectory(dir=common.cache_dir()))
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.environment.update(OLLAMA_MODELS=f"{store}/models", OLLAMA_HOST=f"127.0.0.1:{self.port}")
        self.log = self.stack.enter_context(open(f"{store}/serve.log", "w+"))
        try:
            for name, path in self.models.items():
                subprocess.run([self.drover, "import", str(path), name], env=self.environment, check=True, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
            self.process = subprocess.Popen([self.drover, "serve"], env=self.environment, stderr=self.log)
            self.stack.callback(self.stop)
            for name in self.models:
                self.load(name)
        except BaseException:
            self.stack.close()
            raise
        return self

    def load(self, name):
        """Waits for the port, then for the weights."""
        while True:
            if self.process.poll() is not None:
                self.log.seek(0)
                raise common.Failed(f"drover serve ended: {self.log.read()[-600:]}")
            try:
                status, text = self.call("POST", "/api/generate", {"model": name})
                if status != 200:
                    raise common.Failed(f"drover serve cannot load {name}: {text}")
                return
            except ConnectionRefusedError:
                time.sleep(0.05)

    def call(self, method, path, body=None):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        with contextlib.closing(c):
            c.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
            reply = c.getresponse()
            return reply.status, reply.read().decode()

    def metric(self, name, model):
        """A counter of one model."""
        start = f'{name}{{model="{model}:latest"}} '
        for line in self.call("GET", "/metrics")[1].splitlines():
            if line.startswith(start):
                return float(line[len(start):])
        raise common.Failed(f"/metrics has no {name} of {model}")

    def replay(self, plan, status=200):
        """Sends the requests of the plan when they are due; their answers, in its order. `status`: what those that are waited for must get."""
        answers = [Answer(**row) for row in common.objects_of([self.clients, self.port], input="".join(ask.line() for ask in plan))]
        for ask, answer in zip(plan, answers):
            is_whole = answer.last is not None and answer.tokens_s or status != 200
            if not ask.is_cut and (answer.status != status or not is_whole):
                raise common.Failed(f"a request had status {answer.status} and {len(answer.tokens_s)} tokens")
        return answers

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait()

    def __exit__(self, *why):
        self.stack.close()
