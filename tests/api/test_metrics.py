# SPDX-License-Identifier: MIT
"""/metrics: what it counts is exactly what was done, reading it changes nothing, and it answers while a model computes."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess

import pytest

from crowd import MODEL, Client, count_on, held, held_amid, load, runner_of, until, wait_counts
from scrape import scrape
from served import CACHE, ROOT, Server

NAME = "smollm2:latest"
OF_NOW = {"drover_uptime_seconds", "drover_front_resident_bytes", "drover_memory_budget_bytes", "drover_http_connections",
          "drover_model_resident_bytes", "drover_model_swapped_bytes"}  # what time changes


@pytest.fixture(scope="module")
def server(tmp_path_factory, smollm_models):
    """One slot, the model loaded; a step makes one token."""
    s = Server(tmp_path_factory.mktemp("metrics"), smollm_models, OLLAMA_NUM_PARALLEL="1", DROVER_DRAFT_TOKENS="0")
    load(s)
    yield s
    assert s.stop() == 0, s.log.read_text()[-4000:]


def find_promtool():
    cached = CACHE.parent / "tools" / "promtool"
    return shutil.which("promtool") or (str(cached) if cached.exists() else pytest.skip("promtool is not there: ./dev setup fetches it"))


def check_with_promtool(*args, text=None):
    done = subprocess.run([find_promtool(), "check", *args], input=text, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and not done.stderr.strip(), done.stdout + done.stderr


def test_promtool_accepts_the_scrape(server):
    check_with_promtool("metrics", text=server.call("GET", "/metrics").text)


def test_promtool_accepts_the_alert_rules():
    check_with_promtool("rules", str(ROOT / "docs" / "prometheus" / "rules.yml"))
    check_with_promtool("config", "--syntax-only", str(ROOT / "docs" / "prometheus" / "prometheus.yml"))


def test_families_have_names_types_and_help(server):
    now = scrape(server)
    for name, kind in now.types.items():
        assert name.startswith("drover_") and kind in ("counter", "gauge", "histogram")
        assert (kind == "counter") == name.endswith("_total"), name
        assert now.helps[name].endswith(".")
    for name in ("drover_requests_running", "drover_requests_waiting", "drover_kv_cache_usage_ratio"):
        assert now.series_of(name) == [(name, frozenset())] and now.types[name] == "gauge"


def test_histograms_add_up(server):
    now = scrape(server)
    for name, kind in now.types.items():
        if kind != "histogram":
            continue
        by_model = {}
        for key in now.series_of(name + "_bucket"):
            labels = dict(key[1])
            by_model.setdefault(labels["model"], []).append((float(labels["le"]), now[key]))
        for model, buckets in by_model.items():
            counts = [n for _, n in sorted(buckets)]
            assert counts == sorted(counts) and counts[-1] == now.get_one(name + "_count", model=model)


def test_reading_changes_nothing_but_what_time_changes(server):
    server.wait_idle()

    def changed():
        before, after = scrape(server), scrape(server)
        assert before.keys() == after.keys()
        return {key[0] for key in before if before[key] != after[key]}

    until(lambda: changed() <= OF_NOW, "nothing changes")  # what a process said of its steps may still have been on its way


def test_counters_move_by_exactly_what_was_done(server):
    server.wait_idle()
    before = scrape(server)
    bodies = [{**count_on(7), "stream": False}, {**count_on(12), "stream": False}]
    replies = [json.loads(server.post("/api/generate", body).text) for body in bodies]
    assert server.post("/api/generate", {"model": "nobody"}).status == 404
    generated = sum(r["eval_count"] for r in replies)
    assert generated == 19 and {r["done_reason"] for r in replies} == {"length"}

    def moved(name, **labels):
        now = scrape(server)
        return now.get_one(name, **labels) - before.get_one(name, **labels)

    # Steps are the process's own figure, which comes a little later. A request alone takes one step a token.
    until(lambda: moved("drover_model_steps_total", model=NAME) == generated, "steps counted")
    assert moved("drover_model_step_requests_count", model=NAME) == moved("drover_model_step_requests_sum", model=NAME) == generated
    assert moved("drover_model_generated_tokens_total", model=NAME) == generated
    assert moved("drover_model_prompt_tokens_total", model=NAME) == sum(r["prompt_eval_count"] for r in replies)
    assert moved("drover_model_requests_total", model=NAME, outcome="length") == 2
    assert moved("drover_model_requests_total", model=NAME, outcome="stop") == 0
    for name in ("queue_wait_seconds", "load_wait_seconds", "first_token_seconds", "request_seconds", "request_prompt_tokens"):
        assert moved("drover_model_%s_count" % name, model=NAME) == 2, name
    assert moved("drover_model_request_generated_tokens_sum", model=NAME) == generated
    assert moved("drover_model_token_gap_seconds_count", model=NAME) == generated - 2
    assert moved("drover_http_requests_total", route="/api/generate", status="200") == 2
    assert moved("drover_http_requests_total", route="/api/generate", status="404") == 1
    assert moved("drover_requests_refused_total", reason="not_found") == 1


def test_gauges_show_who_runs_and_waits_while_the_model_answers_nothing(server):
    server.wait_idle()
    with held(server):  # whoever waited for the runner would hang here
        clients = [Client(server, "/api/generate", count_on(4)) for _ in range(3)]
        wait_counts(server, 1, 2)
        now = scrape(server)
        assert now.get_one("drover_requests_running") == 1 and now.get_one("drover_requests_waiting") == 2
        assert now.get_one("drover_model_requests_running", model=NAME) == 1
        assert now.get_one("drover_model_requests_waiting", model=NAME) == 2
        assert now.get_one("drover_queue_length") == 2 and now.get_one("drover_queue_limit") == 512
        assert now.get_one("drover_model_slots", model=NAME) == 1 and now.get_one("drover_model_loaded", model=NAME) == 1
        assert now.get_one("drover_model_resident_bytes", model=NAME) > 1 << 20
        assert now.get_one("drover_model_planned_bytes", model=NAME) > 1 << 20
        assert now.series_of("drover_model_swapped_bytes")
        assert server.call("GET", "/health/capacity").text == "0\n"
    for client in clients:
        client.finish()
    server.wait_idle()
    assert server.call("GET", "/health/capacity").text == "1\n"


def test_kv_usage_is_a_share_of_the_pool(server):
    client = Client(server, "/api/generate", count_on())
    client.read_pieces(2)
    usage = until(lambda: scrape(server).get_one("drover_kv_cache_usage_ratio"), "the pool is used")
    assert 0 < usage <= 1
    client.leave()
    until(lambda: scrape(server).get_one("drover_kv_cache_usage_ratio") == 0, "the pool is free again")


def test_clients_that_leave_are_counted(server):
    server.wait_idle()
    before = scrape(server).get_one("drover_model_requests_total", model=NAME, outcome="cancelled")
    client = Client(server, "/api/generate", count_on())
    client.read_pieces(1)
    client.leave()
    until(lambda: scrape(server).get_one("drover_model_requests_total", model=NAME, outcome="cancelled") == before + 1, "counted")


def test_refusals_are_counted_by_reason(start, smollm_models):
    server = start(smollm_models, OLLAMA_NUM_PARALLEL="1", OLLAMA_MAX_QUEUE="0")
    load(server)
    with held(server):
        client = Client(server, "/api/generate", count_on(2))
        wait_counts(server, 1, 0)
        assert server.post("/api/generate", count_on(2)).status == 503
        now = scrape(server)
        assert now.get_one("drover_requests_refused_total", reason="queue_full") == 1
        assert now.get_one("drover_http_requests_total", route="/api/generate", status="503") == 1
    client.finish()


def test_loads_and_ends_of_a_model_are_counted_with_reasons(start, smollm_models):
    server = start(smollm_models)
    load(server)
    now = scrape(server)
    assert now.get_one("drover_model_loads_total", model=NAME, reason="request") == 1
    assert now.get_one("drover_model_load_seconds_count", model=NAME) == 1
    assert server.post("/api/generate", {"model": MODEL, "keep_alive": 0}).status == 200
    until(lambda: runner_of(server) is None, "unloaded")
    until(lambda: scrape(server).get_one("drover_model_evictions_total", model=NAME, reason="stop") == 1, "counted")
    now = scrape(server)
    assert now.get_one("drover_model_loaded", model=NAME) == 0
    assert now.get_one("drover_model_load_seconds_count", model=NAME) == 1  # what was counted stays


def test_a_crash_is_counted_and_no_counter_falls(start, smollm_models):
    server = start(smollm_models, OLLAMA_NUM_PARALLEL="1")

    def begin(client):
        client.read_pieces(20)
        until(lambda: scrape(server).get_one("drover_model_steps_total", model=NAME) > 0, "steps counted")

    with held_amid(server, "/api/generate", count_on(60), begin) as (client, pid):
        before = scrape(server)
        os.kill(pid, signal.SIGKILL)
    client.finish()
    server.wait_idle()
    after = scrape(server)
    fell = [key for key in before if key[0].endswith(("_total", "_count", "_bucket")) and after.get_one(key[0], **dict(key[1])) < before[key]]
    assert fell == []
    assert after.get_one("drover_model_crashes_total", model=NAME) == 1
    assert after.get_one("drover_model_resubmissions_total", model=NAME) == 1
    n = after.get_one("drover_model_requests_total", model=NAME, outcome="length")
    assert n == before.get_one("drover_model_requests_total", model=NAME, outcome="length") + 1
    assert after.get_one("drover_model_generated_tokens_total", model=NAME) == 60 * n  # none twice


def test_the_manual_lists_every_metric(server):
    text = pathlib.Path(ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(drover_[a-z_]+)` \| (\w+) \|", text, re.M)
    assert len(listed) == len(dict(listed))
    assert dict(listed) == scrape(server).types
