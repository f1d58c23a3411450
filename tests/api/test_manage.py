# SPDX-License-Identifier: MIT
"""/api/copy and /api/delete, also of models that are at work; and several servers that change one store at the same time."""
import hashlib
import json
import os
import random
import subprocess
import threading
import time

from crowd import until
from served import PROGRAM, clean_env, tiny_store


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def names(server):
    return {m["name"] for m in json.loads(server.call("GET", "/api/tags").text)["models"]}


def delete(server, name):
    return server.call("DELETE", "/api/delete", {"model": name})


def blobs(store):
    return {p.name for p in (store / "blobs").iterdir()}


def test_copy_and_delete(tmp_path, start):
    store = tiny_store(tmp_path / "store")
    server = start(store)
    assert delete(server, "me/other:v2").status == 200  # a copy of tiny
    before = blobs(store)
    reply = server.post("/api/copy", {"source": "tiny", "destination": "me/copy:v1"})
    assert (reply.status, reply.text) == (200, "")
    assert "me/copy:v1" in names(server) and blobs(store) == before
    assert server.post("/api/copy", {"source": "TINY", "destination": "tiny"}).status == 200
    assert delete(server, "tiny").status == 200
    assert blobs(store) == before, "the copy has them"
    assert delete(server, "me/copy:v1").status == 200
    assert not (store / "manifests/registry.ollama.ai/me/copy").exists()
    gone = before - blobs(store)
    assert len(gone) == 5, "template, system, licence, parameters and messages; weights and config are shared with others"
    for body, status, text in [({"model": "tiny"}, 404, "model 'tiny' not found"), ({"model": "bad name"}, 400, 'name "bad name" is invalid'), ({}, 400, "model is required")]:
        reply = server.call("DELETE", "/api/delete", body)
        assert (reply.status, json.loads(reply.text)) == (status, {"error": text})


def test_names_never_leave_the_store(tmp_path, start):
    server = start(tiny_store(tmp_path / "store"))
    (tmp_path / "victim").write_text("x")
    for name in ("../../victim", "../victim", "a/../../victim", "..", "/etc/passwd", "a/b/c/../../../../victim", "%2e%2e/victim", "tiny\0"):
        assert delete(server, name).status == 400
        assert server.post("/api/copy", {"source": "tiny", "destination": name}).status == 400
        assert server.post("/api/pull", {"model": name, "stream": False}).status == 400
        assert server.post("/api/create", {"model": name, "from": "tiny", "stream": False}).status == 400
    for name in ("..%2f..%2fvictim", "sha256-../../victim", "sha256:" + "0" * 63 + "/"):
        assert server.call("HEAD", "/api/blobs/" + name).status in (400, 404)
    assert (tmp_path / "victim").read_text() == "x"


def test_a_model_that_answers_may_be_deleted(tmp_path, start):
    store = tiny_store(tmp_path / "store")
    server = start(store)
    connection = server.connect()
    connection.request("POST", "/api/generate", json.dumps({"model": "plain", "prompt": "Hi", "options": {"num_predict": 400, "seed": 1}}))
    reply = connection.getresponse()
    assert b'"done":false' in reply.readline()
    for name in names(server):
        assert delete(server, name).status == 200
    assert not [p for p in blobs(store) if p.startswith("sha256")]
    last = json.loads(reply.read().splitlines()[-1])
    assert last["done"] and "error" not in last
    assert server.post("/api/generate", {"model": "plain", "prompt": "Hi"}).status == 404
    assert names(server) == set()


def test_a_broken_model_can_be_deleted_and_protects_all_blobs(tmp_path, start):
    store = tiny_store(tmp_path / "store")
    server = start(store)
    broken = store / "manifests/registry.ollama.ai/library/broken/latest"
    broken.parent.mkdir()
    broken.write_text("{")
    before = blobs(store)
    assert delete(server, "tiny").status == 200 and blobs(store) == before
    assert delete(server, "broken").status == 200 and not broken.parent.exists()


def age(path):
    os.utime(path, (time.time() - 7200, time.time() - 7200))


def test_what_is_old_and_unused_goes_at_start(tmp_path, start):
    store = tiny_store(tmp_path / "store")
    for p in (store / "blobs").iterdir():
        age(p)
    old, young = store / "blobs" / ("sha256-" + "1" * 64), store / "blobs" / ("sha256-" + "2" * 64)
    kept = blobs(store)
    partial = store / "blobs" / ("sha256-" + "3" * 64 + "-partial")
    for p in (old, young, partial):
        p.write_bytes(b"x")
    age(old)
    age(partial)
    server = start(store, OLLAMA_NOPRUNE="1")
    assert server.stop() == 0 and old.exists()
    start(store)
    until(lambda: not old.exists() and not partial.exists(), "what is old goes")
    assert young.exists() and kept & referenced(store) <= blobs(store)


def referenced(store):
    found = set()
    for path in (store / "manifests").rglob("*"):
        if path.is_file() and not path.name.startswith("."):
            m = json.loads(path.read_bytes())
            found |= {layer["digest"].replace(":", "-") for layer in [m["config"], *m["layers"]]}
    return found


# ---- Several at once ----


def worker(server, seed, seconds, failures):
    """Creates, copies, deletes and uploads at random. Only such answers are right that some order of events explains."""
    rng = random.Random(seed)
    end = time.monotonic() + seconds
    mine = ["m%d" % i for i in range(4)]
    while time.monotonic() < end:
        name, other = rng.choice(mine), rng.choice(mine)
        what = rng.randrange(5)
        if what == 0:
            reply = server.post("/api/create", {"model": name, "from": rng.choice(["plain", other]), "system": "s%d" % rng.randrange(6), "stream": False})
            allowed = (200, 500)  # 500: the base went meanwhile, and no registry has it
        elif what == 1:
            reply, allowed = server.post("/api/copy", {"source": other, "destination": name}), (200, 404)
        elif what == 2:
            reply, allowed = delete(server, name), (200, 404)
        elif what == 3:
            data = b"s%d" % rng.randrange(6)
            reply, allowed = server.post("/api/blobs/" + digest(data), data), (200, 201)
        else:
            reply, allowed = server.post("/api/show", {"model": "plain"}), (200,)
        if reply.status not in allowed:
            failures.append((what, reply.status, reply.text))


def test_two_servers_on_one_store_do_no_harm(tmp_path, start):
    store = tiny_store(tmp_path / "store")
    (store / "manifests/registry.ollama.ai/library/bertie/latest").unlink()  # its weights are not there
    env = {"HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}  # a missing base is asked for nowhere
    servers = [start(store, **env), start(store, **env)]
    failures, stop = [], threading.Event()

    def prune():
        while not stop.is_set():
            done = subprocess.run([PROGRAM, "prune", "--all"], env=clean_env(tmp_path, OLLAMA_MODELS=str(store)), capture_output=True, check=False, timeout=60)
            if done.returncode != 0:
                failures.append(done.stderr)

    threads = [threading.Thread(target=worker, args=(servers[i % 2], i, 6, failures)) for i in range(4)]
    pruner = threading.Thread(target=prune)
    for t in [*threads, pruner]:
        t.start()
    for t in threads:
        t.join(600)
    stop.set()
    pruner.join(600)
    assert not failures, failures[:5]
    for name in referenced(store):
        data = (store / "blobs" / name).read_bytes()
        assert name == "sha256-10a125641738227b3df10ab02e7136af9e1a998ab95735bbef7845162c55baaa" or digest(data) == name.replace("-", ":")
    done = subprocess.run([PROGRAM, "prune", "--all"], env=clean_env(tmp_path, OLLAMA_MODELS=str(store)), capture_output=True, check=False, timeout=60)
    assert done.returncode == 0 and blobs(store) == referenced(store)
    assert names(servers[0]) == names(servers[1]) >= {"plain:latest"}
