# SPDX-License-Identifier: MIT
"""A real registry (Debian's docker-registry) on loopback, and a proxy before it that counts, and does what networks and servers do: cut, stall, lie, refuse."""
import http.client
import http.server
import pathlib
import re
import select
import shutil
import socket
import subprocess
import threading
import time

import pytest

from crowd import until
from served import CACHE, free_port

PIECE = 64 << 10


class Registry:
    """docker-registry with a storage of its own."""

    def __init__(self, home):
        own = CACHE.parent / "registry" / "usr" / "bin" / "docker-registry"
        program = str(own) if own.exists() else shutil.which("docker-registry")
        if program is None:
            pytest.skip("docker-registry is not there; ./dev setup fetches it")
        self.port = free_port()
        config = pathlib.Path(home) / "registry.yml"
        config.write_text("version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %s}, delete: {enabled: true}}\n"
                          "http: {addr: '127.0.0.1:%d'}\n" % (pathlib.Path(home) / "registry", self.port))
        self.log = open(pathlib.Path(home) / "registry.log", "wb")
        self.process = subprocess.Popen([program, "serve", str(config)], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        for _ in range(6000):
            assert self.process.poll() is None, "docker-registry ended"
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
                connection.request("GET", "/v2/")
                if connection.getresponse().status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise AssertionError("docker-registry does not answer")

    def stop(self):
        self.process.terminate()
        self.process.wait(300)
        self.log.close()


class Proxy:
    """Passes requests on. `rules` are asked in turn: rule(request) -> None, or a dict of what to do instead or besides:
    status, headers, body: answer that; cut, stall: after so many bytes of the answer's body; change: every byte range is wrong; pause: seconds before each piece;
    hold: when so many bytes of blobs have gone out in all, until `opened` is set;
    cut_upload: after so many bytes of the request's body; early: the answer comes before the body is read; method, path: passed on as that;
    on_reply: is called with the registry's answer."""

    def __init__(self, port):
        self.upstream = port
        self.rules = []
        self.requests = []  # (method, path, headers)
        self.n_busy = 0  # requests that are being passed on
        self.blob_bytes = 0  # of answers, sent to the client
        self.lock = threading.Lock()
        self.released, self.opened = threading.Event(), threading.Event()
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                proxy.handle(self)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            request_queue_size = 64
            daemon_threads = True

            def handle_error(self, *_):
                pass

        self.http = Server(("127.0.0.1", 0), Handler)
        self.port = self.http.server_address[1]
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def name(self, rest):
        return "127.0.0.1:%d/%s" % (self.port, rest)

    def is_idle(self):
        with self.lock:
            return self.n_busy == 0

    def reset(self):
        """From here on nothing of before is passed on or counted."""
        self.opened.set()
        until(self.is_idle, "nothing is on its way")
        self.opened.clear()
        self.rules = []
        self.requests = []
        self.blob_bytes = 0

    def count(self, method, pattern):
        with self.lock:
            return sum(m == method and re.search(pattern, p) is not None for m, p, _ in self.requests)

    def stop(self):
        self.released.set()
        self.opened.set()
        self.http.shutdown()
        self.http.server_close()

    def handle(self, h):
        with self.lock:
            self.n_busy += 1
            self.requests.append((h.command, h.path, dict(h.headers)))
            do = next((d for d in (rule(h) for rule in list(self.rules)) if d), {})
        try:
            self.serve(h, do)
        finally:
            with self.lock:
                self.n_busy -= 1

    def serve(self, h, do):
        if "early" in do:
            self.answer(h, do)
        body = h.rfile.read(min(int(h.headers.get("Content-Length") or 0), do.get("cut_upload", 1 << 62)))
        if "early" in do:
            return
        if "cut_upload" in do:
            h.close_connection = True
            h.connection.close()
            return
        if "status" in do:
            self.answer(h, do)
        else:
            self.forward(h, body, do)

    def answer(self, h, do):
        data = do.get("body", b"")
        h.send_response(do["status"])
        for key, value in do.get("headers", {}).items():
            h.send_header(key, value)
        h.send_header("Content-Length", str(len(data)))
        h.end_headers()
        h.wfile.write(data)

    def forward(self, h, body, do):
        up = http.client.HTTPConnection("127.0.0.1", self.upstream, timeout=60)
        headers = {k: v for k, v in h.headers.items() if k.lower() not in ("connection", "authorization")}
        up.request(do.get("method", h.command), do.get("path", h.path), body if body or h.command in ("POST", "PUT", "PATCH") else None, headers)
        reply = up.getresponse()
        do.get("on_reply", lambda _: None)(reply)
        h.send_response(reply.status)
        for key, value in reply.getheaders():
            if key.lower() not in ("connection", "transfer-encoding"):
                h.send_header(key, value)
        h.end_headers()
        sent = 0
        while h.command != "HEAD":
            piece = reply.read(PIECE)
            if not piece:
                break
            if do.get("change"):
                piece = bytes([piece[0] ^ 1]) + piece[1:]
            time.sleep(do.get("pause", 0))
            if "hold" in do and not self.wait_at(h, do["hold"]):
                h.close_connection = True
                up.close()
                return
            limit = do.get("cut", do.get("stall"))
            if limit is not None and sent + len(piece) > limit:
                h.wfile.write(piece[: limit - sent])
                self.add(h, limit - sent)
                if "stall" in do:
                    self.released.wait(120)
                h.close_connection = True
                up.close()
                return
            h.wfile.write(piece)
            self.add(h, len(piece))
            sent += len(piece)
        up.close()

    def wait_at(self, h, limit):
        """False: the client has left meanwhile."""
        while self.blob_bytes >= limit and not self.opened.wait(0.02):
            if select.select([h.connection], [], [], 0)[0] and h.connection.recv(1, socket.MSG_PEEK) == b"":
                return False
        return True

    def add(self, h, n):
        if "/blobs/" in h.path:
            with self.lock:
                self.blob_bytes += n


class Storage:
    """A registry that redirects the parts of an upload to a storage, which is here the proxy under another name. `rule` is one of a proxy's."""

    def __init__(self, proxy):
        self.proxy = proxy
        self.at = {}  # path of an upload -> where the registry wants its next part

    def rule(self, h):
        path, _, query = h.path.partition("?")
        if h.command == "PATCH" and h.headers.get("X-Redirect-Uploads") == "1":
            self.at.setdefault(path, h.path)
            return {"status": 307, "early": True, "headers": {"Location": "http://localhost:%d/storage%s" % (self.proxy.port, path),
                                                              "Docker-Upload-Location": "http://127.0.0.1:%d%s" % (self.proxy.port, path)}}
        if path.startswith("/storage/"):
            upload = path.removeprefix("/storage")

            def on_reply(reply):
                self.at[upload] = "/" + reply.getheader("Location").split("/", 3)[3]

            return {"method": "PATCH", "path": self.at[upload], "on_reply": on_reply}
        return {"path": self.at[path] + "&" + query} if h.command == "PUT" and path in self.at else None
