# SPDX-License-Identifier: MIT
"""Vectors of texts and a model's tokens, over HTTP: /api/embed, /api/embeddings, /v1/embeddings, /api/tokenize, /api/detokenize."""
import base64
import json
import struct
import threading

import pytest

from crowd import until

MODEL = "smollm2"


def embed(server, **body):
    reply = server.post("/api/embed", {"model": MODEL, **body})
    assert reply.status == 200, reply.text
    return json.loads(reply.text)


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b))


def test_like_texts_have_like_vectors(smollm):
    """Of three sentences the first two are closer than the first and the third."""
    for a, b, c in [("The cat sits on the mat.", "A kitten lies on the rug.", "Interest rates rose by two percent."),
                    ("How do I bake bread?", "What is a good recipe for a loaf?", "The train to Berlin leaves at nine."),
                    ("He plays the piano.", "She plays the violin.", "The function returns an integer.")]:
        va, vb, vc = embed(smollm, input=[a, b, c])["embeddings"]
        assert cosine(va, vb) > cosine(va, vc), (a, b, c)


def test_all_routes_give_the_same_vector(smollm):
    text = "why is the sky blue?"
    reply = embed(smollm, input=text)
    assert list(reply) == ["model", "embeddings", "total_duration", "load_duration", "prompt_eval_count"]
    vector = reply["embeddings"][0]
    assert abs(cosine(vector, vector) - 1) < 1e-5 and reply["prompt_eval_count"] > 3
    old = json.loads(smollm.post("/api/embeddings", {"model": MODEL, "prompt": text}).text)
    assert list(old) == ["embedding"] and [struct.pack("<f", x) for x in old["embedding"]] == [struct.pack("<f", x) for x in vector]
    openai = json.loads(smollm.post("/v1/embeddings", {"model": MODEL, "input": text}).text)
    assert openai["data"][0]["embedding"] == vector and openai["usage"]["prompt_tokens"] == reply["prompt_eval_count"]
    packed = json.loads(smollm.post("/v1/embeddings", {"model": MODEL, "input": [text, "x"], "encoding_format": "base64"}).text)
    assert [d["index"] for d in packed["data"]] == [0, 1]
    assert base64.b64decode(packed["data"][0]["embedding"]) == b"".join(struct.pack("<f", x) for x in vector)


def test_dimensions_cut_and_normalise(smollm):
    whole = embed(smollm, input="a b")["embeddings"][0]
    cut = embed(smollm, input="a b", dimensions=16)["embeddings"][0]
    length = sum(x * x for x in whole[:16]) ** 0.5
    assert len(cut) == 16 and all(abs(x - y / length) < 1e-6 for x, y in zip(cut, whole))
    assert embed(smollm, input="a b", dimensions=100000)["embeddings"][0] == whole


def test_long_inputs_are_cut_or_refused(smollm):
    long = "word " * 100
    cut = embed(smollm, input=[long, "word"], options={"num_ctx": 16})
    assert len(cut["embeddings"]) == 2 and cut["prompt_eval_count"] <= 17
    assert cut["embeddings"][0] == embed(smollm, input="word " * 60, options={"num_ctx": 16})["embeddings"][0]
    refused = smollm.post("/api/embed", {"model": MODEL, "input": ["word", long], "truncate": False, "options": {"num_ctx": 16}})
    assert refused.status == 400 and json.loads(refused.text) == {"error": "the input length exceeds the context length"}
    assert smollm.post("/api/embeddings", {"model": MODEL, "prompt": long, "options": {"num_ctx": 16}}).status == 400


def test_vectors_are_the_same_bits_under_load(smollm):
    texts = ["text number %d says %s" % (i, "this " * (i % 40)) for i in range(60)]
    alone = [embed(smollm, input=t)["embeddings"][0] for t in texts[::7]]
    stop, answers = threading.Event(), []

    def chat(seed):
        while not stop.is_set():
            answers.append(smollm.post("/api/generate", {"model": MODEL, "prompt": "Tell me more.", "stream": False, "options": {"num_predict": 20, "seed": seed}}).status)

    threads = [threading.Thread(target=chat, args=(i,)) for i in range(2)]
    for t in threads:
        t.start()
    until(lambda: len(answers) > 1, "others are served")
    try:
        together = embed(smollm, input=texts)["embeddings"]
    finally:
        stop.set()
        for t in threads:
            t.join()
    assert together[::7] == alone and set(answers) == {200}


def test_a_client_that_leaves_frees_its_slot(smollm):
    connection = smollm.connect()
    connection.request("POST", "/api/embed", json.dumps({"model": MODEL, "input": ["many words " * 200] * 300}))
    until(smollm.running, "it runs")
    connection.close()
    smollm.wait_idle()


def test_tokens_there_and_back(smollm):
    text = "Grüße, <|im_start|> you!"
    reply = json.loads(smollm.post("/api/tokenize", {"model": MODEL, "text": text}).text)
    ids = reply["tokens"]
    assert list(reply) == ["model", "tokens", "count", "total_duration", "load_duration"] and reply["count"] == len(ids) and 1 in ids
    for name in ("content", "prompt"):
        assert json.loads(smollm.post("/api/tokenize", {"model": MODEL, name: text}).text)["tokens"] == ids
    plain = json.loads(smollm.post("/api/tokenize", {"model": MODEL, "text": text, "parse_special": False}).text)["tokens"]
    assert 1 not in plain and len(plain) > len(ids)
    for tokens in (ids, plain):
        back = json.loads(smollm.post("/api/detokenize", {"model": MODEL, "tokens": tokens}).text)
        assert back["text"] == text and back["content"] == text
    assert json.loads(smollm.post("/api/tokenize", {"model": MODEL, "text": ""}).text)["tokens"] == []
    assert json.loads(smollm.post("/api/detokenize", {"model": MODEL, "tokens": []}).text)["text"] == ""
    long = json.loads(smollm.post("/api/tokenize", {"model": MODEL, "text": "word " * 50000}).text)
    assert long["count"] > 50000, "no context limits it"


@pytest.mark.parametrize("route, body, status, words", [
    ("/api/tokenize", {"model": MODEL}, 400, "is required"),
    ("/api/tokenize", {"text": "x"}, 400, "model is required"),
    ("/api/tokenize", {"model": "nope", "text": "x"}, 404, "model 'nope' not found"),
    ("/api/tokenize", {"model": MODEL, "text": 5}, 400, "TokenizeRequest.text"),
    ("/api/detokenize", {"model": MODEL}, 400, 'tokens'),
    ("/api/detokenize", {"model": MODEL, "tokens": [1, 9999999]}, 400, "9999999 is no token id"),
    ("/api/detokenize", {"model": MODEL, "tokens": [-1]}, 400, "-1 is no token id"),
    ("/api/embed", {"model": MODEL, "input": {"a": 1}}, 400, "invalid input type"),
    ("/v1/embeddings", {"model": MODEL, "input": []}, 400, "invalid input"),
])
def test_errors(smollm, route, body, status, words):
    reply = smollm.post(route, body)
    assert reply.status == status and words in reply.text
