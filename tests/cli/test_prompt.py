# SPDX-License-Identifier: MIT
"""`drover run MODEL` on a terminal: typed through a pty, against a stand-in server."""
import itertools
import os
import signal
import stat
import termios
import time

import pexpect
import pytest

from crowd import is_stopped, until
from standin import PROGRAM, says

PASTE_ON, PASTE_OFF = "\x1b[200~", "\x1b[201~"


@pytest.fixture
def terminal(env, server):
    env.update(OLLAMA_HOST=server.address, TERM="xterm-256color")
    children = []

    def start(*args, columns=80, **more):
        child = pexpect.spawn(PROGRAM, ["run", "m", *args], env={**env, **more}, encoding="utf-8", timeout=300, dimensions=(40, columns), echo=True)
        children.append(child)
        return child

    yield start
    for child in children:
        child.close(force=True)


def takes_keys(child):
    """Until the terminal gives single keys, which it does from a moment after the prompt on."""
    until(lambda: not termios.tcgetattr(child.child_fd)[3] & termios.ICANON, "single keys")


def prompt(child, mark=">>> "):
    child.expect_exact(mark)
    takes_keys(child)


def leave(child):
    child.send("/bye\r")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def user_texts(server):
    return [body["messages"][-1]["content"] for body in server.bodies("/api/chat")]


def test_a_conversation(terminal, server):
    server.routes["/api/chat"] = lambda body: (200, says("answer %d" % len(body["messages"]), chat=True))
    child = terminal("--context-size", "1024")
    prompt(child)
    child.send("hello\r")
    child.expect_exact("answer 1")
    prompt(child)
    child.send("and now?\r")
    child.expect_exact("answer 3")
    prompt(child)
    leave(child)
    assert server.bodies("/api/generate") == [{"model": "m", "options": {"num_ctx": 1024}, "prompt": ""}]
    assert server.bodies("/api/chat")[1]["messages"] == [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "answer 1"},
                                                         {"role": "user", "content": "and now?"}]


def test_ctrl_c_stops_the_answer_only(terminal, server):
    def endless(body):
        def lines():
            for i in itertools.count():
                yield {"message": {"role": "assistant", "content": "tick%d " % i}, "done": False}
                time.sleep(0.05)
        return (200, lines()) if len(body["messages"]) == 1 else (200, says("over", chat=True))

    server.routes["/api/chat"] = endless
    child = terminal()
    prompt(child)
    child.send("count\r")
    child.expect_exact("tick2 ")
    child.sendintr()
    prompt(child)
    assert server.left.wait(300)  # the server sees that the client left
    child.send("go on\r")
    child.expect_exact("over")
    prompt(child)
    leave(child)
    said = server.bodies("/api/chat")[1]["messages"]
    assert [m["role"] for m in said] == ["user", "assistant", "user"]
    assert said[1]["content"].startswith("tick0 tick1 tick2 ")


def test_ctrl_c_drops_what_was_typed(terminal, server):
    server.routes["/api/chat"] = (200, says("yes", chat=True))
    child = terminal()
    prompt(child)
    child.send("not this")
    child.expect_exact("not this")
    child.sendintr()
    child.expect_exact("Ctrl-D or /bye")
    prompt(child)
    child.send("this\r")
    child.expect_exact("yes")
    prompt(child)
    child.sendeof()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert user_texts(server) == ["this"]


def test_three_quotes_make_a_long_message(terminal, server):
    server.routes["/api/chat"] = (200, says("got it", chat=True))
    child = terminal()
    prompt(child)
    child.send('"""first\r')
    prompt(child, "... ")
    child.send("second\r")
    prompt(child, "... ")
    child.send('third"""\r')
    child.expect_exact("got it")
    prompt(child)
    child.send('"""one line"""\r')
    child.expect_exact("got it")
    prompt(child)
    leave(child)
    assert user_texts(server) == ["first\nsecond\nthird", "one line"]


def test_pasted_lines_are_one_message(terminal, server):
    server.routes["/api/chat"] = (200, says("got it", chat=True))
    child = terminal()
    child.expect_exact("\x1b[?2004h")
    prompt(child)
    child.send(PASTE_ON + "a\rb \u4e16\u754c\rc" + PASTE_OFF)
    child.send("\r")
    child.expect_exact("got it")
    prompt(child)
    leave(child)
    assert user_texts(server) == ["a\nb \u4e16\u754c\nc"]


def test_keys(terminal, server):
    server.routes["/api/chat"] = (200, says("got it", chat=True))
    child = terminal()
    for keys, text in [("world\x01hello \x05!\r", "hello world!"),        # Ctrl-A, Ctrl-E
                       ("abc def\x17xyz\r", "abc xyz"),                   # Ctrl-W
                       ("wrong\x15right\r", "right"),                     # Ctrl-U
                       ("ab\x02\x0b" "c\r", "ac"),                        # Ctrl-B, Ctrl-K
                       ("one two\x1bb\x1b[D-\r", "one- two"),             # Alt-B, Left
                       ("typed by a progra\n", "typed by a program"),    # a newline behind text is Enter
                       ("\u00fc\u4e16\u754c\x7f\x7f\u00df\r", "\u00fc\u00df")]:
        prompt(child)
        child.send(keys[:-1])
        child.send(keys[-1] if keys[-1] == "\r" else "")  # Enter by itself
        child.send("" if keys[-1] == "\r" else "m\n")     # or behind text, as a program types
        child.expect_exact("got it")
        assert user_texts(server)[-1] == text
    prompt(child)
    child.send("two")
    child.expect_exact("two")  # it is read
    child.send("\n")  # Ctrl-J by itself
    child.send("lines\r")
    child.expect_exact("got it")
    assert user_texts(server)[-1] == "two\nlines"
    prompt(child)
    leave(child)


def test_history_is_kept(terminal, server, tmp_path):
    server.routes["/api/chat"] = (200, says("got it", chat=True))
    child = terminal()
    prompt(child)
    child.send("remember me\r")
    child.expect_exact("got it")
    prompt(child)
    leave(child)
    path = tmp_path / ".local/state/drover/history"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    child = terminal()
    prompt(child)
    child.send("\x1b[A\x1b[A\r")  # past /bye
    child.expect_exact("got it")
    prompt(child)
    leave(child)
    assert user_texts(server) == ["remember me", "remember me"]


@pytest.mark.parametrize("how", ["variable", "command"])
def test_history_can_be_off(terminal, server, tmp_path, how):
    server.routes["/api/chat"] = (200, says("got it", chat=True))
    child = terminal(**({"OLLAMA_NOHISTORY": "1"} if how == "variable" else {}))
    prompt(child)
    if how == "command":
        child.send("/set nohistory\r")
        prompt(child)
    child.send("forget me\r")
    child.expect_exact("got it")
    prompt(child)
    leave(child)
    path = tmp_path / ".local/state/drover/history"
    assert not path.exists() or "forget" not in path.read_text()


def test_slash_commands(terminal, server):
    server.routes["/api/chat"] = (200, says("got it", chat=True, eval_count=5, eval_duration=1_000_000_000))
    server.routes["/api/show"] = (200, {"template": "THE TEMPLATE", "details": {"family": "llama"}, "parameters": "num_ctx    7"})
    server.routes["/api/tags"] = (200, {"models": [{"name": "other:latest", "digest": "ab" * 32, "size": 1, "modified_at": "2026-01-01T00:00:00Z"}]})
    child = terminal()
    for typed, shown in [("/?", "/set"), ("/? set", "/set parameter"), ("/? shortcuts", "Ctrl-W"), ("/nonsense", "Unknown command '/nonsense'"),
                         ("/set nonsense", "Unknown command '/set nonsense'"), ("/set", "wordwrap"), ("/set parameter", "temperature"),
                         ("/set parameter temperature 0.25", "Set parameter 'temperature'"), ("/set parameter num_predict x", "wants an int"),
                         ("/set parameter stop A B", "Set parameter 'stop'"), ("/set parameter nope 1", "unknown parameter 'nope'"),
                         ("/set system Be kind.", "Set system message"), ("/show system", "Be kind."), ("/show template", "THE TEMPLATE"),
                         ("/show parameters", "num_ctx"), ("/show info", "llama"), ("/show license", "No license"), ("/show", "/show info"),
                         ("/show x", "Unknown command '/show x'"), ("/list", "other:latest"), ("/set verbose", "Set 'verbose' mode"),
                         ("hi", "5.00 tokens/s"), ("/set quiet", "Set 'quiet' mode"), ("/clear", "Cleared"), ("again", "got it"),
                         ("/load other", "Loading model 'other'"), ("third", "got it")]:
        prompt(child)
        child.send(typed + "\r")
        child.expect_exact("\n")
        child.expect_exact(shown)
    prompt(child)
    leave(child)
    first, second, third = server.bodies("/api/chat")
    assert first["options"] == {"temperature": 0.25, "stop": ["A", "B"]}
    assert first["messages"] == [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "hi"}]
    assert [m["content"] for m in second["messages"]] == ["Be kind.", "again"]
    assert third["model"] == "other" and [m["content"] for m in third["messages"]] == ["Be kind.", "third"]


def test_system_text_of_several_lines(terminal, server):
    server.routes["/api/chat"] = (200, says("got it", chat=True))
    child = terminal()
    prompt(child)
    child.send('/set system """You are\r')
    prompt(child, "... ")
    child.send('two lines."""\r')
    child.expect_exact("Set system message")
    prompt(child)
    child.send("hi\r")
    child.expect_exact("got it")
    prompt(child)
    leave(child)
    assert server.bodies("/api/chat")[0]["messages"][0] == {"role": "system", "content": "You are\ntwo lines."}


def test_an_error_does_not_end_it(terminal, server):
    replies = iter([(500, {"error": "out of luck"}), (200, says("fine", chat=True))])
    server.routes["/api/chat"] = lambda body: next(replies)
    child = terminal()
    prompt(child)
    child.send("first\r")
    child.expect_exact("Error: out of luck")
    prompt(child)
    child.send("second\r")
    child.expect_exact("fine")
    prompt(child)
    leave(child)
    assert [m["content"] for m in server.bodies("/api/chat")[1]["messages"]] == ["second"]


def test_long_lines_are_wrapped_on_a_terminal(terminal, server):
    words = "alpha beta gamma delta epsilon zeta eta theta iota kappa".split()
    server.routes["/api/chat"] = (200, says(*[w + " " for w in words], chat=True))
    child = terminal(columns=20)
    prompt(child)
    child.send("/set quiet\r")
    prompt(child)
    child.send("go\r")
    child.expect_exact("kappa")
    assert "alpha beta gamma" in child.before
    assert "delta" in child.before and "gamma delta epsilon" not in child.before.replace("\r\n", "\n")
    prompt(child)
    leave(child)


def test_a_model_cannot_steer_the_terminal(terminal, server):
    server.routes["/api/chat"] = (200, says("a\x1b]0;owned\x07b", chat=True))
    child = terminal()
    prompt(child)
    child.send("go\r")
    child.expect_exact("a\ufffd]0;owned\ufffdb")
    prompt(child)
    leave(child)


def test_a_dumb_terminal(terminal, server):
    server.routes["/api/chat"] = (200, says("plain answer", chat=True))
    child = terminal(TERM="dumb")
    child.expect_exact(">>> ")
    assert "\x1b" not in child.before
    child.sendline("hi")
    child.expect_exact("plain answer")
    child.expect_exact(">>> ")
    assert "\x1b" not in child.before
    child.sendline('"""a')
    child.expect_exact("... ")
    child.sendline('b"""')
    child.expect_exact("plain answer")
    child.expect_exact(">>> ")
    child.sendintr()
    child.expect_exact(">>> ")
    child.sendeof()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert user_texts(server) == ["hi", "a\nb"]


def test_an_editor_writes_the_message(terminal, server, tmp_path):
    server.routes["/api/chat"] = (200, says("got it", chat=True))
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nprintf '%s, edited\\nsecond line\\n' \"$(cat \"$1\")\" > \"$1.new\" && mv \"$1.new\" \"$1\"\n")
    editor.chmod(0o755)
    child = terminal(OLLAMA_EDITOR=str(editor))
    prompt(child)
    child.send("draft\x07")
    child.expect_exact("edited")
    takes_keys(child)
    child.send("\r")
    child.expect_exact("got it")
    prompt(child)
    leave(child)
    assert user_texts(server) == ["draft, edited\nsecond line"]


def test_a_new_size_and_a_stop_do_no_harm(terminal, server):
    server.routes["/api/chat"] = (200, says("got it", chat=True))
    child = terminal()
    prompt(child)
    child.send("some text")
    child.expect_exact("some text")
    child.setwinsize(30, 100)
    os.kill(child.pid, signal.SIGSTOP)
    until(lambda: is_stopped(child.pid), "it is stopped")
    os.kill(child.pid, signal.SIGCONT)
    child.send(" goes on\r")
    child.expect_exact("got it")
    prompt(child)
    leave(child)
    assert user_texts(server) == ["some text goes on"]


def test_a_model_that_is_not_there(terminal, server):
    server.routes["/api/generate"] = (404, {"error": "model 'm' not found"})
    child = terminal()
    child.expect_exact("Error: model 'm' not found")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 1


def test_one_answer_on_a_terminal(terminal, server):
    server.routes["/api/generate"] = (200, says("short"))
    child = terminal("say it")
    child.expect_exact("short\r\n")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_save_makes_a_model(terminal, server):
    server.routes["/api/chat"] = (200, says("got it", chat=True))
    server.routes["/api/create"] = lambda body: (200, [{"status": "writing manifest"}, {"status": "success"}])
    child = terminal()
    for typed, shown in [("/save", "Usage: /save <model>"), ("/set system Be kind.", "Set system message"), ("/set parameter seed 7", "Set parameter"),
                         ("hi", "got it"), ("/save mine", "Created new model 'mine'")]:
        prompt(child)
        child.send(typed + "\r")
        child.expect_exact("\n")
        child.expect_exact(shown)
    assert server.bodies("/api/create") == [{"model": "mine", "from": "m", "system": "Be kind.", "parameters": {"seed": 7},
                                             "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "got it"}]}]
    server.routes["/api/create"] = (400, {"error": "invalid model name"})
    prompt(child)
    child.send("/save a/b/c/d/e\r")
    child.expect_exact("Error: invalid model name")
    prompt(child)
    leave(child)


def test_format_and_thinking_are_set(terminal, server):
    server.routes["/api/chat"] = lambda body: (200, [{"message": {"role": "assistant", "content": "", "thinking": "hm"}, "done": False}, *says("{}", chat=True)])
    child = terminal()
    for typed, shown in [("/set format", "/set format json"), ("/set format json", "Set format to 'json' mode."), ("/set think often", "Unknown level 'often'"),
                         ("/set think high", "Set 'think' mode to 'high'."), ("one", "...done thinking."), ("/set noformat", "Disabled format."),
                         ("/set think", "Set 'think' mode."), ("two", "{}"), ("/set nothink", "Set 'nothink' mode."), ("three", "{}")]:
        prompt(child)
        child.send(typed + "\r")
        child.expect_exact("\n")
        child.expect_exact(shown)
    prompt(child)
    leave(child)
    assert [(b.get("format"), b.get("think")) for b in server.bodies("/api/chat")] == [("json", "high"), (None, True), (None, False)]
    assert server.bodies("/api/chat")[1]["messages"][1] == {"role": "assistant", "content": "{}", "thinking": "hm"}


@pytest.mark.parametrize("flags, more, shown", [([], {}, "\x1b[38;5;245mThinking...\r\nhm\r\n...done thinking.\r\n\r\n\x1b[0myes"),
                                                ([], {"NO_COLOR": "1"}, "Thinking...\r\nhm\r\n...done thinking.\r\n\r\nyes"), (["--hidethinking"], {}, "yes")])
def test_thinking_is_grey(terminal, server, flags, more, shown):
    server.routes["/api/generate"] = (200, [{"thinking": "hm", "response": ""}, *says("yes")])
    child = terminal(*flags, "why?", **more)
    child.expect(pexpect.EOF)
    assert child.before.rpartition("\x1b[K")[2] == shown + "\r\n"


def test_an_image_is_refused_by_name(terminal, server, tmp_path):
    server.routes["/api/chat"] = (200, says("fine", chat=True))
    (tmp_path / "cat.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    child = terminal()
    prompt(child)
    child.send("what is ~/cat.png?\r")
    child.expect_exact('Error: "m" does not support images: %s/cat.png' % tmp_path)
    prompt(child)
    child.send("never mind\r")
    child.expect_exact("fine")
    prompt(child)
    leave(child)
    assert [b["messages"] for b in server.bodies("/api/chat")] == [[{"role": "user", "content": "never mind"}]]


def test_history_keeps_a_hundred_lines_and_no_line_twice_in_a_row(terminal, server, tmp_path):
    server.routes["/api/chat"] = (200, says("got it", chat=True))
    path = tmp_path / ".local/state/drover/history"
    path.parent.mkdir(parents=True)
    path.write_text("_HiStOrY_V2_\n" + "".join("old\\040line\\040%d\n" % i for i in range(200)))
    child = terminal()
    for text in ("same line", "same line", "other"):
        prompt(child)
        child.send(text + "\r")
        child.expect_exact("got it")
    prompt(child)
    child.sendeof()
    child.expect(pexpect.EOF)
    kept = path.read_text().splitlines()[1:]
    assert len(kept) == 100 and "old\\040line\\0400" not in kept
    assert kept[-2:] == ["same\\040line", "other"] and kept.count("same\\040line") == 1


def test_the_wrap_follows_a_new_width(terminal, server):
    sent, resized = [], []

    def words():
        for i in range(60):
            if i == 30:
                sent.append(1)
                while not resized:
                    time.sleep(0.02)
            yield {"message": {"role": "assistant", "content": "word%02d " % i}, "done": False}
        yield {"message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop"}

    server.routes["/api/chat"] = lambda body: (200, words())
    child = terminal(columns=60)
    prompt(child)
    child.send("go\r")
    child.expect_exact("word29")
    child.setwinsize(40, 25)
    resized.append(1)
    child.expect_exact("word59")
    lines = [line for line in child.before.replace("\r\n", "\n").split("\n") if "word3" in line or "word4" in line]
    assert max(line.count("word") for line in lines[1:]) <= 4
    prompt(child)
    leave(child)
