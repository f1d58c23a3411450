# SPDX-License-Identifier: MIT
"""Draft tokens make a stream faster and change none of its tokens, also when the model's process dies amid it."""
import json
import os
import signal

import pytest

from crowd import MODEL, held_amid, until
from scrape import scrape
from served import Server

ASK = {"model": MODEL, "prompt": "Write a Python function that adds two numbers. Then write it again with other names.", "stream": False}
GREEDY = {"temperature": 0, "num_predict": 120}
WARM = {"temperature": 0.8, "seed": 3, "num_predict": 60, "repeat_penalty": 1.1}


@pytest.fixture(scope="module", params=["with drafts", "without drafts"])
def server(request, tmp_path_factory, smollm_models):
    without = {"DROVER_DRAFT_TOKENS": "0"} if request.param == "without drafts" else {}
    s = Server(tmp_path_factory.mktemp("drafts"), smollm_models, **without)
    s.has_drafts = not without
    yield s
    assert s.stop() == 0, s.log.read_text()[-4000:]


SEEN = {}


@pytest.mark.parametrize("options", [GREEDY, WARM], ids=["greedy", "warm"])
def test_the_answer_is_the_same_with_and_without(server, options):
    answer = json.loads(server.call("POST", "/api/generate", {**ASK, "options": options}).text)
    key = json.dumps(options)
    assert SEEN.setdefault(key, (answer["response"], answer["context"], answer["eval_count"])) == (answer["response"], answer["context"], answer["eval_count"])


def test_drafts_are_counted(server):
    def counts():
        now = scrape(server)
        return [now["drover_model_%s_total" % name, frozenset({("model", MODEL + ":latest")})] for name in ("draft_tokens", "accepted_draft_tokens", "steps", "generated_tokens")]

    server.call("POST", "/api/generate", {**ASK, "options": GREEDY})
    # Steps are the process's own figures, which come a little later: the last ones are those of a step for each token that no draft gave.
    until(lambda: counts()[2] + counts()[1] >= counts()[3], "all is counted")
    drafts, accepted, steps, generated = counts()
    assert (drafts > 0) == (accepted > 0) == server.has_drafts and accepted <= drafts
    assert steps < generated or not server.has_drafts


def test_a_kill_amid_drafts_changes_no_text(server):
    whole = server.call("POST", "/api/generate", {**ASK, "options": GREEDY})
    with held_amid(server, "/api/generate", {**ASK, "stream": True, "options": GREEDY}, lambda client: client.read_pieces(30)) as (client, pid):
        os.kill(pid, signal.SIGKILL)
    assert client.finish().text == json.loads(whole.text)["response"]
