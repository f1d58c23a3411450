# SPDX-License-Identifier: MIT
"""API keys, the refusal to listen openly without them, and the read-only mode."""
import hashlib
import json
import os
import signal
import socket
import subprocess
import time

import pytest

from crowd import until
from served import PROGRAM, Server, clean_env, free_port, tiny_store

ASK = {"model": "plain", "prompt": "Hi", "stream": False, "options": {"num_predict": 3, "seed": 1}}
CHAT = {"model": "plain", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3}
BLOB = b"some bytes"
BLOB_PATH = "/api/blobs/sha256:" + hashlib.sha256(BLOB).hexdigest()
MANAGEMENT = [("POST", "/api/pull", {"model": "127.0.0.1:1/x/y", "stream": False}), ("POST", "/api/push", {"model": "127.0.0.1:1/x/y", "stream": False}),
              ("POST", "/api/create", {"model": "made", "from": "plain", "stream": False}), ("POST", "/api/copy", {"source": "plain", "destination": "copied"}),
              ("DELETE", "/api/delete", {"model": "absent"}), ("POST", BLOB_PATH, BLOB), ("HEAD", BLOB_PATH, None)]


def drover(home, *args, **env):
    return subprocess.run([PROGRAM, *args], env=clean_env(home, **env), capture_output=True, text=True, timeout=300, check=False)


def new_key(home, file, *args):
    done = drover(home, "key", "new", "--file", str(file), *args)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def bearer(key):
    return {"Authorization": "Bearer " + key}


class Keyed(Server):
    def call(self, method, path, body=None, headers=None):
        return super().call(method, path, body, getattr(self, "headers", None) if headers is None else headers)

    def answers(self):
        return self.call("GET", "/health").status == 200


@pytest.fixture
def keyed(tmp_path):
    """A server with keys: .admin, .alice and .bob are keys; .file their file."""
    servers = []

    def call(*args, **env):
        file = tmp_path / "keys"
        admin = new_key(tmp_path, file, "--role", "admin", "--name", "root")
        alice, bob = (new_key(tmp_path, file, "--name", name) for name in ("alice", "bob"))
        server = Keyed(tmp_path, tiny_store(tmp_path / "store"), *args, DROVER_API_KEYS=str(file), OLLAMA_DEBUG="2", **env)
        server.file, server.admin, server.alice, server.bob = file, admin, alice, bob
        servers.append(server)
        return server

    yield call
    for s in servers:
        assert s.stop() == 0, s.log.read_text()[-4000:]


def wait_for_log(server, text, n=1):
    until(lambda: server.log.read_text().count(text) >= n, text)


def test_key_new_shows_the_key_once_and_a_line_with_its_hash(tmp_path):
    done = drover(tmp_path, "key", "new", "--role", "admin", "--name", "root")
    key, line = done.stdout.splitlines()
    assert done.returncode == 0 and line == "root admin sha256:" + hashlib.sha256(key.encode()).hexdigest()
    file = tmp_path / "keys"
    first, second = new_key(tmp_path, file), new_key(tmp_path, file, "--name", "b")
    assert [line.split()[:2] for line in file.read_text().splitlines()] == [["default", "infer"], ["b", "infer"]]
    assert first not in file.read_text() and second not in file.read_text()
    for args in (["old"], ["new", "--role", "root"], ["new", "--name", "a b"], ["new", "--name", ""], []):
        assert drover(tmp_path, "key", *args).returncode == 2


def test_without_a_key_401_in_each_dialect(keyed):
    server = keyed()
    for headers in ({}, bearer("drover_wrong"), {"x-api-key": "drover_wrong"}, {"Authorization": "Basic eDp5"}):
        for method, path, body in [("POST", "/api/generate", ASK), ("GET", "/api/tags", None), ("GET", "/api/version", None), ("GET", "/metrics", None), *MANAGEMENT]:
            reply = server.call(method, path, body, headers)
            assert reply.status == 401 and reply.headers["WWW-Authenticate"].startswith("Bearer "), (path, reply.text)
            assert method == "HEAD" or list(json.loads(reply.text)) == ["error"] and isinstance(json.loads(reply.text)["error"], str)
        reply = server.call("POST", "/v1/chat/completions", CHAT, headers)
        error = json.loads(reply.text)["error"]
        assert reply.status == 401 and error["type"] == "invalid_request_error" and error["code"] == "invalid_api_key"
        assert reply.headers["WWW-Authenticate"].startswith("Bearer ")
        assert server.call("GET", "/v1/models", None, headers).status == 401
    for path in ("/", "/health", "/health/live", "/health/ready", "/health/capacity"):
        assert server.call("GET", path, None, {}).status == 200
    assert server.call("GET", "/nowhere", None, {}).status == 404


def test_a_key_is_taken_as_bearer_and_as_x_api_key(keyed):
    server = keyed()
    for headers in (bearer(server.alice), {"Authorization": "bearer " + server.alice}, {"x-api-key": server.alice}, {"X-API-Key": server.admin}):
        assert server.call("POST", "/api/generate", ASK, headers).status == 200
        assert server.call("POST", "/v1/chat/completions", CHAT, headers).status == 200
        assert server.call("GET", "/api/tags", None, headers).status == 200
    connection = server.connect()
    connection.putrequest("GET", "/api/tags")
    connection.putheader("x-api-key", server.alice)
    connection.putheader("x-api-key", server.bob)
    connection.endheaders()
    assert connection.getresponse().status == 400, "two keys are ambiguous"


def test_management_takes_the_role_admin(keyed):
    server = keyed()
    for method, path, body in MANAGEMENT:
        reply = server.call(method, path, body, bearer(server.alice))
        assert reply.status == 403 and (method == "HEAD" or "admin" in json.loads(reply.text)["error"]), path
        assert server.call(method, path, body, bearer(server.admin)).status not in (401, 403), path


def test_a_body_is_refused_before_it_comes(keyed):
    server = keyed()
    connection = server.connect()
    connection.putrequest("POST", "/api/blobs/sha256:" + "0" * 64)
    connection.putheader("Content-Length", str(1 << 40))
    connection.endheaders()
    connection.send(b"x" * 1000)
    reply = connection.getresponse()
    assert reply.status == 401 and json.loads(reply.read())["error"]
    connection.close()


def test_the_name_of_the_key_is_the_client(keyed):
    server = keyed(DROVER_TRUSTED_PROXIES="127.0.0.1")
    server.call("POST", "/api/generate", ASK, {**bearer(server.alice), "X-Request-Id": "r-1", "X-Forwarded-For": "10.1.1.1"})
    server.headers = bearer(server.admin)
    server.wait_idle()
    assert json.loads(server.call("GET", "/api/requests/r-1").text)["client"] == "alice"
    log = server.log.read_text()
    assert "client=alice" in log
    for key in (server.alice, server.bob, server.admin):
        assert key not in log and hashlib.sha256(key.encode()).hexdigest() not in log


def test_a_key_sees_and_ends_only_its_own_requests(keyed):
    server = keyed()
    slow = {"model": "plain", "prompt": "Hi", "options": {"num_predict": 100000, "seed": 1}}
    held = []
    for i, key in enumerate((server.alice, server.bob)):
        connection = server.connect()
        connection.request("POST", "/api/generate", json.dumps(slow), {**bearer(key), "X-Request-Id": "slow-%d" % i})
        reply = connection.getresponse()
        reply.readline()
        held.append((connection, reply))

    def queue(key):
        return [r["id"] for r in json.loads(server.call("GET", "/api/queue", None, bearer(key)).text)["requests"]]

    seen = {key: queue(key) for key in (server.alice, server.bob, server.admin)}
    if len(seen[server.admin]) == 2:  # the tiny model may have come to its end
        assert seen[server.alice] == ["slow-0"] and seen[server.bob] == ["slow-1"]
    assert server.call("GET", "/api/requests/slow-0", None, bearer(server.alice)).status == 200
    for method in ("GET", "DELETE"):
        assert server.call(method, "/api/requests/slow-0", None, bearer(server.bob)).status == 404
    for connection, reply in held:
        reply.close()
        connection.close()
    server.headers = bearer(server.admin)
    server.wait_idle()
    for key, ids in ((server.alice, {"slow-0"}), (server.bob, {"slow-1"}), (server.admin, {"slow-0", "slow-1"})):
        assert {r["id"] for r in json.loads(server.call("GET", "/api/requests", None, bearer(key)).text)["requests"]} == ids


def test_the_limit_counts_what_the_key_may_see(keyed):
    server = keyed()
    for key, name in ((server.alice, "of-alice"), (server.bob, "first-of-bob"), (server.bob, "last-of-bob")):
        assert server.call("POST", "/api/generate", ASK, {**bearer(key), "X-Request-Id": name}).status == 200
    for key, name in ((server.alice, "of-alice"), (server.bob, "last-of-bob"), (server.admin, "last-of-bob")):
        listed = json.loads(server.call("GET", "/api/requests?limit=1", None, bearer(key)).text)["requests"]
        assert [r["id"] for r in listed] == [name]


def test_hup_reads_the_keys_again_all_or_nothing(keyed):
    server = keyed()
    new = new_key(server.file.parent, server.file, "--name", "carol")
    assert server.call("GET", "/api/tags", None, bearer(new)).status == 401, "not before SIGHUP"
    server.process.send_signal(signal.SIGHUP)
    wait_for_log(server, "API keys are asked for keys=4")
    assert server.call("GET", "/api/tags", None, bearer(new)).status == 200
    good = server.file.read_text()
    server.file.write_text("\n".join(good.splitlines()[3:]) + "\nbroken line\n")
    server.process.send_signal(signal.SIGHUP)
    wait_for_log(server, "the configuration stays as it was")
    for key in (server.admin, server.alice, new):
        assert server.call("GET", "/api/tags", None, bearer(key)).status == 200, "nothing changed"
    server.file.write_text("\n".join(line for line in good.splitlines() if not line.startswith("alice")))
    server.process.send_signal(signal.SIGHUP)
    wait_for_log(server, "API keys are asked for keys=3", 2)  # once at start
    assert server.call("GET", "/api/tags", None, bearer(server.alice)).status == 401
    server.file.unlink()
    server.process.send_signal(signal.SIGHUP)
    wait_for_log(server, "the configuration stays as it was", 2)
    assert server.call("GET", "/api/tags", None, bearer(server.bob)).status == 200
    assert server.call("GET", "/api/tags", None, {}).status == 401, "a file that is gone opens nothing"


def test_commands_send_a_key(tmp_path, keyed):
    server = keyed()
    address = {"OLLAMA_HOST": "127.0.0.1:%d" % server.port}
    done = drover(tmp_path, "list", **address)
    assert done.returncode == 1 and "API key" in done.stderr
    for name in ("OLLAMA_API_KEY", "DROVER_API_KEY"):
        done = drover(tmp_path, "list", **address, **{name: server.alice})
        assert done.returncode == 0 and "plain" in done.stdout and done.stderr == ""
    assert drover(tmp_path, "cp", "plain", "other", **address, OLLAMA_API_KEY=server.alice).returncode == 1
    assert drover(tmp_path, "cp", "plain", "other", **address, OLLAMA_API_KEY=server.admin).returncode == 0
    assert drover(tmp_path, "health", **address).returncode == 0
    done = drover(tmp_path, "serve", "--print-config", OLLAMA_API_KEY=server.alice)
    assert done.returncode == 0 and server.alice not in done.stdout and "(set)" in done.stdout


def test_clients_send_a_key(keyed):
    ollama, openai = pytest.importorskip("ollama"), pytest.importorskip("openai")
    server = keyed()
    client = ollama.Client(server.url, headers=bearer(server.alice))
    assert client.generate("plain", "Hi", options={"num_predict": 3}).done
    with pytest.raises(ollama.ResponseError) as error:
        ollama.Client(server.url).generate("plain", "Hi")
    assert error.value.status_code == 401
    client = openai.OpenAI(base_url=server.url + "/v1", api_key=server.alice)
    assert client.chat.completions.create(**CHAT).choices
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0).chat.completions.create(**CHAT)


def test_a_broken_file_of_keys_is_refused_at_start(tmp_path):
    store = tiny_store(tmp_path / "store")
    file = tmp_path / "keys"
    for text, expected in ((None, "No such file"), ("", "no key stands in it"), ("me infer drover_plain\n", "keys:1: ")):
        if text is not None:
            file.write_text(text)
        done = drover(tmp_path, "serve", "--api-keys", str(file), OLLAMA_MODELS=str(store), OLLAMA_HOST="127.0.0.1:%d" % free_port())
        assert done.returncode == 1 and expected in done.stderr and "drover_plain" not in done.stderr


def test_listening_openly_without_keys_is_refused(tmp_path):
    store = tiny_store(tmp_path / "store")
    for host in ("0.0.0.0", "", "[::]"):
        port = free_port()
        done = drover(tmp_path, "serve", OLLAMA_MODELS=str(store), OLLAMA_HOST="%s:%d" % (host, port))
        assert done.returncode == 1 and str(port) in done.stderr
        for way in ("127.0.0.1:11434", "--api-keys", "drover key new", "--insecure", "DROVER_INSECURE=1"):
            assert way in done.stderr


@pytest.mark.parametrize("how", ["flag", "variable", "file", "keys"])
def test_listening_openly_with_keys_or_insecure(tmp_path, how):
    (tmp_path / "drover.conf").write_text("insecure = yes\n")
    args, env, headers = [], {}, {}
    if how == "flag":
        args = ["--insecure"]
    elif how == "variable":
        env = {"DROVER_INSECURE": "1"}
    elif how == "file":
        env = {"DROVER_CONFIG": str(tmp_path / "drover.conf")}
    else:
        headers = bearer(new_key(tmp_path, tmp_path / "keys"))
        env = {"DROVER_API_KEYS": str(tmp_path / "keys")}
    server = Keyed(tmp_path, tiny_store(tmp_path / "store"), *args, host="0.0.0.0", **env)
    try:
        assert server.call("GET", "/api/tags", None, headers).status == 200
    finally:
        assert server.stop() == 0


def test_a_passed_on_socket_is_no_way_around(tmp_path):
    with socket.socket() as s:
        s.bind(("0.0.0.0", 0))
        s.listen()
        env = clean_env(tmp_path, OLLAMA_MODELS=str(tiny_store(tmp_path / "store")), LISTEN_FDS="1")
        script = 'exec 3<&%d; LISTEN_PID=$$ exec "$0" serve' % s.fileno()
        done = subprocess.run(["bash", "-c", script, PROGRAM], env=env, pass_fds=[s.fileno()], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and "the socket that was passed on" in done.stderr


def test_read_only_changes_nothing(tmp_path, start):
    store = tiny_store(tmp_path / "store")
    old = time.time() - 7200
    for path in (store / "blobs").iterdir():
        os.utime(path, (old, old))
    (store / "blobs" / ("sha256-" + "1" * 64)).write_bytes(b"nobody's")
    os.utime(store / "blobs" / ("sha256-" + "1" * 64), (old, old))

    def look():
        return {p: p.stat().st_mtime_ns for p in store.rglob("*") if p != store and p.name != ".drover.lock"}

    before = look()
    server = start(store, "--read-only")
    for method, path, body in MANAGEMENT:
        reply = server.call(method, path, body)
        if path == "/api/push" or method == "HEAD":
            assert reply.status != 403, "reads the store only"
        else:
            assert reply.status == 403 and "read-only" in json.loads(reply.text)["error"], path
    assert server.call("POST", "/api/generate", ASK).status == 200
    assert look() == before


def test_read_only_holds_for_admins_and_after_a_reload(tmp_path, keyed):
    (tmp_path / "drover.conf").write_text("read_only = no\n")
    server = keyed(DROVER_CONFIG=str(tmp_path / "drover.conf"))
    copy = ("POST", "/api/copy", {"source": "plain", "destination": "copied"}, bearer(server.admin))
    assert server.call(*copy).status == 200
    (tmp_path / "drover.conf").write_text("read_only = yes\n")
    server.process.send_signal(signal.SIGHUP)
    wait_for_log(server, "the configuration was read again")
    assert server.call(*copy).status == 403
