# SPDX-License-Identifier: MIT
"""X-Request-Id, GET and DELETE /api/requests/{id}: what became of a request, why it waited, and ending one."""
import http.client
import json
import os
import re
import signal

import pytest

from crowd import Client, Failed, ask, count_on, held, held_amid, load, until, wait_counts
from served import Server

KEPT = 1000
CANCELED = "the request was canceled by an operator"


@pytest.fixture(scope="module")
def server(tmp_path_factory, smollm_models):
    """One slot, the model loaded."""
    s = Server(tmp_path_factory.mktemp("requests"), smollm_models, OLLAMA_NUM_PARALLEL="1")
    load(s)
    yield s
    assert s.stop() == 0, s.log.read_text()[-4000:]


def record(server, name):
    reply = server.call("GET", "/api/requests/" + name)
    return json.loads(reply.text) if reply.status == 200 else None


def is_known(server, name):
    return until(lambda: record(server, name), name)


def test_a_request_is_told_by_the_name_that_it_was_asked_by(server):
    """Two names of the same weights share a runner, which has the first name."""
    assert server.post("/api/copy", {"source": "smollm2", "destination": "another"}).status == 200
    reply = server.call("POST", "/api/generate", json.dumps({"model": "another", "prompt": "a", "options": {"num_predict": 1}}), {"X-Request-Id": "by-name"})
    assert reply.status == 200 and record(server, "by-name")["model"] == "another:latest"
    assert server.call("DELETE", "/api/delete", {"model": "another"}).status == 200


# ---- Ids ----
@pytest.mark.parametrize("method,path", [("GET", "/"), ("GET", "/api/version"), ("GET", "/api/tags"), ("GET", "/metrics"), ("GET", "/nowhere"),
                                         ("GET", "/api/show"), ("POST", "/api/generate"), ("GET", "/api/requests/nobody"), ("BREW", "/")])
def test_every_reply_has_the_id_that_was_sent_or_one_made_here(server, method, path):
    assert server.call(method, path, headers={"X-Request-Id": "a.b-c_d:1/2+3=@"}).headers["X-Request-Id"] == "a.b-c_d:1/2+3=@"
    made = [server.call(method, path).headers["X-Request-Id"] for _ in range(2)]
    assert all(re.fullmatch(r"req-[0-9a-f]+-\d+", m) for m in made) and made[0] != made[1]


@pytest.mark.parametrize("bad", ["x" * 129, "a b", "a\"b", "caf\u00e9", "<script>", ""])
def test_an_id_that_is_too_long_or_has_other_characters_is_replaced(server, bad):
    reply = server.call("GET", "/api/version", headers={"X-Request-Id": bad.encode("latin-1")})
    assert reply.headers["X-Request-Id"].startswith("req-")
    assert server.call("GET", "/api/version", headers={"X-Request-Id": "y" * 128}).headers["X-Request-Id"] == "y" * 128


def test_answers_of_the_front_door_have_an_id_too(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.putrequest("POST", "/api/generate")
    connection.putheader("Content-Length", str(1 << 40))
    connection.putheader("X-Request-Id", "too-big")
    connection.endheaders()
    reply = connection.getresponse()
    assert reply.status == 413 and reply.headers["X-Request-Id"] == "too-big"
    connection.close()


# ---- Records ----
def test_a_request_that_ended_tells_times_tokens_and_reasons(server):
    server.wait_idle()
    ask_named = Client(server, "/api/generate", count_on(9), "whole").finish()
    last = ask_named.last()
    r = is_known(server, "whole")
    assert (r["state"], r["outcome"], r["status"], r["resubmissions"]) == ("ended", "length", 200, 0)
    assert (r["prompt_tokens"], r["generated_tokens"]) == (last["prompt_eval_count"], 9)
    assert 0 <= r["queue_seconds"] <= r["first_token_seconds"] <= r["total_seconds"]
    assert any("9 tokens were generated" in s for s in r["reasons"]) and r["reasons"][-1].startswith("ended after ")
    assert r["id"] in [x["id"] for x in json.loads(server.call("GET", "/api/requests?limit=5").text)["requests"]]


def test_the_reasons_say_for_whom_it_waited(server):
    server.wait_idle()
    with held(server):
        first = Client(server, "/api/generate", count_on(3), "in-front")
        is_known(server, "in-front")
        second = Client(server, "/api/generate", count_on(3), "behind")
        now = is_known(server, "behind")
        assert now["reasons"][0] == "is at position 1 of the queue of smollm2:latest, waiting for a slot of the model"
        until(lambda: record(server, "behind")["queue_seconds"] > 0.01, "it has waited")
    first.finish()
    second.finish()
    r = is_known(server, "behind")
    waited = next(s for s in r["reasons"] if s.startswith("waited "))
    assert waited.endswith("for the one stream of smollm2:latest"), waited
    assert r["waits"]["slot"] == pytest.approx(r["queue_seconds"]) and r["load_seconds"] == 0
    assert sum(r["waits"].values()) == pytest.approx(r["queue_seconds"] + r["load_seconds"], abs=1e-4)


def test_a_load_is_a_reason_of_its_own(start, smollm_models):
    server = start(smollm_models)
    Client(server, "/api/generate", count_on(2), "cold").finish()
    r = is_known(server, "cold")
    assert r["load_seconds"] > 0 and any("loading" in s for s in r["reasons"] if s.startswith("waited "))
    Client(server, "/api/generate", count_on(2), "warm").finish()
    assert is_known(server, "warm")["load_seconds"] == 0


def test_a_refusal_is_remembered(server):
    assert server.call("POST", "/api/generate", {"model": "nobody"}, {"X-Request-Id": "refused"}).status == 404
    r = record(server, "refused")
    assert (r["outcome"], r["status"]) == ("refused", 404)
    assert r["reasons"] == ["was refused with status 404: model 'nobody' not found"]


def test_a_crash_is_told(start, smollm_models):
    server = start(smollm_models, OLLAMA_NUM_PARALLEL="1")
    with held_amid(server, "/api/generate", count_on(40), lambda client: client.read_pieces(5)) as (client, pid):
        os.kill(pid, signal.SIGKILL)
    client.finish()
    r = is_known(server, client.name)
    assert r["resubmissions"] == 1 and r["generated_tokens"] == 40
    assert any("new process of the model" in s for s in r["reasons"])


def test_an_unknown_id_is_404(server):
    for method in ("GET", "DELETE"):
        reply = server.call(method, "/api/requests/never-heard-of")
        assert reply.status == 404 and "never-heard-of" in json.loads(reply.text)["error"]


def test_of_two_with_one_id_the_newest_is_told(server):
    Client(server, "/api/generate", count_on(2), "twin").finish()
    Client(server, "/api/generate", count_on(5), "twin").finish()
    until(lambda: record(server, "twin")["generated_tokens"] == 5, "the newest")


def test_exactly_the_last_thousand_are_kept(start, smollm_models):
    server = start(smollm_models)
    connection = server.connect()
    for i in range(KEPT + 1):
        connection.request("POST", "/api/generate", '{"model":"nobody"}', {"X-Request-Id": "n-%d" % i})
        assert connection.getresponse().read()
    connection.close()
    assert record(server, "n-0") is None
    assert record(server, "n-1")["id"] == "n-1" and record(server, "n-%d" % KEPT)
    listed = json.loads(server.call("GET", "/api/requests?limit=5000").text)["requests"]
    assert [r["id"] for r in listed] == ["n-%d" % i for i in range(KEPT, 0, -1)]


# ---- Ending one ----
def delete(server, name):
    reply = server.call("DELETE", "/api/requests/" + name)
    return reply.status, json.loads(reply.text)


STREAMS = [("/api/generate", count_on()), ("/api/chat", {"model": "smollm2", "messages": [{"role": "user", "content": "Count far"}],
                                                         "options": {"num_predict": 100000, "temperature": 1}}),
           ("/v1/completions", {"model": "smollm2", "prompt": "1, 2, 3, 4,", "max_tokens": 100000, "stream": True, "temperature": 0})]


@pytest.mark.parametrize("path,body", STREAMS)
def test_a_running_stream_that_is_deleted_ends_with_an_error(server, path, body):
    server.wait_idle()
    with held_amid(server, path, body, lambda client: client.read_pieces(2), "running" + path.replace("/", "-")) as (client, _):
        name = client.name
        waiting = Client(server, "/api/generate", count_on(3), "next")
        assert delete(server, name) == (200, {"id": name, "status": "canceled"})
        with pytest.raises(Failed, match=CANCELED):
            client.finish()
        assert client.reply().status == 200  # it had begun
    waiting.finish()  # its slot is free
    r = is_known(server, name)
    assert (r["outcome"], r["status"], r["error"]) == ("cancelled", 499, CANCELED)
    assert r["reasons"][-1].startswith("was cancelled after ")
    line = next(line for line in server.log.read_text().splitlines() if 'msg="request ended" id=%s ' % name in line and path in line)
    assert "outcome=cancelled status=499" in line


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("path", ["/api/generate", "/v1/completions"])
def test_one_that_waits_gets_the_error_as_its_answer(server, path, stream):
    server.wait_idle()
    with held(server):
        first = Client(server, "/api/generate", count_on(3))
        wait_counts(server, 1, 0)
        waiting = Client(server, path, {"model": "smollm2", "prompt": "Hi", "stream": stream}, "waiting")
        wait_counts(server, 1, 1)
        assert delete(server, "waiting")[0] == 200
        reply = waiting.reply()
        error = json.loads(reply.read())["error"]
        assert reply.status == 499 and (error if path.startswith("/api/") else error["message"]) == CANCELED
        wait_counts(server, 1, 0)
    first.finish()


def test_one_that_has_ended_is_409(server):
    Client(server, "/api/generate", count_on(2), "over").finish()
    is_known(server, "over")
    until(lambda: record(server, "over")["state"] == "ended", "ended")
    assert delete(server, "over")[0] == 409


def test_other_methods_are_refused(server):
    reply = server.call("POST", "/api/requests/over", {})
    assert reply.status == 405 and reply.headers["Allow"] == "GET, DELETE"


def test_a_plain_request_still_works(server):
    assert ask(server, "/api/generate", count_on(3)).pieces
