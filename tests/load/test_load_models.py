# SPDX-License-Identifier: MIT
"""Several models at once: each in a process of its own, side by side as far as there is room; loaded once however many ask; none disturbs another."""
import json
import os
import re
import signal

import pytest

from crowd import Client, ask, held, held_process, held_while_loading, log_events, runners_of, until, wait_log
from scrape import scrape
from served import SMOLLM, import_model, tiny_store


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A store with SmolLM2 under two names and the tiny model."""
    home = tmp_path_factory.mktemp("models")
    store = tiny_store(home / "store")
    import_model(store, home, SMOLLM, "smollm2")
    import_model(store, home, SMOLLM, "other-name")
    return store


@pytest.fixture
def serve_models(start, models):
    return lambda **env: start(models, OLLAMA_DEBUG="1", **env)


def body(model, n, **options):
    return {"model": model, "prompt": "1, 2, 3, 4, 5, 6,", "raw": True, "options": {"temperature": 0, "seed": 1, "num_predict": n, **options}}


def loaded(server):
    return {m["name"]: m for m in json.loads(server.call("GET", "/api/ps").text)["models"]}


def load(server, model):
    assert server.post("/api/generate", {"model": model}).status == 200


def n_loads(server, model):
    return len(re.findall(r"model %s(?::latest)? is loaded" % re.escape(model), server.log.read_text()))


def test_models_live_side_by_side_and_answer_as_they_do_alone(serve_models):
    server = serve_models()
    alone = {}
    for model in ("smollm2", "tiny"):
        alone[model] = ask(server, "/api/generate", body(model, 30)).text
    assert {"smollm2:latest", "tiny:latest"} == set(loaded(server))
    assert len(runners_of(server)) == 2
    clients = [Client(server, "/api/generate", body(model, 30)) for model in ("smollm2", "tiny") * 4]
    for client in clients:
        assert client.finish().text == alone[client.body["model"]]
    assert len(runners_of(server)) == 2 and n_loads(server, "smollm2") == n_loads(server, "tiny") == 1


def test_max_loaded_models_1_serves_one_after_the_other(serve_models):
    server = serve_models(OLLAMA_MAX_LOADED_MODELS="1")
    for model in ("smollm2", "tiny", "smollm2"):
        ask(server, "/api/generate", body(model, 3))
        assert list(loaded(server)) == [model + ":latest"]
        until(lambda: len(runners_of(server)) == 1, "only one process is left")


def test_alternating_requests_for_two_models_that_do_not_fit_together_cause_two_loads(serve_models):
    """A B A B ... arriving together: those for the model that is there are served together, then the swap."""
    server = serve_models(OLLAMA_MAX_LOADED_MODELS="1", OLLAMA_NUM_PARALLEL="2", DROVER_SWAP_AFTER="10m")
    with held_while_loading(server, "/api/generate", body("smollm2", 3)) as first:
        rest = []
        for i in range(11):
            rest.append(Client(server, "/api/generate", body(("tiny", "smollm2")[i % 2], 3), "then-%d" % i))
            wait_log(server, "admitted", "then-%d" % i)
        before = n_loads(server, "smollm2")
    for client in [first, *rest]:
        client.finish()
    assert n_loads(server, "smollm2") == before + 1 and n_loads(server, "tiny") == 1


def test_a_request_for_a_loaded_model_does_not_wait_for_the_load_of_another(serve_models):
    server = serve_models()
    load(server, "tiny")
    (serving,) = runners_of(server)
    for _ in range(100):
        loading = Client(server, "/api/generate", body("smollm2", 3), "loads")
        pid = until(lambda: next(iter(set(runners_of(server)) - {serving}), None), "the other one's process")
        with held_process(server, pid):
            is_caught = loaded(server)["smollm2:latest"]["state"] == "loading"
            if is_caught:
                for _ in range(3):
                    ask(server, "/api/generate", body("tiny", 5))
                assert loaded(server)["smollm2:latest"]["state"] == "loading"
        loading.finish()
        if is_caught:
            return
        server.post("/api/generate", {"model": "smollm2", "keep_alive": 0})
        until(lambda: set(loaded(server)) == {"tiny:latest"}, "it is unloaded")
    raise AssertionError("the model loads too quickly to be stopped meanwhile")


def test_two_names_of_one_file_share_a_process(serve_models):
    server = serve_models()
    clients = [Client(server, "/api/generate", body(model, 10)) for model in ("smollm2", "other-name") * 2]
    assert len({client.finish().text for client in clients}) == 1
    assert len(runners_of(server)) == 1
    assert n_loads(server, "smollm2") + n_loads(server, "other-name") == 1


def test_a_model_that_comes_back_under_another_name_goes_on_in_its_series(serve_models):
    """Its counters stay those of the first name, and /api/ps says which; `drover top` looks there."""
    server = serve_models()
    ask(server, "/api/generate", body("smollm2", 5))
    server.post("/api/generate", {"model": "smollm2", "keep_alive": 0})
    until(lambda: not loaded(server), "it is unloaded")
    ask(server, "/api/generate", body("other-name", 7))
    assert loaded(server)["other-name:latest"]["metrics_name"] == "smollm2:latest"
    assert scrape(server).get_one("drover_model_generated_tokens_total", model="smollm2:latest") == 12


def test_what_arrives_while_a_model_stops_keeps_the_next_one_loaded(serve_models):
    """keep_alive 0 was said of the one that goes."""
    server = serve_models()
    for i in range(100):
        load(server, "smollm2")
        with held(server) as old:
            server.post("/api/generate", {"model": "smollm2", "keep_alive": 0})
            client = Client(server, "/api/generate", body("smollm2", 5), "next-%d" % i)
            wait_log(server, "admitted", client.name)
            is_caught = loaded(server)["smollm2:latest"]["state"] == "stopping"  # one that does not leave by itself is killed after a while
        client.finish()
        server.wait_idle()
        assert loaded(server)["smollm2:latest"]["state"] == "ready" and runners_of(server) not in ([], [old])
        if is_caught:
            return
    raise AssertionError("the model stops too quickly")


def test_50_first_requests_at_once_load_the_model_once(serve_models):
    server = serve_models()
    clients = [Client(server, "/api/generate", {**body("smollm2", 2), "stream": False}, "first-%02d" % i) for i in range(50)]
    assert len({client.finish().text for client in clients}) == 1
    assert n_loads(server, "smollm2") == 1


def test_a_load_goes_on_when_the_client_that_came_first_leaves(serve_models):
    server = serve_models()
    first = Client(server, "/api/generate", body("smollm2", 5), "first")
    others = [Client(server, "/api/generate", body("smollm2", 5), "other-%d" % i) for i in range(3)]
    until(lambda: "other-2" in [name for event, name, _ in log_events(server) if event == "admitted"], "they wait for the load")
    first.leave()
    for client in others:
        client.finish()
    assert n_loads(server, "smollm2") == 1


def test_a_kill_in_the_middle_of_8_streams_changes_no_text_and_disturbs_no_other_model(serve_models):
    """Greedy and drawn ones; SmolLM2's process is killed, the tiny model's streams go on in theirs."""
    server = serve_models(OLLAMA_NUM_PARALLEL="8")
    asked = [body("smollm2", 60, temperature=0.9 * (i % 2), seed=i) for i in range(8)]
    load(server, "tiny")
    pid_of_tiny = runners_of(server)[0]
    expected = [ask(server, "/api/generate", b).text for b in asked]
    expected_tiny = ask(server, "/api/generate", body("tiny", 200)).text
    (pid,) = set(runners_of(server)) - {pid_of_tiny}
    clients = [Client(server, "/api/generate", b) for b in asked]
    beside = Client(server, "/api/generate", body("tiny", 200))
    for client in clients:
        client.read_pieces(5)
    os.kill(pid, signal.SIGKILL)
    assert [client.finish().text for client in clients] == expected
    assert beside.finish().text == expected_tiny
    until(lambda: pid not in runners_of(server), "it is gone")
    assert pid_of_tiny in runners_of(server)


def test_a_runner_that_stalls_is_replaced_and_its_streams_go_on(serve_models, tmp_path):
    """SIGSTOP: it has the turn, work, and makes no step. The other model is served meanwhile, with the turn that was taken back."""
    config = tmp_path / "drover.conf"
    config.write_text("stall_timeout = 10m\n")
    server = serve_models(DROVER_CONFIG=str(config), DROVER_STALL_TIMEOUT=None)

    def limit(text):
        config.write_text("stall_timeout = %s\n" % text)
        server.process.send_signal(signal.SIGHUP)

    expected = ask(server, "/api/generate", body("smollm2", 40)).text
    (pid,) = runners_of(server)
    stream = Client(server, "/api/generate", body("smollm2", 100000)).read_pieces(3)
    with held_process(server, pid):
        beside = Client(server, "/api/generate", body("tiny", 5))
        limit("2s")
        until(lambda: "(process %d) has work and made no step" % pid in server.log.read_text(), "it is killed")
        limit("10m")  # for its successor, however slow the machine
        assert beside.finish().text
        until(lambda: pid not in runners_of(server), "it is gone")
    assert stream.read_pieces(80).text.startswith(expected)
    stream.leave()


def test_num_threads_84_is_capped_by_the_machine_and_the_log_says_so(serve_models):
    server = serve_models(OLLAMA_NUM_THREADS="84")
    if len(os.sched_getaffinity(0)) >= 84:
        pytest.skip("this machine has that many")
    assert re.search(r"num_threads=84 is more than this machine grants", server.log.read_text())
    load(server, "tiny")
    (pid,) = runners_of(server)
    assert len(os.listdir("/proc/%d/task" % pid)) <= len(os.sched_getaffinity(0))
