# SPDX-License-Identifier: MIT
"""/api/create with `quantize`: the types, the steps that are told, what is refused, and that a client that leaves leaves nothing."""
import contextlib
import json
import os
import signal
import subprocess

import numpy as np
import pytest

import checkpoints
from crowd import children_of, is_stopped, runners_of, until
from served import PROGRAM, Server, clean_env


def show(server, name):
    return json.loads(server.post("/api/show", {"model": name}).text)


def answer(server, name):
    reply = server.post("/api/generate", {"model": name, "prompt": "The capital of France is", "raw": True, "stream": False,
                                          "options": {"temperature": 0, "num_predict": 6}})
    assert reply.status == 200, reply.text
    return json.loads(reply.text)["response"]


def weights(server, name):
    """The path of the model's blob."""
    text = show(server, name)["modelfile"]
    return [line for line in text.splitlines() if line.startswith("FROM ")][0][5:]


@pytest.mark.parametrize("kind", ["Q4_K_S", "Q4_K_M"])
def test_a_model_of_half_floats_is_quantised(floats, kind):
    name = "q-" + kind.lower()
    lines = [json.loads(line) for line in floats.post("/api/create", {"model": name, "from": "f16", "quantize": kind}).text.splitlines()]
    work = [line for line in lines if line["status"] == "quantizing F16 model to " + kind]
    assert work and work[-1]["completed"] == work[-1]["total"] == os.path.getsize(weights(floats, name))
    assert all(line["digest"] == "0" * 19 for line in work)
    assert [line["status"] for line in lines if line not in work][0] == "verifying conversion"
    assert any(line["status"].startswith("creating new layer sha256:") for line in lines)
    assert lines[-1] == {"status": "success"}
    details = show(floats, name)["details"]
    assert kind in details["quantization_level"] and details["parameter_size"] == "134.52M"
    assert "Paris" in answer(floats, name)


def test_eight_bits_answer_as_half_floats_and_another_reader_finds_the_values(floats, tmp_path):
    (tmp_path / "Modelfile").write_text("FROM f16\nSYSTEM Be brief.\n")
    done = subprocess.run([PROGRAM, "create", "-q", "q8_0", "q8", "-f", str(tmp_path / "Modelfile")], env=floats.env, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "quantizing F16 model to Q8_0" in done.stderr, done.stderr
    shown = show(floats, "q8")
    assert shown["details"]["quantization_level"] == "Q8_0" and shown["system"] == "Be brief." and shown["model_info"]["general.file_type"] == 7
    assert answer(floats, "q8") == answer(floats, "f16")
    before = {t.name: t for t in checkpoints.read(floats.file).tensors}
    for tensor in checkpoints.read(weights(floats, "q8")).tensors:
        if tensor.name.startswith("blk.29."):
            old, new = (checkpoints.floats(t).astype(np.float64) for t in (before[tensor.name], tensor))
            assert old.shape == new.shape and np.sqrt(((old - new) ** 2).sum() / (old**2).sum()) < 0.008, tensor.name


# A model of F32 in the tests' store.
@pytest.mark.parametrize("kind,level", [("Q8_0", "Q8_0"), ("Q4_K", "Q4_K_M"), ("q4_0", "Q4_0"), ("Q4_1", "Q4_1"), ("Q5_1", "Q5_1"), ("Q6_K", "Q6_K"), ("Q5_K_M", "Q5_K_M"), ("F16", "F16"), ("bf16", "BF16"),
                                        ("Q5_K_S", "Q5_K_S")])
def test_other_types(tiny, kind, level):
    reply = tiny.post("/api/create", {"model": "t", "from": "tiny", "quantization": kind, "stream": False})
    assert reply.status == 200, reply.text
    shown = show(tiny, "t")
    assert shown["details"]["quantization_level"] == level and shown["system"] == show(tiny, "tiny")["system"]
    assert tiny.post("/api/generate", {"model": "t", "prompt": "a", "stream": False, "options": {"num_predict": 2}}).status == 200


def test_the_same_type_is_no_work(tiny):
    reply = tiny.post("/api/create", {"model": "same", "from": "tiny", "quantize": "F32"})
    assert "quantizing" not in reply.text and reply.text.endswith('{"status":"success"}\n')
    assert weights(tiny, "same") == weights(tiny, "tiny")


@pytest.mark.parametrize("body,text", [
    ({"from": "tiny", "quantize": "Q9"}, "unsupported quantization type Q9 - supported types are F32, F16, BF16, Q8_0, Q6_K, Q5_K_M, Q5_K_S, Q5_1, Q5_0, Q4_K_M, Q4_K_S, Q4_1, Q4_0"),
    ({"from": "small", "quantize": "Q4_0"}, "quantization is only supported for F16, BF16 and F32 models"),
    ({"from": "tiny", "quantize": "Q" * 100}, "Q" * 60 + "...: no quantization type"),
])
def test_what_is_refused(tiny, body, text):
    assert tiny.post("/api/create", {"model": "small", "from": "tiny", "quantize": "Q8_0", "stream": False}).status == 200
    reply = tiny.post("/api/create", {"model": "x", "stream": False, **body})
    assert reply.status == 400 and json.loads(reply.text)["error"] == text
    lines = tiny.post("/api/create", {"model": "x", **body}).text.splitlines()
    assert json.loads(lines[-1])["error"] == text
    assert tiny.post("/api/show", {"model": "x"}).status == 404


IN_PIPES = 16 << 20  # more than a converter can have made that nobody has read


@contextlib.contextmanager
def held_conversion(server):
    """A long quantisation as a stream, under way, its process held so that it stays so inside: (connection, reply, process)."""
    for _ in range(20):
        idle = set(runners_of(server))
        connection = server.connect()
        connection.request("POST", "/api/create", json.dumps({"model": "cut", "from": "f16", "quantize": "Q5_K_M"}))
        reply = connection.getresponse()
        line = {}
        while line.get("completed", 0) == 0:
            line = json.loads(reply.readline())
        found = set(runners_of(server)) - idle
        try:
            for pid in found:
                os.kill(pid, signal.SIGSTOP)
                until(lambda pid=pid: is_stopped(pid), "process %d is stopped" % pid)
            written = [os.path.getsize(path) for path in unfinished(server.env["OLLAMA_MODELS"])]
            if len(found) == 1 and len(written) == 1 and written[0] < line["total"] - IN_PIPES:
                yield connection, reply, found.pop()
                return
        finally:
            for pid in set(runners_of(server)) - idle:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
        reply.read()
        connection.close()
        assert server.call("DELETE", "/api/delete", {"model": "cut"}).status == 200
    raise AssertionError("the conversion ends too quickly to be stopped meanwhile")


def unfinished(store):
    """Files of blobs that have no blob's name yet."""
    blobs = os.path.join(store, "blobs")
    return [os.path.join(blobs, name) for name in os.listdir(blobs) if len(name) != 71]


def test_a_client_that_leaves_leaves_nothing(floats, tmp_path):
    blobs = floats.env["OLLAMA_MODELS"] + "/blobs"
    before = sorted(os.listdir(blobs))
    with held_conversion(floats) as (connection, reply, converter):
        assert len(os.listdir(blobs)) == len(before) + 1  # the unfinished file
        reply.close()
        connection.close()
        until(lambda: sorted(os.listdir(blobs)) == before, "the file is gone")
        until(lambda: converter not in children_of(floats), "the process is gone")
    assert floats.post("/api/show", {"model": "cut"}).status == 404


def test_a_converter_that_dies_leaves_nothing(floats):
    floats.post("/api/generate", {"model": "f16", "keep_alive": 0})
    blobs = floats.env["OLLAMA_MODELS"] + "/blobs"
    before = sorted(os.listdir(blobs))
    with held_conversion(floats) as (connection, reply, converter):
        os.kill(converter, signal.SIGKILL)
    lines = reply.read().decode().splitlines()
    assert json.loads(lines[-1]) == {"error": "the converter of model files has unexpectedly stopped"}
    connection.close()
    until(lambda: sorted(os.listdir(blobs)) == before, "the file is gone")
    assert floats.post("/api/show", {"model": "cut"}).status == 404


def test_kill_in_the_middle_leaves_what_the_next_prune_takes(floats, tmp_path):
    env = clean_env(tmp_path)
    server = Server(tmp_path, tmp_path / "store")
    try:
        (tmp_path / "Modelfile").write_text("FROM %s\n" % floats.file)
        subprocess.run([PROGRAM, "create", "f16", "-f", str(tmp_path / "Modelfile")], env=server.env, capture_output=True, check=True)
        with held_conversion(server) as (connection, _, converter):
            server.process.kill()
            server.process.wait()
            connection.close()
        os.kill(converter, signal.SIGCONT)  # nobody's child now; it ends, since nobody hears it
    finally:
        server.process.kill()
    names = [n for n in os.listdir(tmp_path / "store" / "blobs") if len(n) != 71]
    assert len(names) == 1  # unfinished, under no blob's name
    assert not (tmp_path / "store/manifests/registry.ollama.ai/library/cut").exists()
    done = subprocess.run([PROGRAM, "prune", "--all"], env={**env, "OLLAMA_MODELS": str(tmp_path / "store")}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [n for n in os.listdir(tmp_path / "store" / "blobs") if len(n) != 71] == []
