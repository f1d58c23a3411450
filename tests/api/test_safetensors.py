# SPDX-License-Identifier: MIT
"""Models from checkpoints of safetensors: what comes out is the model that was there, and what cannot be converted is named."""
import gzip
import json
import math
import struct
import subprocess

import numpy as np
import pytest
import tokenizers

import checkpoints
from served import DATA, PROGRAM, SMOLLM
from test_create import digest
from test_quantize import show, weights

TINY = ["llama", "qwen2", "gemma3", "llama-bias", "llama-tied"]


def unpack(name, directory):
    path = directory / (name + ".gguf")
    path.write_bytes(gzip.decompress((DATA / "tiny" / (name + ".gguf.gz")).read_bytes()))
    return path


def create(server, name, directory, *flags):
    (directory / "Modelfile").write_text("FROM .\n")
    return subprocess.run([PROGRAM, "create", name, "-f", str(directory / "Modelfile"), *flags], env=server.env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", TINY)
def test_what_comes_out_is_the_model_that_went_in(tiny, tmp_path, name):
    source = unpack(name, tmp_path)
    directory = checkpoints.freeze(source, tmp_path / "checkpoint", "F32", 2)
    done = create(tiny, "st-" + name, directory, "-q", "F32")
    assert done.returncode == 0, done.stderr
    assert "converting model" in done.stderr
    old, new = checkpoints.read(source), checkpoints.read(weights(tiny, "st-" + name))
    found = {t.name: t for t in new.tensors}
    assert found.keys() == {t.name for t in old.tensors}
    for tensor in old.tensors:
        before, after = checkpoints.floats(tensor), checkpoints.floats(found[tensor.name])
        # The 1 that Gemma's norms have here and not there does not come off and on again exactly.
        assert np.array_equal(before, after) or (name == "gemma3" and "norm" in tensor.name and np.allclose(before, after, rtol=1e-6)), tensor.name
    more = {"general.name", "general.file_type", "tokenizer.ggml.scores", "tokenizer.ggml.token_type"}
    for key in old.fields:
        if not key.startswith("GGUF.") and key not in more:
            assert checkpoints.value(new, key) == checkpoints.value(old, key), key
    kinds = [checkpoints.value(r, "tokenizer.ggml.token_type") for r in (old, new)]
    texts = [checkpoints.value(r, "tokenizer.ggml.tokens") for r in (old, new)]
    assert kinds[0] == kinds[1] and texts[0] == texts[1]


def ids_by_their_own_library(directory, text):
    return tokenizers.Tokenizer.from_file(str(directory / "tokenizer.json")).encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("name", ["llama", "qwen2", "gemma3"])
def test_the_same_ids_and_the_same_text(tiny, tmp_path, name):
    source = unpack(name, tmp_path)
    directory = checkpoints.freeze(source, tmp_path / "checkpoint")
    assert create(tiny, "new-" + name, directory, "-q", "F32").returncode == 0
    (tmp_path / "Modelfile").write_text("FROM ./%s.gguf\n" % name)
    assert subprocess.run([PROGRAM, "create", "old-" + name, "-f", str(tmp_path / "Modelfile")], env=tiny.env, capture_output=True, check=False).returncode == 0
    text = "The cat, there  and he\n\n the \u00e9 12345 other heather in the then at an"
    ids = [json.loads(tiny.post("/api/tokenize", {"model": age + name, "content": text}).text)["tokens"] for age in ("new-", "old-")]
    assert ids[0] == ids[1] == ids_by_their_own_library(directory, text) and len(ids[0]) > 10
    answers = [json.loads(tiny.post("/api/generate", {"model": age + name, "prompt": text, "raw": True, "stream": False,
                                                      "options": {"temperature": 0, "num_predict": 12}}).text)["response"] for age in ("new-", "old-")]
    assert answers[0] == answers[1]


def test_a_real_checkpoint_of_two_shards_answers_as_its_gguf_file(floats, tmp_path):
    directory = checkpoints.freeze(SMOLLM, tmp_path / "checkpoint", "F16", 2)
    done = create(floats, "smol", directory)
    assert done.returncode == 0, done.stderr
    shown = show(floats, "smol")
    assert shown["details"]["quantization_level"] == "F16" and shown["details"]["parameter_size"] == "134.52M"
    bodies = [{"model": model, "messages": [{"role": "user", "content": "What is 12 + 30? And the capital of France?"}], "stream": False,
               "options": {"temperature": 0, "num_predict": 24}} for model in ("smol", "f16")]
    replies = [json.loads(floats.post("/api/chat", body).text) for body in bodies]
    assert replies[0]["message"]["content"] == replies[1]["message"]["content"]
    assert replies[0]["prompt_eval_count"] == replies[1]["prompt_eval_count"]
    text = (DATA.parents[1] / "README.md").read_text()[:3000] + " 3.14159 na\u00efve \u4e2d\u6587 \U0001f600\r\n\t x"
    ids = json.loads(floats.post("/api/tokenize", {"model": "smol", "content": text}).text)["tokens"]
    assert ids == ids_by_their_own_library(directory, text) and len(ids) > 500
    done = create(floats, "smol-q8", directory, "-q", "q8_0")
    assert done.returncode == 0 and "quantizing F16 model to Q8_0" in done.stderr, done.stderr
    assert show(floats, "smol-q8")["details"]["quantization_level"] == "Q8_0"


@pytest.mark.parametrize("kind,level,types", [("F32", "F16", {"F16", "F32"}), ("F16", "F16", {"F16", "F32"}), ("BF16", "BF16", {"BF16", "F32"})])
def test_the_precision_of_a_checkpoint(tiny, tmp_path, kind, level, types):
    directory = checkpoints.freeze(unpack("qwen2", tmp_path), tmp_path / "checkpoint", kind)
    done = create(tiny, "precise", directory)
    assert done.returncode == 0, done.stderr
    assert show(tiny, "precise")["details"]["quantization_level"] == level
    tensors = checkpoints.read(weights(tiny, "precise")).tensors
    assert {t.tensor_type.name for t in tensors} == types
    assert all((t.tensor_type.name == "F32") == (len(t.shape) == 1) for t in tensors)


def test_factors_of_llama_3_are_written(tiny, tmp_path):
    directory = checkpoints.freeze(unpack("llama", tmp_path), tmp_path / "checkpoint")
    edit(directory, "config", rope_scaling={"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 256})
    assert create(tiny, "factors", directory).returncode == 0
    tensor = [t for t in checkpoints.read(weights(tiny, "factors")).tensors if t.name == "rope_freqs.weight"][0]
    wanted = []
    for k in range(8):
        wave = 2 * math.pi * 10000 ** (2 * k / 16)
        smooth = (256 / wave - 1) / 3
        wanted.append(1 if wave < 64 else 8 if wave > 256 else 1 / ((1 - smooth) / 8 + smooth))
    assert np.allclose(checkpoints.floats(tensor), wanted, rtol=1e-6) and 1 < wanted[3] < 8
    assert tiny.post("/api/generate", {"model": "factors", "prompt": "a", "stream": False, "options": {"num_predict": 2}}).status == 200


def test_newer_ways_to_say_the_rotation_and_the_windows(tiny, tmp_path):
    directory = checkpoints.freeze(unpack("gemma3", tmp_path), tmp_path / "checkpoint")
    kinds = ["sliding_attention", "full_attention"] * 3
    edit(directory, "config", rope_theta=None, rope_scaling=None, sliding_window_pattern=None, rope_local_base_freq=None, layer_types=kinds,
         rope_parameters={"full_attention": {"rope_type": "linear", "factor": 4.0, "rope_theta": 5000.0}, "sliding_attention": {"rope_type": "default", "rope_theta": 700.0}})
    assert create(tiny, "newer", directory).returncode == 0
    r = checkpoints.read(weights(tiny, "newer"))
    assert [checkpoints.value(r, "gemma3." + key) for key in ("rope.freq_base", "rope.freq_base_swa", "rope.scaling.factor", "attention.sliding_window")] == [5000.0, 700.0, 4.0, 24]
    assert [bool(b) for b in checkpoints.value(r, "gemma3.attention.sliding_window_pattern")] == [True, False] * 3


def test_templates_lists_and_a_file_of_its_own(tiny, tmp_path):
    directory = checkpoints.freeze(unpack("qwen2", tmp_path), tmp_path / "checkpoint")
    edit(directory, "tokenizer_config", chat_template=[{"name": "tool_use", "template": "{{ 2 }}"}, {"name": "default", "template": "{{ 1 }}"}])
    assert create(tiny, "templates", directory).returncode == 0
    r = checkpoints.read(weights(tiny, "templates"))
    assert [checkpoints.value(r, "tokenizer.chat_template" + tail) for tail in ("", ".tool_use")] == ["{{ 1 }}", "{{ 2 }}"]
    (directory / "chat_template.jinja").write_text("{{ 3 }}")
    assert create(tiny, "templates", directory).returncode == 0
    assert checkpoints.value(checkpoints.read(weights(tiny, "templates")), "tokenizer.chat_template") == "{{ 3 }}"


# ---- What is refused ----

def edit(directory, name, **members):
    path = directory / (name + ".json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **members}))


def edit_model(directory, **members):
    content = json.loads((directory / "tokenizer.json").read_text())
    content["model"].update(members)
    (directory / "tokenizer.json").write_text(json.dumps(content))


def reshape(directory, name, **members):
    path = directory / "model.safetensors"
    data = path.read_bytes()
    (n,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + n])
    header[name] = {**header.get(name, {}), **members}
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + n :])


FIRST = "model.layers.0.mlp.up_proj.weight"
REFUSED = {
    "no config": (lambda d: (d / "config.json").unlink(), "config.json is missing among the files"),
    "config": (lambda d: (d / "config.json").write_text("{"), "config.json: "),
    "family": (lambda d: edit(d, "config", architectures=["MambaForCausalLM"]), "config.json: unknown architecture 'MambaForCausalLM' (supported: LlamaForCausalLM, "),
    "quantised": (lambda d: edit(d, "config", quantization_config={"quant_method": "awq"}), "config.json: 'quantization_config' of this value is not supported"),
    "activation": (lambda d: edit(d, "config", hidden_act="relu"), "config.json: 'hidden_act' of this value is not supported"),
    "window": (lambda d: edit(d, "config", sliding_window=128), "config.json: 'sliding_window' of this value is not supported"),
    "rotation": (lambda d: edit(d, "config", rope_scaling={"type": "yarn", "factor": 2}), "config.json: rope scaling 'yarn' is not supported"),
    "part rotated": (lambda d: edit(d, "config", partial_rotary_factor=0.5), "config.json: 'partial_rotary_factor' of this value"),
    "no size": (lambda d: edit(d, "config", hidden_size=None), "config.json: 'hidden_size' is missing or 0"),
    "bad size": (lambda d: edit(d, "config", hidden_size=-1), "config.json: 'hidden_size' is no number from 0 to"),
    "heads": (lambda d: edit(d, "config", num_key_value_heads=3), "config.json: impossible sizes of layers or heads"),
    "fewer layers": (lambda d: edit(d, "config", num_hidden_layers=1), "model.safetensors: tensor 'model.layers.1."),
    "more layers": (lambda d: edit(d, "config", num_hidden_layers=3), "no safetensors file has the tensor 'blk.2.attn_norm.weight'"),
    "untied": (lambda d: edit(d, "config", tie_word_embeddings=False), "no safetensors file has the tensor 'output.weight'"),
    "no tokenizer": (lambda d: (d / "tokenizer.json").unlink(), "tokenizer.json is missing"),
    "kind of tokenizer": (lambda d: edit_model(d, type="Unigram"), "tokenizer.json: a model of type 'Unigram' is not supported"),
    "expression": (lambda d: edit(d, "tokenizer", pre_tokenizer=checkpoints.split(r"\w+")), "tokenizer.json: unknown pre_tokenizer: split \\w+"),
    "token beyond": (lambda d: edit_model(d, vocab={"a": 5000}), "tokenizer.json: token 5000 is beyond the 320 rows of the embedding"),
    "merges": (lambda d: edit_model(d, merges=["ab"]), "tokenizer.json: a merge that is no pair of texts"),
    "dtype": (lambda d: reshape(d, FIRST, dtype="F8_E4M3", data_offsets=[0, 48 * 64]), "model.safetensors: tensor '%s' has the dtype F8_E4M3" % FIRST),
    "unknown dtype": (lambda d: reshape(d, FIRST, dtype="F7"), "model.safetensors: tensor '%s': unknown dtype 'F7'" % FIRST),
    "beyond the file": (lambda d: reshape(d, FIRST, data_offsets=[0, 1 << 60]), "model.safetensors: tensor '%s': its data_offsets do not lie in the file" % FIRST),
    "shape": (lambda d: reshape(d, FIRST, shape=[48, 65]), "model.safetensors: tensor '%s': its shape and its data_offsets disagree" % FIRST),
    "unknown tensor": (lambda d: reshape(d, "model.visual.weight", dtype="F32", shape=[1], data_offsets=[0, 4]), "model.safetensors: tensor 'model.visual.weight' is not known in a Qwen2ForCausalLM"),
    "header": (lambda d: (d / "model.safetensors").write_bytes(b"\xff" * 64), "model.safetensors: no safetensors file, or it is truncated"),
    "twice": (lambda d: (d / "model-2.safetensors").write_bytes((d / "model.safetensors").read_bytes()), "tensor 'output_norm.weight' is there twice"),
    "other shape": (lambda d: edit(d, "config", intermediate_size=40), "model.safetensors: the shape of tensor 'model.layers.0.mlp."),
    "value": (lambda d: checkpoints.write_shard(d / "model.safetensors", {**checkpoints.tensors_of(checkpoints.read(d.parent / "qwen2.gguf")), FIRST: np.full((48, 64), np.nan)}),
              "tensor 'blk.0.ffn_up.weight' holds the value nan"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_converted_is_named(tiny, tmp_path, case):
    directory = checkpoints.freeze(unpack("qwen2", tmp_path), tmp_path / "checkpoint")
    REFUSED[case][0](directory)
    done = create(tiny, "broken", directory)
    assert done.returncode == 1 and "Error: " + REFUSED[case][1] in done.stderr, done.stderr
    assert tiny.post("/api/show", {"model": "broken"}).status == 404


def test_errors_of_requests(tiny, tmp_path):
    directory = checkpoints.freeze(unpack("qwen2", tmp_path), tmp_path / "checkpoint")
    data = (directory / "model.safetensors").read_bytes()
    tiny.post("/api/blobs/" + digest(data), data)
    files = {"model.safetensors": digest(data)}
    for body, text in [({"files": files}, "config.json is missing among the files"),
                       ({"files": {**files, "config.json": digest(b"none")}}, 'blob "%s" not found' % digest(b"none")),
                       ({"files": files, "quantize": "Q9"}, "unsupported quantization type Q9 - supported types are "),
                       ({"files": {"a" * 300 + ".safetensors": digest(data)}}, "a" * 60 + "...: the file's name is too long")]:
        reply = tiny.post("/api/create", {"model": "x", "stream": False, **body})
        assert reply.status == 400 and json.loads(reply.text)["error"].startswith(text), reply.text


@pytest.mark.parametrize("name,text", [("pytorch_model.bin", "PyTorch files are not supported, convert them to safetensors"), ("notes.txt", "no Modelfile or safetensors files found")])
def test_directories_without_weights(tiny, tmp_path, name, text):
    (tmp_path / name).write_bytes(b"x")
    done = create(tiny, "x", tmp_path)
    assert done.returncode == 1 and text in done.stderr
