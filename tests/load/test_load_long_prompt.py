# SPDX-License-Identifier: MIT
"""A long prompt does not stop the streams beside it, and is not computed twice for two who send it."""
import json

from crowd import COUNT, MODEL, Client, ask, count_on, held, held_in_prompt, load, wait_counts

WORDS = " ".join("word%d" % i for i in range(1650))  # some 6,000 tokens
MAX_STEP = 512  # prompt tokens that one step takes at most


def created(line):
    return json.loads(line)["created_at"]


def test_a_running_stream_goes_on_between_the_steps_of_a_long_prompt(server):
    """By the server's own order of what it did: the stamps of its lines come from one thread and one clock."""
    stream = Client(server, "/api/generate", count_on(), "beside")
    stream.read_pieces(3)
    with held(server):
        n_before = json.loads(server.call("GET", "/api/requests/beside").text)["generated_tokens"]
        long = Client(server, "/api/generate", {"model": MODEL, "prompt": WORDS, "raw": True, "options": {"temperature": 0, "num_predict": 2, "num_ctx": 8192}}, "long")
        wait_counts(server, 2, 0)
    long.finish()
    n_prompt = long.last()["prompt_eval_count"]
    assert n_prompt > 5500
    stream.read_pieces(100)
    while created(stream.lines[-1]) < created(long.lines[0]):
        assert stream.read_line()
    stream.leave()
    between = [line for line in stream.lines[n_before:] if created(line) < created(long.lines[0])]
    assert len(between) >= n_prompt // MAX_STEP, len(between)
    assert stream.text.startswith(ask(server, "/api/generate", count_on(100)).text)


def test_a_short_prompt_does_not_wait_for_the_end_of_a_long_one(server):
    with held(server):
        long = Client(server, "/api/generate", {"model": MODEL, "prompt": "Another one: " + WORDS[:4300], "raw": True, "options": {"temperature": 0, "num_predict": 2}})
        wait_counts(server, 1, 0)
        short = Client(server, "/api/generate", count_on(2, seed=3))
        wait_counts(server, 2, 0)
    short.finish()
    long.finish()
    assert created(short.lines[0]) < created(long.lines[0])


def completion(text):
    return "/v1/completions", {"model": MODEL, "prompt": text, "max_tokens": 8, "temperature": 0, "seed": 1}


def usage(client):
    value = client.last()["usage"]
    return value["prompt_tokens"], value["prompt_tokens_details"]["cached_tokens"]


def test_the_same_long_prompt_sent_twice_at_once_is_computed_once(server):
    text = "Shared: " + WORDS[:4300]  # some 2,000 tokens
    with held(server):
        first = Client(server, *completion(text))
        wait_counts(server, 1, 0)
        second = Client(server, *completion(text))
        other_tail = Client(server, *completion(text + " and another end"))
        wait_counts(server, 3, 0)
    clients = [client.finish() for client in (first, second, other_tail)]
    used = [usage(client) for client in clients]
    n_prompt = used[0][0]
    assert n_prompt > 1500 and used[1][0] == n_prompt and used[2][0] > n_prompt
    # They take turns with the pages and adopt each other's; beside the common part each computes its own last pages.
    n_computed = [n - n_cached for n, n_cached in used]
    assert n_prompt - 32 <= sum(n_computed) <= n_prompt + 3 * 32, used
    assert second.text == first.text


def test_a_waiter_takes_over_when_the_first_leaves_in_its_prompt(server):
    path = "/v1/completions"
    with held_in_prompt(server, path, lambda own: completion("Taken over, %s: " % own + WORDS[:4300])[1], "leaver") as first:
        second = Client(server, path, first.body)
        wait_counts(server, 2, 0)
        first.leave()
        wait_counts(server, 1, 0)
    second.finish()
    again = ask(server, path, first.body)
    assert second.text == again.text and usage(again)[1] >= usage(again)[0] - 32


def test_the_answers_beside_a_long_prompt_are_the_same_as_alone(serve, server):
    """Two prompts of different lengths and a stream, in one server; one after the other in a fresh one."""
    bodies = [count_on(30), {**count_on(10), "prompt": WORDS[:3000]}, {**count_on(10), "prompt": COUNT + WORDS[:1500]}]
    together = [c.finish().text for c in [Client(server, "/api/generate", body) for body in bodies]]
    fresh = serve()
    load(fresh)
    assert [ask(fresh, "/api/generate", body).text for body in bodies] == together
