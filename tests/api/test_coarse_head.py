# SPDX-License-Identifier: MIT
"""The coarse copy of a model's output weights makes answers faster and changes none of them; without it a model takes less memory."""
import json
import subprocess
import threading

import pytest

from crowd import MODEL
from served import PROGRAM, Server

PROMPTS = ["Once upon a time there was a robot", "The capital of France", "def fibonacci(n):", "1, 2, 3, 4,"]
OPTIONS = {
    "greedy": {"temperature": 0},
    "warm": {"temperature": 0.8, "seed": 5},
    "few": {"temperature": 1.2, "seed": 6, "top_k": 3, "top_p": 1.0},
    "all": {"temperature": 0.8, "seed": 7, "top_k": 0},
    "penalised": {"temperature": 0, "repeat_penalty": 1.4, "repeat_last_n": 32, "frequency_penalty": 0.5},
    "rewarded": {"temperature": 0.7, "seed": 8, "repeat_penalty": 0.7, "presence_penalty": -0.5, "repeat_last_n": -1},
}


@pytest.fixture(scope="module", params=["with the copy", "without"])
def server(request, tmp_path_factory, smollm_models):
    s = Server(tmp_path_factory.mktemp("coarse"), smollm_models, **({} if request.param == "with the copy" else {"DROVER_COARSE_HEAD": "0"}))
    s.has_copy = request.param == "with the copy"
    yield s
    assert s.stop() == 0, s.log.read_text()[-4000:]


SEEN = {}


def same_as_before(key, value):
    assert SEEN.setdefault(key, value) == value


@pytest.mark.parametrize("name", OPTIONS)
def test_answers_are_the_same_with_and_without(server, name):
    """Four side by side, so that one step has several rows of logits."""
    answers = {}

    def ask(prompt):
        body = {"model": MODEL, "prompt": prompt, "raw": True, "stream": False, "options": {**OPTIONS[name], "num_predict": 60}}
        answers[prompt] = json.loads(server.call("POST", "/api/generate", body).text)

    threads = [threading.Thread(target=ask, args=(prompt,)) for prompt in PROMPTS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    same_as_before(name, [(answers[prompt]["response"], answers[prompt]["eval_count"]) for prompt in PROMPTS])


def test_what_looks_at_all_logits_is_the_same(server):
    def choice(**fields):
        body = {"model": MODEL, "prompt": PROMPTS[0], "max_tokens": 20, "temperature": 0, **fields}
        return json.loads(server.call("POST", "/v1/completions", body).text)["choices"][0]

    same_as_before("logprobs", choice(logprobs=5)["logprobs"])
    same_as_before("format", json.loads(server.call("POST", "/api/generate", {"model": MODEL, "prompt": "A point", "stream": False, "options": {"temperature": 0}, "format": {
        "type": "object", "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}}, "required": ["x", "y"]}}).text)["response"])
    plain = choice()["text"]
    first = json.loads(server.call("POST", "/api/tokenize", {"model": MODEL, "text": plain}).text)["tokens"][0]
    biased = choice(logit_bias={str(first): -100, "500": 3})["text"]
    assert biased != plain
    same_as_before("bias", (plain, biased))


def test_the_plan_counts_the_copy(server):
    done = subprocess.run([PROGRAM, "show", "--memory", "--json", MODEL], env={"OLLAMA_HOST": "127.0.0.1:%d" % server.port}, capture_output=True, text=True)
    weights = json.loads(done.stdout)["memory"]["weights_bytes"]
    SEEN[server.has_copy] = weights
    if True in SEEN and False in SEEN:
        copy = SEEN[True] - SEEN[False]
        assert 49152 * 576 * 22 / 32 < copy < 49152 * 576 * 24 / 32, "five bits and the errors"
