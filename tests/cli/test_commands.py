# SPDX-License-Identifier: MIT
"""Usage, tables, errors and exit codes of the commands, against a stand-in server."""
import datetime
import json
import subprocess

import pytest

from standin import PROGRAM, says


def at(**delta):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(**delta)).strftime("%Y-%m-%dT%H:%M:%S.123456789Z")


def test_help_names_every_command(run):
    p = run("--help")
    assert p.returncode == 0 and p.stderr == b""
    for name in ("serve", "import", "run", "list", "ps", "show", "stop", "queue", "why", "cancel", "top", "tokenize", "detokenize", "logits", "simulate"):
        assert p.stdout.count(("\n  %s " % name).encode()) == 1
        one = run(name, "--help")
        assert one.returncode == 0 and one.stdout.startswith(b"Usage: drover %s " % name.encode())
        assert b"--help" in one.stdout


def test_version(run, env, tmp_path):
    assert run("--version").stdout.startswith(b"drover ")
    assert run("-v").returncode == 0
    link = tmp_path / "ollama"
    link.symlink_to(PROGRAM)
    assert subprocess.run([link, "--version"], env=env, capture_output=True, check=True).stdout.startswith(b"ollama version is ")


@pytest.mark.parametrize("args", [(), ("nonsense",), ("--nonsense",), ("list", "--nonsense"), ("run",), ("show",), ("stop",), ("stop", "a", "b"),
                                  ("ps", "a", "b"), ("run", "m", "--keepalive"), ("run", "m", "--keepalive", "1d"),
                                  ("run", "m", "--context-size", "many"), ("show", "m", "--template", "--system")])
def test_wrong_usage_is_2(run, server, args):
    p = run(*args)
    assert p.returncode == 2
    assert p.stdout == b"" and p.stderr
    assert server.requests == []


@pytest.mark.parametrize("args", [("list",), ("ps",), ("show", "m"), ("stop", "m"), ("run", "m", "hi"), ("run", "m")])
def test_no_server(env, args):
    p = subprocess.run([PROGRAM, *args], env=env, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert p.returncode == 1
    assert p.stderr == b"Error: could not connect to drover server, run 'drover serve' to start it\n"
    assert p.stdout == b""


def test_list(run, server):
    server.routes["/api/tags"] = (200, {"models": [
        {"name": "smollm2:latest", "digest": "b179c9523d0e6a0f" * 4, "size": 91726272, "modified_at": at(minutes=-3, seconds=-2)},
        {"name": "me/qwen:0.5b", "digest": "1d9614638d18024d" * 4, "size": 397807872, "modified_at": at(days=-20)}]})
    p = run("list")
    assert p.returncode == 0 and p.stderr == b""
    assert p.stdout.decode() == ("NAME              ID              SIZE      MODIFIED\n"
                                 "smollm2:latest    b179c9523d0e    91 MB     3 minutes ago\n"
                                 "me/qwen:0.5b      1d9614638d18    397 MB    2 weeks ago\n")
    assert run("ls", "SMOL").stdout.decode().count("\n") == 2
    assert json.loads(run("list", "--json").stdout)["models"][1]["name"] == "me/qwen:0.5b"


def test_list_of_nothing(run, server):
    server.routes["/api/tags"] = (200, {"models": []})
    assert run("list").stdout == b"NAME    ID    SIZE    MODIFIED\n"


def test_ps(run, server):
    base = {"digest": "0123456789abcdef" * 4, "size": 1300000000, "context_length": 4096}
    server.routes["/api/ps"] = (200, {"models": [
        {**base, "name": "a:latest", "size_vram": 0, "expires_at": at(minutes=4, seconds=58), "reduced": "1 slot instead of 4: memory is short"},
        {**base, "name": "b:latest", "size_vram": 1300000000, "expires_at": "2318-01-01T00:00:00Z"},
        {**base, "name": "c:latest", "size_vram": 325000000, "expires_at": at(seconds=-5)}]})
    p = run("ps")
    assert p.returncode == 0
    assert p.stdout.decode() == ("NAME        ID              SIZE      PROCESSOR          CONTEXT    UNTIL\n"
                                 "a:latest    0123456789ab    1.3 GB    100% CPU           4096       4 minutes from now\n"
                                 "b:latest    0123456789ab    1.3 GB    100% GPU           4096       Forever\n"
                                 "c:latest    0123456789ab    1.3 GB    75%/25% CPU/GPU    4096       Stopping...\n")
    assert p.stderr.decode() == "a:latest: 1 slot instead of 4: memory is short\n"


SHOWN = {"license": "\nMIT License\n\nCopyright\nand more\n", "modelfile": "# Modelfile\nFROM x\n", "template": "{{ t }}", "system": "Be brief.",
         "parameters": "stop                           \"<|im_end|>\"\ntemperature                    0.5",
         "details": {"family": "llama", "parameter_size": "134.52M", "quantization_level": "Q4_1"}, "capabilities": ["completion"],
         "model_info": {"general.architecture": "llama", "llama.context_length": 8192, "llama.embedding_length": 576, "x.list": [1, 2, 3, 4, 5]},
         "tensors": [{"name": "output_norm.weight", "type": "F32", "shape": [576]}]}


def test_show(run, server):
    server.routes["/api/show"] = (200, SHOWN)
    p = run("show", "m")
    assert p.returncode == 0
    assert p.stdout.decode() == ("  Model\n"
                                 "    architecture        llama\n"
                                 "    parameters          134.52M\n"
                                 "    context length      8192\n"
                                 "    embedding length    576\n"
                                 "    quantization        Q4_1\n\n"
                                 "  Capabilities\n"
                                 "    completion\n\n"
                                 "  Parameters\n"
                                 "    stop           \"<|im_end|>\"\n"
                                 "    temperature    0.5\n\n"
                                 "  System\n"
                                 "    Be brief.\n\n"
                                 "  License\n"
                                 "    MIT License\n"
                                 "    Copyright\n"
                                 "    ...\n\n")
    assert server.bodies("/api/show") == [{"model": "m"}]


@pytest.mark.parametrize("flag", ["license", "modelfile", "template", "system", "parameters"])
def test_show_one_text(run, server, flag):
    server.routes["/api/show"] = (200, SHOWN)
    p = run("show", "--" + flag, "m")
    assert p.stdout.decode().rstrip("\n") == SHOWN[flag].rstrip("\n")
    assert p.stdout.endswith(b"\n") and p.returncode == 0


def test_show_verbose(run, server):
    server.routes["/api/show"] = (200, SHOWN)
    text = run("show", "m", "-v").stdout.decode()
    assert "output_norm.weight    F32    [576]" in text
    assert "x.list                    [1, 2, 3, ...+2 more]" in text
    assert server.bodies("/api/show") == [{"model": "m", "verbose": True}]


def test_show_of_no_model(run, server):
    server.routes["/api/show"] = (404, {"error": "model 'nope:latest' not found"})
    p = run("show", "nope")
    assert (p.returncode, p.stdout, p.stderr) == (1, b"", b"Error: model 'nope:latest' not found\n")


def test_stop(run, server):
    p = run("stop", "m")
    assert (p.returncode, p.stdout, p.stderr) == (0, b"", b"")
    assert server.bodies("/api/generate") == [{"model": "m", "keep_alive": 0, "stream": False}]
    server.routes["/api/generate"] = (404, {"error": "model 'm' not found"})
    p = run("stop", "m")
    assert (p.returncode, p.stderr) == (1, b"Error: couldn't find model \"m\" to stop\n")


# ---- run, without a terminal ----


def test_run_prints_the_answer_alone(run, server):
    server.routes["/api/generate"] = (200, says("Hel", "lo ", "\u4e16\u754c", eval_count=3, total_duration=5))
    p = run("run", "m", "say", "hello")
    assert p.returncode == 0
    assert p.stdout.decode() == "Hello \u4e16\u754c\n"
    assert p.stderr == b""
    assert server.bodies("/api/generate") == [{"model": "m", "prompt": "say hello"}]


def test_run_does_not_wrap_in_a_pipe(run, server):
    text = "word " * 100 + "\x1b[31m"
    server.routes["/api/generate"] = (200, says(text))
    assert run("run", "m", "x").stdout.decode() == text + "\n"


def test_run_reads_stdin_first(run, server):
    server.routes["/api/generate"] = (200, says("ok\n"))
    p = run("run", "m", "sum it up", stdin="caf\u00e9\n".encode())
    assert p.stdout == b"ok\n"
    assert server.bodies("/api/generate")[0]["prompt"] == "caf\u00e9\n sum it up"
    run("run", "m", stdin=b"only this")
    assert server.bodies("/api/generate")[1]["prompt"] == "only this"


def test_run_repairs_bad_utf8(run, server):
    server.routes["/api/generate"] = (200, says("ok"))
    assert run("run", "m", stdin=b"a\xffb").returncode == 0
    assert server.bodies("/api/generate")[0]["prompt"] == "a\ufffdb"


def test_run_flags(run, server):
    server.routes["/api/generate"] = (200, says("ok"))
    for i, (flags, expected) in enumerate([
            (["--context-size", "2048"], {"options": {"num_ctx": 2048}}),
            (["--keepalive", "10m"], {"keep_alive": "10m"}),
            (["--keepalive=-1"], {"keep_alive": -1}),
            (["--keepalive", "0"], {"keep_alive": 0})]):
        assert run("run", "m", *flags, "hi").returncode == 0
        assert run("run", *flags, "m", "hi").returncode == 0
        for body in server.bodies("/api/generate")[2 * i:2 * i + 2]:
            assert body == {"model": "m", "prompt": "hi", **expected}


def test_run_verbose(run, server):
    server.routes["/api/generate"] = (200, says("ok", total_duration=2_500_000_000, load_duration=130_000_000, prompt_eval_count=26,
                                                prompt_eval_duration=130_000_000, eval_count=100, eval_duration=2_000_000_000))
    p = run("run", "m", "--verbose", "x")
    assert p.stdout == b"ok\n"
    assert p.stderr.decode() == ("total duration:       2.5s\n"
                                 "load duration:        130ms\n"
                                 "prompt eval count:    26 token(s)\n"
                                 "prompt eval duration: 130ms\n"
                                 "prompt eval rate:     200.00 tokens/s\n"
                                 "eval count:           100 token(s)\n"
                                 "eval duration:        2s\n"
                                 "eval rate:            50.00 tokens/s\n")


def test_run_without_a_prompt_only_loads(run, server):
    p = run("run", "m", stdin=b"")
    assert (p.returncode, p.stdout, p.stderr) == (0, b"", b"")
    assert server.bodies("/api/generate") == [{"model": "m", "prompt": ""}]


@pytest.mark.parametrize("reply, message", [
    ((404, {"error": "model 'm' not found"}), "model 'm' not found"),
    ((503, {"error": "server busy, please try again.  maximum pending requests exceeded"}),
     "server busy, please try again.  maximum pending requests exceeded"),
    ((500, b"<html>"), "the server answered with status 500"),
    ((400, {"error": {"message": "bad", "type": "invalid_request_error"}}), "bad"),
    ((200, [b"not json\n"]), "the server's answer is not JSON"),
    ((200, [{"response": "a", "done": False}]), "the server ended the answer early"),
    ((200, [{"response": "a", "done": False}, {"error": "model runner has unexpectedly stopped"}]), "model runner has unexpectedly stopped"),
])
def test_run_errors(run, server, reply, message):
    server.routes["/api/generate"] = reply
    p = run("run", "m", "x")
    assert p.returncode == 1
    assert p.stderr.decode().startswith("Error: " + message)


def test_run_tells_of_dropped_turns(run, server):
    server.routes["/api/generate"] = (200, says("ok", truncated=17))
    assert b"17 tokens were left out" in run("run", "m", "x").stderr


def test_a_reader_that_goes_away_is_no_crash(env, server):
    server.routes["/api/generate"] = lambda body: (200, ({"response": "x" * 1000, "done": False} for _ in range(1000)))
    env["OLLAMA_HOST"] = server.address
    with subprocess.Popen([PROGRAM, "run", "m", "x"], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as p:
        p.stdout.read(10)
        p.stdout.close()
        assert p.wait(timeout=300) in (1, -13)
