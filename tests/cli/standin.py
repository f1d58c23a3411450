# SPDX-License-Identifier: MIT
"""The built program, and a stand-in server that answers as a test says."""
import json
import os
import pathlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("DROVER", str(ROOT / "build" / "drover"))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        self.answer(None)

    def do_HEAD(self):
        self.answer(None)

    def do_DELETE(self):
        self.do_POST()

    def do_POST(self):
        self.answer(json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"null"))

    def answer(self, body):
        stand_in = self.server.stand_in
        stand_in.requests.append((self.command, self.path, body))
        reply = stand_in.routes.get(self.path, (404, {"error": "no such route"}))
        if callable(reply):
            reply = reply(body)
        status, content = reply
        if hasattr(content, "__next__") or isinstance(content, list):
            self.stream(status, content)
            return
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def stream(self, status, lines):
        self.send_response(status)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for line in lines:
                data = line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n"
                if data:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                    self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            self.server.stand_in.left.set()
            self.close_connection = True


class StandIn:
    def __init__(self):
        self.routes = {}
        self.requests = []
        self.left = threading.Event()  # a client went away amid a stream
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.http.stand_in = self
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def address(self):
        return "127.0.0.1:%d" % self.http.server_address[1]

    def bodies(self, path):
        return [body for _, p, body in self.requests if p == path]


def done(**more):
    return {"done": True, "done_reason": "stop", **more}


def says(*pieces, chat=False, **more):
    """The lines of a streamed answer."""
    key = (lambda t: {"message": {"role": "assistant", "content": t}}) if chat else (lambda t: {"response": t})
    return [{**key(p), "done": False} for p in pieces] + [{**key(""), **done(**more)}]
