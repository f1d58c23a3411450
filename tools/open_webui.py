#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Installs open-webui, and what drives it in a browser, into a virtual environment of its own.

usage: open_webui.py DIRECTORY [PIN ...]      PIN: name==version; the first is open-webui, the others drive it

open-webui names PyTorch among its requirements, several gigabytes, though it starts and chats without: what needs PyTorch or is for pictures and
speech is left out (open-webui's own slim mode). All else is installed as open-webui pins it. The environment is whole or not there.
"""
import pathlib
import re
import shutil
import subprocess
import sys

LEFT_OUT = {"accelerate", "einops", "faster-whisper", "opencv-python-headless", "pyarrow", "rapidocr", "sentence-transformers", "transformers"}
LIST = "import importlib.metadata as m; print('\\n'.join(m.requires('open-webui')))"


def name_of(requirement):
    return re.match(r"[\w.-]+", requirement)[0].lower()


def install(directory, pins):
    python = str(directory / "bin" / "python")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", "venv", str(directory)], check=True)
    subprocess.run([*pip, "--no-deps", pins[0]], check=True)
    listed = subprocess.run([python, "-c", LIST], check=True, capture_output=True, text=True).stdout.splitlines()
    needed = [r for r in listed if "extra ==" not in r and name_of(r) not in LEFT_OUT]
    subprocess.run([*pip, *needed, *pins[1:]], check=True)


def main():
    directory = pathlib.Path(sys.argv[1])
    pins = sys.argv[2:]
    done = directory / ".wanted"
    if done.exists() and done.read_text().split() == pins:
        return 0
    shutil.rmtree(directory, ignore_errors=True)
    try:
        install(directory, pins)
    except subprocess.CalledProcessError as failed:
        shutil.rmtree(directory, ignore_errors=True)
        print(f"{' '.join(failed.cmd[:6])} ...: exit status {failed.returncode}", file=sys.stderr)
        return 1
    done.write_text("\n".join(pins) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
