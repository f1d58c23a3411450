# SPDX-License-Identifier: MIT
"""Memory: what a model will take is known before it is loaded, and never more is taken than there is."""
import contextlib
import json
import os
import pathlib
import re
import subprocess
import threading

import pytest

from crowd import runner_of, runners_of, until
from served import CACHE, PROGRAM, clean_env

MIB = 1 << 20
FILES = {"smollm2": "smollm2-135m-instruct-q4_1.gguf", "gemma3": "gemma3-270m-q4_k_m.gguf", "qwen": "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """All real models that are there."""
    home = tmp_path_factory.mktemp("memory")
    for name, file in FILES.items():
        if (CACHE / file).exists():
            done = subprocess.run([PROGRAM, "import", str(CACHE / file), name], env=clean_env(home, OLLAMA_MODELS=str(home / "store")), capture_output=True, check=False)
            assert done.returncode == 0, done.stderr.decode()
    return home / "store"


def need(*names):
    for name in names:
        if not (CACHE / FILES[name]).exists():
            pytest.skip("%s is not there" % FILES[name])


def plan_of(server, model, **asked):
    return json.loads(server.post("/api/show", {"model": model, "memory": asked}).text)["memory"]


def resident(pid):
    with open("/proc/%d/status" % pid, encoding="ascii") as f:
        return int(re.search(r"VmRSS:\s+(\d+) kB", f.read())[1]) * 1024


def prompt(i, n):
    """Some n tokens, like no other prompt's from the start on."""
    return "%d. " % i + " ".join(str((i * 7919 + k * k * 31) % 10) for k in range(n // 2))


def generate(server, model, text, **options):
    return server.post("/api/generate", {"model": model, "prompt": text, "raw": True, "stream": False, "options": {"num_predict": 2, **options}})


def fill_pool(server, model, n_slots, n_ctx):
    """Each page of the pool is used at least once: what is left of earlier prompts stays until pages run out."""
    def go(i):
        assert generate(server, model, prompt(i, int(n_ctx * 0.8)), num_ctx=n_ctx).status == 200
    for round_i in range(2):
        threads = [threading.Thread(target=go, args=(round_i * n_slots + i,)) for i in range(n_slots)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()


@pytest.mark.parametrize("model", FILES)
def test_the_plan_is_what_the_process_holds_when_the_pool_is_full(start, store, model):
    """Within 5 % or 16 MiB."""
    need(model)
    server = start(store, OLLAMA_NUM_PARALLEL="2", OLLAMA_CONTEXT_LENGTH="512")
    plan = plan_of(server, model)
    assert plan["slots"] == 2 and plan["pool_tokens"] == 1024 and plan["fits"] == "now"
    parts = sum(plan[part + "_bytes"] for part in ("weights", "pool", "scratch", "process", "front"))
    assert parts == plan["total_bytes"]
    fill_pool(server, model, 2, 512)
    status = json.loads(server.call("GET", "/api/ps").text)["models"][0]
    assert status["size"] == plan["total_bytes"]
    predicted = plan["total_bytes"] - plan["front_bytes"]
    measured = resident(runner_of(server))
    print("%s: predicted %.1f MiB, measured %.1f MiB" % (model, predicted / MIB, measured / MIB))
    assert abs(predicted - measured) <= max(0.05 * measured, 16 * MIB), (predicted / MIB, measured / MIB)


def test_show_memory_prints_the_table(start, store):
    need("smollm2")
    server = start(store, OLLAMA_NUM_PARALLEL="2", OLLAMA_CONTEXT_LENGTH="512", DROVER_MEMORY_LIMIT="1GiB")

    def show(*flags):
        done = subprocess.run([PROGRAM, "show", "smollm2", "--memory", *flags], env=server.env, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    table = show()
    for row in ("weights", "cached tokens", "activations", "process", "server's buffers", "sum", "available now"):
        assert re.search(r"^ +%s +[0-9.]+ MiB$" % row, table, re.M), table
    assert re.search(r"^ +slots +2$", table, re.M) and re.search(r"^ +fits +yes$", table, re.M), table
    larger = json.loads(show("--ctx", "8192", "--slots", "5", "--json"))["memory"]
    assert larger["slots"] == 5 and larger["pool_tokens"] == 8192
    assert larger == plan_of(server, "smollm2", slots=5, num_ctx=8192)
    done = subprocess.run([PROGRAM, "show", "smollm2", "--ctx", "5"], env=server.env, capture_output=True, check=False)
    assert done.returncode == 2 and b"go with '--memory'" in done.stderr


def test_a_model_that_can_never_fit_is_refused_at_once_with_need_and_have(start, store):
    need("qwen")
    server = start(store, DROVER_MEMORY_LIMIT="200MiB")
    reply = generate(server, "qwen", "Hi")
    assert reply.status == 500
    error = json.loads(reply.text)["error"]
    assert re.fullmatch(r"model requires more system memory \([0-9.]+ GiB\) than is available \(0.20 GiB\); a model of at most 0.20 GiB would fit", error), error
    assert plan_of(server, "qwen")["fits"] == "never"


def test_three_models_never_hold_more_than_the_limit_and_none_is_killed(start, store):
    """In turn and at once, where all three together do not fit: requests wait for room, none fails."""
    need(*FILES)
    limit = 900 * MIB
    server = start(store, DROVER_MEMORY_LIMIT="900MiB", OLLAMA_NUM_PARALLEL="2", OLLAMA_CONTEXT_LENGTH="2048", DROVER_SWAP_AFTER="1s", DROVER_MIN_RESIDENT="1s")
    assert sum(plan_of(server, model)["total_bytes"] for model in FILES) > limit
    most, is_done = [0], threading.Event()

    def watch():
        while not is_done.wait(0.02):
            pids = runners_of(server)
            before, after = [[anonymous(pid) for pid in pids] for _ in range(2)]
            most[0] = max(most[0], sum(map(min, before, after)))  # so much, and no less, at the moment between the two

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        statuses = [generate(server, model, prompt(1, 200)).status for model in list(FILES) * 2]
        replies = []
        threads = [threading.Thread(target=lambda i=i: replies.append(generate(server, list(FILES)[i % 3], prompt(i, 200)))) for i in range(9)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    finally:
        is_done.set()
        watcher.join()
    assert statuses == [200] * 6 and [r.status for r in replies] == [200] * 9, [r.text for r in replies if r.status != 200]
    assert most[0] <= limit
    assert "unexpectedly" not in server.log.read_text()
    until(lambda: server.running() == 0, "nothing runs")


@pytest.fixture
def group_of_1_gib():
    """A memory group (v1) of that size below ours, as a directory."""
    with open("/proc/self/cgroup", encoding="ascii") as f:
        own = next((line.split(":", 2)[2].strip() for line in f if "memory" in line.split(":")[1].split(",")), None)
    group = pathlib.Path("/sys/fs/cgroup/memory%s/drover-test-%d" % (own, os.getpid()))
    try:
        group.mkdir()
    except OSError as e:
        pytest.skip("no memory group can be made here: %s" % e)
    (group / "memory.limit_in_bytes").write_text(str(1024 * MIB))
    yield group
    until(lambda: not (group / "cgroup.procs").read_text(), "all processes of the group are gone")
    for inner in group.glob("drover-runner-*"):
        inner.rmdir()
    group.rmdir()


def test_no_oom_kill_in_a_memory_group_of_1_gib(start, store, group_of_1_gib):
    """The limit is found by itself; three models in turn and at once, and one with a pool that is filled."""
    need(*FILES)
    server = start(store, OLLAMA_NUM_PARALLEL="2", OLLAMA_CONTEXT_LENGTH="2048", DROVER_SWAP_AFTER="1s", DROVER_MIN_RESIDENT="1s")
    (group_of_1_gib / "cgroup.procs").write_text(str(server.process.pid))
    assert sum(plan_of(server, model)["total_bytes"] for model in FILES) > plan_of(server, "qwen")["budget_bytes"]
    assert plan_of(server, "qwen")["budget_bytes"] < 1024 * MIB
    replies = [generate(server, model, prompt(1, 200)) for model in list(FILES) * 2]
    threads = [threading.Thread(target=lambda i=i: replies.append(generate(server, list(FILES)[i % 3], prompt(i, 1500)))) for i in range(9)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert [r.status for r in replies] == [200] * 15, [r.text for r in replies if r.status != 200]
    for name in ("memory.oom_control", *[str(p.relative_to(group_of_1_gib) / "memory.oom_control") for p in group_of_1_gib.glob("drover-runner-*")]):
        assert not re.search(r"^oom_kill [1-9]", (group_of_1_gib / name).read_text(), re.M)
    assert "unexpectedly" not in server.log.read_text()
    server.stop()


def test_a_runner_goes_before_the_server_and_has_a_limit_of_its_own(start, store):
    need("smollm2")
    server = start(store)
    assert generate(server, "smollm2", "Hi").status == 200
    pid = runner_of(server)

    def score(of):
        return int(pathlib.Path("/proc/%d/oom_score_adj" % of).read_text())

    assert score(pid) > score(server.process.pid)
    line = re.search(r'memory limit of a runner pid=%d model=smollm2:latest mib=(\d+) by=\\?"([^"\\]+)' % pid, server.log.read_text())
    if line is None:
        pytest.skip("a sanitizer build sets no limits")
    assert line[2] != "none"
    plan = plan_of(server, "smollm2")["total_bytes"] // MIB
    assert plan < int(line[1]) < 1.1 * plan + 128
    if line[2] == "RLIMIT_DATA":
        limits = pathlib.Path("/proc/%d/limits" % pid).read_text()
        assert int(re.search(r"Max data size +(\d+)", limits)[1]) // MIB == int(line[1])
    else:
        assert "drover-runner-%d" % pid in pathlib.Path("/proc/%d/cgroup" % pid).read_text()
        where = next(pathlib.Path("/sys/fs/cgroup").glob("**/drover-runner-%d" % pid))
        server.post("/api/generate", {"model": "smollm2", "keep_alive": 0})
        until(lambda: not where.exists(), "the group goes with the process")


def anonymous(pid):
    with contextlib.suppress(OSError, TypeError):  # it has just ended
        with open("/proc/%d/status" % pid, encoding="ascii") as f:
            return int(re.search(r"RssAnon:\s+(\d+) kB", f.read())[1]) * 1024
    return 0
