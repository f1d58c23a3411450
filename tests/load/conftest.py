# SPDX-License-Identifier: MIT
"""Fixtures of the tests under load: real servers with SmolLM2, logging when requests start."""
import pytest

from crowd import load
from served import Server


@pytest.fixture
def serve(start, smollm_models):
    """serve(OLLAMA_X=...) -> Server with SmolLM2, which is not loaded yet."""
    return lambda **env: start(smollm_models, OLLAMA_DEBUG="1", **env)


@pytest.fixture(scope="module")
def server(tmp_path_factory, smollm_models):
    """One for all tests of a file: 4 slots, the model loaded. No connection is cut for its silence, however slow the machine."""
    s = Server(tmp_path_factory.mktemp("load"), smollm_models, OLLAMA_DEBUG="1", OLLAMA_NUM_PARALLEL="4", DROVER_IDLE_TIMEOUT="1h")
    load(s)
    yield s
    assert s.stop() == 0, s.log.read_text()[-4000:]
