# SPDX-License-Identifier: MIT
"""Go templates of stored models and of requests, through the whole program: what a client sees of them."""
import json
import subprocess

import pytest

from served import PROGRAM, Server, clean_env, tiny_store

CHAT = "{{ if .System }}<|system|>{{ .System }}\n{{ end }}{{ range .Messages }}{{ if ne .Role \"system\" }}<|{{ .Role }}|>{{ .Content }}\n{{ end }}{{ end }}<|assistant|>"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    home = tmp_path_factory.mktemp("templates")
    s = Server(home, tiny_store(home / "store"))
    yield s
    assert s.stop() == 0, s.log.read_text()[-4000:]


def create(server, name, template):
    reply = server.post("/api/create", {"model": name, "from": "plain", "template": template, "stream": False})
    assert reply.status == 200, reply.text


def rendered(server, body, path="/api/chat"):
    reply = server.post(path, {**body, "_debug_render_only": True})
    assert reply.status == 200, reply.text
    return json.loads(reply.text)["_debug_info"]["rendered_template"]


def test_a_long_chat_loses_its_oldest_turns_never_the_system_text_nor_the_last_message(server):
    create(server, "chat", CHAT)
    turns = [{"role": ("user", "assistant")[i % 2], "content": "turn %d" % i} for i in range(41)]
    body = {"model": "chat", "messages": [{"role": "system", "content": "SYS"}, *turns], "options": {"num_ctx": 128}}
    text = rendered(server, body)
    kept = [t["content"] for t in turns if t["content"] + "\n" in text]
    assert text.startswith("<|system|>SYS\n") and text.endswith("<|user|>turn 40\n<|assistant|>")
    assert 1 < len(kept) < 41 and kept == [t["content"] for t in turns[-len(kept):]]
    reply = server.post("/api/chat", {**body, "stream": False})
    assert reply.status == 200 and json.loads(reply.text)["truncated"] > 0 and int(reply.headers["X-Truncated"]) > 0
    assert server.post("/api/chat", {**body, "truncate": False}).status == 400


def test_a_template_without_messages_is_run_once_for_each_turn(server):
    create(server, "legacy", "{{ if .System }}S:{{ .System }} {{ end }}Q:{{ .Prompt }} A:{{ .Response }};\n")
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "1"}, {"role": "assistant", "content": "2"}, {"role": "user", "content": "3"}]
    assert rendered(server, {"model": "legacy", "messages": messages}) == "S:s Q:1 A:2;\nQ:3 A:"
    assert rendered(server, {"model": "legacy", "prompt": "3", "system": "t"}, "/api/generate") == "S:t Q:3 A:"


def test_a_suffix_needs_a_template_that_takes_one(server):
    create(server, "fill", "{{ if .Suffix }}<PRE>{{ .Prompt }}<SUF>{{ .Suffix }}<MID>{{ else }}{{ .Prompt }}{{ end }}")
    assert "insert" in json.loads(server.post("/api/show", {"model": "fill"}).text)["capabilities"]
    assert "insert" not in json.loads(server.post("/api/show", {"model": "plain"}).text)["capabilities"]
    assert rendered(server, {"model": "fill", "prompt": "a", "suffix": "b"}, "/api/generate") == "<PRE>a<SUF>b<MID>"
    assert server.post("/v1/completions", {"model": "fill", "prompt": "a", "suffix": "b", "max_tokens": 2}).status == 200
    reply = server.post("/api/generate", {"model": "plain", "prompt": "a", "suffix": "b"})
    assert reply.status == 400 and json.loads(reply.text)["error"] == "registry.ollama.ai/library/plain:latest does not support insert"


@pytest.mark.parametrize("template,status,error", [
    ("{{ .Nope", 500, "template: :1: unclosed action"),
    ("{{ .Prompt.X }}", 500, 'template: :1:10: executing "" at <.Prompt.X>: can\'t evaluate field X in type interface {}'),
    ("{{ range 1000000000 }}{{ end }}{{ .Prompt }}", 413, None),
])
def test_a_template_of_a_request_fails_by_name(server, template, status, error):
    reply = server.post("/api/generate", {"model": "plain", "prompt": "x", "template": template})
    assert reply.status == status
    assert error is None or json.loads(reply.text)["error"] == error


def test_a_template_that_cannot_be_read_makes_no_model(server):
    reply = server.post("/api/create", {"model": "bad", "from": "plain", "template": "{{ if .Prompt }}", "stream": False})
    assert reply.status == 400 and json.loads(reply.text)["error"] == "template error: template: :1: unexpected EOF"


def test_think_reaches_the_template(server):
    create(server, "think", "{{ .IsThinkSet }} {{ .Think }}{{ .Prompt }}")
    assert rendered(server, {"model": "think", "prompt": "x", "think": False}, "/api/generate") == "true falsex"
    assert rendered(server, {"model": "think", "prompt": "x"}, "/api/generate") == "false falsex"


def test_context_comes_before_the_rendered_prompt(server):
    create(server, "chat", CHAT)
    first = json.loads(server.post("/api/generate", {"model": "chat", "prompt": "one", "stream": False, "options": {"num_predict": 3}}).text)
    text = rendered(server, {"model": "chat", "prompt": "two", "context": first["context"]}, "/api/generate")
    assert text.startswith("<|user|> one\n<|assistant|>") and text.endswith("<|user|>two\n<|assistant|>")


@pytest.mark.parametrize("value,uses_go", [(None, True), ("1", True), ("0", False)])
def test_the_option_says_whether_stored_go_templates_are_used(tmp_path, value, uses_go):
    more = {} if value is None else {"OLLAMA_GO_TEMPLATE": value}
    s = Server(tmp_path, tiny_store(tmp_path / "store"), **more)
    try:
        text = rendered(s, {"model": "tiny", "messages": [{"role": "user", "content": "x"}]})
    finally:
        s.stop()
    assert ("<|system|>\n" in text) == uses_go
    assert ("<|im_start|>" in text) != uses_go  # this file has no template of its own: ChatML


def test_render_without_a_server_uses_the_stored_template(tmp_path):
    store = tiny_store(tmp_path / "store")
    conversation = {"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "Hi"}]}

    def render(model, env=None):
        return subprocess.run([PROGRAM, "render", model], input=json.dumps(conversation), capture_output=True, text=True, timeout=60,
                              env=clean_env(tmp_path, OLLAMA_MODELS=str(store), **(env or {}))).stdout

    assert render("tiny") == "<|system|>\nS<|end|>\n<|user|>\nHi<|end|>\n<|assistant|>\n"
    (tmp_path / "t.gotmpl").write_text("{{ .System }}-{{ range .Messages }}{{ .Role }},{{ end }}")
    assert render(str(tmp_path / "t.gotmpl")) == "S-system,user,"
