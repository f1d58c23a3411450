# SPDX-License-Identifier: MIT
"""`drover import`: real model files into a store of the test's own, and files that are none."""
import hashlib
import json
import os
import pathlib
import subprocess

import pytest

from standin import PROGRAM

MODELS = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "drover" / "models"
SMOLLM2 = MODELS / "smollm2-135m-instruct-q4_1.gguf"
needs_smollm2 = pytest.mark.skipif(not SMOLLM2.exists(), reason="%s is not there" % SMOLLM2)


@pytest.fixture
def drover(env, tmp_path):
    env["OLLAMA_MODELS"] = str(tmp_path / "store")

    def call(*args, stdin=b""):
        return subprocess.run([PROGRAM, *map(str, args)], input=stdin, env=env, cwd=tmp_path, capture_output=True, timeout=300, check=False)

    return call


def files(tmp_path):
    return sorted(p for p in (tmp_path / "store").rglob("*") if p.is_file() and p.name != ".drover.lock")


@needs_smollm2
def test_a_model_is_imported(drover, tmp_path):
    p = drover("import", SMOLLM2, "Smol:small")
    assert (p.returncode, p.stdout) == (0, b"imported 'Smol:small'\n")
    manifest = json.loads((tmp_path / "store/manifests/registry.ollama.ai/library/Smol/small").read_bytes())
    for layer in [manifest["config"], *manifest["layers"]]:
        data = (tmp_path / "store/blobs" / layer["digest"].replace(":", "-")).read_bytes()
        assert "sha256:" + hashlib.sha256(data).hexdigest() == layer["digest"]
        assert len(data) == layer["size"]
    config = json.loads((tmp_path / "store/blobs" / manifest["config"]["digest"].replace(":", "-")).read_bytes())
    assert config["model_format"] == "gguf" and config["model_family"] == "llama" and config["model_families"] == ["llama"]
    assert config["model_type"] == "134.52M" and config["file_type"] == "Q4_1"
    assert config["context_length"] == 8192 and config["embedding_length"] == 576
    assert len(files(tmp_path)) == 3

    # by name, in any case, and by path: the same model
    by_name = drover("tokenize", "smol:SMALL", stdin=b"Hello world")
    assert by_name.returncode == 0 and by_name.stdout == drover("tokenize", SMOLLM2, stdin=b"Hello world").stdout

    # the same file under its own name: no second copy
    p = drover("import", SMOLLM2)
    assert p.stdout == b"imported 'smollm2-135m-instruct-q4_1:latest'\n"
    assert len(files(tmp_path)) == 4


@needs_smollm2
def test_a_cut_file_is_refused(drover, tmp_path):
    whole = SMOLLM2.read_bytes()
    cut = tmp_path / "cut.gguf"
    for n in (0, 3, 4, 24, 1000, 1_000_000, len(whole) // 2):
        cut.write_bytes(whole[:n])
        p = drover("import", cut)
        assert p.returncode == 1 and p.stdout == b""
        assert b"Error: %s: " % os.fsencode(cut) in p.stderr
        assert files(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b"GGUF", b"hello world" * 100, b"GGUF" + b"\xff" * 1000])
def test_no_model_at_all(drover, tmp_path, content):
    path = tmp_path / "x.gguf"
    path.write_bytes(content)
    p = drover("import", path)
    assert p.returncode == 1 and p.stdout == b"" and b"Error: " in p.stderr
    assert files(tmp_path) == []


def test_what_is_no_file(drover, tmp_path):
    os.mkfifo(tmp_path / "fifo.gguf")
    for name in ("none.gguf", "fifo.gguf", "."):
        p = drover("import", name, "x")
        assert p.returncode == 1 and p.stdout == b"" and b"Error: " in p.stderr
    assert files(tmp_path) == []


@pytest.mark.parametrize("args", [(), ("a", "b", "c"), ("x.gguf", "bad name"), ("x.gguf", "../x"), ("x.gguf", ""), ("-.gguf",)])
def test_wrong_usage(drover, tmp_path, args):
    p = drover("import", *args)
    assert p.returncode == 2 and p.stdout == b"" and p.stderr
    assert files(tmp_path) == []


def test_models_that_are_not_there(drover):
    for command in ("tokenize", "detokenize"):
        p = drover(command, "nothing", stdin=b"[]")
        assert p.returncode == 1
        assert p.stderr == b"Error: model 'nothing' not found, and there is no such file\n"
