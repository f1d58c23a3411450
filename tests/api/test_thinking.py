# SPDX-License-Identifier: MIT
"""What a model thinks and which tools it calls, in Ollama's words: read from the raw text by what the template says, whole, as a stream, and after a crash.

SmolLM2 thinks where a template opens a tag for it and its first colon closes the tag, so what it says can be held against the raw answer to the same prompt."""
import json
import os
import signal

import pytest

from crowd import Client, runner_of, until
from served import CACHE, SMOLLM, Server, import_model

THINKS = ("{{ if .Tools }}{{ .Tools }}{{ end }}{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ if .Thinking }}<think>{{ .Thinking }}:{{ end }}{{ .Content }}<|im_end|>\n{{ end }}"
          "<|im_start|>assistant\n{{ if .Think }}<think>{{ end }}")
TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "Get the current weather of a city",
                                           "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]
ASK = [{"role": "user", "content": "Name two colours."}]
WEATHER = [{"role": "user", "content": "What is the weather in Paris right now? Use the tool."}]
OPTIONS = {"temperature": 0, "seed": 1, "num_predict": 60}


def post(server, path, **body):
    reply = server.post(path, {"stream": False, **body})
    assert reply.status == 200, reply.text
    return json.loads(reply.text)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    home = tmp_path_factory.mktemp("thinking")
    import_model(home / "store", home, SMOLLM, "smollm2")
    s = Server(home, home / "store")
    post(s, "/api/create", model="thinker", **{"from": "smollm2"}, template=THINKS)
    post(s, "/api/create", model="filler", **{"from": "smollm2"}, template="{{ .Prompt }}<fill>{{ .Suffix }}")
    yield s
    assert s.stop() == 0, s.log.read_text()[-4000:]


@pytest.fixture(scope="module")
def qwen(tmp_path_factory):
    home = tmp_path_factory.mktemp("calls")
    import_model(home / "store", home, CACHE / "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf", "qwen")
    s = Server(home, home / "store")
    yield s
    assert s.stop() == 0, s.log.read_text()[-4000:]


@pytest.fixture(scope="module")
def raw(server):
    """The prompt as the template makes it, and all that the model says to it."""
    prompt = post(server, "/api/chat", model="thinker", messages=ASK, _debug_render_only=True)["_debug_info"]["rendered_template"]
    assert prompt.endswith("<|im_start|>assistant\n<think>")
    text = post(server, "/api/generate", model="smollm2", prompt=prompt, raw=True, options=OPTIONS)["response"]
    assert ":" in text[:-1]
    return text


def lines_of(server, path, body):
    reply = server.post(path, body)
    assert reply.status == 200, reply.text
    return [json.loads(line) for line in reply.text.splitlines()]


def test_thinking_is_told_from_the_answer(server, raw):
    thinking, content = raw.split(":", 1)
    whole = post(server, "/api/chat", model="thinker", messages=ASK, options=OPTIONS)
    assert list(whole["message"]) == ["role", "content", "thinking"]
    assert (whole["message"]["thinking"], whole["message"]["content"]) == (thinking.strip(), content.lstrip())
    generated = post(server, "/api/generate", model="thinker", prompt=ASK[0]["content"], options=OPTIONS)
    assert (generated["thinking"], generated["response"]) == (thinking.strip(), content.lstrip())
    assert list(generated)[:5] == ["model", "created_at", "response", "thinking", "done"] and generated["eval_count"] == whole["eval_count"]


def test_a_stream_thinks_first_and_says_the_same(server):
    whole = post(server, "/api/chat", model="thinker", messages=ASK, options=OPTIONS, think=True)["message"]
    lines = lines_of(server, "/api/chat", {"model": "thinker", "messages": ASK, "options": OPTIONS, "think": "high"})
    kinds = ["thinking" if "thinking" in line["message"] else "content" for line in lines[:-1]]
    assert kinds == sorted(kinds, reverse=True) and set(kinds) == {"thinking", "content"}
    assert all(line["message"]["content"] == "" for line in lines if "thinking" in line["message"])
    for member in ("thinking", "content"):
        assert "".join(line["message"].get(member, "") for line in lines) == whole[member]


def test_think_false_is_fine_on_any_model_and_leaves_the_words_alone(server):
    for model in ("thinker", "smollm2"):
        message = post(server, "/api/chat", model=model, messages=ASK, options=OPTIONS, think=False)["message"]
        assert list(message) == ["role", "content"] and message["content"]


def test_thoughts_of_earlier_turns_reach_the_template(server):
    messages = [*ASK, {"role": "assistant", "content": "Red.", "thinking": "hm"}, *ASK]
    rendered = post(server, "/api/chat", model="thinker", messages=messages, think=False, _debug_render_only=True)["_debug_info"]["rendered_template"]
    assert "assistant\n<think>hm:Red.<|im_end|>" in rendered and rendered.endswith("assistant\n")


def test_logprobs_of_all_tokens_are_told_while_tags_are_held_back(server):
    body = {"model": "thinker", "messages": ASK, "options": {**OPTIONS, "num_predict": 12}, "logprobs": True}
    assert len(post(server, "/api/chat", **body)["logprobs"]) == 12
    assert sum(len(line.get("logprobs", [])) for line in lines_of(server, "/api/chat", body)) == 12


@pytest.mark.parametrize("body, words", [({"think": True}, '"smollm2" does not support thinking'), ({"think": "low"}, '"smollm2" does not support thinking'),
                                         ({"tools": TOOLS}, "registry.ollama.ai/library/smollm2:latest does not support tools")])
def test_a_model_that_cannot_refuses(server, body, words):
    reply = server.post("/api/chat", {"model": "smollm2", "messages": ASK, **body})
    assert (reply.status, json.loads(reply.text)) == (400, {"error": words})


def test_capabilities(server, qwen):
    assert post(server, "/api/show", model="thinker")["capabilities"] == ["completion", "tools", "thinking"]
    assert post(server, "/api/show", model="filler")["capabilities"] == ["completion", "insert"]
    assert post(server, "/api/show", model="smollm2")["capabilities"] == ["completion"]
    assert post(qwen, "/api/show", model="qwen")["capabilities"] == ["tools", "completion"]


def test_stored_messages_keep_their_calls(server):
    calls = [{"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "get_weather", "arguments": {"city": "Rome", "a": 1}}}]},
             {"role": "tool", "content": "7", "tool_name": "get_weather"}]
    template = "{{ range .Messages }}{{ .Role }}:{{ range .ToolCalls }}{{ .Function.Name }}{{ .Function.Arguments }}{{ end }}{{ .Content }} {{ .ToolName }};{{ end }}"
    post(server, "/api/create", model="called", **{"from": "smollm2"}, template=template, messages=calls)
    rendered = post(server, "/api/chat", model="called", messages=ASK, _debug_render_only=True)["_debug_info"]["rendered_template"]
    assert rendered == 'assistant:get_weather{"a":1,"city":"Rome"} ;tool:7 get_weather;user:Name two colours. ;'


# ---- Calls ----
def call_of(message):
    calls = message["tool_calls"]
    assert len(calls) == 1 and list(calls[0]) == ["id", "function"] and calls[0]["id"].startswith("call_") and len(calls[0]["id"]) == 13
    assert list(calls[0]["function"]) == ["index", "name", "arguments"]
    return calls[0]["function"]


def test_a_call_comes_out_whole_and_no_tag_leaks(qwen):
    expected = {"index": 0, "name": "get_weather", "arguments": {"city": "Paris"}}
    body = {"model": "qwen", "messages": WEATHER, "tools": TOOLS, "options": OPTIONS}
    whole = post(qwen, "/api/chat", **body)
    assert call_of(whole["message"]) == expected and whole["message"]["content"] == "" and whole["done_reason"] == "stop"
    lines = lines_of(qwen, "/api/chat", body)
    assert "tool_call>" not in json.dumps([line["message"]["content"] for line in lines])
    assert [call_of(line["message"]) for line in lines if "tool_calls" in line["message"]] == [expected]
    assert "tool_calls" not in lines[-1]["message"] and lines[-1]["done_reason"] == "stop"


def test_what_a_tool_gave_comes_back_to_the_model(qwen):
    call = post(qwen, "/api/chat", model="qwen", messages=WEATHER, tools=TOOLS, options=OPTIONS)["message"]
    messages = [*WEATHER, call, {"role": "tool", "tool_name": "get_weather", "content": "It is 17 degrees in Paris."}]
    assert "17" in post(qwen, "/api/chat", model="qwen", messages=messages, options=OPTIONS)["message"]["content"]


# ---- Crashes ----
def said(client, names):
    values = [json.loads(line) for line in client.lines]
    return [{k: v for k, v in value.items() if k in names} for value in values]


def kill_runner(server):
    pid = until(lambda: runner_of(server), "a runner")
    os.kill(pid, signal.SIGKILL)
    until(lambda: "process %d) has unexpectedly stopped" % pid in server.log.read_text(), "the end of process %d is noticed" % pid)


def test_thinking_goes_on_when_the_runner_is_killed_amid_it(server):
    body = {"model": "thinker", "messages": ASK, "options": OPTIONS}
    alone = Client(server, "/api/chat", body)
    alone.finish()
    client = Client(server, "/api/chat", body)
    for _ in range(3):
        client.read_line()
    assert all("thinking" in json.loads(line)["message"] for line in client.lines)
    kill_runner(server)
    client.finish()
    assert said(client, {"message", "done", "done_reason", "eval_count"}) == said(alone, {"message", "done", "done_reason", "eval_count"})


def test_a_call_is_the_same_when_the_runner_is_killed_amid_it(qwen):
    """Its log-probabilities tell that it is being written; nothing of it is told before it is whole."""
    body = {"model": "qwen", "messages": WEATHER, "tools": TOOLS, "options": OPTIONS, "logprobs": True}
    client = Client(qwen, "/api/chat", body)
    for _ in range(4):
        client.read_line()
    assert all(json.loads(line)["message"] == {"role": "assistant", "content": ""} for line in client.lines)
    kill_runner(qwen)
    client.finish()
    messages = [json.loads(line)["message"] for line in client.lines]
    assert [call_of(m) for m in messages if "tool_calls" in m] == [{"index": 0, "name": "get_weather", "arguments": {"city": "Paris"}}]
    assert "".join(m["content"] for m in messages) == ""
