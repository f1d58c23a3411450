# SPDX-License-Identifier: MIT
"""queue_comments: a stream that waits says so in SSE comments, so that no proxy takes the line for dead; NDJSON says nothing."""
import json

import openai
import pytest

from crowd import Client, Failed, ask, count_on, held, held_while_loading, load, wait_counts
from served import Server

BODY = {"model": "smollm2", "prompt": "1, 2, 3, 4,", "max_tokens": 4, "stream": True, "temperature": 0}


@pytest.fixture(scope="module")
def server(tmp_path_factory, smollm_models):
    """One slot, the model loaded; a comment every 30 ms."""
    s = Server(tmp_path_factory.mktemp("comments"), smollm_models, OLLAMA_NUM_PARALLEL="1", DROVER_QUEUE_COMMENTS="30ms")
    load(s)
    yield s
    assert s.stop() == 0, s.log.read_text()[-4000:]


def read_comments(client, n):
    """The first n comments of the stream; each is a line of its own and an empty one."""
    found = []
    while len(found) < n:
        line = client.reply().readline()
        assert line.startswith(b": ") and client.reply().readline() == b"\n", line
        found.append(line[2:].decode().strip())
    return found


@pytest.mark.parametrize("path,body", [("/v1/completions", BODY), ("/v1/chat/completions", {**BODY, "messages": [{"role": "user", "content": "Hi"}]})])
def test_a_waiting_stream_tells_its_position(server, path, body):
    server.wait_idle()
    with held(server):
        first = Client(server, "/api/generate", count_on(3))
        wait_counts(server, 1, 0)
        second, third = Client(server, path, body), None
        wait_counts(server, 1, 1)
        third = Client(server, path, body)
        assert set(read_comments(second, 3)) == {"queued, position 1"}
        assert set(read_comments(third, 2)) == {"queued, position 2"}
        assert third.reply().status == 200 and third.reply().headers["Content-Type"] == "text/event-stream"
        second.leave()
        while read_comments(third, 1) != ["queued, position 1"]:
            pass
    first.finish()
    while True:  # comments end where the answer begins
        line = third.reply().readline()
        if line.startswith(b"data: "):
            break
        assert line.startswith(b": ") or line == b"\n"
    third.read_line()
    third.finish()


def test_a_prompt_that_is_being_read_says_so(server):
    server.wait_idle()
    with held(server):
        client = Client(server, "/v1/completions", BODY)
        assert set(read_comments(client, 2)) == {"prompt"}
    client.read_line()


def test_a_load_says_so(start, smollm_models):
    server = start(smollm_models, DROVER_QUEUE_COMMENTS="30ms")
    with held_while_loading(server, "/v1/completions", BODY) as first:
        assert "loading" in read_comments(first, 2)
    first.leave()


def test_an_error_after_a_comment_comes_in_the_stream(server):
    server.wait_idle()
    with held(server):
        first = Client(server, "/api/generate", count_on(3))
        wait_counts(server, 1, 0)
        waiting = Client(server, "/v1/completions", BODY, "to-cancel")
        read_comments(waiting, 1)
        assert server.call("DELETE", "/api/requests/to-cancel").status == 200
        lines = waiting.reply().read().decode().split("\n\n")
        error = next(line for line in lines if line.startswith("data: {"))
        assert json.loads(error[6:])["error"]["message"] == "the request was canceled by an operator"
        assert lines[-2] == "data: [DONE]"
    first.finish()


def test_ndjson_streams_have_no_comments(server):
    server.wait_idle()
    with held(server):
        first = Client(server, "/v1/completions", BODY)
        wait_counts(server, 1, 0)
        second = Client(server, "/api/generate", count_on(3))
        wait_counts(server, 1, 1)
        read_comments(first, 3)  # while these came the other line had as much reason for one
    second.finish()
    assert all(json.loads(line)["model"] for line in second.lines)


def test_whole_answers_have_no_comments(server):
    server.wait_idle()
    with held(server):
        whole = Client(server, "/v1/completions", {**BODY, "stream": False})
        wait_counts(server, 1, 0)
        beside = Client(server, "/v1/completions", BODY)
        read_comments(beside, 3)
    assert json.loads(whole.reply().read())["choices"]
    beside.leave()


def test_openais_client_reads_through_them(server):
    server.wait_idle()
    client = openai.OpenAI(base_url=server.url + "/v1", api_key="x", max_retries=0)
    with held(server):
        first = Client(server, "/v1/completions", BODY)
        read_comments(first, 3)
    text = "".join(c.choices[0].text for c in client.completions.create(**BODY) if c.choices)
    assert text
    first.leave()


def test_without_the_option_there_are_none(start, smollm_models):
    server = start(smollm_models)
    lines = ask(server, "/v1/completions", BODY).lines
    assert all(line.startswith(b"data: ") or line == b"\n" for line in lines)
    with pytest.raises(Failed):
        ask(server, "/v1/completions", {**BODY, "model": "nobody", "stream": True})
