# SPDX-License-Identifier: MIT
"""An error in the middle of a stream reaches every kind of client as an error, never as silence: two runners die under streams of every route and of the real
client libraries, and each of them fails with the reason."""
import json
import pathlib
import shutil
import subprocess
import threading

import pytest

from crowd import COUNT, MODEL, Client, count_on, kill_runner, load, until, wait_counts

CLIENTS = pathlib.Path(__file__).resolve().parents[1] / "clients"
WHY = "the model runner has unexpectedly stopped twice"
STORY = "Tell me a very long story about a dragon."
ASK = [{"role": "user", "content": STORY}]
CHAT = {"model": MODEL, "messages": ASK, "temperature": 0, "stream": True}


@pytest.fixture
def roomy(serve):
    """All streams run at the same time."""
    server = serve(OLLAMA_NUM_PARALLEL="24", OLLAMA_CONTEXT_LENGTH="2048")
    load(server)
    return server


def kill_twice(server, n):
    """The runner under n streams, and the next one once they all go on in it."""
    for _ in range(2):
        wait_counts(server, n, 0)
        kill_runner(server)


# ---- Every route ----
def events_of(client):
    """(event, data) of what came, until the stream ended; a line of NDJSON is an event without a name."""
    while True:
        line = client.reply().readline()
        if not line:
            break
        client.lines.append(line.strip())
    found, name = [], None
    for line in client.lines:
        if line.startswith(b"event: "):
            name = line[7:].decode()
        elif line.startswith((b"data: ", b"{")):
            found.append((name, line.removeprefix(b"data: ")))
            name = None
    return found


ROUTES = {
    "/api/generate": count_on(),
    "/api/chat": {"model": MODEL, "messages": ASK, "options": {"temperature": 0}},
    "/v1/chat/completions": CHAT,
    "/v1/completions": {"model": MODEL, "prompt": COUNT, "temperature": 0, "max_tokens": 1500, "stream": True},
    "/v1/messages": {**CHAT, "max_tokens": 1500},
    "/v1/responses": {"model": MODEL, "input": STORY, "temperature": 0, "stream": True},
}


def test_every_route_ends_its_stream_with_an_error_event(roomy):
    clients = {path: Client(roomy, path, body) for path, body in ROUTES.items()}
    whole = {path: Client(roomy, path, {**body, "stream": False}) for path, body in ROUTES.items()}
    for client in clients.values():
        while len(client.lines) < 12:
            client.lines.append(client.reply().readline().strip())
    kill_twice(roomy, 2 * len(ROUTES))
    got = {path: events_of(client) for path, client in clients.items()}
    for path in ("/api/generate", "/api/chat"):
        assert json.loads(got[path][-1][1])["error"].startswith(WHY)
        assert not any(json.loads(data).get("done") for _, data in got[path])
    for path in ("/v1/chat/completions", "/v1/completions"):
        assert got[path][-1] == (None, b"[DONE]")
        error = json.loads(got[path][-2][1])["error"]
        assert error["message"].startswith(WHY) and (error["type"], error["code"]) == ("api_error", None)
    name, data = got["/v1/messages"][-1]
    assert name == "error" and json.loads(data)["type"] == "error" and json.loads(data)["error"]["message"].startswith(WHY)
    assert json.loads(data)["error"]["type"] == "api_error"
    name, data = got["/v1/responses"][-1]
    assert name == "error" and json.loads(data)["type"] == "error" and json.loads(data)["message"].startswith(WHY)
    assert json.loads(data)["sequence_number"] == len(got["/v1/responses"]) - 1
    for path, client in whole.items():  # not begun: a status
        assert client.reply().status == 500 and WHY in client.reply().read().decode(), path


# ---- Real clients ----
def python_streams(url):
    """{name: function that gives an iterator of pieces}, of the libraries that are there."""
    streams = {}
    try:
        import ollama

        client = ollama.Client(host=url)
        streams["ollama generate"] = lambda: client.generate(MODEL, STORY, options={"temperature": 0}, stream=True)
        streams["ollama chat"] = lambda: client.chat(MODEL, ASK, options={"temperature": 0}, stream=True)
    except ImportError:
        pass
    try:
        import openai

        ai = openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0)
        streams["openai chat"] = lambda: ai.chat.completions.create(**CHAT)
        streams["openai completions"] = lambda: ai.completions.create(model=MODEL, prompt=COUNT, temperature=0, max_tokens=1500, stream=True)
        streams["openai responses"] = lambda: ai.responses.create(model=MODEL, input=STORY, temperature=0, stream=True)
    except ImportError:
        pass
    try:
        import anthropic

        claude = anthropic.Anthropic(base_url=url, api_key="none", max_retries=0)

        def messages():
            with claude.messages.stream(model=MODEL, messages=ASK, max_tokens=1500, extra_body={"temperature": 0}) as stream:
                yield from stream

        streams["anthropic"] = messages
    except ImportError:
        pass
    try:
        import langchain_ollama

        streams["langchain"] = lambda: langchain_ollama.ChatOllama(model=MODEL, base_url=url, temperature=0).stream(STORY)
    except ImportError:
        pass
    try:
        import litellm

        for provider, base in (("ollama", url), ("ollama_chat", url), ("openai", url + "/v1")):
            body = {"model": "%s/%s" % (provider, MODEL), "messages": ASK, "api_base": base, "api_key": "none", "temperature": 0, "stream": True, "num_retries": 0}
            streams["litellm " + provider] = lambda body=body: litellm.completion(**body)
    except ImportError:
        pass
    return streams


class Follower(threading.Thread):
    """Reads a client's stream to its end, and keeps what it raised."""

    def __init__(self, name, open_stream):
        super().__init__(name=name, daemon=True)
        self.open_stream, self.pieces, self.raised = open_stream, 0, None
        self.start()

    def run(self):
        try:
            for _ in self.open_stream():
                self.pieces += 1
        except Exception as e:  # whatever the library raises is what is asked for
            self.raised = e


def test_every_client_library_raises(roomy):
    node, scripts = shutil.which("node"), CLIENTS / "node_modules" / "openai"
    process = None
    lines = []
    if node and scripts.exists():
        process = subprocess.Popen([node, "stream-errors.mjs", roomy.url, MODEL], cwd=CLIENTS, stdout=subprocess.PIPE, text=True)
        reader = threading.Thread(target=lambda: lines.extend(line.strip() for line in process.stdout), daemon=True)
        reader.start()
    followers = [Follower(name, open_stream) for name, open_stream in python_streams(roomy.url).items()]
    n_npm = 6 if process else 0
    if not followers and not process:
        pytest.skip("no client library is installed")
    try:
        until(lambda: sum(f.pieces >= 3 or f.raised is not None for f in followers) + len(lines) >= len(followers) + n_npm, "all streams have begun")
        kill_twice(roomy, len(followers) + n_npm)
        for f in followers:
            f.join(300)
            assert f.raised is not None and WHY in str(f.raised), (f.name, f.pieces, f.raised)
        if process:
            assert process.wait(300) == 0
            reader.join(300)
            ended = [line for line in lines if not line.startswith("begun")]
            assert len(ended) == n_npm and all(WHY in line for line in ended), lines
    finally:
        if process and process.poll() is None:
            process.kill()
            process.wait()
