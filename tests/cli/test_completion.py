# SPDX-License-Identifier: MIT
"""Completion in real shells: what TAB offers, from the command table and from the server's list of models."""
import re
import shutil
import subprocess

import pexpect
import pytest

from standin import PROGRAM

MODELS = {"models": [{"name": "smollm2:135m"}, {"name": "smollm2:latest"}, {"name": "me/qwen:0.5b"}]}


@pytest.fixture
def shell_env(env, server, tmp_path):
    """drover on PATH, a server with three models of which one is loaded."""
    server.routes["/api/tags"] = (200, MODELS)
    server.routes["/api/ps"] = (200, {"models": MODELS["models"][1:2]})
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "drover").symlink_to(PROGRAM)
    (tmp_path / "bin" / "ollama").symlink_to(PROGRAM)
    return {**env, "OLLAMA_HOST": server.address, "PATH": "%s:%s" % (tmp_path / "bin", env["PATH"]), "TERM": "dumb"}


def need(shell):
    if not shutil.which(shell):
        pytest.skip("%s is not there" % shell)


def commands():
    help_text = subprocess.run([PROGRAM, "--help"], capture_output=True, check=True).stdout.decode()
    return re.findall(r"^  (\w+) ", help_text, re.M)


def flags(command):
    text = subprocess.run([PROGRAM, command, "--help"], capture_output=True, check=True).stdout.decode()
    return re.findall(r"^  (?:-\w, |    )(--[\w-]+)", text, re.M)


def offered_by_bash(env, line, program="drover"):
    script = 'eval "$(%s completion bash)"; COMP_LINE=$1; COMP_POINT=${#1}; _drover; printf "%%s\\n" "${COMPREPLY[@]}"' % program
    done = subprocess.run(["bash", "--norc", "-c", script, "bash", line], env=env, capture_output=True, timeout=300, check=True)
    assert done.stderr == b""
    return done.stdout.decode().split()


def test_bash_offers_commands_flags_and_models(shell_env):
    assert set(commands()) < set(offered_by_bash(shell_env, "drover "))
    assert offered_by_bash(shell_env, "drover comp") == ["completion"]
    for command in commands():
        assert sorted(set(offered_by_bash(shell_env, "drover %s --" % command))) == sorted(set(flags(command))), command
    assert offered_by_bash(shell_env, "drover run ") == [m["name"] for m in MODELS["models"]]
    assert offered_by_bash(shell_env, "drover run me") == ["me/qwen:0.5b"]
    assert offered_by_bash(shell_env, "drover run smollm2:1") == ["135m"]  # the shell itself takes the colon for a boundary
    assert offered_by_bash(shell_env, "drover run me/qwen:0.5b ") == []    # what follows is the prompt
    assert offered_by_bash(shell_env, "drover run --keepalive 5m me") == ["me/qwen:0.5b"]
    assert offered_by_bash(shell_env, "drover rm me/qwen:0.5b smollm2:l") == ["latest"]
    assert offered_by_bash(shell_env, "drover ls me") == ["me/qwen:0.5b"]
    assert offered_by_bash(shell_env, "drover stop ") == ["smollm2:latest"]
    assert offered_by_bash(shell_env, "drover completion z") == ["zsh"]
    assert offered_by_bash(shell_env, "ollama show me", "ollama") == ["me/qwen:0.5b"]


def test_bash_without_a_server(shell_env):
    assert offered_by_bash({**shell_env, "OLLAMA_HOST": "127.0.0.1:9"}, "drover run ") == []


@pytest.mark.parametrize("program", ["drover", "ollama"])
def test_tab_in_bash(shell_env, program):
    child = pexpect.spawn("bash", ["--norc", "--noprofile", "-i"], env={**shell_env, "PS1": "$ ", "INPUTRC": "/dev/null"}, encoding="utf-8", timeout=3000, dimensions=(40, 120))
    child.expect_exact("$ ")
    child.sendline('eval "$(%s completion bash)"; bind "set enable-bracketed-paste off"; echo rea""dy' % program)
    child.expect_exact("ready")
    child.expect_exact("$ ")
    child.send("%s rm smollm2:1\t" % program)
    child.expect_exact("smollm2:135m ")
    child.send("me\t")
    child.expect_exact("me/qwen:0.5b ")
    child.close(force=True)


def test_tab_in_zsh(shell_env, tmp_path):
    need("zsh")
    place = tmp_path / "functions"
    place.mkdir()
    (place / "_drover").write_bytes(subprocess.run([PROGRAM, "completion", "zsh"], capture_output=True, check=True).stdout)
    child = pexpect.spawn("zsh", ["-f", "-i"], env={**shell_env, "PS1": "$ "}, encoding="utf-8", timeout=300, dimensions=(40, 160))
    child.sendline("unsetopt zle_bracketed_paste; fpath=(%s $fpath); autoload -Uz compinit && compinit -u -d %s/dump; echo rea''dy" % (place, tmp_path))
    child.expect_exact("ready")
    child.send("drover comp\t")
    child.expect_exact("completion ")
    child.send("\x15drover show me\t")
    child.expect_exact("me/qwen:0.5b")
    child.send("\x15drover rm smollm2:1\t")
    child.expect_exact("135m")
    child.send("\x15drover show --temp\t")
    child.expect_exact("--template")
    child.send("\x15drover stop \t")
    child.expect_exact("smollm2:latest")
    child.close(force=True)


def test_fish_offers_commands_flags_and_models(shell_env):
    need("fish")

    def offered(line):
        script = 'eval (drover completion fish | string collect); complete -C "%s"' % line
        done = subprocess.run(["fish", "--no-config", "-c", script], env=shell_env, capture_output=True, timeout=300, check=True)
        assert done.stderr == b""
        return [row.split("\t")[0] for row in done.stdout.decode().splitlines()]

    assert set(commands()) <= set(offered("drover "))
    for command in ("run", "create", "show"):
        assert set(flags(command)) - {"--help"} <= set(o.rstrip("=") for o in offered("drover %s --" % command)), command
    assert set(m["name"] for m in MODELS["models"]) <= set(offered("drover run "))
    assert offered("drover stop sm") == ["smollm2:latest"]
    assert offered("drover completion z") == ["zsh"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_script_is_clean(shell, tmp_path):
    need(shell)
    (tmp_path / "script").write_bytes(subprocess.run([PROGRAM, "completion", shell], capture_output=True, check=True).stdout)
    done = subprocess.run([shell, "-n", str(tmp_path / "script")], capture_output=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_of_no_other_shell():
    done = subprocess.run([PROGRAM, "completion", "tcsh"], capture_output=True, check=False)
    assert done.returncode == 2 and done.stderr == b"Error: scripts are there for bash, zsh and fish\n"
