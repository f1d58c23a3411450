# SPDX-License-Identifier: MIT
"""Structured output: whatever the temperature, the answer is JSON of the form that was asked for, in every dialect, alone and beside others."""
import concurrent.futures
import datetime
import json
import threading

import jsonschema
import pytest

from served import CACHE, Server, import_model

MODEL = "smollm2"
PROMPT = "Describe a person who works in a library in Oslo. Answer in JSON."

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 30},
        "age": {"type": "integer", "minimum": 18, "maximum": 99},
        "email": {"type": "string", "format": "email", "maxLength": 30},
        "languages": {"type": "array", "items": {"enum": ["no", "en", "de", "fr"]}, "minItems": 1, "maxItems": 3},
        "member": {"type": ["boolean", "null"]},
    },
    "required": ["name", "age", "languages"],
}
SCHEMAS = {
    "person": PERSON,
    "tree": {"$defs": {"node": {"type": "object", "properties": {"word": {"type": "string", "maxLength": 8}, "next": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/node"}]}}, "required": ["word", "next"], "additionalProperties": False}}, "$ref": "#/$defs/node"},
    "shape": {"oneOf": [{"type": "object", "properties": {"kind": {"const": "circle"}, "radius": {"type": "number", "exclusiveMinimum": 0, "maximum": 9.5}}, "required": ["kind", "radius"]},
                        {"type": "object", "properties": {"kind": {"const": "square"}, "side": {"type": "number", "minimum": 1, "maximum": 1000}}, "required": ["kind", "side"]}]},
    "day": {"type": "object", "properties": {"day": {"type": "string", "format": "date"}, "code": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3,5}$"}}, "required": ["day", "code"]},
    "tuple": {"type": "array", "prefixItems": [{"type": "string", "maxLength": 12}, {"type": "integer", "minimum": -5, "maximum": 5}], "items": {"type": "boolean"}, "minItems": 2, "maxItems": 4},
    "map": {"type": "object", "additionalProperties": {"type": "integer", "minimum": 0, "maximum": 9}, "propertyNames": {"pattern": "^[a-z]{1,6}$"}, "minProperties": 1, "maxProperties": 3},
    "word": {"enum": ["yes", "no", "perhaps, but \"not\" today – søndag"]},
}


def check(text, schema):
    value = json.loads(text)
    jsonschema.validate(value, schema, cls=jsonschema.Draft202012Validator)
    return value


def generate(server, schema, seed, **more):
    body = {"model": MODEL, "prompt": PROMPT, "format": schema, "stream": False, "options": {"temperature": 1.5, "top_k": 0, "top_p": 1.0, "seed": seed, "num_predict": 120}, **more}
    reply = server.post("/api/generate", body)
    assert reply.status == 200, reply.text
    return json.loads(reply.text)


def chat(server, schema, seed):
    body = {"model": MODEL, "messages": [{"role": "user", "content": PROMPT}], "format": schema, "options": {"temperature": 1.5, "seed": seed, "num_predict": 120}}
    lines = [json.loads(line) for line in server.post("/api/chat", body).text.splitlines()]
    return {"response": "".join(line["message"]["content"] for line in lines), "done_reason": lines[-1]["done_reason"]}


def openai_chat(server, schema, seed, stream=False, **more):
    body = {"model": MODEL, "messages": [{"role": "user", "content": PROMPT}], "response_format": {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema}},
            "temperature": 1.5, "seed": seed, "max_tokens": 120, "stream": stream, **more}
    reply = server.post("/v1/chat/completions", body)
    assert reply.status == 200, reply.text
    if not stream:
        choice = json.loads(reply.text)["choices"][0]
        return {"response": choice["message"]["content"], "done_reason": choice["finish_reason"]}
    events = [json.loads(line[6:]) for line in reply.text.splitlines() if line.startswith("data: {")]
    return {"response": "".join(e["choices"][0]["delta"].get("content", "") for e in events), "done_reason": events[-1]["choices"][0]["finish_reason"]}


def responses(server, schema, seed):
    body = {"model": MODEL, "input": PROMPT, "text": {"format": {"type": "json_schema", "name": "x", "schema": schema}}, "temperature": 1.5, "max_output_tokens": 120}
    reply = json.loads(server.post("/v1/responses", body).text)
    assert reply["text"]["format"]["type"] == "json_schema"
    return {"response": reply["output"][0]["content"][0]["text"], "done_reason": "length" if reply["usage"]["output_tokens"] == 120 else "stop"}


WAYS = [generate, chat, openai_chat, lambda *a: openai_chat(*a, stream=True), responses]


def test_answers_at_a_high_temperature_fit_their_schemas_many_at_once(smollm):
    jobs = [(name, WAYS[(i + k) % len(WAYS)], i * 10 + k) for i, name in enumerate(SCHEMAS) for k in range(3)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda job: (job[0], job[1](smollm, SCHEMAS[job[0]], job[2])), jobs))
    whole = 0
    for name, reply in replies:
        try:
            value = check(reply["response"], SCHEMAS[name])
        except json.JSONDecodeError:
            assert reply["done_reason"] == "length", (name, reply)  # cut where it stood, and said so
            continue
        whole += 1
        if name == "day":
            datetime.date.fromisoformat(value["day"])
    assert whole >= len(jobs) * 2 // 3


def test_json_is_an_object(smollm):
    for seed in range(2):
        reply = generate(smollm, "json", seed)
        assert reply["response"].startswith("{")
        if reply["done_reason"] == "stop":
            assert isinstance(json.loads(reply["response"]), dict)
    body = {"model": MODEL, "messages": [{"role": "user", "content": PROMPT}], "response_format": {"type": "json_object"}, "max_tokens": 5}
    reply = json.loads(smollm.post("/v1/chat/completions", body).text)["choices"][0]
    assert reply["message"]["content"].startswith("{") and reply["finish_reason"] == "length"  # cut, and said so


def test_what_ends_the_form_ends_the_answer(smollm):
    reply = generate(smollm, {"const": "done"}, 1)
    assert reply["response"] == '"done"' and reply["done_reason"] == "stop"
    reply = generate(smollm, {"type": "integer", "minimum": 100, "maximum": 109}, 1)
    assert reply["done_reason"] == "stop" and 100 <= json.loads(reply["response"]) <= 109


@pytest.mark.parametrize("off", ["", None])
def test_no_format_is_no_format(smollm, off):
    body = {"model": MODEL, "prompt": "Hi", "stream": False, "options": {"temperature": 0, "num_predict": 8}}
    assert json.loads(smollm.post("/api/generate", {**body, "format": off}).text)["response"] == json.loads(smollm.post("/api/generate", body).text)["response"]
    text = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 8, "temperature": 0}
    assert json.loads(smollm.post("/v1/chat/completions", {**text, "response_format": {"type": "text"}}).text)["choices"][0]["message"] == json.loads(smollm.post("/v1/chat/completions", text).text)["choices"][0]["message"]


def test_the_same_text_alone_and_beside_others(smollm):
    seeds = range(2)
    alone = [generate(smollm, PERSON, seed)["response"] for seed in seeds]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        others = [pool.submit(chat, smollm, SCHEMAS["day"], 100 + k) for k in range(4)]
        beside = [pool.submit(generate, smollm, PERSON, seed) for seed in seeds]
        assert [f.result()["response"] for f in beside] == alone
        for f in others:
            f.result()


def test_every_choice_fits(smollm):
    body = {"model": MODEL, "messages": [{"role": "user", "content": PROMPT}], "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMAS["shape"]}}, "n": 4, "temperature": 1.5, "seed": 3, "max_tokens": 100}
    choices = json.loads(smollm.post("/v1/chat/completions", body).text)["choices"]
    for choice in choices:
        check(choice["message"]["content"], SCHEMAS["shape"])
    assert len({c["message"]["content"] for c in choices}) > 1


def test_with_logprobs_penalties_and_biases(smollm):
    reply = openai_chat(smollm, SCHEMAS["shape"], 1, logprobs=True, top_logprobs=2, frequency_penalty=1.5, presence_penalty=1.0, logit_bias={"28": -100, "18": 20})
    check(reply["response"], SCHEMAS["shape"])
    reply = generate(smollm, SCHEMAS["shape"], 1, logprobs=True, top_logprobs=3)
    assert "".join(p["token"] for p in reply["logprobs"]).startswith(reply["response"])
    reply = generate(smollm, "json", 1, options={"temperature": 0, "stop": ["}"], "num_predict": 200})
    assert "}" not in reply["response"]


def test_a_stream_goes_on_when_the_client_of_another_leaves(smollm):
    connection = smollm.connect()
    body = {"model": MODEL, "prompt": PROMPT, "format": "json", "options": {"num_predict": 1000, "temperature": 1.5}}
    connection.request("POST", "/api/generate", json.dumps(body))
    reply = connection.getresponse()
    reply.read(10)
    leaver = threading.Thread(target=connection.close)
    leaver.start()
    check(generate(smollm, SCHEMAS["word"], 1)["response"], SCHEMAS["word"])
    leaver.join()
    smollm.wait_idle()


WRONG = [
    ({"type": "object", "properties": {"a": {"type": "int"}}}, '#/properties/a: unknown type "int"'),
    ({"type": "array", "uniqueItems": True}, "#: uniqueItems is not supported"),
    ({"properties": {"s": {"pattern": "(?=a)"}}}, "#/properties/s: pattern: look-around is not supported"),
    ({"$ref": "#/$defs/none"}, '$ref "#/$defs/none" leads nowhere'),
    ({"type": "integer", "minimum": 2, "maximum": 1}, "no value fits the schema"),
]


@pytest.mark.parametrize("schema, fault", WRONG)
def test_a_schema_that_cannot_be_kept_is_refused_by_name(smollm, schema, fault):
    reply = smollm.post("/api/generate", {"model": MODEL, "prompt": "x", "format": schema})
    assert reply.status == 400 and json.loads(reply.text)["error"].startswith("invalid format: ") and fault in json.loads(reply.text)["error"]
    reply = smollm.post("/v1/chat/completions", {"model": MODEL, "messages": [{"role": "user", "content": "x"}], "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}})
    error = json.loads(reply.text)["error"]
    assert reply.status == 400 and error["type"] == "invalid_request_error" and "invalid response_format: " in error["message"] and fault in error["message"]
    reply = smollm.post("/v1/responses", {"model": MODEL, "input": "x", "text": {"format": {"type": "json_schema", "name": "x", "schema": schema}}})
    assert reply.status == 400 and "invalid text.format: " in reply.text


def test_formats_of_no_known_kind_are_refused(smollm):
    for wrong, shown in [("xml", "xml"), (1, "1"), (["a"], '["a"]'), (True, "true")]:
        reply = smollm.post("/api/chat", {"model": MODEL, "messages": [{"role": "user", "content": "x"}], "format": wrong})
        assert reply.status == 500 and json.loads(reply.text)["error"] == 'invalid format: "%s"; expected "json" or a valid JSON Schema object' % shown
    for wrong in ({"type": "xml"}, {}, {"type": "json_schema"}, {"type": "json_schema", "json_schema": {"name": "x"}}, "json"):
        reply = smollm.post("/v1/chat/completions", {"model": MODEL, "messages": [{"role": "user", "content": "x"}], "response_format": wrong})
        assert reply.status == 400 and "esponse_format" in json.loads(reply.text)["error"]["message"], reply.text


THINKS = ("{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ if .Thinking }}<think>{{ .Thinking }}.{{ end }}{{ .Content }}<|im_end|>\n{{ end }}"
          "<|im_start|>assistant\n{{ if .Think }}<think>{{ end }}")  # what it says up to its first full stop is its thinking


def test_thinking_is_free_and_what_follows_fits(smollm):
    assert smollm.post("/api/create", {"model": "thinker", "from": MODEL, "template": THINKS, "stream": False}).status == 200
    body = {"model": "thinker", "messages": [{"role": "user", "content": "Name two colours."}], "format": SCHEMAS["shape"], "options": {"temperature": 0.5, "seed": 4, "num_predict": 150}}
    whole = json.loads(smollm.post("/api/chat", {**body, "stream": False}).text)
    thought = whole["message"]["thinking"]
    assert len(thought.split()) > 1 and not thought.startswith("{")
    check(whole["message"]["content"], SCHEMAS["shape"])
    lines = [json.loads(line) for line in smollm.post("/api/chat", body).text.splitlines()]
    assert "".join(line["message"].get("thinking", "") for line in lines) == thought
    assert "".join(line["message"]["content"] for line in lines) == whole["message"]["content"]
    without = json.loads(smollm.post("/api/chat", {**body, "stream": False, "think": False}).text)["message"]
    assert "thinking" not in without
    check(without["content"], SCHEMAS["shape"])
    assert smollm.call("DELETE", "/api/delete", {"model": "thinker"}).status == 200


def test_with_tools_an_answer_is_a_call_or_fits(tmp_path_factory):
    path = CACHE / "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"
    if not path.exists():
        pytest.skip("%s is not there (tools/fetch_models.py fetches it)" % path)
    home = tmp_path_factory.mktemp("calls")
    import_model(home / "store", home, path, "qwen")
    server = Server(home, home / "store")
    tools = [{"type": "function", "function": {"name": "get_weather", "description": "The weather of a city", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]
    schema = {"type": "object", "properties": {"answer": {"type": "string", "maxLength": 40}}, "required": ["answer"]}
    for text in ("What is the weather in Paris? Use the tool get_weather.", "Say hello."):
        for seed in range(2):
            body = {"model": "qwen", "messages": [{"role": "user", "content": text}], "tools": tools, "format": schema, "stream": False, "options": {"seed": seed, "num_predict": 80}}
            message = json.loads(server.post("/api/chat", body).text)["message"]
            if "tool_calls" in message:
                call = message["tool_calls"][0]["function"]
                assert call["name"] == "get_weather" and list(call["arguments"]) == ["city"] and message["content"] == ""
            else:
                check(message["content"], schema)
    assert server.stop() == 0
