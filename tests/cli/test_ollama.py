# SPDX-License-Identifier: MIT
"""What scripts and people that know Ollama's command line rely on: its name, its flags, its exit codes."""
import base64
import itertools
import json
import signal
import subprocess
import time

import pytest

from standin import PROGRAM, says

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 16


@pytest.fixture
def ollama(env, server, tmp_path):
    """ollama("list") -> the finished process, called by that name."""
    link = tmp_path / "bin" / "ollama"
    link.parent.mkdir()
    link.symlink_to(PROGRAM)
    env["OLLAMA_HOST"] = server.address

    def call(*args, **more):
        return subprocess.run([link, *args], env={**env, **more}, stdin=subprocess.DEVNULL, capture_output=True, timeout=300, check=False)

    return call


def test_called_ollama_it_speaks_under_that_name(ollama):
    assert ollama("--help").stdout.startswith(b"Usage: ollama COMMAND")
    assert ollama("help", "run").stdout.startswith(b"Usage: ollama run ")
    assert (ollama().returncode, ollama().stdout) == (0, ollama("--help").stdout)
    p = ollama("list", OLLAMA_HOST="127.0.0.1:9")
    assert (p.returncode, p.stderr) == (1, b"Error: could not connect to ollama server, run 'ollama serve' to start it\n")
    assert b"Run 'ollama --help'" in ollama("nonsense").stderr


def test_called_ollama_it_tells_the_servers_version(ollama, server):
    server.routes["/api/version"] = (200, {"version": "9.8.7"})
    p = ollama("--version")
    assert (p.returncode, p.stdout) == (0, b"ollama version is 9.8.7\n")
    client = p.stderr.decode().removeprefix("Warning: client version is ").strip()
    p = ollama("-v", OLLAMA_HOST="127.0.0.1:9")
    assert (p.returncode, p.stdout.decode()) == (0, "ollama version is %s\n" % client)
    assert p.stderr.decode() == "Warning: could not connect to a running Ollama instance\nWarning: client version is %s\n" % client
    server.routes["/api/version"] = (200, {"version": client, "drover": "0"})
    assert ollama("--version").stderr == b""


@pytest.mark.parametrize("args", [("nonsense",), ("--nonsense",), ("list", "--nonsense"), ("run",), ("show",), ("stop", "a", "b"), ("run", "m", "--keepalive", "1d", "x"),
                                  ("run", "m", "--think=often", "x"), ("run", "m", "--format", "xml", "x"), ("show", "m", "--template", "--system"), ("serve", "--nonsense")])
def test_wrong_usage_is_1_for_ollama_and_2_for_drover(ollama, run, args):
    for p, code in ((ollama(*args), 1), (run(*args), 2)):
        assert p.returncode == code and p.stdout == b"" and p.stderr.startswith(b"Error: ")


def test_there_are_no_accounts(run):
    for name in ("signin", "login"):
        assert (run(name).returncode, run(name).stderr[:30]) == (1, b"Error: there are no accounts h")
    for name in ("signout", "logout"):
        assert (run(name).returncode, run(name).stderr[:22]) == (0, b"You are not signed in:")
    p = run("launch", "claude")
    assert p.returncode == 1 and b"'drover launch' is not supported" in p.stderr


# ---- run ----


def test_run_passes_format_and_think(run, server):
    server.routes["/api/generate"] = (200, says("ok"))
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    for flags, expected in [(["--format", "json"], {"format": "json"}), (["--format", json.dumps(schema)], {"format": schema}), (["--think"], {"think": True}),
                            (["--think=true"], {"think": True}), (["--think=false"], {"think": False}), (["--think=high"], {"think": "high"}),
                            (["--insecure", "--nowordwrap", "--hidethinking"], {})]:
        assert run("run", *flags, "m", "hi").returncode == 0
        assert server.bodies("/api/generate")[-1] == {"model": "m", "prompt": "hi", **expected}


def test_run_shows_what_the_model_thinks(run, server):
    lines = [{"thinking": "Let me ", "response": ""}, {"thinking": "see.", "response": ""}, *says("42")]
    server.routes["/api/generate"] = (200, lines)
    assert run("run", "m", "hi").stdout == b"Thinking...\nLet me see.\n...done thinking.\n\n42\n"
    assert run("run", "m", "--hidethinking", "hi").stdout == b"42\n"


def test_run_tells_what_the_server_refuses(run, server):
    server.routes["/api/generate"] = (400, {"error": '"m" does not support thinking'})
    p = run("run", "m", "--think", "hi")
    assert (p.returncode, p.stdout, p.stderr) == (1, b"", b'Error: "m" does not support thinking\n')


def test_run_refuses_images_by_name(run, server, tmp_path):
    server.routes["/api/generate"] = (200, says("ok"))
    picture = tmp_path / "a cat.png"
    picture.write_bytes(PNG)
    p = run("run", "m", "what is '%s'?" % picture)
    assert (p.returncode, p.stdout) == (1, b"")
    assert p.stderr.decode() == 'Error: "m" does not support images: %s\n' % picture
    assert server.bodies("/api/generate") == []
    assert run("run", "m", "draw /no/such/cat.png").returncode == 0  # only a name
    assert server.bodies("/api/generate")[0]["prompt"] == "draw /no/such/cat.png"


def test_run_sends_images_to_a_model_that_sees(run, server, tmp_path):
    server.routes["/api/generate"] = (200, says("a cat"))
    server.routes["/api/show"] = (200, {"capabilities": ["completion", "vision"]})
    (tmp_path / "a cat.png").write_bytes(PNG)
    (tmp_path / "b.JPG").write_bytes(b"\xff\xd8\xff\xe0")
    p = run("run", "m", "compare %s/a\\ cat.png, and ~/b.JPG please" % tmp_path)
    assert p.returncode == 0, p.stderr
    assert p.stderr.decode() == "Added image '%s/a cat.png'\nAdded image '%s/b.JPG'\n" % (tmp_path, tmp_path)
    assert server.bodies("/api/generate") == [{"model": "m", "prompt": "compare , and  please",
                                               "images": [base64.b64encode(data).decode() for data in (PNG, b"\xff\xd8\xff\xe0")]}]
    (tmp_path / "b.JPG").write_bytes(b"no image")
    p = run("run", "m", "~/b.JPG")
    assert p.returncode == 1 and b"b.JPG: no image that can be sent" in p.stderr


def test_run_of_an_embedding_model_prints_the_vector(run, server):
    server.routes["/api/show"] = (200, {"capabilities": ["embedding"]})
    server.routes["/api/embed"] = (200, {"embeddings": [[0.5, -0.25]]})
    p = run("run", "m", "--truncate=false", "--dimensions", "2", "some", stdin=b"piped")
    assert p.returncode == 0 and json.loads(p.stdout) == [0.5, -0.25]
    assert server.bodies("/api/embed") == [{"model": "m", "input": "piped some", "truncate": False, "dimensions": 2}]
    p = run("run", "m")
    assert p.returncode == 1 and b"embedding models require input text" in p.stderr
    server.routes["/api/show"] = (200, {"capabilities": ["completion"]})
    p = run("run", "m", "--dimensions", "2", "x")
    assert p.returncode == 1 and b"is no embedding model" in p.stderr


def test_ctrl_c_during_an_answer_is_no_failure(env, server):
    env["OLLAMA_HOST"] = server.address
    server.routes["/api/generate"] = lambda body: (200, ((time.sleep(0.05), {"response": "tick%d " % i, "done": False})[1] for i in itertools.count()))
    with subprocess.Popen([PROGRAM, "run", "m", "x"], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as p:
        assert p.stdout.read(5) == b"tick0"
        p.send_signal(signal.SIGINT)
        assert p.wait(timeout=300) == 0
        assert p.stderr.read() == b""
    assert server.left.wait(300)


# ---- The others ----


def test_json_of_list_and_ps_has_what_begins_so(run, server):
    models = {"models": [{"name": "Alpha:latest"}, {"name": "beta:latest"}]}
    server.routes["/api/tags"] = server.routes["/api/ps"] = (200, models)
    for command in ("list", "ps"):
        assert json.loads(run(command, "--json").stdout) == models
        assert json.loads(run(command, "--json", "al").stdout) == {"models": models["models"][:1]}


def test_show_of_a_projector(run, server):
    server.routes["/api/show"] = (200, {"projector_info": {"general.architecture": "clip", "general.parameter_count": 427000000, "clip.vision.embedding_length": 1152,
                                                           "clip.vision.projection_dim": 2560}})
    assert run("show", "m").stdout.decode() == ("  Projector\n    architecture        clip\n    parameters          427.00M\n"
                                                "    embedding length    1152\n    dimensions          2560\n\n")


def test_create_without_a_modelfile_takes_what_is_here(env, server, tmp_path):
    env["OLLAMA_HOST"] = server.address
    server.routes["/api/create"] = lambda body: (200, [{"status": "success"}])
    here = tmp_path / "here"
    here.mkdir()

    def create(*args):
        return subprocess.run([PROGRAM, "create", "new", *args], env=env, cwd=here, stdin=subprocess.DEVNULL, capture_output=True, timeout=300, check=False)

    assert create().stderr.decode().endswith("no Modelfile or safetensors files found\n")
    p = create("-f", "Modelfile")
    assert (p.returncode, p.stderr) == (1, b"Error: specified Modelfile wasn't found\n")
    p = create("--experimental")
    assert p.returncode == 1 and b"--experimental is not supported" in p.stderr
    (here / "Modelfile").write_text("FROM base\n")
    assert create("-q", "q4_K_M", "--draft-quantize", "q8_0").returncode == 0
    assert server.bodies("/api/create")[-1] == {"model": "new", "from": "base", "quantize": "q4_K_M", "draft_quantize": "q8_0"}


def test_rm_stops_at_the_first_that_is_not_there(run, server):
    server.routes["/api/delete"] = lambda body: (200, b"") if body["model"] != "b" else (404, {"error": "model 'b' not found"})
    p = run("rm", "a", "b", "c")
    assert (p.returncode, p.stdout, p.stderr) == (1, b"deleted 'a'\n", b"Error: model 'b' not found\n")
    assert [b["model"] for b in server.bodies("/api/delete")] == ["a", "b"]
