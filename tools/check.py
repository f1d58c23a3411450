#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The gates: format, layers, words, warnings of clang, static analysis, sanitizer runs.

usage: check.py [--quick | --browser | --long [--soak SECONDS]]

  --quick    what fits beside the tests in CI
  --long     soak (10 minutes), longer fuzz runs and a browser too
  --browser  the browser alone
"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FAILED = []


def sources(*suffixes):
    listed = subprocess.run(["git", "ls-files", "-z", "src", "tests", "bench"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [f for f in listed.split("\0") if f.endswith(suffixes) and (ROOT / f).exists()]


def gate(name, good, detail=""):
    print(f"{'ok  ' if good else 'FAIL'} {name}", flush=True)
    if not good:
        FAILED.append(name)
        if detail:
            print(detail, flush=True)


def run(name, command, **options):
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    gate(name, done.returncode == 0, done.stdout[-6000:])
    return done


def check_format():
    run("format", ["clang-format-14", "--dry-run", "--Werror", *sources(".c", ".h")])


def check_names_in_architecture():
    """Every file and function that ARCHITECTURE.md names exists."""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    code = "\n".join((ROOT / f).read_text() for f in sources(".c", ".h"))
    missing = []
    for name in set(re.findall(r"`([^`\s]+)`", text)):
        if re.fullmatch(r"[\w./-]+\.(c|h|py|md|build)|(src|tests|tools|bench|docs)/[\w./-]*", name):
            if not (ROOT / name).exists() and not (ROOT / "src" / name).exists() and not any((ROOT / "src").rglob(name)):
                missing.append(name)
        elif found := re.fullmatch(r"(\w+)\(\)", name):
            if not re.search(rf"\b{found[1]}\(", code):
                missing.append(name)
    gate("names in ARCHITECTURE.md", not missing, ", ".join(missing))


def check_tidy(build):
    """One process a file: its analyzer reports va_lists as uninitialized in all files but the first."""
    def tidy(file):
        command = ["clang-tidy-14", "--quiet", "-p", build, "--warnings-as-errors=*", file]
        return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    files = [f for f in sources(".c") if f.startswith("src/") and "/cpu/" not in f]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        bad = [done.stdout for done in pool.map(tidy, files) if done.returncode != 0]
    gate("clang-tidy", not bad, "\n".join(bad))


def meson_build(directory, *options, env=None):
    environment = dict(os.environ, **(env or {}))
    if not (ROOT / directory / "build.ninja").exists():
        done = run(f"{directory}: setup", ["meson", "setup", directory, *options], env=environment)
        if done.returncode != 0:
            return False
    return run(f"{directory}: build without warnings", ["ninja", "-C", directory], env=environment).returncode == 0


def sanitizer_run(directory, sanitizers, names, env):
    """Unit tests under a sanitizer. Real-model tests are named apart: they take long."""
    if not meson_build(directory, f"-Db_sanitize={sanitizers}", "-Db_lundef=false", "-Doptimization=1", env={"CC": "gcc"}):
        return
    listed = subprocess.run(["meson", "test", "-C", directory, "--list"], cwd=ROOT, capture_output=True, text=True).stdout
    tests = [line.split(" / ")[-1].split(":")[-1].strip() for line in listed.splitlines() if line.strip() and not line.startswith("ninja")]
    chosen = [t for t in tests if t not in names]
    run(f"{directory}: tests", ["meson", "test", "-C", directory, "--no-rebuild", "--print-errorlogs", "-t", "5", *chosen], env=dict(os.environ, **env))


def check_scheduler_long():
    """10^8 random events around the scheduler, in another part of the space than the test run's."""
    if meson_build("build"):
        run("scheduler: 10^8 random events", ["build/tests/unit/sched/test_sched_random"],
            env=dict(os.environ, SCHED_CORPUS=str(ROOT / "tests/data/sched"), SCHED_EVENTS="100000000", SCHED_SEED="1000000"))


def check_fuzz(seconds):
    run(f"fuzz targets, {seconds} s each", [sys.executable, "tools/fuzz.py", str(seconds)])


def check_soak(seconds):
    """Random clients, aborts, slow readers, model swaps and kills for so long; the test says what is checked after them."""
    if meson_build("build"):
        done = run(f"soak: {seconds} s", [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "tests/load/test_load_soak.py"],
                   env=dict(os.environ, SOAK_SECONDS=str(seconds), DROVER=str(ROOT / "build/drover")))
        print("".join(line + "\n" for line in done.stdout.splitlines() if " requests (" in line), end="")


def check_browser():
    """open-webui in a browser; the pictures lie in build/artefacts/. `./dev check` has installed both, or said why not."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "drover" / "open-webui" / "bin"
    if not (cache / "open-webui").exists():
        print("skip open-webui in a browser: PyPI's open-webui is not installed", flush=True)
    elif meson_build("build"):
        subprocess.run([sys.executable, "tools/fetch_models.py", "smollm2-135m", "qwen2.5-coder-0.5b"], cwd=ROOT, stdout=subprocess.DEVNULL, check=False)
        done = run("open-webui in a browser", [str(cache / "python"), "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "tests/browser"],
                   env=dict(os.environ, OPEN_WEBUI=str(cache / "open-webui"), DROVER=str(ROOT / "build/drover")))
        print("".join(line + "\n" for line in done.stdout.splitlines() if line.startswith("SKIPPED")), end="")


# Real models: too slow under a sanitizer. The tiny models run the same code.
SLOW = {"accuracy", "invariance", "real_model"}


def finish():
    print(f"{len(FAILED)} gates failed" + (": " + ", ".join(FAILED) if FAILED else ""))
    sys.exit(bool(FAILED))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--soak", type=int, default=600, metavar="SECONDS")
    parser.add_argument("--browser", action="store_true")
    args = parser.parse_args()
    if args.browser:
        check_browser()
        finish()
    check_format()
    run("layers", [sys.executable, "tools/check_layers.py"])
    check_names_in_architecture()
    sanitizer_run("build-asan", "address,undefined", SLOW, {"ASAN_OPTIONS": "detect_leaks=1", "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"})
    if not args.quick:
        meson_build("build-release", "--buildtype=release")
        if meson_build("build-clang", env={"CC": "clang-14"}):
            check_tidy("build-clang")
        sanitizer_run("build-tsan", "thread", SLOW, {"TSAN_OPTIONS": "halt_on_error=1"})
        check_fuzz(600 if args.long else 60)
    if args.long:
        check_scheduler_long()
        check_soak(args.soak)
        check_browser()
    finish()


if __name__ == "__main__":
    main()
