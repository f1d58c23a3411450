#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the unit tests (meson) and the tests against the running program (pytest), and ends with `N passed, N failed`.

usage: run_tests.py --build DIR [NAME ...]     NAME: only tests whose name contains it
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import xml.etree.ElementTree as xml

ROOT = pathlib.Path(__file__).resolve().parent.parent
NOTHING_CHOSEN = 5  # pytest's exit status when no test has the name
MODELS = ["smollm2-135m", "gemma3-270m", "qwen2.5-coder-0.5b"]


class Totals:
    def __init__(self):
        self.passed = self.failed = 0
        self.skipped = []
        self.failures = []


def fetch_models():
    """The real models; without network the tests that need them say that they are skipped."""
    for model in MODELS:
        done = subprocess.run([sys.executable, ROOT / "tools/fetch_models.py", model], capture_output=True, text=True)
        if done.returncode != 0:
            print(f"note: {done.stderr.strip().splitlines()[-1]}; tests that need it are skipped")


def run_units(build, names, totals):
    listed = subprocess.run(["meson", "test", "-C", build, "--list"], capture_output=True, text=True, check=True).stdout
    tests = [line.split(" / ")[-1].split(":")[-1].strip() for line in listed.splitlines() if line.strip() and not line.startswith("ninja")]
    chosen = [t for t in tests if not names or any(n in t for n in names)]
    if not chosen:
        return
    log = pathlib.Path(build) / "meson-logs/testlog.json"
    log.unlink(missing_ok=True)
    subprocess.run(["meson", "test", "-C", build, "--no-rebuild", "--print-errorlogs", "-t", "10", *chosen], stdout=sys.stdout, stderr=sys.stderr)
    for line in log.read_text().splitlines():
        test = json.loads(line)
        text = (test.get("stdout") or "") + (test.get("stderr") or "")
        name = test["name"].split(" / ")[-1]
        reasons = sorted(set(re.findall(r"SKIPPED: (.*)", text)))
        totals.skipped += [f"{name}: {r}" for r in reasons]
        if test["result"] == "SKIP":
            if not reasons:
                totals.skipped.append(f"{name}: exit code 77")
            continue
        good = len(re.findall(r"\[       OK \]", text))
        bad = len(set(re.findall(r"\[  FAILED  \] (\S+)$", text, re.M)))
        if test["result"] not in ("OK", "EXPECTEDFAIL"):
            bad = max(bad, 1)
            totals.failures.append(f"{name} ({test['result'].lower()})")
        elif good == 0:
            good = 1
        totals.passed += good
        totals.failed += bad


def run_pytest(build, names, totals):
    report = pathlib.Path(build).resolve() / "pytest.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", "tests"]
    if names:
        command += ["-k", " or ".join(names)]
    environment = dict(os.environ, DROVER=str(pathlib.Path(build).resolve() / "drover"))
    if subprocess.run(command, cwd=ROOT, env=environment).returncode == NOTHING_CHOSEN:
        return
    if not report.exists():
        totals.failed += 1
        totals.failures.append("pytest did not run")
        return
    for case in xml.parse(report).iter("testcase"):
        name = f"{case.get('classname')}.{case.get('name')}"
        if case.find("skipped") is not None:
            totals.skipped.append(f"{name}: {case.find('skipped').get('message')}")
        elif case.find("failure") is not None or case.find("error") is not None:
            totals.failed += 1
            totals.failures.append(name)
        else:
            totals.passed += 1


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--units-only", action="store_true")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    totals = Totals()
    fetch_models()
    run_units(args.build, args.names, totals)
    if not args.units_only:
        run_pytest(args.build, args.names, totals)
    if args.names and not totals.passed and not totals.failed and not totals.skipped:
        print(f"no test has a name with {' or '.join(args.names)} in it")
    for line in totals.skipped:
        print(f"skipped: {line}")
    for line in totals.failures:
        print(f"failed: {line}")
    print(f"{totals.passed} passed, {totals.failed} failed")
    sys.exit(1 if totals.failed or totals.passed == 0 else 0)


if __name__ == "__main__":
    main()
