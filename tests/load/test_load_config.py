# SPDX-License-Identifier: MIT
"""What drover.conf says of single models and of the order of requests, seen from outside; and that a reload changes it under a running server."""
import json
import os
import signal

import pytest

from crowd import Client, count_on, held, load, log_events, runner_of, until
from scrape import scrape

N = 8


@pytest.fixture
def configured(serve, tmp_path):
    """configured(text) -> a server with that drover.conf; reload(text) gives it another one."""
    path = tmp_path / "drover.conf"

    def begin(text, **env):
        path.write_text(text)
        server = serve(DROVER_CONFIG=str(path), **env)

        def reload(new):
            before = server.log.read_text().count("the configuration was read again")
            path.write_text(new)
            server.process.send_signal(signal.SIGHUP)
            until(lambda: server.log.read_text().count("the configuration was read again") > before, "a reload")
        server.reload = reload
        return server
    return begin


def model_of(server):
    models = json.loads(server.call("GET", "/api/ps").text)["models"]
    return models[0] if models else None


def send(server, name, headers=None, **options):
    """A request on its way, and in."""
    client = Client.__new__(Client)
    client.name, client.path, client.body = name, "/api/generate", count_on(N, **options)
    client.connection = server.connect()
    client.connection.request("POST", client.path, json.dumps(client.body), {"X-Request-Id": name, **(headers or {})})
    client.lines, client.pieces, client.got = [], [], None
    until(lambda: ("admitted", name) in [(e, n) for e, n, _ in log_events(server)], name + " is admitted")
    return client


def start_order(server):
    return [name for event, name, _ in log_events(server) if event == "started"]


def test_a_section_sets_slots_context_cache_and_threads_of_its_model(configured):
    plain = configured("[model somebody-else]\nparallel = 1\n")
    load(plain)
    usual = model_of(plain)
    assert usual["slots"] == 4
    server = configured("num_parallel = 3\n[model SmolLM2:latest]\nparallel = 2\ncontext = 512\nkv_type = q8_0\nthreads = 1\n")
    load(server)
    model = model_of(server)
    assert model["slots"] == 2
    assert model["context_length"] == 512
    assert model["size"] < usual["size"]
    with held(server) as pid:
        assert len(os.listdir("/proc/%d/task" % pid)) == 1
    assert Client(server, "/api/generate", count_on(N)).finish().text


def test_a_pinned_model_is_there_from_the_start_and_stays(configured):
    server = configured("keep_alive = 0\n[model smollm2]\npin = yes\n")
    until(lambda: (model_of(server) or {}).get("state") == "ready", "it is loaded without a request")
    pid = runner_of(server)
    assert Client(server, "/api/generate", count_on(N)).finish().text
    assert runner_of(server) == pid
    server.reload("keep_alive = 0\n[model smollm2]\npin = no\n")
    until(lambda: runner_of(server) is None, "without its pin keep_alive counts, which is 0")


def test_the_keep_alive_of_a_section_counts_for_its_model(configured):
    server = configured("keep_alive = 1h\n[model smollm2]\nkeep_alive = 0\n")
    assert Client(server, "/api/generate", count_on(N)).finish().text
    until(lambda: runner_of(server) is None, "it is unloaded when idle")


def test_a_reload_changes_the_limit_of_the_queue(configured):
    server = configured("max_queue = 0\nnum_parallel = 1\n")
    load(server)
    with held(server):
        first = send(server, "first")
        assert server.post("/api/generate", count_on(N)).status == 503
        server.reload("max_queue = 1\nnum_parallel = 1\n")
        second = send(server, "second")
        assert server.post("/api/generate", count_on(N)).status == 503
    assert first.finish().text == second.finish().text


def test_better_priorities_start_first(configured):
    server = configured("priorities = yes\nnum_parallel = 1\ndefault_priority = batch\n")
    load(server)
    with held(server):
        clients = [send(server, "running")]
        for name, headers in (("batch", {"X-Priority": "batch"}), ("normal", {"X-Priority": "normal"}), ("interactive", {"X-Priority": "interactive"}),
                              ("default", {})):
            clients.append(send(server, name, headers))
    for client in clients:
        client.finish()
    assert start_order(server) == ["running", "interactive", "normal", "batch", "default"]


def test_without_the_option_priorities_change_nothing(configured):
    server = configured("num_parallel = 1\n")
    load(server)
    with held(server):
        clients = [send(server, name, {"X-Priority": name}) for name in ("batch", "normal", "interactive")]
    for client in clients:
        client.finish()
    assert start_order(server) == ["batch", "normal", "interactive"]


@pytest.mark.parametrize("policy,expected", [("round-robin", ["a1", "a2", "b1", "a3"]), ("fifo", ["a1", "a2", "a3", "b1"])])
def test_round_robin_serves_the_clients_that_a_trusted_proxy_names_in_turn(configured, policy, expected):
    server = configured("queue_policy = %s\nnum_parallel = 1\ntrusted_proxies = 127.0.0.1\n" % policy)
    load(server)
    with held(server):
        clients = [send(server, name, {"X-Forwarded-For": "10.0.0.%d" % (name[0] == "b")}) for name in ("a1", "a2", "a3", "b1")]
    for client in clients:
        client.finish()
    assert start_order(server) == expected


def test_a_smaller_memory_limit_unloads_idle_models_and_cuts_no_stream(configured):
    server = configured("memory_limit = 1GiB\n")
    load(server)
    pid = runner_of(server)
    with held(server):
        running = send(server, "running")
        server.reload("memory_limit = 50MiB\n")
        until(lambda: scrape(server).get_one("drover_memory_budget_bytes") == 50 << 20, "it counts")
        assert runner_of(server) == pid and model_of(server)["running"] == 1
    assert running.finish().text
    until(lambda: runner_of(server) is None, "it is unloaded when idle")
    until(lambda: scrape(server).get_one("drover_model_evictions_total", model="smollm2:latest", reason="limit") == 1, "it is counted")
    reply = server.post("/api/generate", count_on(N))
    assert reply.status == 500 and "available (0.05 GiB)" in reply.text
    server.reload("memory_limit = 1GiB\n")
    assert Client(server, "/api/generate", count_on(N)).finish().text
    server.reload("memory_limit = 50MiB\n")
    until(lambda: runner_of(server) is None, "one that is idle is unloaded at once")


def test_limits_of_time_end_requests(configured):
    server = configured("num_parallel = 1\n")
    load(server)
    server.reload("num_parallel = 1\nmax_queue_wait = 300ms\n")
    with held(server):
        running = send(server, "running")
        waiting = send(server, "waiting")
        assert waiting.reply().status == 503 and "max_queue_wait" in waiting.reply().read().decode()
        assert int(waiting.reply().headers["Retry-After"]) > 0
    assert running.finish().text
    server.reload("num_parallel = 1\nfirst_token_timeout = 300ms\n")
    with held(server):
        late = send(server, "late")
        assert late.reply().status == 504 and "first_token_timeout" in late.reply().read().decode()
    server.reload("num_parallel = 1\nrequest_timeout = 1s\n")
    endless = send(server, "endless", num_predict=100000)
    last = b""
    while not last.startswith(b'{"error"'):
        last = endless.reply().readline()
        assert last
    assert b"request_timeout" in last
    server.wait_idle()
