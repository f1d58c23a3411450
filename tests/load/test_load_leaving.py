# SPDX-License-Identifier: MIT
"""A client that leaves frees its place, wherever its request stands, and touches nobody: those beside it are answered as if it had never come."""
import os
import re
import signal

import pytest

from crowd import MODEL, Client, ask, count_on, counts, held, held_in_prompt, held_while_loading, load, state_of, until, wait_counts, wait_log

LEAVE = {"closing": Client.leave, "half closing": Client.half_close}
LONG = " ".join("word%d" % i for i in range(1400))  # some 5,000 tokens, more than a few steps can compute


@pytest.fixture(params=[True, False], ids=["streaming", "whole"])
def stream(request):
    return request.param


@pytest.fixture(params=list(LEAVE))
def leave(request):
    return LEAVE[request.param]


@pytest.fixture
def name(request):
    """For the log, where its server is shared."""
    return re.sub("[^a-z_-]", "-", request.node.name)


@pytest.fixture(scope="module")
def counted(server):
    """What a neighbour is answered when it is alone."""
    return ask(server, "/api/generate", count_on(40)).text


def long_prompt(**options):
    return {"model": MODEL, "prompt": LONG, "raw": True, "options": {"temperature": 0, "num_predict": 4, "num_ctx": 8192, **options}}


def ended_as_cancelled(server, name, stage):
    line = wait_log(server, "ended", name)
    assert "outcome=cancelled" in line and "stage=%s" % stage in line, line


def nothing_is_left(server):
    """No slot and no page of the cache is held."""
    wait_counts(server, 0, 0)
    until(lambda: '"kv_tokens_used":0' in server.call("GET", "/api/ps").text, "all pages are given back")


def test_while_the_model_loads(serve, leave, stream):
    server = serve(OLLAMA_NUM_PARALLEL="1")
    with held_while_loading(server, "/api/generate", {**count_on(5), "stream": stream}) as leaver:
        stays = Client(server, "/api/generate", count_on(5), "stays")
        wait_log(server, "admitted", "stays")
        leave(leaver)
        ended_as_cancelled(server, leaver.name, "waiting")
        wait_counts(server, 0, 1)
    stays.finish()
    nothing_is_left(server)


def test_all_leave_while_the_model_loads(serve):
    server = serve()
    with held_while_loading(server, "/api/generate", count_on(5)) as first:
        first.leave()
        ended_as_cancelled(server, first.name, "waiting")
        assert counts(server) == (0, 0)
    ask(server, "/api/generate", count_on(5))
    nothing_is_left(server)


def test_in_the_queue(server, counted, leave, stream, name):
    with held(server):
        running = [Client(server, "/api/generate", count_on(40)) for _ in range(4)]
        wait_counts(server, 4, 0)
        leaver = Client(server, "/api/generate", {**count_on(), "stream": stream}, name)
        wait_counts(server, 4, 1)
        waits = Client(server, "/api/generate", count_on(40))
        wait_counts(server, 4, 2)
        leave(leaver)
        ended_as_cancelled(server, name, "waiting")
        wait_counts(server, 4, 1)
    for client in [*running, waits]:
        assert client.finish().text == counted
    nothing_is_left(server)


def test_in_a_long_prompt(server, counted, leave, stream, name):
    beside = Client(server, "/api/generate", count_on(40))
    beside.read_pieces(1)
    with held_in_prompt(server, "/api/generate", lambda own: {**long_prompt(seed=1), "prompt": own + LONG, "stream": stream}, name) as leaver:
        leave(leaver)
        ended_as_cancelled(server, leaver.name, "prompt")
        wait_counts(server, counts(server)[0], 0)
        assert counts(server)[0] <= 1  # the neighbour's
    assert beside.finish().text == counted
    nothing_is_left(server)


def test_while_decoding(server, counted, leave, stream, name):
    beside = Client(server, "/api/generate", count_on(40))
    leaver = Client(server, "/api/generate", {**count_on(), "stream": stream}, name)
    if stream:
        leaver.read_pieces(3)
    else:
        wait_log(server, "started", name)
        beside.read_pieces(10)  # both decode by now
    leave(leaver)
    line = wait_log(server, "ended", name)
    assert "outcome=cancelled" in line and ("stage=generating" in line or not stream), line
    assert beside.finish().text == counted
    nothing_is_left(server)


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions", "/v1/completions"])
def test_on_every_route(server, path, stream, name):
    body = {"model": MODEL, "stream": stream, "messages": [{"role": "user", "content": "Tell me all you know."}], "prompt": "All I know is"}
    leaver = Client(server, path, body, name)
    wait_log(server, "started", name)
    with held(server):
        if state_of(server, name) != "ended":
            leaver.leave()
            assert "outcome=cancelled" in wait_log(server, "ended", name)
    nothing_is_left(server)


def test_a_reader_that_never_reads_is_cut_and_others_are_served(server, counted):
    """Each token comes with the logprobs of twenty others, so that what it does not read grows quickly; the counting has no end of its own."""
    sleeper = Client(server, "/api/generate", {**count_on(num_ctx=8192), "logprobs": True, "top_logprobs": 20}, "sleeper", receive_bytes=4096)
    while not [line for line in server.log.read_text().splitlines() if 'msg="request ended" id=sleeper' in line]:
        assert ask(server, "/api/generate", count_on(40)).text == counted
    ended_as_cancelled(server, "sleeper", "generating")
    assert "client reads too slowly, stream cut id=sleeper" in server.log.read_text()
    nothing_is_left(server)
    sleeper.leave()


def test_a_slow_reader_that_reads_in_the_end_gets_all_of_it(server, counted):
    slow = Client(server, "/api/generate", count_on(40), "slow", receive_bytes=4096)
    wait_log(server, "ended", "slow")  # the slot is free, before a byte was read
    nothing_is_left(server)
    assert slow.finish().text == counted


def test_leaving_a_model_that_is_dead_at_that_moment(server, counted):
    """The runner is killed while it is held, and the client leaves before its successor is there."""
    stays = Client(server, "/api/generate", count_on(40))
    leaver = Client(server, "/api/generate", count_on(), "leaves-a-dead-one")
    leaver.read_pieces(2)
    with held(server) as pid:
        os.kill(pid, signal.SIGKILL)
        leaver.leave()
    ended_as_cancelled(server, "leaves-a-dead-one", "generating")
    assert stays.finish().text == counted
    nothing_is_left(server)
    load(server)
