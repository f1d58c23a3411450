# SPDX-License-Identifier: MIT
"""What people are told of parallel requests, row by row: the summary table of the source article, its section on memory and its table of
settings, against the real server with real models. Test names say the promise; other files go deeper into each.

"At the same time" is shown by the server's own order of events: its log, and the numbers of its steps and streams, while runners are held.
"""
import json
import re

import pytest

from crowd import COUNT, Client, held, held_process, held_runners, log_events, runners_of, until, wait_log
from scrape import scrape
from served import CACHE, Server, import_model

FILES = {"smollm2": "smollm2-135m-instruct-q4_1.gguf", "gemma3": "gemma3-270m-q4_k_m.gguf", "qwen": "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"}
N = 12
FULL = "server busy, please try again.  maximum pending requests exceeded"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Three different models of real people's sizes."""
    home = tmp_path_factory.mktemp("article")
    for name, file in FILES.items():
        import_model(home / "store", home, CACHE / file, name)
    return home / "store"


@pytest.fixture
def serve(start, store):
    """serve(OLLAMA_X=...): contexts are short, so that three models fit where the machine is small."""
    return lambda **env: start(store, **{"OLLAMA_DEBUG": "1", "OLLAMA_CONTEXT_LENGTH": "1024", **env})


@pytest.fixture(scope="module")
def plain(tmp_path_factory, store):
    """A server with nothing set but its place."""
    s = Server(tmp_path_factory.mktemp("plain"), store, OLLAMA_DEBUG="1")
    yield s
    assert s.stop() == 0, s.log.read_text()[-4000:]


def body(model, n=N, **more):
    return {"model": model, "prompt": COUNT, "raw": True, "options": {"temperature": 0, "seed": 1, "num_predict": n}, **more}


def client(server, model, name, n=N, **more):
    """A request on its way that the server has let in."""
    c = Client(server, "/api/generate", body(model, n, **more), name)
    wait_log(server, "admitted", name)
    return c


def loaded(server):
    return {m["name"].split(":")[0]: m for m in json.loads(server.call("GET", "/api/ps").text)["models"]}


def load(server, model):
    reply = server.post("/api/generate", {"model": model})
    assert reply.status == 200, reply.text


def size_of(server, model):
    return json.loads(server.post("/api/show", {"model": model, "memory": {}}).text)["memory"]["total_bytes"]


def order_of(server, *events):
    """["started a", ...] of the log: of those that gave themselves a name."""
    return ["%s %s" % (event, name) for event, name, _ in log_events(server) if event in events and not name.startswith("req-")]


# ---- The summary table ----
def test_two_requests_same_model_enough_parallelism_are_batched_and_stream_together(serve):
    server = serve(OLLAMA_NUM_PARALLEL="2")
    load(server, "smollm2")
    alone = Client(server, "/api/generate", body("smollm2", 60)).finish().text
    with held(server):
        pair = [client(server, "smollm2", name, 60) for name in ("a", "b")]
        until(lambda: loaded(server)["smollm2"]["running"] == 2, "both have a slot")
    for c in pair:
        c.read_pieces(2)
    assert [c.finish().text for c in pair] == [alone, alone]
    assert order_of(server, "started", "ended")[:2] == ["started a", "started b"]  # the second did not wait for the first
    until(lambda: loaded(server)["smollm2"]["kv_tokens_used"] == 0, "all is said of the steps")
    n_tokens, n_steps = (scrape(server).get_one("drover_model_%s_total" % name, model="smollm2:latest") for name in ("generated_tokens", "steps"))
    assert n_tokens == 180 and n_steps < 140, "most steps of the two computed a token of each"


def test_two_requests_same_model_parallelism_1_the_second_is_queued_until_the_first_completes(serve):
    server = serve(OLLAMA_NUM_PARALLEL="1")
    load(server, "smollm2")
    with held(server):
        pair = [client(server, "smollm2", name) for name in ("first", "second")]
        assert (loaded(server)["smollm2"]["running"], loaded(server)["smollm2"]["queued"]) == (1, 1)
    assert pair[0].finish().text == pair[1].finish().text
    assert order_of(server, "started", "ended") == ["started first", "ended first", "started second", "ended second"]


def test_two_requests_different_models_enough_memory_both_loaded_and_served_in_parallel(serve):
    server = serve()
    alone = {model: Client(server, "/api/generate", body(model)).finish().text for model in ("smollm2", "gemma3")}
    assert set(loaded(server)) == {"smollm2", "gemma3"} and len(runners_of(server)) == 2
    with held_runners(server):
        pair = [client(server, model, model) for model in alone]
        until(lambda: [m["running"] for m in loaded(server).values()] == [1, 1], "each runs in its model")
    for c in pair:
        assert c.finish().text == alone[c.name]
    assert len(runners_of(server)) == 2 and "unloaded" not in server.log.read_text()


def test_two_requests_different_models_not_enough_memory_one_is_queued_until_a_model_is_unloaded(serve):
    server = serve()
    larger = max(size_of(server, "smollm2"), size_of(server, "gemma3"))
    assert server.stop() == 0
    server = serve(DROVER_MEMORY_LIMIT=str(larger + (8 << 20)))  # for one of them
    load(server, "smollm2")
    with held(server):
        first = client(server, "smollm2", "first")
        second = client(server, "gemma3", "second")
        until(lambda: loaded(server).get("gemma3", {}).get("queued") == 1, "it waits")
        assert loaded(server)["smollm2"]["running"] == 1  # a busy model stays
    assert first.finish().text and second.finish().text
    assert order_of(server, "started", "ended") == ["started first", "ended first", "started second", "ended second"]
    assert list(loaded(server)) == ["gemma3"]  # the idle one went
    why = json.loads(server.call("GET", "/api/requests/second").text)["reasons"]
    assert any("smollm2" in reason for reason in why), why


# ---- Memory: queueing ----
def test_requests_that_find_no_memory_wait_in_order_of_arrival(serve):
    server = serve(OLLAMA_MAX_LOADED_MODELS="1", OLLAMA_NUM_PARALLEL="1", DROVER_SWAP_AFTER="10m")
    load(server, "smollm2")
    with held(server):
        running = client(server, "smollm2", "running")
        names = ["g1", "g2", "g3"]
        waiting = [client(server, "gemma3", name) for name in names]
    for c in [running, *waiting]:
        c.finish()
    assert order_of(server, "started") == ["started running", *("started " + name for name in names)]


@pytest.mark.parametrize("model", ["smollm2", "gemma3"])
def test_max_queue_is_the_size_of_the_queue_and_the_next_gets_503(serve, model):
    """For the model that is loaded, and for one that would have to be loaded first."""
    server = serve(OLLAMA_MAX_QUEUE="2", OLLAMA_NUM_PARALLEL="1", OLLAMA_MAX_LOADED_MODELS="1")
    load(server, "smollm2")
    with held(server):
        inside = [client(server, "smollm2", "runs")] + [client(server, model, "waits-%d" % i) for i in range(2)]
        reply = server.post("/api/generate", body(model))
        assert reply.status == 503 and json.loads(reply.text) == {"error": FULL}
        assert int(reply.headers["Retry-After"]) >= 1 and reply.headers["X-Queue-Depth"] == "2"
    for c in inside:
        c.finish()


# ---- Memory: models ----
def test_idle_models_are_unloaded_for_requests_that_wait(serve):
    server = serve(OLLAMA_MAX_LOADED_MODELS="1")
    for model in ("smollm2", "gemma3"):
        Client(server, "/api/generate", body(model)).finish()
        assert list(loaded(server)) == [model]
    until(lambda: len(runners_of(server)) == 1, "only one process is left")
    assert scrape(server).get_one("drover_model_evictions_total", model="smollm2:latest", reason="room") == 1


def test_max_loaded_models_is_3_on_a_cpu_and_the_setting_counts(serve):
    server = serve()
    for model in FILES:
        load(server, model)
    assert set(loaded(server)) == set(FILES)
    assert server.stop() == 0
    server = serve(OLLAMA_MAX_LOADED_MODELS="2")
    load(server, "smollm2")
    idle = runners_of(server)
    load(server, "gemma3")
    (busy,) = set(runners_of(server)) - set(idle)
    with held_process(server, busy):
        stream = client(server, "gemma3", "busy")
        load(server, "qwen")
        assert set(loaded(server)) == {"gemma3", "qwen"}  # the idle one of them went
    assert stream.finish().text


def test_automatic_unloading_purges_idle_models_from_memory(serve):
    server = serve(OLLAMA_KEEP_ALIVE="1s")
    Client(server, "/api/generate", body("smollm2")).finish()
    until(lambda: not runners_of(server) and not loaded(server), "it is unloaded")
    assert scrape(server).get_one("drover_model_evictions_total", model="smollm2:latest", reason="expired") == 1


def test_frequently_used_models_stay_in_memory(serve):
    """keep_alive -1, by the server's setting or a request's."""
    server = serve(OLLAMA_KEEP_ALIVE="0")
    Client(server, "/api/generate", body("smollm2", keep_alive=-1)).finish()
    (pid,) = runners_of(server)
    assert loaded(server)["smollm2"]["expires_at"] > "2200"
    Client(server, "/api/generate", body("gemma3")).finish()
    until(lambda: runners_of(server) == [pid], "the other one goes at once, this one stays")


# ---- Memory: batching ----
def test_requests_for_one_model_share_its_memory(serve):
    """Four streams at once take no process and no plan of memory beyond what the model had when it was loaded."""
    server = serve(OLLAMA_NUM_PARALLEL="4")
    load(server, "smollm2")
    pids, size = runners_of(server), loaded(server)["smollm2"]["size"]
    clients = [Client(server, "/api/generate", body("smollm2", 30)) for _ in range(4)]
    assert len({c.finish().text for c in clients}) == 1
    assert runners_of(server) == pids and loaded(server)["smollm2"]["size"] == size


def test_a_request_is_not_held_back_to_fill_a_batch(plain):
    """One alone is answered, and one that comes later joins at the next step instead of waiting for the end of the first."""
    load(plain, "smollm2")
    first = client(plain, "smollm2", "early", 100000).read_pieces(3)
    second = client(plain, "smollm2", "late", 5).finish()
    assert second.text
    first.leave()
    wait_log(plain, "ended", "early")
    assert order_of(plain, "started", "ended")[-4:] == ["started early", "started late", "ended late", "ended early"]


# ---- Memory: failures, as they must not be ----
def test_memory_exhaustion_is_an_error_that_says_need_and_have_and_no_crash(serve):
    server = serve(DROVER_MEMORY_LIMIT="250MiB")
    load(server, "smollm2")
    pids = runners_of(server)
    stream = Client(server, "/api/generate", body("smollm2", 60)).read_pieces(2)
    reply = server.post("/api/generate", body("qwen"))
    assert reply.status == 500
    assert re.fullmatch(r"model requires more system memory \([0-9.]+ GiB\) than is available \([0-9.]+ GiB\); .* would fit", json.loads(reply.text)["error"])
    assert stream.finish().text
    until(lambda: runners_of(server) == pids, "who looked at the larger one is gone, who served is not")
    assert "unexpectedly" not in server.log.read_text()


def test_nothing_pages_to_disk(serve):
    """Not one byte of a model is swapped; what it holds is locked, or the log says that the limit forbids it."""
    server = serve()
    Client(server, "/api/generate", body("smollm2")).finish()
    assert scrape(server).get_one("drover_model_swapped_bytes", model="smollm2:latest") == 0
    (pid,) = runners_of(server)
    with open("/proc/%d/status" % pid, encoding="ascii") as f:
        locked = int(re.search(r"VmLck:\s+(\d+) kB", f.read())[1])
    assert locked > 50000 or "lock" in server.log.read_text()


# ---- The table of settings ----
def test_defaults_are_512_waiting_4_parallel_3_models(plain):
    load(plain, "smollm2")
    assert loaded(plain)["smollm2"]["slots"] == 4
    assert scrape(plain).get_one("drover_queue_limit") == 512
    assert "reduced" not in loaded(plain)["smollm2"]


def test_num_parallel_is_1_when_memory_is_short_and_says_so(serve):
    server = serve(OLLAMA_CONTEXT_LENGTH="4096")
    plan = json.loads(server.post("/api/show", {"model": "smollm2", "memory": {"slots": 1}}).text)["memory"]
    assert server.stop() == 0
    server = serve(OLLAMA_CONTEXT_LENGTH="4096", DROVER_MEMORY_LIMIT=str(plan["total_bytes"] + (8 << 20)))
    load(server, "smollm2")
    model = loaded(server)["smollm2"]
    assert model["slots"] == 1 and model["reduced"].startswith("slots 4 -> 1"), model
    assert "slots 4 -> 1" in server.log.read_text()


def test_two_levels_of_parallelism_several_models_with_several_requests_each(serve):
    server = serve(OLLAMA_NUM_PARALLEL="2")
    alone = {model: Client(server, "/api/generate", body(model)).finish().text for model in FILES}
    with held_runners(server):
        clients = [client(server, model, "%s-%d" % (model, i)) for i in range(3) for model in FILES]
        until(lambda: {(m["running"], m["queued"]) for m in loaded(server).values()} == {(2, 1)}, "two run and one waits, in each")
    for c in clients:
        assert c.finish().text == alone[c.body["model"]]
    for model in FILES:
        assert [e for e in order_of(server, "started") if model + "-" in e] == ["started %s-%d" % (model, i) for i in range(3)]
