# SPDX-License-Identifier: MIT
"""What Ollama's own integration tests assert, in our words, as far as the available models can show it; and where else it is shown.

generate, chat, stream and not    test_a_question_is_answered_with_all_members, test_clients.py test_generate_whole_and_stream_agree, test_chat_whole_and_stream_agree
ps, list, show                    test_ps_lists_the_model, test_list_and_show_have_all_members
logprobs, num_predict             test_logprobs_only_when_asked_and_one_a_token, test_clients.py test_logprobs
blue sky, Chinese, emoji          test_a_question_is_answered_with_all_members, test_chinese_in_and_out, test_an_emoji_is_never_broken
long input, context exhausted     test_a_prompt_longer_than_the_context_is_refused_in_words, test_an_answer_ends_with_the_context (Ollama shifts the context and
                                  goes on; drover ends with `length`, since a shifted cache computes another text than a fresh one would)
history of generate and chat      test_the_second_turn_knows_the_first, in two parallel clients
clients at once on one model      test_one_more_client_than_slots_chat_in_turns, test_load_queue.py, test_load_isolation.py
many models, thrashing            test_three_clients_of_three_models_where_two_fit, test_load_models.py, test_load_soak.py
full queue                        test_vectors_beside_a_long_answer_queue_up_to_the_limit, test_load_queue.py test_exactly_4_run_and_max_queue_wait_and_the_rest_get_503
embeddings: correlation           test_vectors_of_like_words_are_near_by_every_measure, test_embed.py test_like_texts_have_like_vectors
  truncation, counts, status      test_embedding_is_cut_to_the_context, test_embedding_counts_tokens_of_a_batch, test_long_embeddings, test_embed.py
                                  test_long_inputs_are_cut_or_refused
create from a GGUF file           test_create.py test_a_real_file, test_a_file_is_sent_and_becomes_a_model
thinking, asked for and refused   test_thinking.py test_thinking_is_told_from_the_answer, test_think_false_is_fine_on_any_model_and_leaves_the_words_alone,
                                  test_a_call_comes_out_whole_and_no_tag_leaks
tools, on every route             test_a_tool_is_called_on_every_route, test_calls_over_several_turns, test_tools.py
rendering without an answer       test_generate_and_chat_render_alike, test_oracle.py
create with quantize, from        test_create.py, tests/unit/store
  safetensors
Not shown, since drover computes no such models yet: the reference vectors of all-minilm and ten more encoders, pictures (counting, reading, several),
speech, [img-0] in rendered prompts.

What is asked of the scheduler beyond that:

1 slots share steps, same answers    test_load_article.py test_two_requests_same_model_enough_parallelism_are_batched_and_stream_together, test_load_isolation.py
                                     test_the_same_seed_gives_the_same_answer_alone_and_under_load
2 exactly the overflow gets 503      test_load_queue.py test_exactly_4_run_and_max_queue_wait_and_the_rest_get_503, test_64_clients_against_4_slots_are_all_served_in_order_of_arrival,
                                     test_serve.py test_full_queue_is_503_in_each_dialect
3 who leaves frees the place         test_load_leaving.py: while the model loads, in the queue, in a prompt, while decoding, on every route
4 the first of two waiters leaves    test_load_models.py test_a_load_goes_on_when_the_client_that_came_first_leaves
5 no starvation                      tests/unit/sched/test_sched_rules.c test_no_starvation_either_way, test_sched.c test_no_starvation
6 a load stalls nobody               test_load_models.py test_a_request_for_a_loaded_model_does_not_wait_for_the_load_of_another; who waits for room is not overtaken
                                     by a later one that needs room too (test_sched_rules.c test_nobody_overtakes_for_room)
7 keep_alive                         test_keep_alive_is_kept_until_another_is_said, test_oracle.py, tests/unit/server/test_ollama.c, tests/unit/sched/test_sched.c test_keep_alive
8 RAM short                          test_load_memory.py test_a_model_that_can_never_fit_is_refused_at_once_with_need_and_have, test_no_oom_kill_in_a_memory_group_of_1_gib
9 the model's process is killed      test_load_crash.py test_streams_go_on_with_the_same_text_when_the_runner_is_killed, test_a_request_that_saw_two_runners_die_ends_with_a_clear_error
10 two names, two num_ctx            test_two_names_with_other_contexts_do_not_reload_in_turns, test_load_models.py test_two_names_of_one_file_share_a_process
11 a slow reader                     test_load_leaving.py test_a_reader_that_never_reads_is_cut_and_others_are_served
12 the last line                     test_oracle.py test_lines_end_with_done, test_load_stream_errors.py test_every_route_ends_its_stream_with_an_error_event
"""
import datetime
import json
import re
import threading

import pytest

from crowd import Client, count_on, held, load, until, wait_counts
from served import CACHE, ROOT, Server, import_model

GREEDY = {"temperature": 0, "seed": 123}
SKY = "why is the sky blue?"
SKY_WORDS = ("rayleigh", "scatter", "atmosphere", "wavelength", "particle", "sunlight", "oxygen", "nitrogen")
DETAILS = ["parent_model", "format", "family", "families", "parameter_size", "quantization_level"]


def post(server, path, **body):
    reply = server.post(path, {"stream": False, **body})
    assert reply.status == 200, reply.text
    return json.loads(reply.text)


def is_time(text):
    return datetime.datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", text).replace("Z", "+00:00"))


def says_one_of(words, text):
    return any(w in text.lower() for w in words)


def test_what_the_head_of_this_file_names_is_there():
    files = {f.name: f for f in (ROOT / "tests").rglob("test_*.[pc]*")}
    code = "".join(f.read_text() for f in files.values())
    for name in re.findall(r"test_\w+(?:\.py|\.c)?", __doc__):
        assert name in files or re.search(r"\b%s\(" % name, code), name


# ---- One answer ----
@pytest.mark.parametrize("stream", [True, False], ids=["streaming", "whole"])
@pytest.mark.parametrize("path", ["/api/generate", "/api/chat"])
def test_a_question_is_answered_with_all_members(smollm, path, stream):
    body = {"prompt": SKY} if path == "/api/generate" else {"messages": [{"role": "user", "content": SKY}]}
    reply = smollm.post(path, {"model": "smollm2", **body, "stream": stream, "options": {**GREEDY, "num_predict": 40}})
    lines = [json.loads(line) for line in reply.text.splitlines()]
    assert all(line["model"] == "smollm2" and is_time(line["created_at"]) for line in lines)
    last = lines[-1]
    assert last["done"] and last["done_reason"] in ("stop", "length") and last["eval_count"] > 0
    assert all(last[k] > 0 for k in ("total_duration", "load_duration", "prompt_eval_count", "prompt_eval_duration", "eval_duration"))
    assert path == "/api/chat" or last["context"]
    text = "".join(line["response"] if path == "/api/generate" else line["message"]["content"] for line in lines)
    assert says_one_of(SKY_WORDS, text), text


def test_ps_lists_the_model(smollm):
    post(smollm, "/api/generate", model="smollm2", prompt="Hi", options={"num_predict": 1})
    model = next(m for m in json.loads(smollm.call("GET", "/api/ps").text)["models"] if m["name"] == "smollm2:latest")
    assert model["model"] == "smollm2:latest" and model["size"] > 0 and len(model["digest"]) == 64
    assert list(model["details"]) == DETAILS and model["details"]["quantization_level"] == "Q4_1"
    assert is_time(model["expires_at"]) > datetime.datetime.now(datetime.timezone.utc)


def test_list_and_show_have_all_members(smollm):
    model = next(m for m in json.loads(smollm.call("GET", "/api/tags").text)["models"] if m["name"] == "smollm2:latest")
    assert model["model"] and is_time(model["modified_at"]) and model["size"] > 0 and len(model["digest"]) == 64
    assert list(model["details"])[:6] == DETAILS and all(model["details"][k] for k in DETAILS[1:])
    body = {"model": "shown", "from": "smollm2", "license": "free", "parameters": {"top_k": 3}, "stream": False}
    assert smollm.post("/api/create", body).status == 200
    shown = post(smollm, "/api/show", model="shown")
    assert shown["license"] == "free" and re.fullmatch(r"top_k +3", shown["parameters"]) and "FROM " in shown["modelfile"]
    assert shown["template"] and shown["model_info"]["general.architecture"] == "llama" and is_time(shown["modified_at"])
    assert list(shown["details"]) == DETAILS and "completion" in shown["capabilities"]
    assert smollm.call("DELETE", "/api/delete", {"model": "shown"}).status == 200


@pytest.mark.parametrize("path", ["/api/generate", "/api/chat"])
def test_logprobs_only_when_asked_and_one_a_token(smollm, path):
    body = {"model": "smollm2", "options": {**GREEDY, "num_predict": 10}, "prompt": SKY, "messages": [{"role": "user", "content": SKY}]}
    body.pop("messages" if path == "/api/generate" else "prompt")
    assert "logprobs" not in post(smollm, path, **body)
    entries = post(smollm, path, **body, logprobs=True, top_logprobs=3)["logprobs"]
    assert len(entries) == 10
    for entry in entries:
        top = [t["logprob"] for t in entry["top_logprobs"]]
        assert entry["token"] and entry["logprob"] <= 0 and bytes(entry["bytes"]).decode() == entry["token"]
        assert len(top) == 3 and top == sorted(top, reverse=True)
    assert all("top_logprobs" not in e or e["top_logprobs"] == [] for e in post(smollm, path, **body, logprobs=True)["logprobs"])


def test_an_emoji_is_never_broken(smollm):
    """SmolLM2's stars are several tokens each: an answer that ends inside one, in the stream or not, shows whole ones only."""
    for n in range(3, 9):
        body = {"model": "smollm2", "prompt": "Respond only with the emoji \U0001f600", "options": {**GREEDY, "num_predict": n}}
        whole = post(smollm, "/api/generate", **body)
        lines = [json.loads(line) for line in smollm.post("/api/generate", body).text.splitlines()]
        assert whole["eval_count"] == n and set(whole["response"]) == {"\U0001f31f"}, whole["response"]
        assert "".join(line["response"] for line in lines) == whole["response"] and all(set(line["response"]) <= {"\U0001f31f"} for line in lines)


# ---- Contexts ----
@pytest.mark.parametrize("path", ["/api/generate", "/api/chat", "/v1/chat/completions"])
def test_a_prompt_longer_than_the_context_is_refused_in_words(smollm, path):
    text = "word " * 600
    body = {"prompt": text} if path == "/api/generate" else {"messages": [{"role": "user", "content": text}]}
    if path == "/v1/chat/completions":  # has no num_ctx: more than the model was made for
        body["messages"][0]["content"] = "word " * 9000
    reply = smollm.post(path, {"model": "smollm2", **body, "stream": False, "options": {"num_ctx": 128}} if path[1] == "a" else {"model": "smollm2", **body})
    error = json.loads(reply.text)["error"]
    text = error if isinstance(error, str) else error["message"]
    assert reply.status == 400 and "context" in text and says_one_of(("exceed", "too large", "longer", "too long"), text), text


def test_an_answer_ends_with_the_context(smollm):
    reply = post(smollm, "/api/generate", model="smollm2", prompt="Write me a story about a dragon.", options={**GREEDY, "num_ctx": 128, "num_predict": -1})
    assert reply["done_reason"] == "length" and reply["prompt_eval_count"] + reply["eval_count"] == 128
    assert says_one_of(("dragon", "scales", "king"), reply["response"])


def test_two_names_with_other_contexts_do_not_reload_in_turns(start, smollm_models, tmp_path):
    server = start(smollm_models)
    for name, num_ctx in (("narrow", 1024), ("wide", 2048)):
        assert server.post("/api/create", {"model": name, "from": "smollm2", "parameters": {"num_ctx": num_ctx}, "stream": False}).status == 200
    for name in ("narrow", "wide", "narrow", "wide", "narrow"):
        post(server, "/api/generate", model=name, prompt="Hi", options={"num_predict": 1})
    assert len(re.findall(r"model \S+ is loaded", server.log.read_text())) == 1
    for name in ("narrow", "wide"):
        assert server.call("DELETE", "/api/delete", {"model": name}).status == 200


def test_keep_alive_is_kept_until_another_is_said(start, smollm_models):
    def expires(keep_alive):
        body = {"keep_alive": keep_alive} if keep_alive is not None else {}
        post(server, "/api/generate", model="smollm2", prompt="Hi", options={"num_predict": 1}, **body)
        server.wait_idle()
        model = json.loads(server.call("GET", "/api/ps").text)["models"][0]
        return is_time(model["expires_at"]) - datetime.datetime.now(datetime.timezone.utc)

    server = start(smollm_models, OLLAMA_KEEP_ALIVE="10m")
    hour = datetime.timedelta(hours=1)
    assert expires(None) < hour / 2
    assert 2 * hour < expires("3h") < 4 * hour
    assert 2 * hour < expires(None) < 4 * hour, "the last that was said"
    assert expires(-1) > 24 * 365 * hour
    assert expires(7200) < 3 * hour


# ---- Conversations ----
TALKS = [("Name one planet of the solar system.", "planet", ("planet", "earth", "mars", "venus", "jupiter", "saturn", "mercury", "sun")),
         ("Name one animal that lives in the sea.", "animal", ("whale", "fish", "dolphin", "shark", "sea", "ocean", "octopus", "water", "animal"))]


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """All three models, of which two may be loaded."""
    home = tmp_path_factory.mktemp("three")
    for file, name in (("smollm2-135m-instruct-q4_1", "smollm2"), ("gemma3-270m-q4_k_m", "gemma"), ("qwen2.5-coder-0.5b-instruct-q4_k_m", "qwen")):
        import_model(home / "store", home, CACHE / (file + ".gguf"), name)
    server = Server(home, home / "store", OLLAMA_MAX_LOADED_MODELS="2")
    yield server
    assert server.stop() == 0, server.log.read_text()[-4000:]


def at_once(*calls):
    """Runs the calls side by side; what any of them raised is raised."""
    raised = []

    def run(call):
        try:
            call()
        except BaseException as e:  # for the test, which is in another thread
            raised.append(e)

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for e in raised:
        raise e


def test_chinese_in_and_out(three):
    reply = post(three, "/api/generate", model="qwen", prompt="\u5929\u7a7a\u4e3a\u4ec0\u4e48\u662f\u84dd\u8272\u7684?", options={**GREEDY, "num_predict": 40})
    assert says_one_of(("\u84dd", "\u5149", "\u5929\u7a7a", "\u5927\u6c14"), reply["response"]) and "\ufffd" not in reply["response"]
    assert "\U0001f600" in post(three, "/api/generate", model="qwen", prompt="Respond only with the emoji \U0001f600", options=GREEDY)["response"]


def talk_by_context(server, first, about, words):
    one = post(server, "/api/generate", model="qwen", prompt=first, options={**GREEDY, "num_predict": 24})
    two = post(server, "/api/generate", model="qwen", prompt="Tell me more about it.", context=one["context"], options={**GREEDY, "num_predict": 32})
    assert says_one_of(words, one["response"]) and says_one_of(words, two["response"]), (about, one["response"], two["response"])
    assert two["prompt_eval_count"] > len(one["context"])


def talk_by_messages(server, first, about, words):
    messages = [{"role": "user", "content": first}]
    for _ in range(2):
        answer = post(server, "/api/chat", model="qwen", messages=messages, options={**GREEDY, "num_predict": 32})["message"]
        assert says_one_of(words, answer["content"]), (about, answer)
        messages += [answer, {"role": "user", "content": "Tell me more about it."}]


@pytest.mark.parametrize("talk", [talk_by_context, talk_by_messages])
def test_the_second_turn_knows_the_first(three, talk):
    at_once(*(lambda t=t: talk(three, *t) for t in TALKS))


def test_one_more_client_than_slots_chat_in_turns(start, smollm_models):
    server = start(smollm_models, OLLAMA_NUM_PARALLEL="2")

    def chat():
        messages = [{"role": "user", "content": SKY}]
        for _ in range(3):
            answer = post(server, "/api/chat", model="smollm2", messages=messages, options={**GREEDY, "num_predict": 24})["message"]
            assert says_one_of(SKY_WORDS + ("sky", "blue", "light"), answer["content"]), answer
            messages += [answer, {"role": "user", "content": "Say more about light and the sky."}]

    at_once(chat, chat, chat)


def test_three_clients_of_three_models_where_two_fit(three):
    def chat(model):
        for i in range(3):
            assert post(three, "/api/generate", model=model, prompt="%d, " % i, raw=True, options={**GREEDY, "num_predict": 4})["eval_count"] > 0

    at_once(*(lambda m=m: chat(m) for m in ("smollm2", "gemma", "qwen")))
    three.wait_idle()
    assert len(json.loads(three.call("GET", "/api/ps").text)["models"]) <= 2
    assert len(re.findall(r"model \S+ is loaded", three.log.read_text())) > 2, "one was sent away"


def test_vectors_beside_a_long_answer_queue_up_to_the_limit(start, smollm_models):
    server = start(smollm_models, OLLAMA_NUM_PARALLEL="1", OLLAMA_MAX_QUEUE="16")
    load(server)
    with held(server):
        talker = Client(server, "/api/generate", count_on())
        wait_counts(server, 1, 0)
        clients = [Client(server, "/api/embed", {"model": "smollm2", "input": "text %d" % i}) for i in range(26)]
        wait_counts(server, 1, 16)
        until(lambda: server.call("GET", "/api/requests").text.count('"outcome":"refused"') == 10, "ten are refused")
    assert talker.read_line()
    talker.leave()
    replies = [(c.reply().status, json.loads(c.reply().read())) for c in clients]
    assert sorted(status for status, _ in replies) == [200] * 16 + [503] * 10
    assert all("server busy" in body["error"] if status == 503 else len(body["embeddings"]) == 1 for status, body in replies)


# ---- Embeddings ----
def vectors(server, **body):
    return post(server, "/api/embed", model="smollm2", **body)


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b))


def test_vectors_of_like_words_are_near_by_every_measure(smollm):
    triples = [("The cat sits on the mat.", "A kitten lies on the rug.", "Interest rates rose by two percent."),
               ("How do I bake bread?", "What is a good recipe for a loaf?", "The train to Berlin leaves at nine."),
               ("He plays the piano.", "She plays the violin.", "The function returns an integer.")]
    for texts in triples:
        a, b, c = vectors(smollm, input=list(texts))["embeddings"]
        assert cosine(a, b) > cosine(a, c)
        for power in (1, 2):
            assert sum(abs(x - y) ** power for x, y in zip(a, b)) < sum(abs(x - z) ** power for x, z in zip(a, c)), (power, texts)


def test_embedding_is_cut_to_the_context(smollm):
    """The smallest context is 4, as Ollama's."""
    first_four = vectors(smollm, input="why is the sky")
    assert first_four["prompt_eval_count"] == 4
    for options in ({"num_ctx": 3}, {"num_ctx": 4}, {"num_ctx": 1}):
        for more in ({}, {"truncate": True}):
            cut = vectors(smollm, input=SKY, options=options, **more)
            assert cut["embeddings"] == first_four["embeddings"] and cut["prompt_eval_count"] == 4
        refused = smollm.post("/api/embed", {"model": "smollm2", "input": SKY, "options": options, "truncate": False})
        assert refused.status == 400 and "context length" in json.loads(refused.text)["error"]
    whole = vectors(smollm, input=SKY)
    for more in ({}, {"truncate": True}, {"truncate": False}):
        assert vectors(smollm, input=SKY, options={"num_ctx": 16}, **more)["embeddings"] == whole["embeddings"]


def test_embedding_counts_tokens_of_a_batch(smollm):
    texts = ["word", "word " * 100, "word " * 12]
    reply = vectors(smollm, input=texts, options={"num_ctx": 30})
    assert len(reply["embeddings"]) == 3 and reply["prompt_eval_count"] <= 90
    one, three_times = vectors(smollm, input="test"), vectors(smollm, input=["test"] * 3)
    assert three_times["prompt_eval_count"] == 3 * one["prompt_eval_count"] and three_times["embeddings"] == one["embeddings"] * 3


def test_long_embeddings(smollm):
    for n in (256, 512, 800):
        reply = vectors(smollm, input="word " * n)
        assert reply["prompt_eval_count"] >= n and abs(cosine(reply["embeddings"][0], reply["embeddings"][0]) - 1) < 1e-4


# ---- Prompts ----
def test_generate_and_chat_render_alike(smollm):
    def rendered(path, **body):
        return post(smollm, path, model="smollm2", _debug_render_only=True, **body)["_debug_info"]["rendered_template"]

    prompt = rendered("/api/generate", prompt=SKY, system="Be brief.")
    assert prompt == rendered("/api/chat", messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": SKY}])
    assert SKY in prompt and prompt.index("Be brief.") < prompt.index(SKY)
    first = post(smollm, "/api/generate", model="smollm2", prompt=SKY, options={**GREEDY, "num_predict": 4})
    told = post(smollm, "/api/generate", model="smollm2", prompt="And?", context=first["context"], _debug_render_only=True)["_debug_info"]["rendered_template"]
    assert SKY in told and told.index(SKY) < told.index("And?")


# ---- Tools ----
LOCATION = {"type": "object", "properties": {"location": {"type": "string", "description": "The city"}}, "required": ["location"]}
WEATHER = {"name": "get_weather", "description": "Get the current weather of a city"}
ASK_WEATHER = "What is the weather in %s right now? Use the tool."
BE_BRIEF = "Be brief."
TAGS = ("<tool_call", "</tool_call", "<think", "</think", "<|", "<tools")


def text_parts(text, kind="text"):
    return [{"type": kind, "text": text}]


def chat_tools(city):
    """/api/chat: options hold the temperature."""
    return {"messages": [{"role": "system", "content": BE_BRIEF}, {"role": "user", "content": ASK_WEATHER % city}], "options": {**GREEDY, "num_predict": 80},
            "tools": [{"type": "function", "function": {**WEATHER, "parameters": LOCATION}}]}


def completions_tools(city):
    """The developer's role, and contents in parts."""
    return {"messages": [{"role": "developer", "content": text_parts(BE_BRIEF)}, {"role": "user", "content": text_parts(ASK_WEATHER % city)}],
            "temperature": 0, "max_tokens": 80, "tools": [{"type": "function", "function": {**WEATHER, "parameters": LOCATION}}]}


def responses_tools(city):
    return {"instructions": BE_BRIEF, "input": [{"role": "user", "content": text_parts(ASK_WEATHER % city, "input_text")}], "temperature": 0,
            "max_output_tokens": 80, "tools": [{"type": "function", **WEATHER, "parameters": LOCATION}]}


def messages_tools(city):
    """The system text in blocks."""
    return {"system": text_parts(BE_BRIEF), "messages": [{"role": "user", "content": text_parts(ASK_WEATHER % city)}], "temperature": 0, "max_tokens": 80,
            "tools": [{**WEATHER, "input_schema": LOCATION}]}


def values_in(value):
    """Every object inside, from the outside in."""
    if isinstance(value, dict):
        yield value
    for inside in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from values_in(inside)


def calls_in(text):
    """Names and arguments of all calls in an answer, whole or as a stream, of any dialect: what is streamed in pieces is put together."""
    events = [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith(("{", "data: {"))]
    calls, pieces = [], ""
    for event in events:
        if event.get("type") == "response.completed":  # says all again
            continue
        for v in values_in(event):
            if v.get("type") == "input_json_delta":
                pieces += v["partial_json"]
            elif v.get("name") == "get_weather" and v.get("status") != "in_progress" and "parameters" not in v and "input_schema" not in v:
                calls.append(v.get("arguments", v.get("input")))
    calls = [json.loads(c) if isinstance(c, str) else c for c in calls]
    return [json.loads(pieces)] if pieces else calls


@pytest.mark.parametrize("stream", [True, False], ids=["streaming", "whole"])
@pytest.mark.parametrize("path, body", [("/api/chat", chat_tools), ("/v1/chat/completions", completions_tools), ("/v1/responses", responses_tools),
                                        ("/v1/messages", messages_tools)])
def test_a_tool_is_called_on_every_route(three, path, body, stream):
    """The same prompt again finds its pages; one that begins the same finds some; each gives its own call, and no tag leaks."""
    for city in ("Paris", "Paris", "Tokyo"):
        reply = three.post(path, {"model": "qwen", **body(city), "stream": stream})
        assert reply.status == 200, reply.text
        assert calls_in(reply.text) == [{"location": city}], reply.text
        assert not any(tag in reply.text for tag in TAGS), reply.text


def test_calls_over_several_turns(three):
    """A second question after a call and its result, with a system message amid the conversation, is another call."""
    body = chat_tools("Paris")
    for city, degrees in (("Paris", 17), ("Tokyo", 23)):
        message = post(three, "/api/chat", model="qwen", **body)["message"]
        assert [c["function"]["arguments"] for c in message["tool_calls"]] == [{"location": city}], message
        body["messages"] += [message, {"role": "tool", "tool_name": "get_weather", "content": "%d degrees" % degrees}]
        body["messages"] += [{"role": "system", "content": "Go on."}, {"role": "user", "content": ASK_WEATHER % "Tokyo"}]
