# SPDX-License-Identifier: MIT
"""A real Ollama's answers, replayed. Equal must be: the status, the kind of content, the members of every object and their order, every value that does not vary.
Where drover differs on purpose, difference() says why."""
import base64
import gzip
import json
import struct

import pytest

from served import DATA

CASES = [json.loads(line) for line in gzip.decompress((DATA / "ollama" / "cases.jsonl.gz").read_bytes()).decode().splitlines()]

# Members whose values vary with the time, the machine or the model's rounding.
VARYING = {"created_at", "modified_at", "total_duration", "load_duration", "prompt_eval_duration", "eval_duration", "eval_count", "context", "response",
           "content", "text", "id", "created", "created_at", "completed_at", "item_id", "stop_reason", "logprob", "token", "bytes", "logprobs", "done_reason", "finish_reason", "usage", "version", "model_info",
           "tensors", "modelfile", "digest", "size", "capabilities", "parent_model"}
# Members that drover adds.
ADDED = {"drover", "prompt_tokens_details", "seed", "truncated", "stop_sequence"}

def body_of(case):
    return case.get("body") if isinstance(case.get("body"), dict) else {}


def asks_for(case, *names):
    return any(body_of(case).get(n) not in (None, "", [], {}, False) for n in names)


def asked_of_a_decoder(case):
    """Encoders are not computed yet: what was asked of one is asked of `plain`, whose vectors have other values and another length."""
    if body_of(case).get("model") == "bertie" and "embed" in case["path"]:
        return {**case["body"], "model": "plain"}
    return None


def compare_vectors(expected, got):
    """The same members and as many vectors, all of length 1."""
    assert list(expected) == list(got)
    if "data" in expected:
        assert [list(d) for d in expected["data"]] == [list(d) for d in got["data"]]
        vectors = [d["embedding"] for d in got["data"]]
        vectors = [struct.unpack("<%df" % (len(v) * 3 // 16), base64.b64decode(v)) if isinstance(v, str) else v for v in vectors]
    else:
        vectors = got["embeddings"] if "embeddings" in got else [got["embedding"]]
        assert len(vectors) == len(expected.get("embeddings", [0]))
        assert "embeddings" in expected or bool(expected["embedding"]) == bool(vectors[0])
    for v in vectors:
        assert not v or abs(sum(x * x for x in v) - 1) < 1e-5


def difference(case):
    """Why drover answers otherwise, and the status it gives; None: it must not."""
    body = body_of(case)
    if asks_for(case, "_debug_render_only"):
        return None
    if (body.get("options") or {}).get("num_ctx") == 0:
        return "0 is the default context, not the smallest", 200
    if case["path"].startswith("/v1") and body.get("stop") == 5:
        return "a wrong type is an error, not ignored", 400
    if body.get("model") == "bertie" and case["path"] == "/api/show":
        return "the weights of this model are not in the test's store", 500
    if case["id"] == 283:
        return "a blob that was refused for its digest is not kept under another one", 201
    if case["path"] == "/api/push" and case["status"] == 500:
        return "a model that is not there is not found, and no path of the server is told", 404
    if case["path"] == "/metrics":
        return "drover has metrics", None
    if case["path"] == "/api/generate" and len(body.get("prompt", "")) > 1000:
        return "a prompt that does not fit is refused, not cut", 400
    return None


def values(text, content_type):
    """The JSON values of an answer."""
    if "event-stream" in content_type:
        return [json.loads(e[e.index("data: ") + 6:]) for e in text.split("\n\n") if e and e != "data: [DONE]"]
    if "ndjson" in content_type:
        return [json.loads(line) for line in text.splitlines()]
    return [json.loads(text)] if "json" in content_type else [text]


def compare(expected, got, where="answer"):
    if isinstance(expected, dict):
        assert isinstance(got, dict), where
        n = expected.get("prompt_eval_count", 0)
        if n and "context" in expected:  # drover's begins with the token that begins every text
            assert expected["context"][: n - 1] == got["context"][1:n], "the prompt's tokens"
        assert [k for k in got if k not in ADDED] == list(expected), where
        for key, value in expected.items():
            if key == "parameters":  # the order of a map of Go
                compare(sorted(value.splitlines()), sorted(got[key].splitlines()), where + "." + key)
            elif key not in VARYING:
                compare(value, got[key], where + "." + key)
    elif isinstance(expected, list):
        assert len(expected) == len(got), where
        for i, (a, b) in enumerate(zip(expected, got)):
            compare(a, b, "%s[%d]" % (where, i))
    else:
        assert expected == got, where


def same_error(expected, got):
    """Texts of Go's JSON decoder need not be equal, but a field that one names the other names too."""
    a = json.loads(expected)["error"]
    b = json.loads(got)["error"]
    assert list(json.loads(expected)) == list(json.loads(got))
    if isinstance(a, dict):
        assert list(a) == list(b) and a["type"] == b["type"]
        a, b = a["message"], b["message"]
    decoder = ("invalid character", "unexpected EOF", "cannot unmarshal", "illegal base64", "Value looks like")
    if a.startswith(decoder) or "cannot unmarshal" in a:
        assert b
        if "field " in a:
            assert a.split("field ")[1].split(" ")[0].split(".")[1] in b
    else:
        assert b == a or b.startswith(a + ":"), (a, b)


@pytest.mark.parametrize("case", CASES, ids=lambda c: "%03d-%s-%s" % (c["id"], c["method"], c["path"].strip("/").replace("/", "-")))
def test_case(tiny, case):
    body = asked_of_a_decoder(case) or (case["body"] if "body" in case else case.get("raw"))
    other = difference(case)
    reply = tiny.call(case["method"], case["path"], body, case.get("headers"))
    if other:
        assert other[1] is None or reply.status == other[1], (other[0], reply.text)
        return
    assert reply.status == case["status"], reply.text
    for name, value in (case.get("response_headers") or {}).items():
        assert reply.headers[name] == value
    if not case["content_type"]:
        assert reply.text == ""
        return
    media = case["content_type"].split(";")[0]
    assert reply.headers["Content-Type"].split(";")[0] == media
    if case["method"] == "HEAD" or media == "text/html":
        return
    if media == "text/plain":
        assert reply.text == case["response"]
    elif case["status"] >= 400:
        same_error(case["response"], reply.text)
    else:
        expected, got = values(case["response"], media), values(reply.text, media)
        if asked_of_a_decoder(case):
            compare_vectors(expected[0], got[0])
        elif len(expected) > 1:
            compare(expected[0], got[0])
            compare(expected[-1], got[-1])
        elif case["path"].split("?")[0].rstrip("/") in ("/api/tags", "/v1/models"):
            key = "models" if "tags" in case["path"] else "data"
            assert got[0][key]
            first = next(m for m in expected[0][key] if m.get("name", m.get("id")) == "plain:latest")
            compare(first, next(m for m in got[0][key] if m.get("name", m.get("id")) == "plain:latest"))
        else:
            compare(expected[0], got[0])
            if asks_for(case, "format", "response_format"):
                assert beginning(got[0]) == beginning(expected[0]) == "{"


def beginning(answer):
    """The first letter of what the model said."""
    return (answer["response"] if "response" in answer else (answer.get("message") or answer["choices"][0]["message"])["content"])[0]


def test_lines_end_with_done(tiny):
    reply = tiny.post("/api/generate", {"model": "plain", "prompt": "Hi", "options": {"seed": 1, "num_predict": 5}})
    lines = [json.loads(line) for line in reply.text.splitlines()]
    assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True]
    assert lines[-1]["eval_count"] <= 5 and lines[-1]["prompt_eval_count"] > 0
