# SPDX-License-Identifier: MIT
"""What `meson install` puts in place: the program, its manual pages, completions, units for systemd, an example of drover.conf."""
import pathlib
import re
import shutil
import subprocess

import pytest

from served import PROGRAM, ROOT, clean_env


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    build = pathlib.Path(PROGRAM).absolute().parent
    if not (build / "build.ninja").exists():
        pytest.skip("%s is not in a build directory" % PROGRAM)
    root = tmp_path_factory.mktemp("root")
    done = subprocess.run(["meson", "install", "-C", str(build), "--no-rebuild", "--destdir", str(root)], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return next(p.parent.parent for p in root.rglob("bin/drover"))


def plain(page):
    """Text of a manual page."""
    return re.sub(r"\\f[BIR]", "", page.read_text()).replace("\\-", "-")


def test_the_program_runs_from_where_it_is_installed(installed, tmp_path):
    done = subprocess.run([installed / "bin" / "drover", "--version"], env=clean_env(tmp_path), capture_output=True, check=True)
    assert done.stdout.startswith(b"drover ")


def test_the_manual_has_every_command_flag_and_option(installed, tmp_path):
    def told(*args):
        return subprocess.run([PROGRAM, *args], env=clean_env(tmp_path), capture_output=True, check=True).stdout.decode()
    page = plain(installed / "share/man/man1/drover.1")
    commands = re.findall(r"^  (\w+) ", told("--help"), re.M)
    assert "serve" in commands and "health" in commands
    for command in commands:
        assert ".SS \"drover %s" % command in page
        if command != "serve":
            for flag in re.findall(r"--([a-z-]+)", told(command, "--help")):
                assert flag == "help" or "--" + flag in page, (command, flag)
    assert ".SS \"drover runner" not in page
    page = plain(installed / "share/man/man5/drover.conf.5")
    options = re.findall(r"^      --([a-z-]+) \w+ ", told("serve", "--help"), re.M)
    assert len(options) > 25
    for option in options:
        assert option == "config" or "\n%s\n" % option.replace("-", "_") in page, option
    for setting in ("parallel", "context", "kv_type", "keep_alive", "pin", "preload", "threads"):
        assert "\n%s\n" % setting in page


def test_completions_are_where_shells_look(installed):
    for shell, place in (("bash", "bash-completion/completions/drover"), ("zsh", "zsh/site-functions/_drover"), ("fish", "fish/vendor_completions.d/drover.fish")):
        told = subprocess.run([PROGRAM, "completion", shell], capture_output=True, check=True).stdout
        assert len(told) > 1000 and (installed / "share" / place).read_bytes() == told


@pytest.mark.skipif(not shutil.which("groff"), reason="groff is not there")
@pytest.mark.parametrize("page", ["man1/drover.1", "man5/drover.conf.5"])
def test_the_manual_is_clean_troff(installed, page):
    done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z", installed / "share/man" / page], capture_output=True, check=False)
    assert done.returncode == 0 and done.stderr == b""


def test_the_example_configuration_is_right_line_by_line(installed, tmp_path):
    text = (installed / "share/doc/drover/examples/drover.conf").read_text()
    lines = [line[1:] for line in text.splitlines() if re.match(r"#(\[|\w+ = )", line)]
    assert len(lines) > 15
    (tmp_path / "drover.conf").write_text("\n".join(lines) + "\n")
    for path in ("drover.conf", installed / "share/doc/drover/examples/drover.conf"):
        done = subprocess.run([PROGRAM, "serve", "--print-config", "--config", tmp_path / path], env=clean_env(tmp_path), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()


def test_the_configuration_in_the_documentation_is_right(tmp_path):
    text = re.search(r"```ini\n(.*?)```", (ROOT / "docs" / "operations.md").read_text(), re.S)[1]
    (tmp_path / "drover.conf").write_text(text)
    done = subprocess.run([PROGRAM, "serve", "--print-config", "--config", tmp_path / "drover.conf"], env=clean_env(tmp_path), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert "[model smollm2:latest]" in done.stdout.decode()


def test_the_unit_starts_what_was_installed(installed):
    unit = (installed / "lib/systemd/system/drover.service").read_text()
    start = re.search(r"^ExecStart=(\S+) serve$", unit, re.M)[1]
    assert start.endswith("/bin/drover") and str(installed).endswith(str(pathlib.Path(start).parent.parent))
    for line in ("Type=notify", "NoNewPrivileges=yes", "ProtectSystem=strict", "User=drover", "StateDirectory=drover"):
        assert "\n%s\n" % line in unit
    assert "\nWatchdogSec=" in unit and "@" not in re.sub(r"@system-service", "", unit)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not there")
def test_systemd_accepts_the_units(installed, tmp_path):
    for name in ("drover.service", "drover.socket"):
        text = (installed / "lib/systemd/system" / name).read_text()
        text = re.sub(r"^ExecStart=\S+", "ExecStart=" + str(installed / "bin" / "drover"), text, flags=re.M)
        text = re.sub(r"^Documentation=.*\n", "", text, flags=re.M)  # the pages are not where man looks
        (tmp_path / name).write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", tmp_path / "drover.service", tmp_path / "drover.socket"], capture_output=True, check=False)
    assert done.returncode == 0 and b"drover" not in done.stderr, done.stderr.decode()


def test_the_container_checks_its_health_and_is_not_root():
    text = (ROOT / "Containerfile").read_text()
    assert re.search(r'^HEALTHCHECK .*CMD \["drover", "health"\]$', text, re.M)
    assert re.search(r"^USER (?!0\b|root\b)", text, re.M)
