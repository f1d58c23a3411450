# SPDX-License-Identifier: MIT
"""The real client libraries against the real program and SmolLM2: PyPI ollama, openai, anthropic, langchain-ollama and litellm, npm ollama, openai and
@ai-sdk/openai-compatible."""
import json
import pathlib
import shutil
import subprocess

import pytest

from crowd import held, until

ollama = pytest.importorskip("ollama")
openai = pytest.importorskip("openai")

MODEL = "smollm2"
ASK = [{"role": "user", "content": "What is the capital of France? Answer in one short sentence."}]
GREEDY = {"temperature": 0, "seed": 1, "num_predict": 24}
CLIENTS = pathlib.Path(__file__).resolve().parents[1] / "clients"


@pytest.fixture(scope="module")
def client(smollm):
    return ollama.Client(host=smollm.url)


@pytest.fixture(scope="module")
def ai(smollm):
    return openai.OpenAI(base_url=smollm.url + "/v1", api_key="none", max_retries=0)


# ---- PyPI ollama ----
def test_list_show_ps(client):
    models = client.list().models
    assert [m.model for m in models] == ["smollm2:latest"]
    assert models[0].details.family == "llama" and models[0].size > 50_000_000 and len(models[0].digest) == 64
    shown = client.show(MODEL)
    assert shown.modelinfo["general.architecture"] == "llama" and shown.template and "completion" in shown.capabilities
    client.generate(MODEL)
    running = client.ps().models
    assert [m.model for m in running] == ["smollm2:latest"]
    assert running[0].context_length > 0 and running[0].expires_at


def test_generate_whole_and_stream_agree(client):
    whole = client.generate(MODEL, "Once upon a time", options=GREEDY)
    assert whole.done and whole.done_reason == "length" and whole.eval_count == 24 and whole.prompt_eval_count > 0
    assert whole.total_duration > 0 and whole.load_duration > 0 and whole.prompt_eval_duration > 0 and whole.eval_duration > 0
    parts = list(client.generate(MODEL, "Once upon a time", options=GREEDY, stream=True))
    assert "".join(p.response for p in parts) == whole.response
    assert len(parts) > 5 and parts[-1].done and not any(p.done for p in parts[:-1])
    assert parts[-1].context == whole.context and len(whole.context) == whole.prompt_eval_count + whole.eval_count


def test_chat_whole_and_stream_agree(client):
    whole = client.chat(MODEL, ASK, options=GREEDY)
    assert whole.message.role == "assistant" and "Paris" in whole.message.content
    parts = list(client.chat(MODEL, ASK, options=GREEDY, stream=True))
    assert "".join(p.message.content for p in parts) == whole.message.content
    assert parts[-1].done_reason == whole.done_reason


def test_a_drawn_seed_gives_the_same_again(smollm):
    body = {"model": MODEL, "prompt": "A poem:", "stream": False, "options": {"num_predict": 20, "temperature": 1.5}}
    first = json.loads(smollm.post("/api/generate", body).text)
    body["options"]["seed"] = first["seed"]
    again = json.loads(smollm.post("/api/generate", body).text)
    assert again["response"] == first["response"] and "seed" not in again


def test_raw_stop_and_context(client):
    raw = client.generate(MODEL, "1, 2, 3, 4,", raw=True, options={**GREEDY, "stop": [" 7"]})
    assert raw.response.startswith(" 5, 6,") and "7" not in raw.response and raw.done_reason == "stop" and raw.context is None
    first = client.generate(MODEL, "My name is Ada.", options=GREEDY)
    second = client.generate(MODEL, "What did I say?", context=first.context, options=GREEDY)
    assert second.prompt_eval_count > first.prompt_eval_count + first.eval_count


def test_logprobs(client):
    reply = client.generate(MODEL, "Once upon a time", options={**GREEDY, "num_predict": 10}, logprobs=True, top_logprobs=3)
    assert len(reply.logprobs) == 10
    for entry in reply.logprobs:
        assert entry.logprob <= 0 and len(entry.top_logprobs) == 3
        assert [t.logprob for t in entry.top_logprobs] == sorted((t.logprob for t in entry.top_logprobs), reverse=True)
        assert entry.top_logprobs[0].token == entry.token  # greedy


def test_errors_reach_the_client(client):
    for call, status, words in [
        (lambda: client.generate("nope", "x"), 404, "model 'nope' not found"),
        (lambda: client.chat("nope", ASK), 404, "model 'nope' not found"),
        (lambda: client.show("nope"), 404, "model 'nope:latest' not found"),
        (lambda: client.chat(MODEL, ASK, tools=[{"type": "function", "function": {"name": "f"}}]), 400, "does not support tools"),
        (lambda: client.chat(MODEL, ASK, format={"type": "array", "uniqueItems": True}), 400, "invalid format: #: uniqueItems is not supported"),
        (lambda: client.chat(MODEL, ASK, think=True), 400, "think"),
        (lambda: client.generate(MODEL, "x", suffix="y"), 400, "does not support insert"),
        (lambda: client.generate(MODEL, "x", images=[b"\x89PNG\r\n"]), 400, "does not support vision"),
        (lambda: client.generate(MODEL, "word " * 5000, options={"num_ctx": 512}), 400, "512"),
    ]:
        with pytest.raises(ollama.ResponseError) as e:
            call()
        assert e.value.status_code == status and words in e.value.error
    with pytest.raises(ollama.ResponseError):
        list(client.generate("nope", "x", stream=True))


def test_keep_alive_zero_unloads(client):
    client.generate(MODEL, keep_alive=3600)
    assert client.ps().models
    assert client.generate(MODEL, keep_alive=0).done_reason == "unload"
    until(lambda: not client.ps().models, "it is unloaded")


def test_leaving_amid_a_stream_frees_the_slot(client, smollm):
    def cancelled():
        return smollm.log.read_text().count("outcome=cancelled")

    smollm.wait_idle()
    before = cancelled()
    stream = client.generate(MODEL, "1, 2, 3, 4, 5, 6, 7, 8, 9, 10,", raw=True, options={"num_predict": 4000, "temperature": 0, "num_ctx": 4096}, stream=True)
    next(stream)
    with held(smollm):
        stream.close()
        smollm.wait_idle()
    until(lambda: cancelled() == before + 1, "its line in the log")


# ---- PyPI openai ----
def test_openai_lists_and_chats(ai):
    assert [m.id for m in ai.models.list()] == ["smollm2:latest"]
    assert ai.models.retrieve(MODEL).owned_by == "library"
    reply = ai.chat.completions.create(model=MODEL, messages=ASK, temperature=0, max_completion_tokens=24, seed=1)
    assert "Paris" in reply.choices[0].message.content and reply.choices[0].finish_reason in ("stop", "length")
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens
    again = ai.chat.completions.create(model=MODEL, messages=ASK, temperature=0, max_tokens=24, seed=1)
    assert again.choices[0].message.content == reply.choices[0].message.content
    assert again.usage.prompt_tokens_details.cached_tokens > 0


def test_openai_streams(ai):
    chunks = list(ai.chat.completions.create(model=MODEL, messages=ASK, temperature=0, max_tokens=24, seed=1, stream=True,
                                             stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens > 0
    assert chunks[-2].choices[0].finish_reason in ("stop", "length")
    assert "Paris" in "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)


def test_openai_completions_and_logprobs(ai):
    reply = ai.completions.create(model=MODEL, prompt="Hello", max_tokens=5, temperature=0, logprobs=2)
    assert reply.choices[0].finish_reason == "length" and len(reply.choices[0].logprobs.tokens) == 5
    chat = ai.chat.completions.create(model=MODEL, messages=ASK, max_tokens=3, temperature=0, logprobs=True, top_logprobs=2)
    assert len(chat.choices[0].logprobs.content) == 3 and len(chat.choices[0].logprobs.content[0].top_logprobs) == 2
    assert "".join(c.text for c in (x.choices[0] for x in ai.completions.create(model=MODEL, prompt="Hello", max_tokens=5, temperature=0, stream=True)))


def test_openai_errors(ai):
    with pytest.raises(openai.NotFoundError) as e:
        ai.chat.completions.create(model="nope", messages=ASK)
    assert "model 'nope' not found" in str(e.value)
    for more in ({"n": 200}, {"logit_bias": {"x": 1}}, {"logit_bias": {"999999": 1}}, {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "int"}}}}, {"tools": [{"type": "function", "function": {"name": "f"}}]}):
        with pytest.raises(openai.BadRequestError) as e:
            ai.chat.completions.create(model=MODEL, messages=ASK, **more)
        assert next(iter(more)) in str(e.value)


def test_openai_several_choices_are_what_single_ones_would_be(ai):
    """n sequences of one prompt: each as a request of its own with its seed would answer, whole and as a stream."""
    body = {"model": MODEL, "messages": ASK, "temperature": 1.2, "max_tokens": 12, "logprobs": True}
    whole = ai.chat.completions.create(**body, n=3, seed=7)
    assert [c.index for c in whole.choices] == [0, 1, 2] and len({c.message.content for c in whole.choices}) > 1
    assert whole.usage.completion_tokens == sum(len(c.logprobs.content) + (c.finish_reason == "stop") for c in whole.choices)
    for choice in whole.choices:
        assert ai.chat.completions.create(**body, seed=7 + choice.index).choices[0].message.content == choice.message.content
    texts, reasons = ["", "", ""], {}
    chunks = list(ai.chat.completions.create(**body, n=3, seed=7, stream=True, stream_options={"include_usage": True}))
    for c in (choice for chunk in chunks for choice in chunk.choices):
        assert c.index not in reasons, "nothing comes after a choice's end"
        texts[c.index] += c.delta.content or ""
        if c.finish_reason:
            reasons[c.index] = c.finish_reason
    assert texts == [c.message.content for c in whole.choices] and reasons == {c.index: c.finish_reason for c in whole.choices}
    assert chunks[-1].usage == whole.usage or chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    both = ai.completions.create(model=MODEL, prompt="Hello", max_tokens=4, n=2, best_of=2, seed=1)
    assert [c.index for c in both.choices] == [0, 1]


def test_openai_logit_bias(ai):
    """A bias of 100 makes a token certain, one of -100 impossible; the probabilities that are told are the model's own."""
    body = {"model": MODEL, "messages": ASK, "temperature": 0, "max_tokens": 3, "logprobs": True, "seed": 1}
    plain = ai.chat.completions.create(**body).choices[0]
    forced = ai.chat.completions.create(**body, logit_bias={"260": 100}).choices[0]
    assert [t.token for t in forced.logprobs.content] == [" the"] * 3 and forced.logprobs.content[0].logprob < -1
    ids = json.loads(ai._client.post(str(ai.base_url).replace("/v1/", "/api/tokenize"), json={"model": MODEL, "text": plain.logprobs.content[0].token}).text)["tokens"]
    other = ai.chat.completions.create(**body, logit_bias={str(ids[0]): -100}).choices[0]
    assert other.logprobs.content[0].token != plain.logprobs.content[0].token


def test_what_means_nothing_is_told(smollm):
    """A member that no reference of the API knows is named in a header; so is an option that this server decides by itself."""
    body = {"model": MODEL, "messages": ASK, "max_tokens": 1, "wheels": 4, "user": "ada"}
    assert smollm.post("/v1/chat/completions", body).headers["X-Ignored-Parameters"] == "wheels"
    reply = smollm.post("/api/generate", {"model": MODEL, "prompt": "x", "stream": False, "a\r\nb": 1, "options": {"num_predict": 1, "num_batch": 64, "mirostat": 2}})
    assert reply.headers["X-Ignored-Parameters"] == "options.num_batch, options.mirostat, a??b"
    assert smollm.post("/api/generate", {"model": MODEL, "prompt": "x", "stream": False, "options": {"num_predict": 1}}).headers["X-Ignored-Parameters"] is None


# ---- PyPI anthropic ----
@pytest.fixture(scope="module")
def claude(smollm):
    anthropic = pytest.importorskip("anthropic")
    return anthropic.Anthropic(base_url=smollm.url, api_key="none", max_retries=0)


def test_anthropic_whole_stream_and_count(claude):
    body = {"model": MODEL, "messages": ASK, "max_tokens": 24, "extra_body": {"temperature": 0}, "system": [{"type": "text", "text": "Answer briefly."}]}
    whole = claude.messages.create(**body)
    assert whole.content[0].type == "text" and "Paris" in whole.content[0].text
    assert whole.stop_reason in ("end_turn", "max_tokens") and whole.usage.output_tokens > 0
    with claude.messages.stream(**body) as stream:
        assert "".join(stream.text_stream) == whole.content[0].text
        last = stream.get_final_message()
    assert (last.usage.input_tokens, last.usage.output_tokens, last.stop_reason) == (whole.usage.input_tokens, whole.usage.output_tokens, whole.stop_reason)
    del body["max_tokens"], body["extra_body"]
    assert claude.messages.count_tokens(**body).input_tokens == whole.usage.input_tokens


def test_anthropic_names_the_stop_sequence(claude):
    reply = claude.messages.create(model=MODEL, messages=ASK, max_tokens=24, extra_body={"temperature": 0}, stop_sequences=["xyzzy", "Paris"])
    assert (reply.stop_reason, reply.stop_sequence) == ("stop_sequence", "Paris")


def test_anthropic_errors_and_leaving(claude, smollm):
    import anthropic
    with pytest.raises(anthropic.NotFoundError) as e:
        claude.messages.create(model="nope", messages=ASK, max_tokens=1)
    assert "model 'nope' not found" in str(e.value)
    with pytest.raises(anthropic.BadRequestError) as e:
        claude.messages.create(model=MODEL, messages=ASK, max_tokens=1, tools=[{"name": "f", "input_schema": {"type": "object"}}])
    assert "tools" in str(e.value)
    with claude.messages.stream(model=MODEL, messages=ASK, max_tokens=2000) as stream:
        next(iter(stream.text_stream))
    smollm.wait_idle()


# ---- PyPI openai: responses ----
def test_openai_responses(ai):
    body = {"model": MODEL, "input": [{"role": "user", "content": [{"type": "input_text", "text": ASK[0]["content"]}]}], "instructions": "Answer briefly.",
            "temperature": 0, "max_output_tokens": 24}
    whole = ai.responses.create(**body)
    assert "Paris" in whole.output_text and whole.status == "completed" and whole.usage.output_tokens > 0
    events = list(ai.responses.create(**body, stream=True))
    assert [e.sequence_number for e in events] == list(range(len(events)))
    assert events[0].type == "response.created" and events[-1].type == "response.completed"
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == whole.output_text == events[-1].response.output_text
    for more in ({"store": True}, {"previous_response_id": "resp_1"}, {"background": True}):
        with pytest.raises(openai.BadRequestError) as e:
            ai.responses.create(**body, **more)
        assert next(iter(more)) in str(e.value)


# ---- PyPI langchain-ollama ----
def test_langchain_ollama(smollm):
    langchain = pytest.importorskip("langchain_ollama")
    llm = langchain.ChatOllama(model=MODEL, base_url=smollm.url, temperature=0, seed=1, num_predict=24)
    whole = llm.invoke(ASK[0]["content"])
    assert "Paris" in whole.content and whole.usage_metadata["output_tokens"] > 0
    assert "".join(c.content for c in llm.stream(ASK[0]["content"])) == whole.content
    vectors = langchain.OllamaEmbeddings(model=MODEL, base_url=smollm.url).embed_documents(["a cat", "a dog"])
    assert len(vectors) == 2 and len(vectors[0]) > 100
    with pytest.raises(Exception, match="not found"):
        langchain.ChatOllama(model="nope", base_url=smollm.url).invoke("x")
    stream = langchain.ChatOllama(model=MODEL, base_url=smollm.url, num_predict=2000).stream("Tell me everything.")
    next(stream)
    stream.close()
    smollm.wait_idle()


# ---- PyPI litellm ----
@pytest.mark.parametrize("provider", ["ollama", "ollama_chat", "openai"])
def test_litellm(smollm, provider):
    litellm = pytest.importorskip("litellm")
    base = smollm.url + "/v1" if provider == "openai" else smollm.url
    body = {"model": "%s/%s" % (provider, MODEL), "messages": ASK, "api_base": base, "api_key": "none", "temperature": 0, "max_tokens": 24, "seed": 1}
    whole = litellm.completion(**body)
    assert "Paris" in whole.choices[0].message.content
    text = "".join(c.choices[0].delta.content or "" for c in litellm.completion(**body, stream=True))
    assert text == whole.choices[0].message.content
    with pytest.raises(Exception, match="not found"):
        litellm.completion(**{**body, "model": provider + "/nope"})


# ---- npm ----
@pytest.mark.parametrize("script, package", [("ollama.mjs", "ollama"), ("openai.mjs", "openai"), ("ai-sdk.mjs", "@ai-sdk/openai-compatible")])
def test_npm(smollm, script, package):
    node = shutil.which("node")
    if not node or not (CLIENTS / "node_modules" / package).exists():
        pytest.skip("node or the npm packages of tests/clients are not installed")
    done = subprocess.run([node, script, smollm.url, MODEL], cwd=CLIENTS, capture_output=True, check=False, timeout=1200)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    assert done.stdout.decode().splitlines()[-1] == "ok"
