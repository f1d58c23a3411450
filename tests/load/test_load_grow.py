# SPDX-License-Identifier: MIT
"""A request that wants more context than is loaded makes the model grow: streams that run are carried over, nobody is thrown out."""
import json

import pytest

from crowd import MODEL, Client, ask, count_on, load, runner_of, until

LARGE = 8000  # tokens; one slot's pool has 4,096 of them


@pytest.fixture
def one_slot(serve):
    return serve(OLLAMA_NUM_PARALLEL="1", OLLAMA_CONTEXT_LENGTH="4096")


def status(server):
    return json.loads(server.call("GET", "/api/ps").text)["models"][0]


def wants(num_ctx, n=5):
    return {**count_on(n, num_ctx=num_ctx), "stream": False}


def test_a_stream_goes_on_with_the_same_text_while_the_model_grows(one_slot):
    server = one_slot
    expected = [ask(server, "/api/generate", count_on(60, temperature=t)).text for t in (0, 0.9)]
    for i, t in enumerate((0, 0.9)):
        server.post("/api/generate", {"model": MODEL, "keep_alive": 0})
        until(lambda: runner_of(server) is None, "it is unloaded")
        load(server)
        first = runner_of(server)
        stream = Client(server, "/api/generate", count_on(60, temperature=t)).read_pieces(5)
        large = Client(server, "/api/generate", wants(LARGE))
        assert stream.finish().text == expected[i]
        large.finish()
        assert runner_of(server) != first
        assert status(server)["kv_tokens_total"] >= LARGE
    assert "unexpectedly" not in server.log.read_text()


def test_a_smaller_context_is_the_limit_of_that_request_alone(one_slot):
    server = one_slot
    load(server)
    pid = runner_of(server)
    assert ask(server, "/api/generate", wants(40, 100)).last()["done_reason"] == "length"
    assert runner_of(server) == pid
    assert ask(server, "/api/generate", wants(LARGE)).last()["done"]  # grows
    grown = runner_of(server)
    assert grown != pid
    ask(server, "/api/generate", wants(2048))
    assert runner_of(server) == grown  # and does not shrink for the next one


def test_a_context_that_can_never_fit_is_refused_at_once_with_the_numbers(serve):
    server = serve(OLLAMA_NUM_PARALLEL="1", OLLAMA_CONTEXT_LENGTH="2048", DROVER_MEMORY_LIMIT="260MiB")
    load(server)
    pid = runner_of(server)
    stream = Client(server, "/api/generate", count_on(40)).read_pieces(3)
    reply = server.post("/api/generate", wants(LARGE))
    assert reply.status == 500, reply.text
    error = json.loads(reply.text)["error"]
    assert error.startswith("model requires more system memory (") and "would fit" in error, error
    stream.finish()
    assert runner_of(server) == pid
