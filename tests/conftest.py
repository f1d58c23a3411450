# SPDX-License-Identifier: MIT
"""Fixtures of the tests against the running server: the real program serving real models, each with a store of its own."""
import subprocess

import pytest

from served import PROGRAM, SMOLLM, Server, smollm_store, tiny_store


@pytest.fixture
def start(tmp_path):
    """start(store, OLLAMA_X=...) -> Server, stopped after the test."""
    servers = []

    def call(store, *args, **env):
        servers.append(Server(tmp_path, store, *args, **env))
        return servers[-1]

    yield call
    for s in servers:
        assert s.stop() == 0, s.log.read_text()[-4000:]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    home = tmp_path_factory.mktemp("tiny")
    server = Server(home, tiny_store(home / "store"))
    yield server
    assert server.stop() == 0, server.log.read_text()[-4000:]


@pytest.fixture(scope="session")
def smollm_models(tmp_path_factory):
    home = tmp_path_factory.mktemp("smollm")
    return smollm_store(home / "store", home)


@pytest.fixture(scope="session")
def smollm(tmp_path_factory, smollm_models):
    server = Server(tmp_path_factory.mktemp("serve"), smollm_models)
    yield server
    assert server.stop() == 0, server.log.read_text()[-4000:]


@pytest.fixture(scope="session")
def floats(tmp_path_factory):
    """A server with a real model as a file of half floats (`file`), stored as `f16`."""
    import checkpoints

    if not SMOLLM.exists():
        pytest.skip("%s is not there" % SMOLLM)
    home = tmp_path_factory.mktemp("floats")
    file = checkpoints.melt(SMOLLM, home / "f16.gguf")
    server = Server(home, home / "store")
    server.file = file
    (home / "Modelfile").write_text("FROM ./f16.gguf\n")
    done = subprocess.run([PROGRAM, "create", "f16", "-f", str(home / "Modelfile")], env=server.env, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    yield server
    assert server.stop() == 0, server.log.read_text()[-4000:]
