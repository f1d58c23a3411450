# SPDX-License-Identifier: MIT
"""What a client calls a model, a blob or a file never leaves the store's directory, and never names a file of the server."""
import gzip
import hashlib
import json
import os
import random
import socket
import subprocess
import urllib.parse

import pytest

from served import DATA, PROGRAM, clean_env, tiny_store

SECRET = "tell-nobody-" + "s" * 40
NASTY = ["..", ".", "", "/", "//", "../victim", "../../victim", "a/../../victim", "a/b/../victim", "./victim", "/etc/passwd", "victim/..", "..\\victim", "C:\\victim",
         "%2e%2e/victim", "%2e%2e%2fvictim", "..%2fvictim", "%252e%252e%252fvictim", "..%c0%afvictim", "\u2025/victim", "\uff0e\uff0e/victim", "\u2215etc\u2215passwd",
         "tiny\0", "tiny\0/../victim", "~/victim", "~root", "$HOME/victim", "file:///etc/passwd", "victim\n", "-victim", ".victim", "tiny:..", "tiny:../x", "tiny:a/../../x",
         "..:latest", "a/..:b", "../b:c", "registry.ollama.ai/../x/y:z", "x/../../y:z", "h:1/../y", "../manifests/x/y/z", "a" * 5000]


@pytest.fixture
def place(tmp_path, start):
    """A server whose working directory and the store's neighbours hold what nobody may reach."""
    outside = tmp_path / "outside"
    outside.mkdir()
    for path in (tmp_path / "victim", outside / "victim", outside / "secret.txt"):
        path.write_text(SECRET)
    model = gzip.decompress((DATA / "tiny" / "llama.gguf.gz").read_bytes())
    (outside / "outside.gguf").write_bytes(model)
    store = tiny_store(tmp_path / "store")
    server = start(store)
    server.store, server.outside, server.home = store, outside, tmp_path
    return server


def tree(server):
    """Everything around the store, with contents."""
    return {p: p.read_bytes() for p in server.home.rglob("*") if p.is_file() and server.store not in p.parents and p != server.log}


def names(server):
    return {m["name"] for m in json.loads(server.call("GET", "/api/tags").text)["models"]}


def ask_everything(server, name):
    """Each request that takes a name; their answers."""
    yield server.post("/api/show", {"model": name})
    yield server.post("/api/generate", {"model": name, "prompt": "x", "stream": False})
    yield server.post("/api/chat", {"model": name, "messages": [], "stream": False})
    yield server.post("/v1/chat/completions", {"model": name, "messages": [{"role": "user", "content": "x"}]})
    yield server.post("/api/copy", {"source": name, "destination": "copied"})
    yield server.post("/api/copy", {"source": "tiny", "destination": name})
    yield server.call("DELETE", "/api/delete", {"model": name})
    yield server.post("/api/create", {"model": name, "from": "tiny", "stream": False})
    yield server.post("/api/pull", {"model": name, "insecure": True, "stream": False})
    yield server.post("/api/push", {"model": name, "insecure": True, "stream": False})
    yield server.call("GET", "/v1/models/" + urllib.parse.quote(name[:2000], safe="/%"))


def test_names_never_leave_the_store(place):
    before, models = tree(place), names(place)
    for name in NASTY:
        for reply in ask_everything(place, name):
            assert 300 <= reply.status < 500 and SECRET not in reply.text, (name, reply.status, reply.text)
    assert tree(place) == before and names(place) == models


def test_drawn_names_never_leave_the_store(place):
    """Pieces that have a meaning for paths, put together at random: no name that is taken is a path elsewhere."""
    pieces = ["..", ".", "/", "//", ":", "a", "b.c", "-", "_", "%2e", "%2f", "\\", "~", " ", "\0", "\u00e9", "@", "latest", "http://", "h:1"]
    draw = random.Random(5)
    before = tree(place)
    for _ in range(300):
        name = "".join(draw.choice(pieces) for _ in range(draw.randint(1, 7)))
        assert place.post("/api/copy", {"source": "tiny", "destination": name}).status in (200, 400)
        assert SECRET not in place.post("/api/show", {"model": name}).text
    assert tree(place) == before
    for path in (place.store / "manifests").rglob("*"):
        parts = path.relative_to(place.store / "manifests").parts
        assert len(parts) <= 4 and not any(part.startswith((".", "-")) for part in parts), parts


def test_digests_never_leave_the_store(place):
    before = tree(place)
    hexes = ["0" * 63, "0" * 65, "g" * 64, "../" * 21 + "x", "0" * 61 + "/..", "0" * 63 + "\0", "\uff10" * 64]
    digests = ["sha256:" + h for h in hexes] + ["sha256-" + h for h in hexes] + ["sha512:" + "0" * 64, "", "..", "../../victim", "sha256:", "SHA256:" + "0" * 64]
    for digest in digests:
        for path in {"/api/blobs/" + urllib.parse.quote(digest), "/api/blobs/" + urllib.parse.quote(digest, safe="")}:
            assert place.call("HEAD", path).status in (400, 404)
            assert place.call("POST", path, SECRET.encode()).status in (400, 404, 405), path
        reply = place.post("/api/create", {"model": "made", "files": {"x.gguf": digest}, "stream": False})
        assert reply.status >= 400 and SECRET not in reply.text
    assert tree(place) == before and "made:latest" not in names(place)
    assert all(p.name.startswith("sha256-") for p in (place.store / "blobs").iterdir())


def test_raw_targets_never_leave_the_store(place):
    """Clients' libraries tidy paths up; here nothing does."""
    for target in ("/api/blobs/../../victim", "/api/blobs/%2e%2e/%2e%2e/victim", "/api/blobs/..%2f..%2fvictim", "/../victim", "//victim", "/api/tags/../../victim", "/v1/models/../../../victim",
                   "/v1/models/%2e%2e%2f%2e%2e%2fvictim", "/api/blobs/sha256:%00", "/%00", "victim", "file:///etc/passwd", "/api/blobs/sha256:" + "0" * 64 + "/../../../victim"):
        for method in ("GET", "HEAD", "POST", "DELETE"):
            with socket.create_connection(("127.0.0.1", place.port), 120) as s:
                s.sendall(("%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % (method, target)).encode())
                text = b""
                while piece := s.recv(65536):
                    text += piece
            assert text.startswith((b"HTTP/1.1 40", b"HTTP/1.1 30")) and SECRET.encode() not in text, (method, target, text)


def test_from_of_a_client_never_reads_a_file_of_the_server(place):
    before, models = tree(place), names(place)
    gguf = str(place.outside / "outside.gguf")
    for path in (gguf, "./outside.gguf", "../outside/outside.gguf", os.path.relpath(gguf), "file://" + gguf, "outside.gguf", str(place.outside), "/proc/self/environ",
                 str(place.outside / "secret.txt"), str(place.store / "blobs" / sorted(os.listdir(place.store / "blobs"))[0])):
        for body in ({"from": path}, {"files": {path: "sha256:" + hashlib.sha256((place.outside / "outside.gguf").read_bytes() + b"x").hexdigest()}},
                     {"modelfile": "FROM " + path}, {"from": "tiny", "adapters": {path: "sha256:" + "0" * 64}}):
            reply = place.post("/api/create", {"model": "made", "stream": False, "insecure": True, **body})
            assert reply.status >= 400 and SECRET not in reply.text, (body, reply.status, reply.text)
    assert tree(place) == before and names(place) == models


def test_texts_of_a_model_are_texts_and_no_paths(place):
    secret = str(place.outside / "secret.txt")
    for text in (secret, "@" + secret, "file://" + secret):
        reply = place.post("/api/create", {"model": "made", "from": "tiny", "system": text, "template": text, "license": text, "stream": False})
        assert reply.status == 200
        shown = place.post("/api/show", {"model": "made"}).text
        assert SECRET not in shown and json.loads(shown)["system"] == text


def manifest_of(server, name):
    return server.store / "manifests/registry.ollama.ai/library" / name / "latest"


def test_a_manifest_cannot_point_out_of_the_store(place):
    good = json.loads(manifest_of(place, "plain").read_text())
    for digest in ("sha256:../../../outside/secret.txt", "../../outside/secret.txt", "sha256-" + "../" * 21 + "x", "/etc/passwd", "sha256:" + "0" * 63 + "/"):
        for kind in ("config", "layers"):
            bad = json.loads(json.dumps(good))
            (bad["config"] if kind == "config" else bad["layers"][0])["digest"] = digest
            manifest_of(place, "bad").parent.mkdir(exist_ok=True)
            manifest_of(place, "bad").write_text(json.dumps(bad))
            for reply in (place.post("/api/show", {"model": "bad"}), place.post("/api/generate", {"model": "bad", "prompt": "x", "stream": False}), place.call("GET", "/api/tags")):
                assert SECRET not in reply.text
            assert place.post("/api/generate", {"model": "bad", "prompt": "x", "stream": False}).status >= 400
            before = tree(place)
            place.call("DELETE", "/api/delete", {"model": "bad"})
            assert tree(place) == before


def test_links_in_the_store_are_their_owners_and_deleting_never_follows_one(place):
    """A person may lay blobs on another disk; no client can make a link, and what one points to is never deleted."""
    layer = next(la for la in json.loads(manifest_of(place, "tiny").read_text())["layers"] if la["mediaType"].endswith("system"))
    blob = place.store / "blobs" / layer["digest"].replace(":", "-")
    moved = place.outside / "moved"
    blob.rename(moved)
    blob.symlink_to(moved)
    assert place.post("/api/show", {"model": "tiny"}).status == 200
    for name in names(place):
        place.call("DELETE", "/api/delete", {"model": name})
    assert moved.exists()


def test_an_archive_cannot_write_out_of_the_store(tmp_path):
    import io
    import tarfile
    store = tiny_store(tmp_path / "store")
    (tmp_path / "victim").write_text(SECRET)
    for name, kind in (("../victim", tarfile.REGTYPE), ("/tmp/drover-victim", tarfile.REGTYPE), ("blobs/../../victim", tarfile.REGTYPE), ("blobs/sha256-" + "0" * 64, tarfile.SYMTYPE),
                       ("manifests/a/b/c/../../../../../victim", tarfile.REGTYPE), ("blobs/x", tarfile.LNKTYPE)):
        archive = tmp_path / "evil.tar"
        with tarfile.open(archive, "w") as tar:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "../../victim"
            data = b"" if kind != tarfile.REGTYPE else b"overwritten"
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        done = subprocess.run([PROGRAM, "import", str(archive)], env=clean_env(tmp_path, OLLAMA_MODELS=str(store)), capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1 and done.stderr.startswith("Error: "), (name, done.stderr)
        assert (tmp_path / "victim").read_text() == SECRET and not os.path.exists("/tmp/drover-victim")
        assert not [p for p in store.rglob("*") if p.is_symlink()]
