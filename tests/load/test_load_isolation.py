# SPDX-License-Identifier: MIT
"""Nothing crosses between clients: what is asked together is answered as if each had been alone, byte for byte, whoever leaves meanwhile."""
import concurrent.futures
import random
import threading

import pytest

from crowd import COUNT, MODEL, Client, ask, count_on, counts, until

WORDS = ["bazor", "devak", "filum", "gotix", "huged", "kapon", "lewiz", "mibek", "nojal", "puqur", "radof", "senym"]
PREFACE = "Everybody who comes here is told one word, which is not the word of anybody else. "


# ---- Markers ----
def marked(word):
    """A prompt whose answer is its own word again and again. All begin alike, so that they share pages of the cache."""
    return {"model": MODEL, "prompt": PREFACE + ("The word is %s. " % word) * 6 + "The word is", "raw": True, "options": {"temperature": 0, "seed": 1, "num_predict": 20}}


def marked_for_openai(word):
    return {"model": MODEL, "prompt": PREFACE + 'Repeat this: "%s %s %s"' % (word, word, word), "temperature": 0, "seed": 1, "max_tokens": 20}


def bodies():
    """(word, path, body): two dialects, streaming and not."""
    return [(word, path, {**make(word), "stream": stream}) for word in WORDS
            for path, make in (("/api/generate", marked), ("/v1/completions", marked_for_openai)) for stream in (True, False)]


@pytest.fixture(scope="module")
def alone(server):
    """What each is answered when it is alone."""
    answers = {}
    for word, path, body in bodies():
        if body["stream"]:
            answers[word, path] = ask(server, path, body).text
    return answers


def wander(server, alone, seed, n_requests, say):
    """One client: asks at random, sometimes leaves at a random moment, checks whatever it got."""
    chance = random.Random(seed)
    for _ in range(n_requests):
        word, path, body = chance.choice(bodies())
        client = Client(server, path, body)
        leaves_after = chance.choice([None, None, None, 0, chance.randrange(1, 15)])
        if leaves_after is None:
            client.finish()
            if client.text != alone[word, path]:
                say("%s of %s (stream: %s) was answered %r, alone %r" % (path, word, body["stream"], client.text, alone[word, path]))
        else:
            while body["stream"] and len(client.pieces) < leaves_after and client.read_line():
                pass
            client.leave()
            if not alone[word, path].startswith(client.text):
                say("%s of %s began with %r, alone it is %r" % (path, word, client.text, alone[word, path]))
        if any(other in client.text for other in WORDS if other != word):
            say("the answer to %s has the word of another: %r" % (word, client.text))


def storm(server, alone, n_clients, n_requests):
    wrong = []
    with concurrent.futures.ThreadPoolExecutor(n_clients) as pool:
        for done in [pool.submit(wander, server, alone, 100 * n_clients + i, n_requests, wrong.append) for i in range(n_clients)]:
            done.result()
    assert wrong == []
    until(lambda: counts(server) == (0, 0), "nothing runs any more")


def test_the_model_says_the_words_of_its_prompt(alone):
    """Else the tests below would prove little."""
    for word in WORDS:
        assert word in alone[word, "/api/generate"], alone[word, "/api/generate"]


def test_no_text_crosses_between_clients(server, alone):
    storm(server, alone, 12, 14)


def test_no_text_crosses_when_pages_are_short(serve, alone):
    """Eight slots share pages for two or three answers: pages are evicted, sequences preempted and computed again, all the time."""
    server = serve(OLLAMA_NUM_PARALLEL="8", OLLAMA_CONTEXT_LENGTH="64")  # makes a pool of 512 tokens
    small = {key: text for key, text in alone.items() if key[1] == "/api/generate"}
    wrong = []

    def client(i):
        for k in range(12):
            word = WORDS[(5 * i + 7 * k) % len(WORDS)]
            body = marked(word)
            body["options"]["num_ctx"] = 256
            c = Client(server, "/api/generate", {**body, "stream": (i + k) % 2 == 0})
            if (i + k) % 5 == 4:
                c.leave()
            elif c.finish().text != small[word, "/api/generate"]:
                wrong.append((word, c.text))

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        for done in [pool.submit(client, i) for i in range(12)]:
            done.result()
    assert wrong == []
    until(lambda: counts(server) == (0, 0), "nothing runs any more")


# ---- Streams beside others that leave ----
def test_streams_beside_cancelled_ones_are_byte_identical(server):
    steady = [count_on(60, seed=i, temperature=t) for i, t in enumerate((0, 0.8, 1.2))]
    undisturbed = [ask(server, "/api/generate", body) for body in steady]
    streams = [Client(server, "/api/generate", body) for body in steady]
    for i in range(12):  # one slot is left: they come and go beside the three
        visitor = Client(server, "/api/generate", count_on(seed=i, temperature=1.0))
        visitor.read_pieces(1 + i % 3)
        visitor.leave()
    for stream, before in zip(streams, undisturbed):
        assert stream.finish().pieces == before.pieces
        assert stream.last().get("context") == before.last().get("context")


# ---- The same seed ----
def sampled(seed):
    """(path, body) of one request as each route takes it; the two forms of chat ask for the same."""
    messages = [{"role": "user", "content": "Tell me something that nobody knows."}]
    options = {"temperature": 0.8, "seed": seed, "num_predict": 24}
    return {
        "generate": ("/api/generate", {"model": MODEL, "prompt": COUNT, "options": options}),
        "chat": ("/api/chat", {"model": MODEL, "messages": messages, "options": {**options, "top_p": 1.0}}),
        "completions": ("/v1/completions", {"model": MODEL, "prompt": COUNT, "temperature": 0.8, "seed": seed, "max_tokens": 24}),
        "chat completions": ("/v1/chat/completions", {"model": MODEL, "messages": messages, "temperature": 0.8, "seed": seed, "max_tokens": 24}),
    }


def test_the_same_seed_gives_the_same_answer_alone_and_under_load(server):
    asks = [(name, seed, path, {**body, "stream": stream}) for seed in (1, 2) for name, (path, body) in sampled(seed).items() for stream in (True, False)]
    alone = {(name, seed): ask(server, path, body).text for name, seed, path, body in asks if body["stream"]}
    assert len(set(alone.values())) >= 6  # another seed, another answer; both forms of chat alike
    stop = threading.Event()

    def make_noise(i):
        while not stop.is_set():
            ask(server, "/api/generate", count_on(3 + i, temperature=1.0, seed=i))

    with concurrent.futures.ThreadPoolExecutor(len(asks) + 4) as pool:
        noise = [pool.submit(make_noise, i) for i in range(4)]
        try:
            together = [(a, pool.submit(ask, server, a[2], a[3])) for a in asks]
            answers = [(a, done.result().text) for a, done in together]
        finally:
            stop.set()
        for n in noise:
            n.result()
    for (name, seed, _, body), text in answers:
        assert text == alone[name, seed], (name, seed, body["stream"])
    for seed in (1, 2):
        assert alone["chat", seed] == alone["chat completions", seed]
