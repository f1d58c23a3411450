# SPDX-License-Identifier: MIT
"""Where options come from: flags, variables, drover.conf; and the lines of Ollama's users as they write them."""
import json
import os
import re
import shutil
import subprocess
import time

import pytest

from crowd import until
from served import PROGRAM, clean_env, free_port, tiny_store


def print_config(home, *args, **env):
    done = subprocess.run([PROGRAM, "serve", "--print-config", *args], env=clean_env(home, **env), capture_output=True, check=False, timeout=60)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def options_of(home, *args, **env):
    code, out, err = print_config(home, "--json", *args, **env)
    assert code == 0, err
    return json.loads(out)


@pytest.fixture
def conf(tmp_path):
    path = tmp_path / "my.conf"

    def write(text):
        path.write_text(text)
        return str(path)
    return write


def test_each_place_beats_the_next(tmp_path, conf):
    file = conf("# mine\nmax_queue = 1\nkeep_alive = 1m\nnum_parallel = 1\nload_timeout = 1m\n")
    got = options_of(tmp_path, "--max-queue", "4", "--config", file, OLLAMA_MAX_QUEUE="2", DROVER_MAX_QUEUE="3",
                     OLLAMA_KEEP_ALIVE="2m", DROVER_KEEP_ALIVE="3m", OLLAMA_NUM_PARALLEL="2")["options"]
    assert got["max_queue"] == {"value": "4", "source": "flag"}
    assert got["keep_alive"] == {"value": "3m", "source": "DROVER_KEEP_ALIVE"}
    assert got["num_parallel"] == {"value": "2", "source": "OLLAMA_NUM_PARALLEL"}
    assert got["load_timeout"] == {"value": "1m", "source": file + ":5"}
    assert got["context_length"] == {"value": "0", "source": "default"}
    assert got["config"] == {"value": file, "source": "flag"}


def test_print_config_names_every_option_and_its_source(tmp_path, conf):
    file = conf("swap_after = 9s\n[model smollm2]\nparallel = 8\npin = yes\n[model library/x:Q4]\ncontext = 2048\n")
    code, out, err = print_config(tmp_path, DROVER_CONFIG=file, OLLAMA_HOST=":1234")
    assert code == 0 and err == ""
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.strip()}
    assert rows["swap_after"] == ["9s", file + ":1"]
    assert rows["host"] == [":1234", "OLLAMA_HOST"]
    assert rows["drain_timeout"] == ["30s", "default"]
    assert rows["parallel"] == ["8", file + ":3"] and rows["context"] == ["2048", file + ":6"]
    assert "[model smollm2:latest] %s:2" % file in out and "[model x:Q4] %s:5" % file in out
    data = options_of(tmp_path, DROVER_CONFIG=file)
    assert data["file"] == file
    assert data["models"]["smollm2:latest"]["pin"] == {"value": "yes", "source": file + ":4"}
    shown = subprocess.run([PROGRAM, "serve", "--help"], env=clean_env(tmp_path), capture_output=True, check=True).stdout.decode()
    for name in data["options"]:
        assert "--" + name.replace("_", "-") + " " in shown


def test_the_file_is_found_where_people_put_it(tmp_path):
    (tmp_path / ".config" / "drover").mkdir(parents=True)
    own = tmp_path / ".config" / "drover" / "drover.conf"
    own.write_text("max_queue = 3\n")
    assert options_of(tmp_path)["options"]["max_queue"] == {"value": "3", "source": "%s:1" % own}


@pytest.mark.parametrize("text,says", [
    ("max_queue = 1\nmax_qeue = 2\n", ':2: unknown option "max_qeue"'),
    ("max_queue = many\n", ':1: max_queue: "many" is not a whole number'),
    ("[model a]\n[model library/a:latest]\n", ":2: model a:latest has a section already, in line 1"),
    ("[model a b]\n", ":1: invalid model name"),
    ("[model a]\npriority = 1\n", ':2: unknown setting "priority" of a model'),
])
def test_a_broken_file_keeps_the_server_from_starting(tmp_path, conf, text, says):
    file = conf(text)
    for args in ([], ["--print-config"]):
        done = subprocess.run([PROGRAM, "serve", "--config", file, *args], env=clean_env(tmp_path, OLLAMA_HOST="127.0.0.1:%d" % free_port()),
                              capture_output=True, check=False, timeout=60)
        assert done.returncode == 1
        assert done.stderr.decode().startswith("Error: " + file + says) and done.stderr.count(b"\n") == 1


def test_a_configured_file_that_is_missing_is_an_error(tmp_path):
    code, _, err = print_config(tmp_path, "--config", "/nowhere/drover.conf")
    assert code == 1 and err == "Error: /nowhere/drover.conf: No such file or directory\n"


def test_preload_loads_at_start(start, smollm_models, conf):
    server = start(smollm_models, DROVER_CONFIG=conf("[model SmolLM2]\npreload = yes\n[model nowhere]\npreload = yes\n"))

    def models():
        return json.loads(server.call("GET", "/api/ps").text)["models"]

    until(lambda: models() and models()[0]["state"] == "ready", "it is loaded")
    assert [m["name"] for m in models()] == ["smollm2:latest"]
    until(lambda: 'model not preloaded model=nowhere:latest error=\\"model \'nowhere:latest\' not found\\"' in server.log.read_text(), "the other is told")


def test_articles_own_lines_run_as_written(start, smollm_models, tmp_path):
    """What the article tells people to set and to type, to the letter, under Ollama's name; its model is one of ours under that name."""
    (tmp_path / "ollama").symlink_to(PROGRAM)
    store = shutil.copytree(smollm_models, tmp_path / "store", copy_function=os.link)
    lines = {"OLLAMA_CUDA": "1", "OLLAMA_NUM_THREADS": "84", "OLLAMA_MAX_LOADED_MODELS": "2", "OLLAMA_NUM_PARALLEL": "4", "OLLAMA_MAX_QUEUE": "512"}
    server = start(store, **lines)
    made = server.post("/api/create", {"model": "llama2:7b-q4_0", "from": "smollm2", "parameters": {"num_predict": 16}})
    assert made.status == 200 and "success" in made.text
    typed = "export OLLAMA_CUDA=1\nexport OLLAMA_NUM_THREADS=84\necho 'Say hello.' | ollama run llama2:7b-q4_0 --context-size 2048\n"
    asked = subprocess.run(["sh", "-e", "-c", typed], capture_output=True, check=False, timeout=300, env={**server.env, "PATH": "%s:%s" % (tmp_path, os.environ["PATH"])})
    assert asked.returncode == 0, asked.stderr.decode()
    assert asked.stdout.strip()
    model = json.loads(server.call("GET", "/api/ps").text)["models"][0]
    assert model["slots"] == 4 and model["name"] == "llama2:7b-q4_0"
    log = server.log.read_text()
    assert log.count("OLLAMA_CUDA") == 1 and "OLLAMA_CUDA is set: no GPU support in this build, computing on the CPU" in log
    assert "num_threads=84 is more than this machine grants: computing with" in log
    assert "num_ctx=2048" in log
    for name in ("OLLAMA_NUM_PARALLEL", "OLLAMA_MAX_QUEUE", "OLLAMA_NUM_THREADS", "OLLAMA_MAX_LOADED_MODELS"):
        assert name not in log  # honoured, so not warned about
    got = options_of(tmp_path, **lines)["options"]
    for name, value in lines.items():
        if name != "OLLAMA_CUDA":
            assert got[name[7:].lower()] == {"value": value, "source": name}


def test_the_log_can_be_json(start, tmp_path):
    store = tiny_store(tmp_path / "store")
    server = start(store, "--log-format", "json")
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    assert any("listening url=" in line["msg"] for line in lines)


def client_of(server, headers):
    """Who the log says asked."""
    name = "who-%d" % time.monotonic_ns()
    reply = server.call("POST", "/api/generate", {"model": "plain", "prompt": "Hi", "stream": False, "options": {"num_predict": 1}}, {"X-Request-Id": name, **headers})
    assert reply.status == 200, reply.text
    line = next(line for line in server.log.read_text().splitlines() if "request admitted" in line and "id=" + name in line)
    return re.search(r" client=(\S+)", line)[1]


def test_a_proxy_names_the_client_only_if_it_is_trusted(start, tmp_path):
    store = tiny_store(tmp_path / "store")
    server = start(store, DROVER_TRUSTED_PROXIES="10.0.0.0/8")
    assert client_of(server, {"X-Forwarded-For": "6.6.6.6"}) == "127.0.0.1"
    server = start(store, DROVER_TRUSTED_PROXIES="10.0.0.0/8, 127.0.0.0/8")
    assert client_of(server, {}) == "127.0.0.1"
    assert client_of(server, {"X-Forwarded-For": "6.6.6.6"}) == "6.6.6.6"
    assert client_of(server, {"X-Forwarded-For": "6.6.6.6, 7.7.7.7"}) == "7.7.7.7"  # the first is what the client itself sent
    assert client_of(server, {"X-Forwarded-For": 'a b"'}) == "127.0.0.1"
    assert client_of(server, {"Authorization": "Bearer mine"}) == "127.0.0.1"  # nobody has checked it
    server = start(store, DROVER_TRUSTED_PROXIES="127.0.0.1", DROVER_CLIENT_HEADER="X-User")
    assert client_of(server, {"X-Forwarded-For": "6.6.6.6", "x-user": "anna"}) == "anna"


def test_an_unknown_priority_is_refused(tiny):
    for path, body in (("/api/generate", {"model": "plain", "prompt": "Hi"}), ("/v1/chat/completions", {"model": "plain", "messages": []})):
        reply = tiny.call("POST", path, body, {"X-Priority": "urgent"})
        assert reply.status == 400 and "use interactive, normal or batch" in reply.text
    reply = tiny.call("POST", "/api/generate", {"model": "plain", "prompt": "Hi", "stream": False, "options": {"num_predict": 1}}, {"X-Priority": "Batch"})
    assert reply.status == 200
