# SPDX-License-Identifier: MIT
"""Broken models and broken requests get a clear error of the right status, and the server with its loaded model goes on after each."""
import gzip
import hashlib
import json
import struct

import pytest

from crowd import MODEL, Client, ask, count_on, counts, held
from served import DATA

TINY = gzip.decompress((DATA / "tiny" / "llama.gguf.gz").read_bytes())


def patched(at, value):
    return TINY[:at] + value + TINY[at + len(value):]


def after(text):
    at = TINY.index(text)
    return at + len(text)


def type_of_first_tensor():
    at = after(b"token_embd.weight")
    n_dims = struct.unpack_from("<I", TINY, at)[0]
    return at + 4 + 8 * n_dims


BROKEN = {
    "empty": (b"", ["GGUF", "truncated", "too short", "empty", "ends"]),
    "no-gguf": (b"<html>not found</html>" * 100, ["GGUF"]),
    "future-version": (patched(4, struct.pack("<I", 99)), ["version 99"]),
    "half": (TINY[: len(TINY) // 2], ["outside", "beyond", "end", "truncated"]),
    "cut-in-header": (TINY[:200], ["end", "truncated", "beyond", "short"]),
    "absurd-tensor-count": (patched(8, struct.pack("<Q", 1 << 60)), ["tensor", str(1 << 60)]),
    "absurd-key-count": (patched(16, struct.pack("<Q", (1 << 64) - 1)), ["key", "metadata", str((1 << 64) - 1)]),
    "unknown-tensor-type": (patched(type_of_first_tensor(), struct.pack("<I", 999)), ["999"]),
    "unknown-architecture": (TINY.replace(b"general.architecture" + struct.pack("<IQ", 8, 5) + b"llama", b"general.architecture" + struct.pack("<IQ", 8, 5) + b"zebra"), ["zebra"]),
    "shifted": (patched(type_of_first_tensor() + 4, struct.pack("<Q", 1 << 62)), ["token_embd.weight", "offset", "outside", "beyond"]),
}


def put_model(store, name, weights):
    """Into the store by hand, as a download that went wrong may leave it."""
    def put(data):
        digest = hashlib.sha256(data).hexdigest()
        (store / "blobs" / ("sha256-" + digest)).write_bytes(data)
        return {"digest": "sha256:" + digest, "size": len(data)}

    config = put(json.dumps({"model_format": "gguf", "model_family": "llama", "architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}).encode())
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
                "config": {"mediaType": "application/vnd.docker.container.image.v1+json", **config},
                "layers": [{"mediaType": "application/vnd.ollama.image.model", **put(weights)}]}
    path = store / "manifests" / "registry.ollama.ai" / "library" / name / "latest"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(manifest))


@pytest.fixture(scope="module")
def broken_models(smollm_models):
    for name, (weights, _) in BROKEN.items():
        put_model(smollm_models, name, weights)
    yield
    for name in BROKEN:
        (smollm_models / "manifests" / "registry.ollama.ai" / "library" / name / "latest").unlink()


@pytest.fixture(scope="module")
def counted(server):
    return ask(server, "/api/generate", count_on(8)).text


@pytest.mark.parametrize("name", list(BROKEN))
def test_a_broken_model_is_a_500_that_says_what_is_wrong(server, broken_models, counted, name):
    for path, body in (("/api/generate", {"prompt": "Hi"}), ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]})):
        reply = server.post(path, {"model": name, "stream": False, **body})
        assert reply.status == 500, reply.text
        error = json.loads(reply.text)["error"]
        words = error if path.startswith("/api/") else error["message"]
        assert name in words and any(word in words for word in BROKEN[name][1]), words
    assert server.call("GET", "/api/tags").status == 200 and server.call("GET", "/health").status == 200
    assert server.post("/api/show", {"model": name}).status in (200, 500)
    assert ask(server, "/api/generate", count_on(8)).text == counted
    assert server.process.poll() is None


GOOD = {"model": MODEL, "prompt": "Hi"}
TURN = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]}
WRONG = [
    ("/api/generate", b"", 400, "missing request body"),
    ("/api/generate", b"{", 400, ""),
    ("/api/generate", b"[]", 400, ""),
    ("/api/generate", b'"text"', 400, ""),
    ("/api/generate", b"null", 404, ""),
    ("/api/generate", b"\xff\xfe\x00\x01", 400, ""),
    ("/api/generate", b"[" * 200000, 400, ""),
    ("/api/generate", b'{"model":"' + MODEL.encode() + b'","prompt":"\xc3\x28"}', 400, ""),
    ("/api/generate", b'{"model":"' + MODEL.encode() + b'","prompt":"\xed\xa0\x80"}', 400, ""),
    ("/api/generate", {**GOOD, "prompt": 7}, 400, "prompt"),
    ("/api/generate", {**GOOD, "model": ["x"]}, 400, "model"),
    ("/api/generate", {**GOOD, "stream": "yes"}, 400, "stream"),
    ("/api/generate", {**GOOD, "options": []}, 400, "options"),
    ("/api/generate", {**GOOD, "options": {"num_ctx": "many"}}, 500, "num_ctx"),  # as Ollama answers
    ("/api/generate", {**GOOD, "options": {"temperature": 1e60}}, 400, "temperature"),
    ("/api/generate", {**GOOD, "context": ["a"]}, 400, "context"),
    ("/api/generate", {**GOOD, "context": [1 << 40]}, 400, "context"),
    ("/api/generate", {**GOOD, "context": [2000000000]}, 400, "context"),
    ("/api/generate", {**GOOD, "keep_alive": "soon"}, 400, "duration"),
    ("/api/generate", {**GOOD, "template": "{% if %}"}, 500, "template"),  # as Ollama answers
    ("/api/generate", {**GOOD, "model": "nobody"}, 404, "nobody"),
    ("/api/generate", {**GOOD, "model": "../../etc/passwd"}, (400, 404), ""),
    ("/api/chat", {**TURN, "model": "nobody"}, 404, "nobody"),
    ("/api/chat", {**TURN, "messages": "Hi"}, 400, "messages"),
    ("/api/chat", {**TURN, "messages": ["Hi"]}, 400, "messages"),
    ("/api/chat", {**TURN, "messages": [{"role": "user", "content": {"a": 1}}]}, 400, "content"),
    ("/api/show", {"model": "nobody"}, 404, "nobody"),
    ("/v1/chat/completions", {**TURN, "model": "nobody"}, 404, "nobody"),
    ("/v1/chat/completions", {**TURN, "temperature": "hot"}, 400, "temperature"),
    ("/v1/chat/completions", {**TURN, "stop": 5}, 400, "stop"),
    ("/v1/chat/completions", b"{", 400, ""),
    ("/v1/completions", {**GOOD, "max_tokens": "x"}, 400, "max_tokens"),
    ("/v1/completions", {**GOOD, "logprobs": 99}, 400, "logprobs"),
    ("/nothing/here", GOOD, 404, ""),
]


def test_wrong_requests_are_refused_and_a_stream_beside_them_goes_on(server, counted):
    stream = Client(server, "/api/generate", count_on(8))
    wrong = []
    for path, body, status, words in WRONG:
        reply = server.post(path, body)
        if reply.status not in (status if isinstance(status, tuple) else (status,)) or words not in reply.text:
            wrong.append((path, str(body)[:80], status, words, reply.status, reply.text[:200]))
        if server.call("GET", "/health").status != 200:
            wrong.append((path, "the server is ill"))
    assert wrong == []
    assert stream.finish().text == counted
    assert counts(server) == (0, 0)


def test_a_prompt_beyond_the_context_is_400_with_both_numbers(server, counted):
    text = "word " * 3000
    for path, body in [
        ("/api/generate", {"model": MODEL, "prompt": text, "options": {"num_ctx": 1024}}),
        ("/api/chat", {"model": MODEL, "messages": [{"role": "user", "content": text}], "options": {"num_ctx": 1024}}),
        ("/api/generate", {"model": MODEL, "prompt": text * 5}),
        ("/v1/completions", {"model": MODEL, "prompt": text * 5}),
        ("/v1/chat/completions", {"model": MODEL, "messages": [{"role": "user", "content": text * 5}]}),
    ]:
        for stream in (True, False):
            reply = server.post(path, {**body, "stream": stream})
            assert reply.status == 400, (path, reply.text[:300])
            limit, n = ("1024", 3000) if "options" in body else ("8192", 15000)
            numbers = [int(word) for word in "".join(c if c.isdigit() else " " for c in reply.text).split()]
            assert limit in reply.text and any(n <= number <= n + 100 for number in numbers), reply.text
    assert ask(server, "/api/generate", count_on(8)).text == counted


def test_a_body_over_32_mib_is_413_and_one_below_is_read(server, counted):
    with held(server):  # the model has no part in this
        for path in ("/api/generate", "/v1/chat/completions", "/api/show"):
            assert server.call("POST", path, b"x" * ((32 << 20) + 1)).status == 413
    reply = server.post("/api/generate", {"model": MODEL, "prompt": "a " * (15 << 20), "stream": False})
    assert reply.status == 400 and "8192" in reply.text
    assert ask(server, "/api/generate", count_on(8)).text == counted


def test_bad_text_in_a_prompt_cannot_be_a_special_token_or_break_the_answer(server, counted):
    for text in ("\x00", "\ufffd" * 50, "\u202e\U0010ffff", "<|im_end|>" * 20, "{{ messages }} {% for %}", "a" * 4000):
        reply = server.post("/api/generate", {"model": MODEL, "prompt": text, "stream": False, "options": {"num_predict": 4, "seed": 1}})
        assert reply.status == 200, (text[:20], reply.text)
        assert json.loads(reply.text)["done"] is True
    assert ask(server, "/api/generate", count_on(8)).text == counted
