# SPDX-License-Identifier: MIT
"""The queue is real: first come, first served; a fixed number of places; beyond that 503 at once, with everything a client needs to come back."""
import itertools
import json

import pytest

from crowd import COUNT, MODEL, Client, count_on, counts, held, held_while_loading, load, log_events, wait_counts, wait_log

FULL = "server busy, please try again.  maximum pending requests exceeded"


def short(i):
    """Requests of all dialects and of different lengths, so that they end in another order than they came."""
    n, stream = 2 + 5 * i % 9, i % 2 == 0
    messages = [{"role": "user", "content": "Say %d" % i}]
    return [
        ("/api/generate", {**count_on(n), "stream": stream}),
        ("/api/chat", {"model": MODEL, "messages": messages, "stream": stream, "options": {"num_predict": n, "seed": i}}),
        ("/v1/completions", {"model": MODEL, "prompt": COUNT, "max_tokens": n, "stream": stream, "seed": i}),
        ("/v1/chat/completions", {"model": MODEL, "messages": messages, "max_tokens": n, "stream": stream, "seed": i}),
    ][i // 2 % 4]


def test_64_clients_against_4_slots_are_all_served_in_order_of_arrival(server):
    names = ["order-%02d" % i for i in range(64)]
    clients = []
    with held(server):
        for i, name in enumerate(names):
            clients.append(Client(server, *short(i), name))
            wait_log(server, "admitted", name)
        wait_counts(server, 4, 60)
    for client in clients:
        client.finish()
    events = [(event, name) for event, name, _ in log_events(server) if name in names]
    assert [name for event, name in events if event == "started"] == names
    running = list(itertools.accumulate({"started": 1, "ended": -1}.get(event, 0) for event, _ in events))
    assert max(running) == 4 and running[-1] == 0
    assert counts(server) == (0, 0)


def test_64_clients_at_once_are_all_served(server):
    clients = [Client(server, *short(i), "crowd-%02d" % i) for i in range(64)]
    for client in clients:
        client.finish()
    ended = [line for event, name, line in log_events(server) if event == "ended" and name.startswith("crowd-")]
    assert len(ended) == 64 and all("outcome=stop" in line or "outcome=length" in line for line in ended)


# ---- 503 ----
def refused_everywhere(server, depth):
    """Every route of generation refuses, streaming or not, in its own shape; the rest of the server answers."""
    for stream in (False, True):
        messages = [{"role": "user", "content": "Hi"}]
        for path, body in [("/api/generate", count_on(1)), ("/api/chat", {"model": MODEL, "messages": messages}),
                           ("/v1/completions", {"model": MODEL, "prompt": "Hi"}), ("/v1/chat/completions", {"model": MODEL, "messages": messages})]:
            reply = server.post(path, {**body, "stream": stream})
            assert reply.status == 503, (path, reply.text)
            assert 1 <= int(reply.headers["Retry-After"]) <= 60
            assert reply.headers["X-Queue-Depth"] == str(depth)
            assert reply.headers["Content-Type"].startswith("application/json")
            openai = {"message": FULL, "type": "api_error", "param": None, "code": "queue_full"}
            assert json.loads(reply.text) == {"error": FULL if path.startswith("/api/") else openai}
    for path in ("/health", "/api/tags", "/api/ps", "/api/version", "/v1/models"):
        assert server.call("GET", path).status == 200


def take_places(server, n):
    """Requests until all places are taken, each admitted before the next comes."""
    clients = []
    for i in range(n):
        name = "place-%d" % i
        clients.append(Client(server, "/api/generate", {**count_on(4), "stream": i % 2 == 0}, name))
        wait_log(server, "admitted", name)
    return clients


@pytest.mark.parametrize("max_queue", [8, 0])
def test_exactly_4_run_and_max_queue_wait_and_the_rest_get_503(serve, max_queue):
    server = serve(OLLAMA_NUM_PARALLEL="4", OLLAMA_MAX_QUEUE=str(max_queue))
    load(server)
    with held(server):  # nothing ends meanwhile, and a refusal cannot have waited for the model
        clients = take_places(server, 4 + max_queue)
        wait_counts(server, 4, max_queue)
        refused_everywhere(server, max_queue)
        clients.pop().leave()  # the last that came: it waits, or it runs when nobody can wait
        wait_counts(server, 4 if max_queue else 3, max(max_queue - 1, 0))
        clients.append(Client(server, "/api/generate", count_on(4), "one-more"))
        wait_log(server, "admitted", "one-more")
        wait_counts(server, 4, max_queue)
        refused_everywhere(server, max_queue)
        clients.pop(0).leave()  # one that runs: the first that waits takes its slot
        wait_counts(server, 4 if max_queue else 3, max(max_queue - 1, 0))
        clients.append(Client(server, "/api/generate", count_on(4), "another"))
        wait_log(server, "admitted", "another")
        refused_everywhere(server, max_queue)
    for client in clients:
        client.finish()
    assert counts(server) == (0, 0)


@pytest.mark.parametrize("max_queue", [8, 0])
def test_the_cap_is_the_same_while_the_model_loads(serve, max_queue):
    server = serve(OLLAMA_NUM_PARALLEL="4", OLLAMA_MAX_QUEUE=str(max_queue))
    with held_while_loading(server, "/api/generate", count_on(4)) as first:
        clients = [first, *take_places(server, 3 + max_queue)]
        refused_everywhere(server, max_queue)  # four have a slot promised
        clients.pop().leave()
        wait_counts(server, 0, 3 + max_queue)
        clients.append(Client(server, "/api/generate", count_on(4), "one-more"))
        wait_log(server, "admitted", "one-more")
        refused_everywhere(server, max_queue)
    for client in clients:
        client.finish()
    assert counts(server) == (0, 0)
