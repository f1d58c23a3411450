# SPDX-License-Identifier: MIT
"""`drover simulate`: the real scheduler in virtual time, held against what queueing theory knows, and against itself."""
import csv
import io
import math
import resource

import pytest


@pytest.fixture
def simulate(run):
    def call(*args):
        p = run("simulate", "--csv", *args)
        assert p.returncode == 0, p.stderr
        return {row["model"]: row for row in csv.DictReader(io.StringIO(p.stdout.decode()))}

    return call


@pytest.fixture
def ideal(tmp_path):
    """A model whose streams do not slow each other: an answer of n tokens takes n ms."""
    path = tmp_path / "ideal.csv"
    path.write_text("name,memory_mib,kv_bytes_per_token,load_s,prompt_rate,decode_rate,batch16_rate\nideal,100,1000,0,1e9,1000,16000\n")
    return ["--models", str(path), "--output-tokens", "1000", "--prompt-tokens", "1", "--queue", "1000000"]


def test_same_seed_same_result(run):
    args = ["simulate", "--requests", "5000", "--n-models", "6", "--memory", "6", "--arrivals", "bursts", "--heavy-tails", "--seed"]
    first = run(*args, "7").stdout
    assert first and run(*args, "7").stdout == first
    assert run(*args, "8").stdout != first


def test_nobody_waits_where_slots_suffice(simulate, ideal):
    total = simulate(*ideal, "--slots", "64", "--rate", "2", "--requests", "20000")["total"]
    assert int(total["finished"]) == 20000 and float(total["wait_p99"]) == 0


def erlang_c(c, load):
    """Share of those that wait in M/M/c, and how long: P(W > t) = share * exp(-(c - load) t / service)."""
    terms = [load**k / math.factorial(k) for k in range(c)]
    last = load**c / math.factorial(c) * c / (c - load)
    return last / (sum(terms) + last)


@pytest.mark.parametrize("slots,rate", [(1, 0.5), (1, 0.8), (4, 3.0), (16, 14.0)])
def test_waits_are_those_of_mmc(simulate, ideal, slots, rate):
    total = simulate(*ideal, "--slots", str(slots), "--rate", str(rate), "--requests", "300000")["total"]
    share = erlang_c(slots, rate)
    for name, rest in (("wait_p90", 0.1), ("wait_p99", 0.01)):
        expected = max(0, math.log(share / rest) / (slots - rate))
        assert float(total[name]) == pytest.approx(expected, rel=0.15, abs=0.02)


def test_full_queue_refuses(simulate, ideal):
    total = simulate(*ideal, "--slots", "1", "--queue", "10", "--rate", "10", "--requests", "10000")["total"]
    assert int(total["refused"]) > 8000
    assert int(total["finished"]) + int(total["refused"]) == 10000
    assert float(total["wait_max"]) < 60


def test_max_queue_wait(simulate, ideal):
    total = simulate(*ideal, "--slots", "1", "--rate", "10", "--requests", "10000", "--max-queue-wait", "5s")["total"]
    assert int(total["failed"]) > 8000 and float(total["wait_max"]) <= 5


def test_more_memory_fewer_evictions(simulate):
    args = ["--n-models", "6", "--requests", "5000", "--rate", "0.05", "--max-loaded", "6"]
    little, much = simulate(*args, "--memory", "6")["total"], simulate(*args, "--memory", "32")["total"]
    assert int(little["evicted"]) > 100 and int(much["evicted"]) == 0
    assert float(much["wait_p99"]) < float(little["wait_p99"])


def test_one_device_is_a_limit_four_are_not(simulate):
    args = ["--n-models", "4", "--requests", "3000", "--rate", "0.2", "--memory", "6", "--zipf", "0"]
    one, four = simulate(*args, "--gpus", "1")["total"], simulate(*args, "--gpus", "4")["total"]
    assert int(four["evicted"]) == 0 < int(one["evicted"])


def test_round_robin_helps_the_rare_client(simulate, ideal, tmp_path):
    trace = tmp_path / "trace.csv"
    lines = ["0,ideal,1,1000,flood"] * 200 + ["1,ideal,1,1000,rare"]
    trace.write_text("\n".join(lines) + "\n")
    fifo = simulate(str(trace), *ideal, "--slots", "1")["total"]
    fair = simulate(str(trace), *ideal, "--slots", "1", "--order", "round-robin")["total"]
    assert float(fifo["wait_max"]) == pytest.approx(200, abs=1)
    assert float(fair["wait_max"]) == pytest.approx(200, abs=1)  # the last of the flood
    log = tmp_path / "log"
    simulate(str(trace), *ideal, "--slots", "1", "--order", "round-robin", "--log", str(log))
    starts = [line.split("r=")[1].split()[0] for line in log.read_text().splitlines() if " > dispatch " in line]
    assert starts.index("200") <= 2


def test_trace_in_csv(simulate, tmp_path):
    trace = tmp_path / "trace.csv"
    trace.write_text("seconds,model,prompt_tokens,output_tokens,client,priority\n0,a,100,50,anna,interactive\n0.5,a,100,50,ben\n1,b,300,10\n")
    rows = simulate(str(trace))
    assert set(rows) == {"a", "b", "total"}
    assert [rows[name]["finished"] for name in ("a", "b", "total")] == ["2", "1", "3"]


@pytest.mark.parametrize("text,message", [
    ("0,a,1\n", b":1: expected seconds,model"),
    ("5,a,1,1\n4,a,1,1\n", b":2: earlier"),
    ("0,a,1,1,c,urgent\n", b":1: expected seconds,model"),
])
def test_broken_trace_is_named(run, tmp_path, text, message):
    trace = tmp_path / "trace.csv"
    trace.write_text(text)
    p = run("simulate", str(trace))
    assert p.returncode == 2 and message in p.stderr


@pytest.mark.parametrize("flags", [
    ["--order", "round-robin", "--priorities", "--max-queue-wait", "60s", "--n-models", "5", "--memory", "6", "--rate", "0.3"],
    ["--gpus", "4", "--memory", "6", "--n-models", "20", "--rate", "2", "--keep-alive", "10s", "--request-timeout", "2m"],
])
def test_recorded_event_log_replays_to_the_same_actions(simulate, tmp_path, flags):
    log = tmp_path / "log"
    recorded = simulate(*flags, "--requests", "3000", "--log", str(log))
    assert simulate(str(log)) == recorded


def test_event_log_that_does_not_fit_is_refused(run, simulate, tmp_path):
    log = tmp_path / "log"
    simulate("--requests", "200", "--log", str(log))
    text = log.read_text()
    log.write_text(text.replace("slots=4", "slots=3", 1))
    p = run("simulate", str(log))
    assert p.returncode == 1 and b"then: " in p.stderr and b"; now: " in p.stderr


def test_a_million_requests_a_minute(run):
    """Far more in fact; a minute of a processor, however much of it others take meanwhile."""
    def used():
        return sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])

    before = used()
    p = run("simulate", "--requests", "1000000", "--rate", "2", "--n-models", "8", "--memory", "8", "--csv")
    assert p.returncode == 0 and b"total,1000000," in p.stdout
    assert used() - before < 60
