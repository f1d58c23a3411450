# SPDX-License-Identifier: MIT
"""Pull and push against a real registry, with faults between. The models here are bytes of no meaning: a registry and a store do not care."""
import base64
import gzip
import hashlib
import json
import os
import pathlib
import random
import signal
import subprocess
import threading

import pytest

from crowd import until
from registry import Proxy, Registry, Storage
from scrape import scrape
from served import DATA, Server

MIB = 1 << 20
WEIGHTS = 40 * MIB + 12345  # three parts


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def blob_file(store, name):
    return pathlib.Path(store) / "blobs" / name.replace(":", "-")


def manifest_file(store, name):
    host, namespace, model = name.split("/")
    model, tag = model.split(":") if ":" in model else (model, "latest")
    return pathlib.Path(store) / "manifests" / host / namespace / model / tag


def put_model(store, name, parts):
    """A model made of `parts` (kind, bytes) in a store's directory. Its digests."""
    (store / "blobs").mkdir(parents=True, exist_ok=True)
    config = b'{"model_format":"gguf","model_family":"llama","model_families":["llama"],"model_type":"1K","file_type":"F32","architecture":"amd64","os":"linux"}\n'
    layers = []
    for kind, data in [("", config), *parts]:
        blob_file(store, digest(data)).write_bytes(data)
        layers.append({"mediaType": "application/vnd.ollama.image." + kind, "digest": digest(data), "size": len(data)})
    layers[0]["mediaType"] = "application/vnd.docker.container.image.v1+json"
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json", "config": layers[0], "layers": layers[1:]}
    path = manifest_file(store, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(json.dumps(manifest).encode() + b"\n")
    return [layer["digest"] for layer in layers]


def lines_of(reply):
    return [json.loads(line) for line in reply.text.splitlines()]


def assert_whole(store, name):
    manifest = json.loads(manifest_file(store, name).read_bytes())
    for layer in [manifest["config"], *manifest["layers"]]:
        data = blob_file(store, layer["digest"]).read_bytes()
        assert len(data) == layer["size"] and digest(data) == layer["digest"]


def no_rest(store):
    return [p.name for p in (store / "blobs").iterdir() if "partial" in p.name or "drover" in p.name] == []


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    r = Registry(tmp_path_factory.mktemp("registry"))
    yield r
    r.stop()


@pytest.fixture(scope="module")
def big(registry, tmp_path_factory):
    """A model of 40 MiB, pushed to the registry: name without host, weights' digest."""
    home = tmp_path_factory.mktemp("big")
    weights = random.Random(7).randbytes(WEIGHTS)
    name = "127.0.0.1:%d/library/big" % registry.port
    digests = put_model(home / "store", name, [("model", weights), ("template", b"{{ .Prompt }}"), ("license", b"free")])
    server = Server(home, home / "store")
    reply = server.post("/api/push", {"model": name, "insecure": True})
    assert lines_of(reply)[-1] == {"status": "success"}, reply.text
    assert server.stop() == 0
    return {"digests": digests, "weights": digests[1], "store": home / "store", "name": name}


@pytest.fixture
def proxy(registry):
    p = Proxy(registry.port)
    yield p
    p.stop()


@pytest.fixture
def empty(tmp_path, start):
    """A server with an empty store: (server, store)."""
    return start(tmp_path / "store"), tmp_path / "store"


def is_blob_get(h, digest_text):
    return h.command == "GET" and h.path.endswith("/blobs/" + digest_text)


def once(rule):
    """Only the first time it says anything."""
    used = []

    def call(h):
        if used:
            return None
        do = rule(h)
        if do:
            used.append(1)
        return do

    return call


def pull(server, name, **more):
    return lines_of(server.post("/api/pull", {"model": name, "insecure": True, **more}))


# ---- The way it should go ----


def test_push_then_pull_gives_identical_blobs(big, proxy, empty):
    server, store = empty
    name = proxy.name("library/big")
    lines = pull(server, name)
    assert lines[0] == {"status": "pulling manifest"}
    assert [line["status"] for line in lines[-3:]] == ["verifying sha256 digest", "writing manifest", "success"]
    assert_whole(store, name)
    assert no_rest(store)
    assert manifest_file(store, name).read_bytes() == manifest_file(big["store"], big["name"]).read_bytes()
    about = [line for line in lines if line.get("digest") == big["weights"]]
    assert all(line["status"] == "pulling " + big["weights"][7:19] and line["total"] == WEIGHTS for line in about)
    done = [line.get("completed", 0) for line in about]
    assert done == sorted(done) and done[-1] == WEIGHTS
    ranges = {h["Range"] for m, p, h in proxy.requests if m == "GET" and p.endswith(big["weights"])}
    assert len(ranges) == 3, "parts are fetched beside each other"
    # again: nothing is fetched but the manifest, each layer is told once, complete
    proxy.reset()
    lines = pull(server, name)
    assert proxy.blob_bytes == 0 and lines[-1] == {"status": "success"}
    assert [line["completed"] for line in lines if line.get("digest") == big["weights"]] == [WEIGHTS]


def test_a_model_made_pushed_and_pulled_answers(registry, tmp_path, start):
    server = start(tmp_path / "a")
    name = "127.0.0.1:%d/me/tiny:v1" % registry.port
    weights = gzip.decompress((DATA / "tiny" / "llama.gguf.gz").read_bytes())
    assert server.post("/api/blobs/" + digest(weights), weights).status == 201
    created = server.post("/api/create", {"model": name, "files": {"tiny.gguf": digest(weights)}, "stream": False})
    assert (created.status, created.text) == (200, '{"status":"success"}')
    reply = server.post("/api/push", {"model": name, "insecure": True})
    lines = lines_of(reply)
    assert lines[0] == {"status": "retrieving manifest"} and lines[-2:] == [{"status": "pushing manifest"}, {"status": "success"}], lines
    assert any(li["status"].startswith("pushing ") and li.get("completed") == li.get("total") for li in lines if "digest" in li)
    other = start(tmp_path / "b")
    assert other.post("/api/pull", {"model": name, "insecure": True, "stream": False}).text == '{"status":"success"}'
    answer = other.post("/api/generate", {"model": name, "prompt": "Hi", "stream": False, "options": {"num_predict": 3}})
    assert answer.status == 200 and json.loads(answer.text)["done"]


def test_pull_of_what_is_not_there(proxy, empty):
    server, store = empty
    name = proxy.name("library/none")
    assert pull(server, name) == [{"status": "pulling manifest"}, {"error": "pull model manifest: file does not exist"}]
    reply = server.post("/api/pull", {"model": name, "insecure": True, "stream": False})
    assert (reply.status, reply.text) == (500, '{"error":"pull model manifest: file does not exist"}')
    reply = server.post("/api/pull", {"model": "http://" + name, "stream": False})
    assert reply.status == 400 and "insecure protocol http" in reply.text
    assert not (store / "manifests").exists()
    for path, body, status, text in [("/api/pull", {}, 400, "invalid model name"), ("/api/pull", {"model": "bad name"}, 400, "invalid model name"),
                                     ("/api/push", {}, 400, "model is required"), ("/api/push", {"model": "none", "stream": False}, 404, "model 'none' not found")]:
        reply = server.post(path, body)
        assert reply.status == status and json.loads(reply.text) == {"error": text}


def test_a_pull_replaces_a_model_and_removes_what_nobody_needs(big, registry, proxy, empty):
    server, store = empty
    name = proxy.name("library/big")
    old = put_model(store, name, [("model", b"old weights"), ("license", b"free")])
    keep = put_model(store, "registry.ollama.ai/library/other", [("template", b"old weights 2")])
    lines = pull(server, name)
    assert {"status": "removing unused layers"} in lines
    assert not blob_file(store, old[1]).exists()
    assert all(blob_file(store, d).exists() for d in keep + [old[2]])
    assert_whole(store, name)


# ---- Faults ----


def test_a_cut_part_goes_on_where_it_was(big, proxy, empty):
    server, store = empty
    proxy.rules = [once(lambda h: {"cut": 5 * MIB} if is_blob_get(h, big["weights"]) else None)]
    assert pull(server, proxy.name("library/big"))[-1] == {"status": "success"}
    assert_whole(store, proxy.name("library/big"))
    assert proxy.blob_bytes < WEIGHTS + 1 * MIB


def test_a_stalled_part_is_started_again(big, proxy, tmp_path, start):
    server, store = start(tmp_path / "store", DROVER_PULL_STALL="3s"), tmp_path / "store"
    proxy.rules = [once(lambda h: {"stall": 3 * MIB} if is_blob_get(h, big["weights"]) else None)]
    assert pull(server, proxy.name("library/big"))[-1] == {"status": "success"}
    assert_whole(store, proxy.name("library/big"))
    assert proxy.count("GET", big["weights"]) >= 4  # more where the machine stalls, too
    assert proxy.blob_bytes < WEIGHTS + 1 * MIB


def test_a_failing_server_is_asked_again(big, proxy, empty):
    server, store = empty
    proxy.rules = [once(lambda h: {"status": 503} if "/manifests/" in h.path else None), once(lambda h: {"status": 500} if is_blob_get(h, big["weights"]) else None)]
    assert pull(server, proxy.name("library/big"))[-1] == {"status": "success"}
    assert_whole(store, proxy.name("library/big"))


def test_wrong_bytes_never_become_a_blob(big, proxy, empty):
    server, store = empty
    name = proxy.name("library/big")
    proxy.rules = [lambda h: {"change": True} if is_blob_get(h, big["weights"]) else None]
    lines = pull(server, name)
    assert lines[-1]["error"].startswith("digest mismatch, file must be downloaded again: want %s, got sha256:" % big["weights"])
    assert not manifest_file(store, name).exists() and not blob_file(store, big["weights"]).exists()
    proxy.rules = []
    assert pull(server, name)[-1] == {"status": "success"}
    assert_whole(store, name)


def test_a_broken_blob_is_loaded_again(big, proxy, empty):
    server, store = empty
    name = proxy.name("library/big")
    pull(server, name)
    with open(blob_file(store, big["weights"]), "r+b") as f:
        f.truncate(1000)
    assert pull(server, name)[-1] == {"status": "success"}
    assert_whole(store, name)
    assert no_rest(store)


def test_a_registry_that_gives_no_token_is_named(big, proxy, empty):
    server, store = empty
    proxy.rules = [lambda h: {"status": 401}]
    assert pull(server, proxy.name("library/big"))[-1] == {"error": "pull model manifest: unauthorized: access denied"}
    proxy.rules = [lambda h: {"status": 401, "headers": {"WWW-Authenticate": 'Bearer realm="http://elsewhere.example/token",service="s"'}}]
    assert "names another host for tokens" in pull(server, proxy.name("library/big"))[-1]["error"]


def check_signature(header, url):
    public, signature = (base64.b64decode(part) for part in header.split(":"))
    assert public[:19] == b"\0\0\0\x0bssh-ed25519\0\0\0\x20" and len(public) == 51 and len(signature) == 64
    text = b"GET,%s,%s" % (url.encode(), base64.b64encode(hashlib.sha256(b"").hexdigest().encode()))
    return public[19:], signature, text


def verifies(tmp_path, public, signature, text):
    der, sig, data = tmp_path / "key.der", tmp_path / "sig", tmp_path / "data"
    der.write_bytes(bytes.fromhex("302a300506032b6570032100") + public)
    sig.write_bytes(signature)
    data.write_bytes(text)
    done = subprocess.run(["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", der, "-rawin", "-in", data, "-sigfile", sig],
                          capture_output=True, check=False, timeout=300)
    return done.returncode == 0


def test_a_token_is_asked_for_with_a_signature(big, proxy, empty, tmp_path):
    server, store = empty
    realm = "http://127.0.0.1:%d/token" % proxy.port
    asked = []

    def guard(h):
        if h.path.startswith("/token"):
            asked.append((h.path, h.headers["Authorization"]))
            return {"status": 200, "body": b'{"token":"T%d"}' % len(asked), "headers": {"Content-Type": "application/json"}}
        if h.headers.get("Authorization", "").startswith("Bearer T"):
            return None
        challenge = 'Bearer realm="%s",service="reg",scope="repository:library/big:pull push"' % realm
        return {"status": 401, "headers": {"WWW-Authenticate": challenge}}

    proxy.rules = [guard]
    assert pull(server, proxy.name("library/big"))[-1] == {"status": "success"}
    assert_whole(store, proxy.name("library/big"))
    path, header = asked[0]
    assert path.startswith("/token?service=reg&scope=repository%3Alibrary%2Fbig%3Apull&scope=push&ts=") and "&nonce=" in path
    assert len(asked) == 1, "one token for all"
    assert verifies(tmp_path, *check_signature(header, "http://127.0.0.1:%d%s" % (proxy.port, path)))
    key = tmp_path / ".ollama" / "id_ed25519"
    assert key.stat().st_mode & 0o777 == 0o600
    done = subprocess.run(["ssh-keygen", "-y", "-f", key], capture_output=True, check=False) if os.path.exists("/usr/bin/ssh-keygen") else None
    if done:
        assert done.stdout.split()[:2] == (tmp_path / ".ollama" / "id_ed25519.pub").read_bytes().split()[:2]


def test_blobs_may_lie_elsewhere(big, registry, proxy, empty):
    server, store = empty

    def redirect(h):
        if h.command == "GET" and "/blobs/" in h.path:
            return {"status": 307, "headers": {"Location": "http://127.0.0.1:%d%s" % (registry.port, h.path)}}
        return None

    proxy.rules = [redirect]
    assert pull(server, proxy.name("library/big"))[-1] == {"status": "success"}
    assert_whole(store, proxy.name("library/big"))
    assert proxy.blob_bytes == 0


def test_a_registry_without_ranges(big, proxy, empty):
    server, store = empty

    def without_range(h):
        if "Range" in h.headers:
            del h.headers["Range"]

    proxy.rules = [without_range]
    assert pull(server, proxy.name("library/big"))[-1] == {"status": "success"}
    assert_whole(store, proxy.name("library/big"))


# ---- Ends before the end ----


def slowly(h):
    return {"pause": 0.02} if "/blobs/" in h.path else None


def held_at(n):
    """A pull comes so far, and waits there until the proxy is opened."""
    return lambda h: {"hold": n} if "/blobs/" in h.path else None


def completed(store):
    """Bytes that a store has noted as here, of a blob that is on its way."""
    try:
        return sum(json.loads(p.read_bytes())["Completed"] for p in (store / "blobs").glob("*-partial-*"))
    except ValueError:  # read while it was written
        return 0


def start_pull(server, name):
    connection = server.connect()
    connection.request("POST", "/api/pull", json.dumps({"model": name, "insecure": True}))
    return connection


def test_kill_9_and_resume_fetches_only_what_is_missing(big, proxy, tmp_path, start):
    store = tmp_path / "store"
    name = proxy.name("library/big")
    (tmp_path / "victim").mkdir()
    victim = Server(tmp_path / "victim", store)
    proxy.rules = [held_at(20 * MIB)]
    connection = start_pull(victim, name)
    until(lambda: completed(store) > 10 * MIB, "some of it is here")
    victim.process.send_signal(signal.SIGKILL)
    victim.process.wait(300)
    connection.close()
    assert not manifest_file(store, name).exists() and not blob_file(store, big["weights"]).exists()
    parts = sorted((store / "blobs").glob("*-partial-*"))
    kept = [json.loads(p.read_bytes()) for p in parts]
    assert [sorted(k) for k in kept] == [["Completed", "N", "Offset", "Size"]] * 3
    assert sum(k["Size"] for k in kept) == WEIGHTS
    done = sum(k["Completed"] for k in kept)
    assert done > 10 * MIB
    proxy.reset()
    server = start(store)
    lines = pull(server, name)
    assert lines[-1] == {"status": "success"}
    assert_whole(store, name)
    assert no_rest(store)
    assert proxy.blob_bytes < WEIGHTS - done + (256 << 10)
    first = next(line for line in lines if line.get("digest") == big["weights"] and line.get("completed"))
    assert first["completed"] >= done, "it begins where it was"


def test_a_client_that_leaves_stops_its_pull(big, proxy, empty):
    server, store = empty
    proxy.rules = [held_at(2 * MIB)]
    connection = start_pull(server, proxy.name("library/big"))
    until(lambda: proxy.blob_bytes >= 2 * MIB, "it has begun")
    connection.close()
    until(proxy.is_idle, "nobody fetches it")
    assert proxy.blob_bytes < WEIGHTS
    assert not manifest_file(store, proxy.name("library/big")).exists()
    proxy.reset()
    assert pull(server, proxy.name("library/big"))[-1] == {"status": "success"}
    assert_whole(store, proxy.name("library/big"))


def test_two_pulls_of_one_blob_load_it_once_and_survive_each_other(big, proxy, empty):
    server, store = empty
    name = proxy.name("library/big")
    proxy.rules = [held_at(2 * MIB)]
    first = start_pull(server, name)
    until(lambda: proxy.blob_bytes >= 2 * MIB, "it has begun")
    second = start_pull(server, name)
    reply = second.getresponse()
    while json.loads(reply.readline()).get("digest") != big["weights"]:
        pass  # from here on it waits for the same bytes
    first.close()
    until(lambda: scrape(server).get_one("drover_http_connections") <= 2, "the first has left")  # the second, and who looks
    proxy.opened.set()  # the other one goes on
    assert json.loads(reply.read().splitlines()[-1]) == {"status": "success"}
    second.close()
    assert_whole(store, name)
    assert proxy.blob_bytes < WEIGHTS + 1 * MIB


def test_two_servers_pull_into_one_store(big, proxy, tmp_path, start):
    store = tmp_path / "store"
    name = proxy.name("library/big")
    servers = [start(store), start(store)]
    proxy.rules = [slowly]
    got = [[], []]
    threads = [threading.Thread(target=lambda i=i: got[i].extend(pull(servers[i], name))) for i in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(600)
    assert got[0][-1] == got[1][-1] == {"status": "success"}
    assert_whole(store, name)
    assert no_rest(store)
    assert proxy.blob_bytes < WEIGHTS + 1 * MIB


def test_a_server_that_stops_ends_its_pulls(big, proxy, tmp_path, start):
    server = start(tmp_path / "store", DROVER_DRAIN_TIMEOUT="0")
    proxy.rules = [held_at(2 * MIB)]
    connection = start_pull(server, proxy.name("library/big"))
    until(lambda: proxy.blob_bytes >= 2 * MIB, "it has begun")
    assert server.stop() == 0
    assert b'"error"' in connection.getresponse().read().splitlines()[-1]


def test_a_full_disk_is_told_before(big, proxy, tmp_path, start):
    small = tmp_path / "small"
    small.mkdir()
    if os.getuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", small], check=False, capture_output=True).returncode != 0:
        pytest.skip("a small file system needs root")
    try:
        server = start(small / "store")
        lines = pull(server, proxy.name("library/big"))
        assert "not enough disk space in %s" % small in lines[-1]["error"] and " MB needed, " in lines[-1]["error"]
        assert proxy.count("GET", "/blobs/") == 0
        assert not list((small / "store").glob("blobs/*"))
        assert server.stop() == 0
    finally:
        subprocess.run(["umount", small], check=True)


# ---- Push ----


def test_push_goes_on_after_a_cut_and_a_refusal(proxy, tmp_path, start):
    store = tmp_path / "store"
    name = proxy.name("library/pushed")
    put_model(store, name, [("model", random.Random(9).randbytes(3 * MIB))])
    server = start(store)
    proxy.rules = [once(lambda h: {"cut_upload": 1 * MIB} if h.command == "PATCH" and int(h.headers["Content-Length"]) > MIB else None),
                   once(lambda h: {"status": 502} if h.command == "PUT" and "/manifests/" not in h.path else None)]
    lines = lines_of(server.post("/api/push", {"model": name, "insecure": True}))
    assert lines[-1] == {"status": "success"}, lines
    other = start(tmp_path / "other")
    proxy.reset()
    assert pull(other, name)[-1] == {"status": "success"}
    assert_whole(tmp_path / "other", name)
    # a second push sends no blob
    proxy.reset()
    assert lines_of(server.post("/api/push", {"model": name, "insecure": True}))[-1] == {"status": "success"}
    assert proxy.count("PATCH", ".") == 0 and proxy.count("PUT", "/manifests/") == 1


def test_push_is_redirected_to_a_storage(proxy, tmp_path, start):
    """307 to each part: it is put there without the registry's token; the end tells the checksum of the parts."""
    store = tmp_path / "store"
    name = proxy.name("library/redirected")
    weights = random.Random(11).randbytes(MIB + 5)
    put_model(store, name, [("model", weights)])
    storage = Storage(proxy)
    proxy.rules = [once(lambda h: {"status": 503} if h.path.startswith("/storage/") and int(h.headers["Content-Length"]) > MIB else None), storage.rule]
    lines = lines_of(start(store).post("/api/push", {"model": name, "insecure": True}))
    assert lines[-1] == {"status": "success"}, lines
    sent = [headers for method, path, headers in proxy.requests if method == "PUT" and path.startswith("/storage/")]
    assert len(sent) == 3 and not any("Authorization" in headers for headers in sent)  # the weights twice, and the config
    checksum = hashlib.md5(hashlib.md5(weights).digest()).hexdigest() + "-1"
    assert any(method == "PUT" and path.endswith("&etag=" + checksum) for method, path, _ in proxy.requests)
    proxy.reset()
    assert pull(start(tmp_path / "other"), name)[-1] == {"status": "success"}
    assert_whole(tmp_path / "other", name)


def test_a_model_without_a_config_is_not_pushed(proxy, tmp_path, start):
    name = proxy.name("library/bare")
    put_model(tmp_path / "store", name, [("model", b"weights")])
    path = manifest_file(tmp_path / "store", name)
    manifest = json.loads(path.read_bytes())
    del manifest["config"]
    path.write_text(json.dumps(manifest))
    server = start(tmp_path / "store")
    assert "without a config" in server.post("/api/push", {"model": name, "insecure": True}).text
    assert server.call("GET", "/api/version").status == 200


def test_push_tells_why_it_was_refused(proxy, tmp_path, start):
    store = tmp_path / "store"
    name = proxy.name("library/refused")
    put_model(store, name, [("license", b"mine")])
    proxy.rules = [lambda h: {"status": 403, "body": b"no"} if h.command == "POST" else None]
    reply = lines_of(start(store).post("/api/push", {"model": name, "insecure": True}))
    assert reply[-1] == {"error": "starting an upload: 403: no"}
