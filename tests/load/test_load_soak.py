# SPDX-License-Identifier: MIT
"""Soak: random clients, aborts, slow readers, model swaps and kills for SOAK_SECONDS (20; `./dev check --long`: 600).

Afterwards: every request is accounted for, in the client's books, in the log and in the counters alike; no answer was lost, wrong or another
client's; and the front holds no more memory, descriptors, threads or processes than it did after the first part of the same.
"""
import collections
import contextlib
import json
import os
import pathlib
import random
import re
import signal
import threading
import time

import pytest

from crowd import Client, Failed, children_of, log_events, runners_of, until
from scrape import scrape
from served import CACHE, SMOLLM, import_model, tiny_store

SECONDS = float(os.environ.get("SOAK_SECONDS", "20"))
SEED = int(os.environ.get("SOAK_SEED", "1"))
N_CLIENTS = 12
MAX_QUEUE = 8
MIB = 1 << 20
WORDS = ["bazor", "devak", "filum", "gotix", "huged", "kapon"]
REFUSED = (503,)
DIED = "unexpectedly stopped"


@pytest.fixture
def server(start, tmp_path):
    """Three models of which two may be loaded, few places, short times: everything happens often."""
    store = tiny_store(tmp_path / "store")
    import_model(store, tmp_path, SMOLLM, "smollm2")
    gemma = CACHE / "gemma3-270m-q4_k_m.gguf"
    if gemma.exists():
        import_model(store, tmp_path, gemma, "gemma3")
    s = start(store, OLLAMA_DEBUG="1", OLLAMA_NUM_PARALLEL="4", OLLAMA_MAX_QUEUE=str(MAX_QUEUE), OLLAMA_MAX_LOADED_MODELS="2" if gemma.exists() else "1",
              OLLAMA_CONTEXT_LENGTH="1024", DROVER_SWAP_AFTER="500ms", DROVER_MIN_RESIDENT="500ms", DROVER_STALL_TIMEOUT="2s")
    s.models = ["smollm2", "tiny"] + ["gemma3"] * gemma.exists()
    return s


# ---- What is asked ----
def marked(model, word, dialect):
    """A prompt whose answer says its own word; all begin alike, so that they share pages of the cache."""
    text = "Everybody is told one word. " + ("The word is %s. " % word) * 6 + "The word is"
    if dialect == "/api/generate":
        return {"model": model, "prompt": text, "raw": True, "options": {"temperature": 0, "seed": 1, "num_predict": 16}}
    return {"model": model, "prompt": text, "temperature": 0, "seed": 1, "max_tokens": 16}


def ask_alone(server):
    """{(model, word, dialect): text} of an idle server."""
    alone = {}
    for model in server.models:
        for word in WORDS:
            for dialect in ("/api/generate", "/v1/completions"):
                alone[model, word, dialect] = Client(server, dialect, {**marked(model, word, dialect), "stream": True}).finish().text
    texts = [text for (model, _, dialect), text in alone.items() if model == "smollm2" and dialect == "/api/generate"]
    assert len(set(texts)) == len(WORDS) and all(word in text for word, text in zip(WORDS, texts)), texts
    return alone


# ---- Who asks ----
class Wanderer(threading.Thread):
    """One client after the other. `books`: {id: how it ended}; `wrong`: what may not be."""

    def __init__(self, server, alone, seed, is_over, books, wrong):
        super().__init__()
        self.server, self.alone, self.chance, self.is_over, self.books, self.wrong = server, alone, random.Random(seed), is_over, books, wrong
        self.prefix, self.n = "soak-%d" % seed, 0

    def run(self):
        while not self.is_over():
            self.n += 1
            name = "%s-%d" % (self.prefix, self.n)
            try:
                self.books[name] = self.one(name)
            except Exception as e:  # a thread of its own: what happened is told at the end
                self.wrong.append("%s: %r" % (name, e))

    def one(self, name):
        key = (self.chance.choice(self.server.models), self.chance.choice(WORDS), self.chance.choice(["/api/generate", "/v1/completions"]))
        body = {**marked(*key), "stream": self.chance.random() < 0.7}
        if key[2] == "/api/generate" and self.chance.random() < 0.2:
            body["keep_alive"] = self.chance.choice([0, "1s", -1])
        how = self.chance.choice(["finish"] * 6 + ["leave", "leave at once", "slow", "delete", "invalid"])
        if how == "invalid":
            body["options" if key[2] == "/api/generate" else "max_tokens"] = "none"
        client = Client(self.server, key[2], body, name, receive_bytes=4096 if how == "slow" else None)
        with contextlib.closing(client.connection):
            return self.follow(client, how, key)

    def follow(self, client, how, key):
        if how == "leave at once":
            client.leave()
            return how
        if how == "leave":
            n = self.chance.randrange(1, 8) if client.body["stream"] else 0
            try:
                while len(client.pieces) < n and client.read_line():
                    pass
            except Failed as e:
                return self.name_error(client, how, str(e))
            finally:
                client.leave()
            self.compare(client, key, whole=False)
            return "left" if n > 0 else "leave at once"
        if how == "delete":
            reply = self.server.call("DELETE", "/api/requests/" + client.name)
            assert reply.status in (200, 404, 409), reply.text  # 404: it has not arrived yet
        if how == "slow":
            time.sleep(self.chance.random())
        return self.read_to_the_end(client, how, key)

    def read_to_the_end(self, client, how, key):
        try:
            while client.read_line():
                pass
        except Failed as e:
            self.compare(client, key, whole=False)
            return self.name_error(client, how, str(e))
        status = client.reply().status
        assert status == 200, (status, client.lines)
        self.compare(client, key, whole=True)
        return "finished"

    def name_error(self, client, how, words):
        status = client.reply().status
        if how == "invalid" and status in (400, 500):
            return "invalid"
        if "canceled" in words and how == "delete":
            return "cancelled"
        if DIED in words:
            return "refused" if status == 503 else "died twice"
        if status in REFUSED and "server busy" in words:
            assert int(client.reply().headers["Retry-After"]) >= 1
            return "refused"
        raise AssertionError("%s: %d %s" % (how, status, words))

    def compare(self, client, key, whole):
        expected = self.alone[key]
        if client.text != expected if whole else not expected.startswith(client.text):
            self.wrong.append("%s %s (%s): %r, alone %r" % (client.name, key, "whole" if whole else "begun", client.text, expected))


class Killer(threading.Thread):
    """Every now and then, once at least, the process of some model dies, or stands still until the watchdog finds it."""

    def __init__(self, server, seed, until_s):
        super().__init__(daemon=True)
        self.server, self.chance, self.until_s, self.n = server, random.Random(seed), until_s, 0

    def run(self):
        while time.monotonic() + 4 < self.until_s or self.n == 0:
            time.sleep(2 + 3 * self.chance.random())
            pids = runners_of(self.server)
            if self.is_loading() and self.chance.random() < 0.8:
                continue  # now and then amid a load, but not so often that nothing is ever loaded
            if not pids:
                continue
            with contextlib.suppress(ProcessLookupError):
                pid, how = self.chance.choice(pids), signal.SIGKILL if self.chance.random() < 0.8 else signal.SIGSTOP
                os.kill(pid, how)
                self.n += 1
                if how == signal.SIGSTOP and self.is_loading():
                    os.kill(pid, signal.SIGCONT)  # perhaps this one: a load may stand still for minutes

    def is_loading(self):
        return any(m["state"] == "loading" for m in json.loads(self.server.call("GET", "/api/ps").text)["models"])


# ---- What it holds ----
Held = collections.namedtuple("Held", "rss n_fds n_threads n_processes")


def quiet(server):
    """All connections closed, all requests ended, all models unloaded: what the front still holds."""
    until(lambda: scrape(server).get_one("drover_http_connections") <= 1, "the connections are closed")  # nobody comes any more
    server.wait_idle()

    def all_ended():
        events = [event for event, _, _ in log_events(server)]
        return events.count("admitted") == events.count("ended")

    until(all_ended, "the log has all ends")
    for model in server.models:
        server.post("/api/generate", {"model": model, "keep_alive": 0})

    def is_alone():
        for pid in runners_of(server):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        return not children_of(server)

    until(is_alone, "no process is left")
    until(lambda: scrape(server).get_one("drover_http_connections") <= 1, "the connections are closed")
    pid = server.process.pid
    status = pathlib.Path("/proc/%d/status" % pid).read_text()
    return Held(int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024, len(os.listdir("/proc/%d/fd" % pid)),
                int(re.search(r"Threads:\s+(\d+)", status)[1]), len(children_of(server)))


def round_of(server, alone, seed, seconds, books, wrong):
    until_s = time.monotonic() + seconds
    killer = Killer(server, seed, until_s)

    def is_over():
        return time.monotonic() >= until_s and (wrong or killer.n > 0 and list(books.values()).count("finished") > N_CLIENTS)

    threads = [Wanderer(server, alone, seed * 100 + i, is_over, books, wrong) for i in range(N_CLIENTS)]
    before = scrape(server)
    for t in [*threads, killer]:
        t.start()
    while any(t.is_alive() for t in threads):
        time.sleep(1)
        now = scrape(server)
        fallen = [k for k in before if k[0].endswith(("_total", "_count")) and now.get(k, -1) < before[k]]
        assert not fallen, fallen
        before = now
    if not wrong:
        killer.join()
    return killer.n


# ---- The accounts ----
ENDS = {"finished": {"stop", "length"}, "died twice": {"error"}, "cancelled": {"cancelled", "error"}, "left": {"cancelled", "stop", "length", "error"},
        "leave at once": {"cancelled", "stop", "length", "error"}}


def check_accounts(server, books):
    lines = collections.defaultdict(list)
    for event, name, line in log_events(server):
        if name.startswith("soak-") and event != "started":
            lines[name].append((event, (re.search(r" outcome=(\w+)", line) or [None, None])[1]))
    assert set(lines) <= set(books)
    for name, how in books.items():
        events = [event for event, _ in lines[name]]
        if events == []:  # who leaves at once may never have been seen
            assert how == "leave at once", (name, how)
            continue
        if events == ["refused"]:
            assert how in ("refused", "invalid", "leave at once"), (name, how)
            continue
        assert events == ["admitted", "ended"], (name, how, lines[name])
        assert lines[name][1][1] in ENDS[how], (name, how, lines[name])
    now = scrape(server)
    counted = {key: value for key, value in now.items() if key[0] == "drover_model_requests_total"}
    ended = [outcome for event in log_events(server) if event[0] == "ended" for outcome in re.findall(r" outcome=(\w+)", event[2])]
    for outcome in ("stop", "length", "error", "cancelled"):
        n = sum(value for key, value in counted.items() if ("outcome", outcome) in key[1])
        assert n == ended.count(outcome), (outcome, n, ended.count(outcome))
    refused = sum(now[key] for key in now.series_of("drover_requests_refused_total"))
    assert refused == sum(event == "refused" for event, _, _ in log_events(server))
    for gauge in ("drover_requests_running", "drover_requests_waiting", "drover_queue_length", "drover_waiting_request_bytes", "drover_kv_cache_usage_ratio"):
        assert now.get_one(gauge) == 0, gauge
    assert json.loads(server.call("GET", "/api/queue").text)["requests"] == []


def test_soak(server):
    alone = ask_alone(server)
    books, wrong = {}, []
    quiet(server)
    n_kills = round_of(server, alone, SEED, SECONDS / 3, books, wrong)
    first = quiet(server)
    n_kills += round_of(server, alone, SEED + 1, 2 * SECONDS / 3, books, wrong)
    last = quiet(server)
    kinds = collections.Counter(books.values())
    print("%.0f s, %d requests (%s), %d kills; %s, then %s" % (SECONDS, len(books), ", ".join("%d %s" % (n, how) for how, n in kinds.items()), n_kills, first, last))
    assert not wrong, wrong[:10]
    assert server.process.poll() is None
    check_accounts(server, books)
    assert kinds["finished"] > N_CLIENTS and n_kills > 0
    assert last.n_fds <= first.n_fds + 2 and last.n_threads <= first.n_threads + 2 and last.n_processes == 0, (first, last)
    assert last.rss <= first.rss + 16 * MIB, (first, last)
