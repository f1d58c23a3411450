#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`./dev bench`: how fast drover is on this machine, beside what the machine can do, and with --peer beside llama.cpp.

For each model: seconds to load, prompt tokens/s, tokens/s of generating at several numbers of streams, for the engine alone and through HTTP.
Then what people get who share a server (service.py); --service: only that.
Rounds of all that is compared alternate, so that a disturbance hits everyone; figures are medians of the rounds, limits the best of them.
docs/benchmarks.md says how to read the table.
"""
import argparse
import json
import os
import pathlib
import platform
import signal
import subprocess
import sys

import peer
import service
import serving
from common import Failed, cache_dir, middle, objects_of, say

ROOT = pathlib.Path(__file__).resolve().parent.parent
SERVICE_PROGRAMS = ["bench_limits", "bench_clients"]
PROGRAMS = [*SERVICE_PROGRAMS, "bench_engine", "bench_make_model"]

# What is measured of a model. keys: in front of the first timed token of each stream; tokens: timed ones of each stream.
# The larger shapes get less of both, since one round would take many minutes; their speed depends little on it.
MODELS = {
    "smollm2": {"title": "SmolLM2 135M, Q4_1", "fetch": "smollm2-135m", "keys": 128, "tokens": 48, "repeats": 5},
    "gemma3": {"title": "Gemma 3 270M, Q4_K_M", "fetch": "gemma3-270m", "keys": 128, "tokens": 48, "repeats": 5},
    "qwen2.5": {"title": "Qwen2.5 Coder 0.5B, Q4_K_M", "fetch": "qwen2.5-coder-0.5b", "keys": 128, "tokens": 48, "repeats": 5},
    "1b": {"title": "random weights, 1.1B, Q4_K_M", "shape": "1b", "keys": 128, "tokens": 32, "repeats": 3},
    "7b": {"title": "random weights, 7.2B, Q4_K_M", "shape": "7b", "keys": 32, "tokens": 16, "repeats": 2},
}
N_PROMPT = 512
SERVICE_ROUNDS = 3
ANSWER_TOKENS = 160  # at most, of each answer to a question; only of models that can be asked one
HTTP_TOKENS = 160  # of each stream; long enough that all run together for most of the time


class Bench:
    def __init__(self, args):
        self.args = args
        self.build = ROOT / args.build
        self.peer = None
        self.limits = []

    def program(self, name):
        return self.build / "bench" / name

    def build_programs(self):
        programs = SERVICE_PROGRAMS if self.args.service else PROGRAMS
        done = subprocess.run(["ninja", "-C", str(self.build), "src/drover", *(f"bench/{p}" for p in programs)], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            raise Failed(done.stdout[-4000:])

    def model_file(self, name):
        facts = MODELS[name]
        if "fetch" in facts:
            done = subprocess.run([sys.executable, str(ROOT / "tools/fetch_models.py"), facts["fetch"]], stdout=subprocess.PIPE, text=True)
            if done.returncode != 0:
                raise Failed(f"the model {name} cannot be fetched")
            return pathlib.Path(done.stdout.strip())
        path = cache_dir() / f"random-{facts['shape']}-q4_k_m.gguf"
        if not path.exists():
            say(f"writing {path}")
            subprocess.run([str(self.program("bench_make_model")), facts["shape"], str(path)], check=True)
        return path

    def measure_limits(self):
        self.limits += objects_of([self.program("bench_limits"), "-j", self.args.threads] if self.args.threads else [self.program("bench_limits")])

    def threads(self):
        return self.limits[0]["threads"]

    def best_limit(self, key):
        return max(limit[key] for limit in self.limits)

    def measure_engine(self, name, path, result):
        facts = MODELS[name]
        rows = objects_of([self.program("bench_engine"), "-r", 1, "-j", self.threads(), "-n", ",".join(map(str, self.args.streams)),
                           "-k", facts["keys"], "-g", facts["tokens"], "-p", N_PROMPT, "-a", ANSWER_TOKENS if "fetch" in facts else 0, path])
        for row in rows:
            if row["what"] == "model":
                result["model"] = {k: v for k, v in row.items() if k != "what"}
            elif row["what"] == "load":
                result["load_s"].append(row["seconds"])
            elif row["what"] == "generate":
                result["generate"][row["streams"]].append(row["tokens_per_s"])
            elif row["what"] == "answers":
                result["answers"].append({k: v for k, v in row.items() if k != "what"})
            else:
                result[row["what"]].append(row["tokens_per_s"])

    def measure_peer(self, name, path, result):
        facts = MODELS[name]
        rates = peer.measure_generate(self.peer, path, self.threads(), self.args.streams, facts["keys"], facts["tokens"])
        for streams, rate in rates.items():
            result["peer_generate"][streams].append(rate)
        result["peer_prompt"].append(peer.measure_prompt(self.peer, path, self.threads(), N_PROMPT))

    def measure_http(self, server, name, round_i, result):
        for streams in self.args.streams:
            prompts = [serving.words(MODELS[name]["keys"], f"http {round_i} {streams} {i}") for i in range(streams)]
            answers = server.replay([serving.Ask(name, prompt, HTTP_TOKENS) for prompt in prompts])
            first = [a.first_token_s() for a in answers]
            result["http"][streams].append({
                "tokens_per_s": serving.Window(answers).tokens_per_s(answers), "first_token_p50_s": middle(first),
                "prompts_per_s": sum(a.last["prompt_eval_count"] for a in answers) / max(first)})

    def run_model(self, name):
        path = self.model_file(name)
        result = {"name": name, "title": MODELS[name]["title"], "file_bytes": path.stat().st_size, "load_s": [], "prompt": [], "prompts": [], "answers": [],
                  "generate": {n: [] for n in self.args.streams}, "peer_generate": {n: [] for n in self.args.streams}, "peer_prompt": [],
                  "http": {n: [] for n in self.args.streams}}
        repeats = self.args.repeats or (1 if self.args.quick else MODELS[name]["repeats"])
        for round_i in range(repeats):
            say(f"{name}: round {round_i + 1} of {repeats}")
            self.measure_limits()
            self.measure_engine(name, path, result)
            if self.peer:
                self.measure_peer(name, path, result)
        if name in self.args.http:
            options = {"OLLAMA_NUM_PARALLEL": max(self.args.streams), "OLLAMA_NUM_THREADS": self.threads(), "OLLAMA_CONTEXT_LENGTH": 512}
            with serving.Server(self.build, {name: path}, **options) as server:
                for round_i in range(repeats):
                    say(f"{name}: through HTTP, round {round_i + 1} of {repeats}")
                    self.measure_http(server, name, round_i, result)
        self.measure_limits()
        return result

    def run_service(self):
        """The views of a server's users; None if none was asked for."""
        args = self.args
        if not args.views:
            return None
        files = {name: self.model_file(name) for name in (args.service_model, args.second_model)}
        measured = service.Service(self.build, files, args.repeats or (1 if args.quick else SERVICE_ROUNDS), args.views, args.threads,
                                   service.TINY if args.tiny else service.Sizes())
        self.measure_limits()
        measured.run()
        self.measure_limits()
        return measured


# ---- The table ----


def cell(value, form="{:.0f}"):
    return "-" if value is None else form.format(value)


def rate(value):
    return cell(value, "{:.1f}" if value is not None and value < 100 else "{:.0f}")


def table_row(title, values):
    print(f"  {title:34}" + "".join(f"{v:>9}" for v in values))


class Report:
    """One model's medians, and their shares of the machine's limits."""

    def __init__(self, bench, result):
        self.bench, self.result = bench, result

    def ours(self, n):
        return middle(self.result["generate"][n])

    def bandwidth_share(self, n):
        steps = self.ours(n) / n
        return 100 * steps * self.result["model"]["bytes_per_step"] / (self.bench.best_limit("read_gb_per_s_all") * 1e9)

    def multiply_share(self, tokens_per_s):
        limit = self.bench.best_limit("multiplies_per_s") * self.bench.threads()
        return 100 * tokens_per_s * self.result["model"]["multiplies_per_token"] / limit if limit > 0 else None

    def http(self, n, key):
        return middle([row[key] for row in self.result["http"][n]])

    def print_answers(self):
        """Questions that are answered one after the other: with and without draft tokens."""
        answers = self.result["answers"]
        peer_alone = middle(self.result["peer_generate"].get(1, []))
        for temperature in sorted({a["temperature"] for a in answers}):
            plain, drafted = (middle([a["tokens_per_s"] for a in answers if (a["temperature"], a["drafts"]) == (temperature, is_on)])
                              for is_on in (False, True))
            beside = f"; {drafted / peer_alone:.2f} of llama.cpp's one stream" if peer_alone else ""
            print(f"  answers, one stream, temperature {temperature}: {rate(drafted)} tokens/s, without draft tokens {rate(plain)}{beside}")

    def print(self):
        r, streams = self.result, self.bench.args.streams
        prompt, prompts = middle(r["prompt"]), middle(r["prompts"])
        print(f"\n{r['title']}: {r['file_bytes'] / 1e6:.0f} MB, loaded in {middle(r['load_s']):.2f} s")
        table_row("streams", [str(n) for n in streams])
        table_row("generate, tokens/s", [rate(self.ours(n)) for n in streams])
        table_row("  of the read bandwidth", [cell(self.bandwidth_share(n), "{:.0f} %") for n in streams])
        table_row("  of the multiply limit", [cell(self.multiply_share(self.ours(n)), "{:.0f} %") for n in streams])
        if r["peer_prompt"]:
            table_row("llama.cpp, tokens/s", [rate(middle(r["peer_generate"][n])) for n in streams])
            table_row("  drover / llama.cpp", [f"{self.ours(n) / middle(r['peer_generate'][n]):.2f}" for n in streams])
        if r["http"][streams[0]]:
            table_row("through HTTP, tokens/s", [rate(self.http(n, "tokens_per_s")) for n in streams])
            table_row("  first token, median, ms", [cell(1000 * self.http(n, "first_token_p50_s")) for n in streams])
            table_row("  prompts, tokens/s", [rate(self.http(n, "prompts_per_s")) for n in streams])
        print(f"  prompt of {N_PROMPT}: {rate(prompt)} tokens/s, {cell(self.multiply_share(prompt))} % of the multiply limit; "
              f"{max(streams)} prompts of {MODELS[r['name']]['keys']} at once: {rate(prompts)} tokens/s")
        if r["peer_prompt"]:
            theirs = middle(r["peer_prompt"])
            print(f"  llama.cpp, prompt of {N_PROMPT}: {rate(theirs)} tokens/s; drover / llama.cpp {prompt / theirs:.2f}")
        self.print_answers()


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def print_machine(bench):
    first = bench.limits[0]
    loops = [limit["known_loop_gmac_per_s"] for limit in bench.limits]
    print(f"\nmachine: {processor()}, {bench.threads()} threads, level {first['level']}")
    print(f"read bandwidth: {bench.best_limit('read_gb_per_s_1'):.1f} GB/s with 1 thread, {bench.best_limit('read_gb_per_s_all'):.1f} with all")
    if first["multiply"]:
        print(f"multiply limit: {bench.best_limit('multiplies_per_s') / 1e9:.2f} G {first['multiply']} a second and core; known loop "
              f"{max(loops):.0f} GMAC/s at best, {min(loops):.0f} at worst")
    reads = [limit["read_gb_per_s_all"] for limit in bench.limits]
    if min(loops) < 0.85 * max(loops) or min(reads) < 0.7 * max(reads) or os.getloadavg()[2] > 1.5 * bench.threads():
        print("The machine was not quiet: limits changed or others computed meanwhile. Take the figures with care.")


def to_json(bench, results, measured):
    return {"machine": processor(), "threads": bench.threads(), "limits": bench.limits, "prompt_tokens": N_PROMPT,
            "service": measured.to_json() if measured else None, "peer": f"{peer.PACKAGE} {peer.VERSION}" if bench.peer else None,
            "models": [dict(r, keys=MODELS[r["name"]]["keys"], tokens=MODELS[r["name"]]["tokens"]) for r in results]}


def names(text):
    chosen = [] if text in ("", "none") else list(MODELS) if text == "all" else text.split(",")
    for name in chosen:
        if name not in MODELS:
            raise argparse.ArgumentTypeError(f"unknown model {name}; known: {', '.join(MODELS)}, all, none")
    return chosen


def views(text):
    known = [v.name for v in service.VIEWS]
    chosen = [] if text == "none" else known if text == "all" else text.split(",")
    if not set(chosen) <= set(known):
        raise argparse.ArgumentTypeError(f"views are {', '.join(known)}, all, none")
    return chosen


def one_name(text):
    if text not in MODELS:
        raise argparse.ArgumentTypeError(f"unknown model {text}; known: {', '.join(MODELS)}")
    return text


def numbers(text):
    chosen = sorted({int(n) for n in text.split(",")})
    if chosen[0] < 1 or chosen[-1] > 256:
        raise argparse.ArgumentTypeError("between 1 and 256 streams")
    return chosen


def read_arguments():
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build-release", help=argparse.SUPPRESS)
    parser.add_argument("--models", type=names, metavar="NAME,...", help=f"of {', '.join(MODELS)} (default: all; with --quick smollm2)")
    parser.add_argument("--http", type=names, default=["smollm2"], metavar="NAME,...", help="models measured through HTTP too (default: smollm2; all, none)")
    parser.add_argument("--streams", type=numbers, default=[1, 4, 8, 16, 32], metavar="N,...", help="numbers of streams (default: 1,4,8,16,32)")
    parser.add_argument("--service", action="store_true", help="only what people get who share a server")
    parser.add_argument("--views", type=views, default=views("all"), metavar="NAME,...",
                        help=f"situations of such people: {', '.join(v.name for v in service.VIEWS)} (default: all; none)")
    parser.add_argument("--service-model", type=one_name, default="smollm2", metavar="NAME", help="the model that they use (default: smollm2)")
    parser.add_argument("--second-model", type=one_name, default="qwen2.5", metavar="NAME", help="busy beside it in the view `two` (default: qwen2.5)")
    parser.add_argument("--tiny", action="store_true", help=argparse.SUPPRESS)  # counts for a test, figures without meaning
    parser.add_argument("--repeats", type=int, metavar="N", help="rounds (default: 5, fewer for the large shapes and for people who share)")
    parser.add_argument("--threads", type=int, metavar="N", help="compute threads (default: what the machine grants)")
    parser.add_argument("--quick", action="store_true", help="one round, SmolLM2 only unless --models says more")
    parser.add_argument("--peer", action="store_true", help="beside llama.cpp (fetched and built once into the cache)")
    parser.add_argument("--json", metavar="FILE", help="write all samples there")
    args = parser.parse_args()
    if args.service:
        args.models = []
    elif args.models is None:
        args.models = ["smollm2"] if args.quick else list(MODELS)
    if not args.models and not args.views:
        parser.error("there is nothing to measure")
    if args.views and args.service_model == args.second_model:
        parser.error("--second-model must be another than --service-model")
    return args


def main():
    args = read_arguments()
    bench = Bench(args)
    results = []
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # servers are stopped, files removed
    try:
        bench.build_programs()
        if args.peer:
            bench.peer = peer.prepare(cache_dir())
        for name in args.models:
            results.append(bench.run_model(name))
        measured = bench.run_service()
    except (Failed, subprocess.CalledProcessError, OSError) as e:
        sys.exit(f"bench: {e}")
    except KeyboardInterrupt:
        sys.exit(130)
    print_machine(bench)
    for result in results:
        Report(bench, result).print()
    if measured:
        measured.print()
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(to_json(bench, results, measured), indent=1) + "\n")


if __name__ == "__main__":
    main()
