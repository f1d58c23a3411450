# SPDX-License-Identifier: MIT
"""Fixtures of the tests against the running server: the real program serving real models, each with a store of its own."""
import pytest

from served import Server, smollm_store, tiny_store


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
