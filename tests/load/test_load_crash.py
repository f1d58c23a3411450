# SPDX-License-Identifier: MIT
"""A runner that is killed takes nothing with it: the front lives, and every stream goes on with the same text as if nothing had happened."""
import json
import os
import signal

import pytest

from crowd import MODEL, Client, Failed, ask, count_on, counts, held, kill_runner, load, log_events, until, wait_counts, wait_log


def holds_pages(server):
    """The runner says so by itself: a request runs in it."""
    models = json.loads(server.call("GET", "/api/ps").text)["models"]
    return models and models[0]["kv_tokens_used"] > 0


def asked(i):
    """Different dialects, temperatures and forms."""
    messages = [{"role": "user", "content": "Count to one hundred in words."}]
    return [
        ("/api/generate", count_on(40)),
        ("/api/chat", {"model": MODEL, "messages": messages, "options": {"temperature": 1.0, "seed": 5, "num_predict": 40, "repeat_penalty": 1.3}}),
        ("/v1/completions", {"model": MODEL, "prompt": "One, two,", "temperature": 0.8, "seed": 6, "max_tokens": 40, "stream": True, "logprobs": 2}),
        ("/api/generate", {**count_on(40, seed=7, temperature=0.8), "stream": False}),
    ][i]


@pytest.fixture(scope="module")
def alone(server):
    return [ask(server, *asked(i)) for i in range(4)]


def said(client):
    """What was answered, without what says when and how quickly."""
    varying = {"created_at", "created", "id", "total_duration", "load_duration", "prompt_eval_duration", "eval_duration", "usage"}
    values = [json.loads(line.removeprefix(b"data: ")) for line in client.lines if line.startswith((b"{", b"data: {"))]
    return [{k: v for k, v in value.items() if k not in varying} for value in values]


def test_streams_go_on_with_the_same_text_when_the_runner_is_killed(server, alone):
    clients = [Client(server, *asked(i)) for i in range(4)]
    for client in clients[:3]:
        client.read_pieces(3)
    front = server.process.pid
    kill_runner(server)
    for client, before in zip(clients, alone):
        assert said(client.finish()) == said(before)
    assert server.process.poll() is None and server.process.pid == front
    assert ask(server, *asked(0)).text == alone[0].text


def test_an_answer_held_to_a_schema_goes_on_with_the_same_text(server):
    """The next runner's grammar stands where the dead one's stood."""
    schema = {"type": "object", "properties": {"words": {"type": "array", "items": {"type": "string", "maxLength": 10}, "minItems": 8, "maxItems": 8}}, "required": ["words"]}
    asks = [("/api/generate", {**count_on(120, seed=8, temperature=1.5), "format": schema}),
            ("/api/chat", {"model": MODEL, "messages": [{"role": "user", "content": "Count in words."}], "format": schema, "options": {"temperature": 1.2, "seed": 9, "num_predict": 120}})]
    before = [ask(server, *a) for a in asks]
    clients = [Client(server, *a) for a in asks]
    for client in clients:
        client.read_pieces(6)
    kill_runner(server)
    for client, whole in zip(clients, before):
        assert said(client.finish()) == said(whole)
        assert len(json.loads(whole.text)["words"]) == 8


def test_what_waits_or_is_in_its_prompt_is_served_by_the_next_runner(server, alone):
    load(server)
    with held(server) as pid:
        clients = [Client(server, *asked(i % 4)) for i in range(4)]
        wait_counts(server, 4, 0)
        clients += [Client(server, *asked(i % 4)) for i in range(4)]
        wait_counts(server, 4, 4)
        os.kill(pid, signal.SIGKILL)
    for i, client in enumerate(clients):
        assert said(client.finish()) == said(alone[i % 4])
    assert counts(server) == (0, 0)


def test_a_request_that_saw_two_runners_die_ends_with_a_clear_error(serve):
    server = serve()
    load(server)
    stream = Client(server, "/api/generate", count_on(), "unlucky")
    stream.read_pieces(2)
    kill_runner(server)
    until(lambda: holds_pages(server), "it goes on in the next runner")
    waits = Client(server, "/api/generate", {**count_on(3), "stream": False})
    kill_runner(server)
    with pytest.raises(Failed) as e:
        stream.finish()
    assert "the model runner has unexpectedly stopped twice" in str(e.value)
    assert "outcome=error" in wait_log(server, "ended", "unlucky")
    assert waits.finish().text  # asked beside it, it saw one die
    ask(server, "/api/generate", count_on(3))


def test_a_model_that_dies_again_and_again_is_503_for_a_while_and_then_served(serve):
    server = serve()
    clients = []
    for i in range(10):  # each crash makes the next pause longer; whoever is admitted wants the next runner
        clients.append(Client(server, "/api/generate", {**count_on(), "stream": False}, "again-%d" % i))
        if until(lambda: next((event for event, n, _ in log_events(server) if n == clients[-1].name), None), "a decision") == "refused":
            break
        kill_runner(server)
    refused = clients[-1].reply()
    assert refused.status == 503 and int(refused.headers["Retry-After"]) >= 1
    assert "unexpectedly stopped" in json.loads(refused.read())["error"]
    for client in clients:
        client.leave()

    def is_served():
        return server.post("/api/generate", {**count_on(2), "stream": False}).status == 200

    until(is_served, "it is started again")
