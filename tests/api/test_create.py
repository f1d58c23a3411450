# SPDX-License-Identifier: MIT
"""/api/create and /api/blobs: models from models and from files, what they inherit, what is refused and in which words."""
import gzip
import hashlib
import json

import pytest

from served import DATA, SMOLLM, tiny_store

TINY = gzip.decompress((DATA / "tiny" / "llama.gguf.gz").read_bytes())


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


@pytest.fixture
def made(tmp_path, start):
    return start(tiny_store(tmp_path / "store"))


def create(server, **body):
    return server.post("/api/create", {"stream": False, **body})


def show(server, name):
    return json.loads(server.post("/api/show", {"model": name}).text)


def manifest(tmp_path, name):
    return json.loads((tmp_path / "store/manifests/registry.ollama.ai/library" / name / "latest").read_bytes())


def blob(tmp_path, name):
    return (tmp_path / "store/blobs" / name.replace(":", "-")).read_bytes()


def test_a_file_is_sent_and_becomes_a_model(made, tmp_path):
    name = digest(TINY)
    assert made.call("HEAD", "/api/blobs/" + name).status == 404
    assert made.post("/api/blobs/" + name, TINY).status == 201
    assert made.post("/api/blobs/" + name, TINY).status == 200
    assert made.call("HEAD", "/api/blobs/" + name).status == 200
    reply = made.post("/api/create", {"model": "new", "files": {"tiny.gguf": name}, "parameters": {"temperature": 0.5, "stop": ["a"]}, "system": "Be brief."})
    lines = [json.loads(line) for line in reply.text.splitlines()]
    assert lines[0] == {"status": "parsing GGUF"} and lines[1] == {"status": "using existing layer " + name}
    assert [line["status"] for line in lines[-2:]] == ["writing manifest", "success"]
    m = manifest(tmp_path, "new")
    assert [layer["mediaType"].rsplit(".", 1)[1] for layer in m["layers"]] == ["model", "system", "params"]
    assert blob(tmp_path, m["layers"][2]["digest"]) == b'{"stop":["a"],"temperature":0.5}\n'
    config = json.loads(blob(tmp_path, m["config"]["digest"]))
    assert list(config) == ["model_format", "model_family", "model_families", "model_type", "file_type", "context_length", "embedding_length", "architecture", "os"]
    assert config["model_family"] == "llama" and config["model_type"] == "90K" and config["context_length"] == 512
    answer = made.post("/api/generate", {"model": "new", "prompt": "Hi", "stream": False, "options": {"num_predict": 2}})
    assert answer.status == 200 and json.loads(answer.text)["done"]


def test_a_long_blob_is_not_held_in_memory(made):
    data = b"GGUF" + bytes(40 << 20)  # longer than any other body may be
    assert made.post("/api/blobs/" + digest(data), data).status == 201
    assert made.post("/api/blobs/" + digest(data)[:-1] + "x", b"x").status == 400
    reply = made.post("/api/blobs/" + digest(b"other"), data)
    assert reply.status == 400 and json.loads(reply.text)["error"].startswith("digest mismatch, expected")
    assert made.call("HEAD", "/api/blobs/" + digest(b"other")).status == 404
    assert made.post("/api/blobs/" + digest(b""), b"").status == 201


def test_chunked_blobs(made):
    data = b"x" * 100000
    connection = made.connect()
    connection.request("POST", "/api/blobs/" + digest(data), iter([data[:70000], data[70000:]]), encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
    assert connection.getresponse().status == 201


def test_what_is_inherited_and_what_is_replaced(made):
    assert create(made, model="a", **{"from": "tiny"}, parameters={"temperature": 1, "num_ctx": 64}, license=["two"], system="").status == 200
    base, new = show(made, "tiny"), show(made, "a")
    assert new["system"] == base["system"] and new["template"] == base["template"] and new["messages"] == base["messages"]
    assert new["license"] == base["license"] + "\ntwo"
    rows = dict(line.split(None, 1) for line in new["parameters"].splitlines() if not line.startswith("stop"))
    assert rows == {"num_predict": "12", "temperature": "1", "num_ctx": "64"}
    assert [line.split(None, 1)[1] for line in new["parameters"].splitlines() if line.startswith("stop")] == ['"<|end|>"', '"<|user|>"']
    assert new["details"]["parent_model"] == "tiny:latest"
    assert create(made, model="a", **{"from": "a"}, template="{{ .Prompt }}!", system="S", messages=[{"role": "user", "content": "Q"}]).status == 200
    new = show(made, "a")
    assert (new["template"], new["system"], new["messages"]) == ("{{ .Prompt }}!", "S", [{"role": "user", "content": "Q"}])
    assert show(made, "A:LATEST")["system"] == "S"


def test_blobs_of_the_replaced_model_go(made, tmp_path):
    create(made, model="a", **{"from": "tiny"}, system="first")
    create(made, model="a", **{"from": "tiny"}, system="second")
    assert not (tmp_path / "store/blobs" / digest(b"first").replace(":", "-")).exists()
    assert (tmp_path / "store/blobs" / digest(b"second").replace(":", "-")).exists()
    assert show(made, "tiny")["system"]


@pytest.mark.parametrize("body,status,text", [
    ({"model": "x"}, 400, "neither 'from' or 'files' was specified"),
    ({"from": "tiny"}, 400, "invalid model name"),
    ({"model": "bad name", "from": "tiny"}, 400, "invalid model name"),
    ({"model": "x", "files": {"/x.gguf": digest(b"")}}, 400, "file path must be relative"),
    ({"model": "x", "files": {"a/../x.gguf": digest(b"")}}, 400, "file path must be relative"),
    ({"model": "x", "files": {"x.gguf": "sha256:zz"}}, 500, "invalid digest format"),
    ({"model": "x", "files": {"x.gguf": digest(b"none")}}, 400, 'blob "%s" not found' % digest(b"none")),
    ({"model": "x", "files": {"x.gguf": digest(b"no model")}}, 400, "supplied file was not in GGUF format"),
    ({"model": "x", "files": {"x.txt": digest(b"no model")}}, 400, "unknown type"),
    ({"model": "x", "from": "tiny", "adapters": {"a": digest(b"")}}, 400, "adapters: not supported by this server"),
    ({"model": "x", "from": "tiny", "renderer": "qwen"}, 400, "renderer: not supported by this server"),
    ({"model": "x", "from": "tiny", "template": "{{ .Nope"}, 400, "template error: template: :1: unclosed action"),
    ({"model": "x", "from": "tiny", "license": 5}, 400, "license: expected a string or an array of strings"),
    ({"model": "x", "from": "tiny", "messages": [{"role": "user", "content": "a", "images": ["x"]}]}, 400, "messages with images: not supported in a stored model"),
])
def test_what_is_refused(made, body, status, text):
    made.post("/api/blobs/" + digest(b"no model"), b"no model")
    reply = create(made, **body)
    assert reply.status == status and json.loads(reply.text)["error"] == text
    reply = made.post("/api/create", body)  # as a stream: an error before the first line is an answer, later it is a line
    assert json.loads(reply.text.splitlines()[-1])["error"] == text
    assert made.post("/api/show", {"model": "x"}).status == 404


def test_a_broken_file_is_named(made):
    data = TINY[:1000]
    made.post("/api/blobs/" + digest(data), data)
    reply = create(made, model="x", files={"cut.gguf": digest(data)})
    assert reply.status == 400 and json.loads(reply.text)["error"].startswith("cut.gguf: ")


def test_a_real_file(start, tmp_path):
    if not SMOLLM.exists():
        pytest.skip("%s is not there" % SMOLLM)
    data = SMOLLM.read_bytes()
    server = start(tmp_path / "store")
    assert server.post("/api/blobs/" + digest(data), data).status == 201
    assert create(server, model="smol", files={SMOLLM.name: digest(data)}).text == '{"status":"success"}'
    answer = server.post("/api/chat", {"model": "smol", "messages": [{"role": "user", "content": "What is the capital of France?"}], "stream": False,
                                       "options": {"temperature": 0, "num_predict": 20}})
    assert answer.status == 200 and json.loads(answer.text)["message"]["content"].strip()
