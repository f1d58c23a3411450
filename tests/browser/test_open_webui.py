# SPDX-License-Identifier: MIT
"""PyPI's open-webui, unmodified, in a real browser (Debian's chromium) before drover, by each of its two kinds of connection.

A person signs in, chooses a model, chats, sees the answer grow and stops it; another model calls the tools that open-webui offers. Neither
open-webui nor the browser may reach anything but this machine. Pictures are kept: build/artefacts/open-webui-{ollama,openai}{,-tools}.png.
"""
import json
import os
import pathlib
import shutil
import subprocess
import time
import urllib.error
import urllib.request

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, TimeoutException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from served import CACHE, ROOT, Server, clean_env, free_port, import_model, smollm_store

LIMIT_S = 300
MAIL, PASSWORD = "anna@example.org", "secret of anna"
QWEN = CACHE / "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
PICTURES = pathlib.Path(os.environ.get("DROVER", ROOT / "build" / "drover")).parent / "artefacts"
QUESTION = "What is the capital of France?"
ROUTES = {"ollama": "/api/chat", "openai": "/v1/chat/completions"}

pytestmark = pytest.mark.skipif(not CHROMIUM or not DRIVER, reason="Debian's packages chromium and chromium-driver are not there")


@pytest.fixture(scope="module")
def drover(tmp_path_factory):
    """drover with two names of SmolLM2, `brief`, which answers in a few words, and `talker`, which goes on for long; and `clerk`, which
    is Qwen2.5-coder and calls tools."""
    home = tmp_path_factory.mktemp("drover")
    import_model(smollm_store(home / "store", home), home, QWEN, "qwen")
    server = Server(home, home / "store")
    for name, weights, num_predict in (("brief", "smollm2", 16), ("talker", "smollm2", 3000), ("clerk", "qwen", 200)):
        body = {"model": name, "from": weights, "parameters": {"temperature": 0, "seed": 1, "num_predict": num_predict}, "stream": False}
        assert server.post("/api/create", body).status == 200
    yield server
    assert server.stop() == 0, server.log.read_text()[-4000:]


@pytest.fixture(params=list(ROUTES))
def connection(request):
    return request.param


@pytest.fixture
def offers_tools(request):
    """Whether open-webui offers its own tools, as it does by default."""
    return getattr(request, "param", False)


def connection_env(drover, connection):
    if connection == "ollama":
        return {"OLLAMA_BASE_URL": drover.url, "ENABLE_OPENAI_API": "false"}
    return {"OPENAI_API_BASE_URL": drover.url + "/v1", "OPENAI_API_KEY": "none", "ENABLE_OLLAMA_API": "false"}


def webui_env(home, drover, connection, offers_tools):
    """Nothing is downloaded, and nothing but the answers is asked of the model: no titles, tags, proposals."""
    return clean_env(home, DATA_DIR=str(home / "data"), WEBUI_SECRET_KEY="of this test", WEBUI_ADMIN_EMAIL=MAIL, WEBUI_ADMIN_PASSWORD=PASSWORD,
                     WEBUI_ADMIN_NAME="Anna", USE_SLIM_DOCKER="true", OFFLINE_MODE="true", HF_HUB_OFFLINE="1", RAG_EMBEDDING_ENGINE="ollama",
                     RAG_OLLAMA_BASE_URL=drover.url, ANONYMIZED_TELEMETRY="false", ENABLE_PERSISTENT_CONFIG="false",
                     ENABLE_TITLE_GENERATION="false", ENABLE_TAGS_GENERATION="false", ENABLE_FOLLOW_UP_GENERATION="false",
                     DEFAULT_MODEL_METADATA=json.dumps({"capabilities": {"builtin_tools": offers_tools}}), **connection_env(drover, connection))


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return reply.status == 200
    except (urllib.error.URLError, OSError):
        return False


@pytest.fixture
def webui(tmp_path, drover, connection, offers_tools):
    """The address of open-webui."""
    port = free_port()
    log = tmp_path / "open-webui.log"
    with open(log, "wb") as out:
        process = subprocess.Popen([os.environ["OPEN_WEBUI"], "serve", "--host", "127.0.0.1", "--port", str(port)], cwd=tmp_path,
                                   env=webui_env(tmp_path, drover, connection, offers_tools), stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    url = "http://127.0.0.1:%d" % port
    until = time.monotonic() + LIMIT_S
    try:
        while not answers(url + "/health"):
            assert process.poll() is None and time.monotonic() < until, log.read_text()[-4000:]
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Page:
    """The browser, spoken of in a person's words."""

    def __init__(self, driver):
        self.driver = driver

    def until(self, condition, what):
        wait = WebDriverWait(self.driver, LIMIT_S, poll_frequency=0.1, ignored_exceptions=[StaleElementReferenceException])
        try:
            return wait.until(lambda _: condition(), "not seen: " + what)
        except TimeoutException:
            self.keep_picture("failed")
            raise

    def shown(self, css):
        return [e for e in self.driver.find_elements(By.CSS_SELECTOR, css) if e.is_displayed()]

    def find(self, css):
        return self.until(lambda: (self.shown(css) or [None])[0], css)

    def click(self, css):
        self.until(lambda: self.find(css).click() or True, css)

    def sign_in(self, url):
        self.driver.get(url)
        self.find("input[type=email]").send_keys(MAIL)
        self.find("input[type=password]").send_keys(PASSWORD)
        self.click("button[type=submit]")
        self.until(lambda: [e for e in self.shown("button") if e.text.startswith("Okay")], "what is new").pop().click()

    def choose(self, model):
        """Out of the list of all models; the button then names it."""
        self.click("#model-selector-model-button")
        self.click('[role=option][aria-label^="Select %s:latest"]' % model)
        self.until(lambda: model in self.find("#model-selector-model-button").text, "%s is chosen" % model)

    def ask(self, text):
        self.click("#chat-input")
        self.find("#chat-input").send_keys(text, Keys.ENTER)

    def keep_picture(self, name):
        PICTURES.mkdir(exist_ok=True)
        assert self.driver.save_screenshot(str(PICTURES / ("open-webui-%s.png" % name)))

    def is_answering(self):
        return bool(self.shown("button[aria-label=Stop]"))

    def stop(self):
        """Clicks on Stop for as long as there is an answer on its way; it may end by itself just then."""
        def is_over():
            for button in self.shown("button[aria-label=Stop]"):
                button.click()
            return not self.is_answering()

        self.until(is_over, "the end of the answer")

    def answer(self):
        found = self.shown(".chat-assistant")
        return " ".join(found[-1].text.split()) if found else ""


@pytest.fixture
def page(tmp_path):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    # The sandbox of chromium refuses root and most containers; the page is our own machine's, and no other name is resolved.
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--window-size=1280,900", "--lang=en-US",
                     "--user-data-dir=%s" % (tmp_path / "profile"), "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield Page(driver)
    driver.quit()


def direct_answer(drover, connection):
    """What drover says to QUESTION without open-webui between: the model's seed makes it the same."""
    body = {"model": "brief", "messages": [{"role": "user", "content": QUESTION}], "stream": False}
    reply = json.loads(drover.post(ROUTES[connection], body).text)
    return " ".join((reply if connection == "ollama" else reply["choices"][0])["message"]["content"].split())


def requests_of(drover, connection, model=None):
    """What drover remembers of the requests of this kind of connection, the newest last."""
    requests = json.loads(drover.call("GET", "/api/requests").text)["requests"]
    chosen = [r for r in requests if r["route"] == ROUTES[connection] and model in (None, r["model"])]
    return sorted(chosen, key=lambda r: r["arrived_at"])


def test_open_webui_signs_in_chooses_chats_streams_and_stops(page, webui, drover, connection):
    page.sign_in(webui)

    page.choose("brief")
    page.ask(QUESTION)
    expected = direct_answer(drover, connection)
    page.until(lambda: page.answer().endswith(expected) and not page.is_answering(), expected)
    drover.wait_idle()
    whole = requests_of(drover, connection)[-1]
    assert (whole["model"], whole["status"]) == ("brief:latest", 200), whole

    page.driver.get(webui)
    page.choose("talker")
    page.ask("Write a very long story about a cat.")
    seen = [""]
    while len(seen) < 5 or len(seen[-1]) < 200:  # the text grows while it is looked at
        seen.append(page.until(lambda: len(page.answer()) > len(seen[-1]) and page.is_answering() and page.answer(), "more of the answer"))
    page.keep_picture(connection)

    page.stop()
    drover.wait_idle()
    stopped = requests_of(drover, connection)[-1]
    assert (stopped["model"], stopped["outcome"]) == ("talker:latest", "cancelled"), stopped
    assert 0 < stopped["generated_tokens"] < 3000, stopped
    assert page.answer().startswith(seen[2][:40]), "what was said is still there"


@pytest.mark.parametrize("offers_tools", [True], indirect=True, ids=["tools"])
def test_open_webui_calls_its_tools(page, webui, drover, connection):
    page.sign_in(webui)
    page.choose("clerk")
    page.ask("Which time is it? Call the tool get_current_timestamp.")
    page.until(lambda: "get_current_timestamp" in page.answer(), "the call that open-webui made")
    first = page.until(lambda: requests_of(drover, connection, "clerk:latest")[1:] and requests_of(drover, connection, "clerk:latest"),
                       "the result goes to the model")[0]
    assert first["status"] == 200 and first["prompt_tokens"] > 1000, first
    page.keep_picture(connection + "-tools")
    page.stop()  # so small a model calls again and again
    drover.wait_idle()
    assert all(r["status"] in (200, 499) for r in requests_of(drover, connection, "clerk:latest"))
