# SPDX-License-Identifier: MIT
"""GET /api/queue: every request that has not ended, what it is doing and where it stands."""
import json

import pytest

from crowd import Client, count_on, held, held_while_loading, load, until, wait_counts
from served import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory, smollm_models):
    """One slot, the model loaded."""
    s = Server(tmp_path_factory.mktemp("queue"), smollm_models, OLLAMA_NUM_PARALLEL="1")
    load(s)
    yield s
    assert s.stop() == 0, s.log.read_text()[-4000:]


def queue(server):
    reply = server.call("GET", "/api/queue")
    assert reply.status == 200
    return json.loads(reply.text)


def requests(server):
    return {r["id"]: r for r in queue(server)["requests"]}


def test_it_is_empty_when_nobody_asks(server):
    server.wait_idle()
    assert queue(server) == {"running": 0, "waiting": 0, "requests": []}


def test_positions_states_and_ages(server):
    server.wait_idle()
    clients = []
    with held(server):
        for name in ("q-1", "q-2", "q-3"):
            clients.append(Client(server, "/api/generate", count_on(3), name))
            until(lambda name=name: name in requests(server), name)
        wait_counts(server, 1, 2)
        now = queue(server)
        assert (now["running"], now["waiting"]) == (1, 2)
        assert [r["id"] for r in now["requests"]] == ["q-1", "q-2", "q-3"]
        first, second, third = now["requests"]
        assert first["state"] == "prompt" and "position" not in first
        assert (second["state"], second["position"], second["waiting_for"]) == ("queued", 1, "slot")
        assert (third["state"], third["position"]) == ("queued", 2)
        for r in now["requests"]:
            assert (r["model"], r["route"], r["client"], r["priority"]) == ("smollm2:latest", "/api/generate", "127.0.0.1", "normal")
            assert r["generated_tokens"] == 0 and r["age_seconds"] >= r["queue_seconds"] >= 0
        assert first["age_seconds"] >= second["age_seconds"] >= third["age_seconds"]
        clients.pop(1).leave()  # who leaves makes room for those behind
        until(lambda: "q-2" not in requests(server), "q-2 has left")
        assert requests(server)["q-3"]["position"] == 1
    for client in clients:
        client.finish()
    until(lambda: requests(server) == {}, "all have ended")


def test_tokens_so_far(server):
    client = Client(server, "/api/generate", count_on(), "talker")
    client.read_pieces(5)
    now = requests(server)["talker"]
    assert now["state"] == "decoding" and now["generated_tokens"] >= 5 and now["prompt_tokens"] > 0
    assert 0 < now["first_token_seconds"] <= now["age_seconds"]
    client.leave()
    until(lambda: requests(server) == {}, "it has left")


def test_the_load_of_a_model_is_told_from_a_queue(start, smollm_models):
    server = start(smollm_models, OLLAMA_NUM_PARALLEL="1")
    with held_while_loading(server, "/api/generate", count_on(2)) as first:
        second = Client(server, "/api/generate", count_on(2), "second")
        until(lambda: "second" in requests(server), "second")
        now = requests(server)
        one, two = now[first.name], now["second"]
        assert one["state"] == two["state"] == "loading"
        assert one["waiting_for"] in ("probe", "load") and (one["position"], two["position"]) == (1, 2)
    first.finish()
    second.finish()


def test_a_key_is_never_shown(server):
    server.wait_idle()
    with held(server):
        connection = server.connect()
        secret = "sk-very-secret-0123456789"
        connection.request("POST", "/v1/completions", json.dumps({"model": "smollm2", "prompt": "Hi", "max_tokens": 2}),
                           {"X-Request-Id": "keyed", "Authorization": "Bearer " + secret})
        until(lambda: "keyed" in requests(server), "keyed")
        assert requests(server)["keyed"]["client"] == "127.0.0.1"
    connection.getresponse().read()
    connection.close()
    assert secret not in server.log.read_text() and secret not in server.call("GET", "/api/requests/keyed").text
