# SPDX-License-Identifier: MIT
"""Several answers to one prompt (`n`): all are admitted or none, and all go when their client does."""
import json

from served import tiny_store

BODY = {"model": "plain", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3, "seed": 1}


def test_all_choices_are_admitted_or_none(tmp_path, start):
    server = start(tiny_store(tmp_path / "store"), OLLAMA_NUM_PARALLEL="2", OLLAMA_MAX_QUEUE="3")
    assert server.post("/api/generate", {"model": "plain"}).status == 200  # loaded: two run, three wait
    refused = server.post("/v1/chat/completions", {**BODY, "n": 8})
    assert refused.status == 503 and json.loads(refused.text)["error"]["code"] == "queue_full", refused.text
    server.wait_idle()
    for stream in (False, True):
        reply = server.post("/v1/chat/completions", {**BODY, "n": 4, "stream": stream})
        assert reply.status == 200
    assert len(json.loads(server.post("/v1/chat/completions", {**BODY, "n": 4}).text)["choices"]) == 4
    server.wait_idle()


def test_a_failed_choice_is_one_error(tmp_path, start):
    server = start(tiny_store(tmp_path / "store"))
    for stream in (False, True):
        reply = server.post("/v1/chat/completions", {**BODY, "n": 3, "stream": stream, "logit_bias": {"999999": 1}})
        assert reply.status == 400 and "logit_bias" in json.loads(reply.text)["error"]["message"]
    server.wait_idle()


def test_a_client_that_leaves_frees_all_slots(smollm):
    connection = smollm.connect()
    connection.request("POST", "/v1/chat/completions", json.dumps({**BODY, "model": "smollm2", "n": 6, "max_tokens": 1500, "temperature": 2, "stream": True, "logit_bias": {"2": -100}}))
    connection.getresponse().read(10)
    assert smollm.running() > 1
    connection.close()
    smollm.wait_idle()


def test_a_member_without_a_name_is_no_trouble(tmp_path, start):
    """Its name made the search among the names before it run beyond their end."""
    server = start(tiny_store(tmp_path / "store"))
    reply = server.post("/api/detokenize", {"model": "plain", "tokens": [1], "wheels": 1, "": 1})
    assert reply.status == 200 and reply.headers["X-Ignored-Parameters"] == "wheels"
    assert server.post("/api/detokenize", {"model": "plain", "tokens": [1]}).status == 200
