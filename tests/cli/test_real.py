# SPDX-License-Identifier: MIT
"""The command line against the real server with a real model: keys of --json, a conversation, what /save makes."""
import json
import re
import subprocess

import pexpect
import pytest

from served import PROGRAM, ROOT

DOCUMENTED = (ROOT / "docs" / "commands.md").read_text()


def drover(server, *args, stdin=b"", program=PROGRAM):
    return subprocess.run([program, *args], env=server.env, input=stdin, capture_output=True, timeout=300, check=False)


def documented(command):
    """Names in the row of a command, those behind a word and a colon apart."""
    row = next(line for line in DOCUMENTED.splitlines() if line.startswith("| `%s` |" % command))
    outer, _, inner = row.split("|")[2].partition("`: ")
    return re.findall(r"`(\w+)", outer + "`"), re.findall(r"`(\w+)`", inner)


def test_json_has_the_documented_keys(smollm):
    assert drover(smollm, "run", "smollm2", "--context-size", "512", stdin=b"").returncode == 0  # loads it
    for command in ("list", "ps"):
        outer, inner = documented(command + " --json")
        answer = json.loads(drover(smollm, command, "--json").stdout)
        assert list(answer) == outer == ["models"]
        assert len(inner) > 6 and set(inner) <= set(answer["models"][0]), command
    shown = json.loads(drover(smollm, "show", "smollm2", "--json").stdout)
    outer = documented("show --json")[0]
    assert len(outer) > 8 and set(outer) - {"license", "system", "parameters"} <= set(shown)
    inner = documented("show --memory --json")[1]
    assert len(inner) > 10 and set(inner) <= set(json.loads(drover(smollm, "show", "smollm2", "--memory", "--json").stdout)["memory"])


def test_every_form_of_show(smollm):
    assert b"architecture        llama" in drover(smollm, "show", "smollm2").stdout
    assert drover(smollm, "show", "smollm2", "--modelfile").stdout.startswith(b"# Modelfile")
    assert b"<|im_start|>" in drover(smollm, "show", "smollm2", "--template").stdout
    assert b"output_norm.weight" in drover(smollm, "show", "smollm2", "-v").stdout
    assert b"weights" in drover(smollm, "show", "smollm2", "--memory").stdout
    for flag in ("--license", "--system", "--parameters"):
        p = drover(smollm, "show", "smollm2", flag)
        assert (p.returncode, p.stderr) == (0, b"")


def test_called_ollama_against_the_server(smollm, tmp_path):
    link = tmp_path / "ollama"
    link.symlink_to(PROGRAM)
    p = drover(smollm, "--version", program=link)
    assert re.fullmatch(rb"ollama version is \d+\.\d+\.\d+\n", p.stdout) and p.stderr == b""
    assert drover(smollm, "list", program=link).stdout.startswith(b"NAME ")
    p = drover(smollm, "run", "smollm2", "--think", "hi", program=link)
    assert p.returncode == 1 and b"does not support thinking" in p.stderr
    p = drover(smollm, "run", "smollm2", "Say", "yes.", stdin=b"Be brief.", program=link)
    assert p.returncode == 0 and len(p.stdout) > 1 and p.stdout.endswith(b"\n") and p.stderr == b""
    assert drover(smollm, "stop", "smollm2", program=link).returncode == 0
    p = drover(smollm, "run", "no-such-host.invalid/a/b:c", "hi", program=link)
    assert p.returncode == 1 and p.stderr.count(b"Error: ") == 1


@pytest.fixture
def talk(smollm):
    children = []

    def start(*args, **more):
        children.append(pexpect.spawn(PROGRAM, ["run", *args], env={**smollm.env, "TERM": "xterm-256color", **more}, encoding="utf-8", timeout=300, dimensions=(40, 80)))
        children[-1].expect_exact(">>> ")
        return children[-1]

    yield start
    for child in children:
        child.close(force=True)


def test_ctrl_c_frees_the_slot_and_the_talk_goes_on(smollm, talk):
    child = talk("smollm2", "--verbose")
    child.send("/set parameter num_predict 4000\r")
    child.expect_exact("Set parameter")
    child.expect_exact(">>> ")
    child.send("Write a very long story about a fox.\r")
    child.expect(r"\w+ \w+ \w+ \w+ \w+ \w+")
    child.expect(r"[a-z]+ [a-z]+ [a-z]+")
    child.sendintr()
    child.expect_exact(">>> ")
    smollm.wait_idle()
    child.send("/set parameter num_predict 8\r")
    child.expect_exact(">>> ")
    child.send("Go on.\r")
    child.expect(r"eval rate: +\d+\.\d\d tokens/s")
    child.expect_exact(">>> ")
    child.sendeof()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_save_makes_a_model_that_knows_what_was_set(smollm, talk):
    child = talk("smollm2")
    for typed, shown in [("/set system You are a pirate.", "Set system message"), ("/set parameter num_predict 4", "Set parameter"), ("/set parameter temperature 0.5", "Set parameter"),
                         ("Hello", "\n"), ("/save me/pirate", "Created new model 'me/pirate'"), ("/load me/pirate", "Loading model"), ("/show system", "You are a pirate."),
                         ("/show parameters", "num_predict")]:
        child.send(typed + "\r")
        child.expect_exact(shown)
        child.expect_exact(">>> ")
    child.send("/bye\r")
    child.expect(pexpect.EOF)
    p = drover(smollm, "show", "me/pirate", "--modelfile")
    assert b"SYSTEM You are a pirate." in p.stdout and b"PARAMETER temperature 0.5" in p.stdout and b"MESSAGE user Hello" in p.stdout
    assert b"me/pirate:latest" in drover(smollm, "list", "ME").stdout
    p = drover(smollm, "rm", "me/pirate")
    assert (p.returncode, p.stdout) == (0, b"deleted 'me/pirate'\n")
    assert drover(smollm, "show", "me/pirate").returncode == 1
