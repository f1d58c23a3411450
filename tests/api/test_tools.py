# SPDX-License-Identifier: MIT
"""Tools in the dialects: the real client libraries do a call with Qwen2.5-Coder 0.5B, whole and as a stream, and hand back what it gave."""
import json
import os
import pathlib
import shutil
import signal
import subprocess

import pytest

import crowd
from served import CACHE, Server, import_model

CLIENTS = pathlib.Path(__file__).resolve().parents[1] / "clients"
MODEL = "qwen"
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string", "description": "Name of the city"}}, "required": ["city"]}
FUNCTION = {"name": "get_weather", "description": "Get the current weather of a city", "parameters": PARAMETERS}
TOOLS = [{"type": "function", "function": FUNCTION}]
ASK = [{"role": "user", "content": "What is the weather in Paris right now? Use the tool."}]
RESULT = "It is 17 degrees in Paris."


@pytest.fixture(scope="module")
def qwen(tmp_path_factory):
    home = tmp_path_factory.mktemp("qwen")
    import_model(home / "store", home, CACHE / "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf", MODEL)
    server = Server(home, home / "store")
    yield server
    assert server.stop() == 0, server.log.read_text()[-4000:]


# ---- PyPI openai ----
@pytest.fixture(scope="module")
def ai(qwen):
    openai = pytest.importorskip("openai")
    return openai.OpenAI(base_url=qwen.url + "/v1", api_key="none", max_retries=0)


def test_openai_chat(ai):
    body = {"model": MODEL, "messages": ASK, "tools": TOOLS, "temperature": 0, "max_tokens": 80}
    choice = ai.chat.completions.create(**body).choices[0]
    call = choice.message.tool_calls[0]
    assert choice.finish_reason == "tool_calls" and call.type == "function" and call.id
    assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", {"city": "Paris"})
    chunks = list(ai.chat.completions.create(**body, stream=True))
    delta = next(c.choices[0].delta.tool_calls[0] for c in chunks if c.choices[0].delta.tool_calls)
    assert (delta.index, delta.function.name, delta.function.arguments) == (0, call.function.name, call.function.arguments)
    assert chunks[0].choices[0].delta.role == "assistant" and chunks[-1].choices[0].finish_reason == "tool_calls"
    body = {**body, "messages": [*ASK, choice.message, {"role": "tool", "tool_call_id": call.id, "content": RESULT}], "tool_choice": "none"}
    answer = ai.chat.completions.create(**body).choices[0]
    assert "17" in answer.message.content and answer.finish_reason == "stop" and answer.message.tool_calls is None


def test_openai_tool_choice_none_hides_the_tools(ai):
    body = {"model": MODEL, "messages": ASK, "temperature": 0, "max_tokens": 8}
    none = ai.chat.completions.create(**body, tools=TOOLS, tool_choice="none")
    assert none.choices[0].message.tool_calls is None
    assert none.usage.prompt_tokens == ai.chat.completions.create(**body).usage.prompt_tokens


HELLO = [{"role": "user", "content": "Say hello."}]  # no tool comes to mind
ZONES = {"type": "function", "function": {"name": "convert_zone", "parameters": {
    "type": "object", "properties": {"hour": {"type": "integer", "minimum": 0, "maximum": 23}, "zone": {"enum": ["UTC", "CET"]}}, "required": ["hour", "zone"]}}}


@pytest.mark.parametrize("choice, names", [("required", {"get_weather", "convert_zone"}), ({"type": "function", "function": {"name": "convert_zone"}}, {"convert_zone"})],
                         ids=["required", "named"])
def test_openai_a_call_can_be_required(ai, choice, names):
    """Whatever was asked: the answer is a call, and its arguments have the form of the tool's parameters."""
    body = {"model": MODEL, "messages": HELLO, "tools": [*TOOLS, ZONES], "tool_choice": choice, "temperature": 1.5, "seed": 3, "max_tokens": 60}
    got = ai.chat.completions.create(**body, parallel_tool_calls=False).choices[0]
    assert got.finish_reason == "tool_calls" and not got.message.content and len(got.message.tool_calls) == 1
    call = got.message.tool_calls[0].function
    arguments = json.loads(call.arguments)
    assert call.name in names
    if call.name == "convert_zone":
        assert 0 <= arguments["hour"] <= 23 and arguments["zone"] in ("UTC", "CET") and len(arguments) == 2
    else:
        assert list(arguments) == ["city"] and isinstance(arguments["city"], str)


def test_openai_responses_and_anthropic_can_require_a_call(ai, qwen):
    body = {"model": MODEL, "temperature": 0, "max_output_tokens": 60, "input": "Say hello."}
    tools = [{"type": "function", **FUNCTION}, {"type": "function", **ZONES["function"]}]
    named = ai.responses.create(**body, tools=tools, tool_choice={"type": "function", "name": "convert_zone"})
    assert (named.output[0].type, named.output[0].name) == ("function_call", "convert_zone")
    anthropic = pytest.importorskip("anthropic")
    claude = anthropic.Anthropic(base_url=qwen.url, api_key="none", max_retries=0)
    tools = [{"name": t["name"], "input_schema": t["parameters"]} for t in tools]
    for choice in ({"type": "any"}, {"type": "tool", "name": "get_weather"}):
        reply = claude.messages.create(model=MODEL, messages=HELLO, max_tokens=60, tools=tools, tool_choice={**choice, "disable_parallel_tool_use": True})
        assert reply.stop_reason == "tool_use" and [b.type for b in reply.content] == ["tool_use"] and reply.content[0].name == choice.get("name", reply.content[0].name)


def test_openai_responses(ai):
    body = {"model": MODEL, "tools": [{"type": "function", **FUNCTION}], "temperature": 0, "max_output_tokens": 80}
    whole = ai.responses.create(**body, input=ASK)
    call = whole.output[0]
    assert [item.type for item in whole.output] == ["function_call"] and (call.name, json.loads(call.arguments)) == ("get_weather", {"city": "Paris"})
    events = list(ai.responses.create(**body, input=ASK, stream=True))
    assert [e.sequence_number for e in events] == list(range(len(events)))
    assert [e.type for e in events][2:-1] == ["response.output_item.added", "response.function_call_arguments.delta", "response.function_call_arguments.done",
                                              "response.output_item.done"]
    assert events[3].delta == call.arguments and events[-1].response.output[0].arguments == call.arguments
    answer = ai.responses.create(**body, input=[*ASK, *[item.model_dump(exclude_none=True) for item in whole.output],
                                                {"type": "function_call_output", "call_id": call.call_id, "output": RESULT}], tool_choice="none")
    assert "17" in answer.output_text


def test_a_call_survives_the_death_of_the_runner(qwen):
    """The process of the model is killed while it writes the call: the client sees the same call."""
    body = {"model": MODEL, "messages": ASK, "tools": TOOLS, "temperature": 0, "max_tokens": 80, "stream": True}
    alone = calls_of(qwen.post("/v1/chat/completions", body).text)
    assert len(alone) == 1

    def has_written(client):
        crowd.until(lambda: json.loads(qwen.call("GET", "/api/requests/" + client.name).text).get("generated_tokens", 0) >= 4, "it writes")

    with crowd.held_amid(qwen, "/v1/chat/completions", body, has_written) as (client, pid):
        os.kill(pid, signal.SIGKILL)
    assert calls_of(client.reply().read().decode()) == alone


def calls_of(stream):
    """[(name, arguments)] of a stream of chat chunks, which has to end well."""
    assert stream.endswith("data: [DONE]\n\n")
    chunks = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith("data: {")]
    calls = [call for chunk in chunks for choice in chunk["choices"] for call in choice["delta"].get("tool_calls", [])]
    return [(call["function"]["name"], call["function"]["arguments"]) for call in calls]


# ---- Thinking ----
@pytest.fixture(scope="module")
def thinker(qwen):
    """A template that opens the thinking: all that this model says is thought."""
    template = ("{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}{{ .Content }}<|im_end|>\n{{ end }}"
                "<|im_start|>assistant\n<think>\n")
    assert qwen.post("/api/create", {"model": "thinker", "from": MODEL, "template": template, "stream": False}).status == 200
    return "thinker"


def test_thinking_in_every_dialect(ai, qwen, thinker):
    """The same thoughts as reasoning, as a block and as an item, whole and as a stream."""
    body = {"model": thinker, "temperature": 0}
    whole = ai.chat.completions.create(**body, messages=HELLO, max_tokens=12, reasoning_effort="low")
    message = whole.choices[0].message
    assert message.reasoning and message.content == "" and whole.usage.completion_tokens_details.reasoning_tokens > 5
    chunks = ai.chat.completions.create(**body, messages=HELLO, max_tokens=12, stream=True)
    assert "".join(getattr(c.choices[0].delta, "reasoning", None) or "" for c in chunks) == message.reasoning
    response = ai.responses.create(**body, input="Say hello.", max_output_tokens=12, reasoning={"effort": "high"})
    assert response.output[0].type == "reasoning" and response.output[0].summary[0].text == message.reasoning
    assert response.usage.output_tokens_details.reasoning_tokens == whole.usage.completion_tokens_details.reasoning_tokens
    events = list(ai.responses.create(**body, input="Say hello.", max_output_tokens=12, stream=True))
    assert "".join(e.delta for e in events if e.type == "response.reasoning_summary_text.delta") == message.reasoning
    again = ai.responses.create(**body, input=[HELLO[0], response.output[0].model_dump(exclude_none=True), HELLO[0]], max_output_tokens=1)
    assert again.usage.input_tokens > response.usage.input_tokens + 5  # the thoughts are in the prompt
    anthropic = pytest.importorskip("anthropic")
    claude = anthropic.Anthropic(base_url=qwen.url, api_key="none", max_retries=0)
    body = {"messages": HELLO, "max_tokens": 12, "extra_body": {"temperature": 0}, "thinking": {"type": "enabled", "budget_tokens": 1024}}
    block = claude.messages.create(**body, model=thinker).content[0]
    assert (block.type, block.thinking) == ("thinking", message.reasoning)
    with claude.messages.stream(**body, model=thinker) as stream:
        assert "".join(e.delta.thinking for e in stream if e.type == "content_block_delta" and e.delta.type == "thinking_delta") == message.reasoning


def test_a_model_that_cannot_think(ai, qwen):
    """OpenAI's clients are refused, as by Ollama; Anthropic's get an answer without thoughts, and a header that says so."""
    openai = pytest.importorskip("openai")
    with pytest.raises(openai.BadRequestError, match="does not support thinking"):
        ai.chat.completions.create(model=MODEL, messages=HELLO, max_tokens=4, reasoning_effort="high")
    reply = qwen.post("/v1/messages", {"model": MODEL, "messages": HELLO, "max_tokens": 4, "thinking": {"type": "enabled", "budget_tokens": 1024}})
    assert reply.status == 200 and reply.headers["X-Ignored-Parameters"] == "thinking.budget_tokens, thinking"


# ---- PyPI anthropic ----
def test_anthropic(qwen):
    anthropic = pytest.importorskip("anthropic")
    claude = anthropic.Anthropic(base_url=qwen.url, api_key="none", max_retries=0)
    tools = [{"name": FUNCTION["name"], "description": FUNCTION["description"], "input_schema": PARAMETERS}]
    body = {"model": MODEL, "max_tokens": 80, "tools": tools, "extra_body": {"temperature": 0}}
    whole = claude.messages.create(**body, messages=ASK)
    call = whole.content[-1]
    assert whole.stop_reason == "tool_use" and (call.type, call.name, call.input) == ("tool_use", "get_weather", {"city": "Paris"})
    with claude.messages.stream(**body, messages=ASK) as stream:
        types = [event.type for event in stream if event.type.startswith(("message", "content_block"))]
        last = stream.get_final_message()
    assert types[0] == "message_start" and types[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert (last.stop_reason, last.content[-1].name, last.content[-1].input) == ("tool_use", call.name, call.input)
    result = {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": RESULT}]}
    answer = claude.messages.create(**body, messages=[*ASK, {"role": "assistant", "content": whole.content}, {"role": "user", "content": [result]}], tool_choice={"type": "none"})
    assert "17" in answer.content[0].text and answer.stop_reason == "end_turn"
    counted = claude.messages.count_tokens(model=MODEL, messages=ASK, tools=tools)
    assert counted.input_tokens == whole.usage.input_tokens


# ---- PyPI ollama, langchain-ollama, litellm ----
def test_ollama(qwen):
    ollama = pytest.importorskip("ollama")
    client = ollama.Client(host=qwen.url)
    options = {"temperature": 0, "num_predict": 80}
    whole = client.chat(MODEL, ASK, tools=TOOLS, options=options)
    call = whole.message.tool_calls[0].function
    assert (call.name, call.arguments) == ("get_weather", {"city": "Paris"})
    parts = list(client.chat(MODEL, ASK, tools=TOOLS, options=options, stream=True))
    assert [c.function.arguments for p in parts for c in p.message.tool_calls or []] == [{"city": "Paris"}] and parts[-1].done
    answer = client.chat(MODEL, [*ASK, whole.message, {"role": "tool", "tool_name": call.name, "content": RESULT}], options=options)
    assert "17" in answer.message.content


def test_langchain_bind_tools(qwen):
    langchain = pytest.importorskip("langchain_ollama")
    llm = langchain.ChatOllama(model=MODEL, base_url=qwen.url, temperature=0, num_predict=80).bind_tools(TOOLS)
    call = llm.invoke(ASK[0]["content"]).tool_calls[0]
    assert (call["name"], call["args"]) == ("get_weather", {"city": "Paris"})


@pytest.mark.parametrize("provider", ["ollama_chat", "openai"])
def test_litellm(qwen, provider):
    litellm = pytest.importorskip("litellm")
    base = qwen.url + "/v1" if provider == "openai" else qwen.url
    reply = litellm.completion(model="%s/%s" % (provider, MODEL), messages=ASK, tools=TOOLS, api_base=base, api_key="none", temperature=0, max_tokens=80)
    call = reply.choices[0].message.tool_calls[0].function
    assert (call.name, json.loads(call.arguments)) == ("get_weather", {"city": "Paris"})


# ---- npm ----
def test_npm(qwen):
    node = shutil.which("node")
    if not node or not (CLIENTS / "node_modules" / "openai").exists():
        pytest.skip("node or the npm packages of tests/clients are not installed")
    done = subprocess.run([node, "tools.mjs", qwen.url, MODEL], cwd=CLIENTS, capture_output=True, check=False, timeout=1200)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    assert done.stdout.decode().splitlines()[-1] == "ok"
