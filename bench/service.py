# SPDX-License-Identifier: MIT
"""What people who share a server get: `./dev bench --service`. Real models, a real `drover serve`, clients through HTTP on loopback.

A view is a situation: how its requests arrive, and the figures that are read off the answers. Its rounds alternate with those of the other
views of the same server, and what a figure is compared with is measured in the same round. docs/benchmarks.md says how to read the table.
"""
import dataclasses
import math
import random
import typing

import common
import serving

REFUSED = 503
MOST_TRIES = 5


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How much of each situation."""

    clients: int = 16  # with prompts of their own
    prompt: int = 128  # words, one token each
    answer: int = 96
    long_prompt: int = 1800
    streams_beside: int = 3
    shared: int = 600  # words in front of each tail
    sharers: int = 8
    short_answer: int = 8
    refusals: int = 200
    arrivals_s: float = 10.0
    warm_up_s: float = 3.0  # in which the crowd grows; its users are not judged
    arrival_prompt: int = 64
    arrival_answer: int = 64
    first_rate: float = 8.0  # users a second, where the search begins
    most_rates: int = 10
    streams_of_two: int = 4  # of each of two models
    answer_of_two: int = 288  # so long that all run together for a while, though one model is faster


# So few that the figures mean nothing: the parts work together, in seconds.
TINY = Sizes(clients=3, prompt=16, answer=8, long_prompt=200, shared=64, sharers=3, refusals=5, arrivals_s=0.5, warm_up_s=0.0, arrival_answer=8,
             first_rate=4.0, most_rates=2, streams_of_two=2, answer_of_two=16)

# A user of the view of arrivals is served if the first token came within this, and those after it at this rate.
FIRST_TOKEN_S, TOKENS_PER_S, SHARE_SERVED = 0.5, 20.0, 0.9


@dataclasses.dataclass(frozen=True)
class Scene:
    """What a view is measured in: a server, its models, the sizes, and a word that makes this round's prompts its own."""

    server: serving.Server
    model: str
    second_model: str
    sizes: Sizes
    seed: str

    def words(self, n, *name):
        return serving.words(n, " ".join(map(str, (self.seed, *name))))


def spread(answers):
    """First tokens and gaps of streams."""
    first = [a.first_token_s() for a in answers]
    gaps = [gap for a in answers for gap in a.gaps_s()]
    return {"first_p50_s": common.percentile(first, 50), "first_p99_s": common.percentile(first, 99), "gap_p50_s": common.percentile(gaps, 50),
            "gap_p99_s": common.percentile(gaps, 99), "gap_longest_s": max(gaps)}


# ---- The views: each gives the figures of one round, and all its answers ----


def measure_crowd(scene):
    """Clients with distinct prompts at the same moment."""
    z = scene.sizes
    answers = scene.server.replay([serving.Ask(scene.model, scene.words(z.prompt, i), z.answer) for i in range(z.clients)])
    figures = spread(answers)
    figures["tokens_per_s"] = serving.Window(answers).tokens_per_s(answers)
    figures["tokens_per_s_each"] = common.middle([a.tokens_per_s() for a in answers])
    return figures, answers


def gaps_within(answers, begin_s, end_s):
    """The gaps that have a part in a span of time."""
    pairs = [pair for a in answers for pair in zip(a.tokens_s, a.tokens_s[1:])]
    return [b - a for a, b in pairs if b > begin_s and a < end_s]


def measure_long_prompt(scene):
    """A long prompt alone, then the like while streams run. Their gaps count from its arrival to its first token."""
    z = scene.sizes
    alone = scene.server.replay([serving.Ask(scene.model, scene.words(z.long_prompt, "alone"), 2)])
    streams = [serving.Ask(scene.model, COUNT_ON.format(i), 4 * z.arrival_answer * z.streams_beside, is_cut=True) for i in range(z.streams_beside)]
    beside = scene.server.replay([*streams, serving.Ask(scene.model, scene.words(z.long_prompt, "beside"), 2, after_tokens=8)])
    came = beside[-1]
    gaps = gaps_within(beside[:-1], came.sent_s, came.tokens_s[0])
    running = sum(a.tokens_s[-1] >= came.tokens_s[0] - max(gaps) for a in beside[:-1])
    return {"gap_longest_s": max(gaps), "gap_p99_s": common.percentile(gaps, 99), "gap_p50_s": common.percentile(gaps, 50),
            "alone_s": alone[0].first_token_s(), "beside_s": came.first_token_s(), "of_alone": came.first_token_s() / alone[0].first_token_s(),
            "running_to_the_end": running}, alone + beside


def cached_share(scene, before):
    """Counters of prompt tokens since `before`: how many, and how many of them were cached."""
    names = ("drover_model_prompt_tokens_total", "drover_model_cached_prompt_tokens_total")
    now = [scene.server.metric(name, scene.model) for name in names]
    return now if before is None else [a - b for a, b in zip(now, before)]


def measure_shared(scene):
    """One request with a long beginning; then several at once that share another such beginning."""
    z = scene.sizes

    def ask(prefix, i):
        return serving.Ask(scene.model, f"{scene.words(z.shared, prefix)} {scene.words(8, prefix, i)}", z.short_answer)

    one = scene.server.replay([ask("one", 0)])
    before = cached_share(scene, None)
    all_of_them = scene.server.replay([ask("all", i) for i in range(z.sharers)])
    n_prompt, n_cached = cached_share(scene, before)
    one_s, all_s = one[0].end_s - one[0].sent_s, max(a.end_s for a in all_of_them) - all_of_them[0].sent_s
    firsts = [max(a.first_token_s() for a in answers) for answers in (one, all_of_them)]
    return {"one_s": one_s, "all_s": all_s, "of_one": all_s / one_s, "one_first_s": firsts[0], "all_first_s": firsts[1], "prompt_tokens": n_prompt,
            "cached_tokens": n_cached}, one + all_of_them


def measure_refusals(scene):
    """Every slot busy and the queue full: more requests come one after the other, at moments that have nothing to do with the steps."""
    z, dice = scene.sizes, random.Random(scene.seed)
    busy = [serving.Ask(scene.model, COUNT_ON.format(i), 2000, is_cut=True) for i in range(FULL_SLOTS + FULL_QUEUE)]
    refused = [serving.Ask(scene.model, "no", 1, at_s=0.5 + 0.01 * (i + dice.random())) for i in range(z.refusals)]
    for tries_left in reversed(range(MOST_TRIES)):
        try:
            answers = scene.server.replay([*busy, *refused], status=REFUSED)[len(busy):]
            break
        except common.Failed:  # one was let in: the machine was so slow that the queue was not full yet
            if tries_left == 0:
                raise
    latencies = [a.reply_s - a.sent_s for a in answers]
    return {"refused_p50_s": common.percentile(latencies, 50), "refused_p99_s": common.percentile(latencies, 99)}, answers


def draw_arrivals(rate, seconds, seed):
    """Moments of a Poisson process. The draws are the same at every rate, so that rates differ by nothing else."""
    dice, at_s, moments = random.Random(seed), 0.0, []
    while (at_s := at_s + dice.expovariate(1.0) / rate) < seconds:
        moments.append(at_s)
    return moments or [0.0]


def is_served(answer):
    return answer.first_token_s() <= FIRST_TOKEN_S and answer.tokens_per_s() >= TOKENS_PER_S


def try_rate(scene, rate):
    """The share of users that are served, and all answers."""
    z = scene.sizes
    moments = draw_arrivals(rate, z.arrivals_s, scene.seed)
    answers = scene.server.replay([serving.Ask(scene.model, scene.words(z.arrival_prompt, f"{rate:.3f}", i), z.arrival_answer, at_s=at_s)
                                   for i, at_s in enumerate(moments)])
    judged = [a for a in answers if a.sent_s >= z.warm_up_s] or answers
    return sum(map(is_served, judged)) / len(judged), answers


def measure_arrivals(scene):
    """Bisection between a rate at which enough users are served and one at which they are not, until they are within 8 %."""
    low, high, rate, tried, answers = None, None, scene.sizes.first_rate, [], []
    while len(tried) < scene.sizes.most_rates and not (low and high and high / low <= 1.08):
        share, some = try_rate(scene, rate)
        tried.append((rate, share))
        answers += some
        if share >= SHARE_SERVED:
            low = rate
        else:
            high = rate
        rate = math.sqrt(low * high) if low and high else 1.5 * low if low else high / 1.5
    return {"rate": low or 0.0, "tokens_per_s": (low or 0.0) * scene.sizes.arrival_answer, "tried": tried}, answers


def measure_two(scene):
    """Streams of two models: of each alone, then of both at once."""
    z = scene.sizes

    def plan(model, when):
        return [serving.Ask(model, scene.words(z.prompt, model, when, i), z.answer_of_two) for i in range(z.streams_of_two)]

    models = (scene.model, scene.second_model)
    alone = [scene.server.replay(plan(m, "alone")) for m in models]
    both = scene.server.replay(plan(models[0], "both") + plan(models[1], "both"))
    together = (both[:z.streams_of_two], both[z.streams_of_two:])
    window = serving.Window(both)
    figures = {"of_alone": 0.0}
    for i, (mine, ours) in enumerate(zip(alone, together)):
        rate, rate_alone = window.tokens_per_s(ours), serving.Window(mine).tokens_per_s(mine)
        figures.update({f"alone_{i}": rate_alone, f"both_{i}": rate, f"first_alone_{i}_s": max(a.first_token_s() for a in mine),
                        f"first_{i}_s": max(a.first_token_s() for a in ours)})
        figures["of_alone"] += rate / rate_alone if rate_alone else 0.0
    figures["both"] = figures["both_0"] + figures["both_1"]
    return figures, [a for some in alone for a in some] + both


# ---- The table ----


@dataclasses.dataclass(frozen=True)
class Row:
    """A figure of a view: the median of its rounds. goal: at most this."""

    title: str
    key: str
    form: str
    goal: typing.Optional[float] = None


@dataclasses.dataclass(frozen=True)
class View:
    name: str
    server: str  # a row of SERVERS
    title: str   # filled in with the sizes and the models
    measure: typing.Callable
    rows: tuple


MS, WHOLE, TIMES = "{:.1f} ms", "{:.0f}", "{:.2f}"
COUNT_ON = "Line {}: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,"  # models go on counting for long
FULL_SLOTS, FULL_QUEUE = 4, 4

# Servers by the variables that they are started with. The first has more slots than users at any rate that is served.
SERVERS = {
    "wide": {"OLLAMA_NUM_PARALLEL": 32, "OLLAMA_CONTEXT_LENGTH": 2560},
    "full": {"OLLAMA_NUM_PARALLEL": FULL_SLOTS, "OLLAMA_MAX_QUEUE": FULL_QUEUE, "OLLAMA_CONTEXT_LENGTH": 2560},
    "two": {"OLLAMA_NUM_PARALLEL": 4, "OLLAMA_CONTEXT_LENGTH": 512},
}

VIEWS = (
    View("crowd", "wide", "{z.clients} clients at the same moment, each its own prompt of {z.prompt} words, {z.answer} tokens", measure_crowd,
         (Row("first token, p50", "first_p50_s", MS), Row("first token, p99", "first_p99_s", MS), Row("gap between tokens, p50", "gap_p50_s", MS),
          Row("gap, p99", "gap_p99_s", MS), Row("gap, longest", "gap_longest_s", MS), Row("tokens/s, all together", "tokens_per_s", WHOLE),
          Row("tokens/s, each", "tokens_per_s_each", WHOLE))),
    View("long", "wide", "{z.streams_beside} streams while a prompt of {z.long_prompt} words arrives", measure_long_prompt,
         (Row("gap of the streams, longest", "gap_longest_s", MS, 0.25), Row("gap, p99", "gap_p99_s", MS, 0.06), Row("gap, p50", "gap_p50_s", MS),
          Row("the prompt's first token", "beside_s", MS), Row("  the like alone", "alone_s", MS), Row("  times as long as alone", "of_alone", TIMES, 1.3))),
    View("shared", "wide", "{z.sharers} requests at the same moment that share {z.shared} words, {z.short_answer} tokens", measure_shared,
         (Row("all answered", "all_s", MS), Row("  one such request alone", "one_s", MS), Row("  times as long as one", "of_one", TIMES, 1.5),
          Row("first tokens of all", "all_first_s", MS), Row("  of one alone", "one_first_s", MS), Row("prompt tokens of all", "prompt_tokens", WHOLE),
          Row("  of them cached", "cached_tokens", WHOLE))),
    View("arrivals", "wide", "users arriving at random, prompts of {z.arrival_prompt} words, {z.arrival_answer} tokens", measure_arrivals,
         (Row("users a second, 90 % served in time", "rate", "{:.1f}"), Row("  their tokens/s together", "tokens_per_s", WHOLE))),
    View("refused", "full", "all slots busy and the queue full: one more request", measure_refusals,
         (Row("503, p50", "refused_p50_s", MS, 0.010), Row("503, p99", "refused_p99_s", MS))),
    View("two", "two", "{z.streams_of_two} streams of {model} and {z.streams_of_two} of {second}, prompts of {z.prompt} words", measure_two,
         (Row("{model}, tokens/s", "both_0", WHOLE), Row("  alone", "alone_0", WHOLE), Row("{second}, tokens/s", "both_1", WHOLE),
          Row("  alone", "alone_1", WHOLE), Row("both, tokens/s", "both", WHOLE), Row("shares of alone, added", "of_alone", TIMES),
          Row("first tokens of {model}", "first_0_s", MS), Row("  alone", "first_alone_0_s", MS), Row("first tokens of {second}", "first_1_s", MS),
          Row("  alone", "first_alone_1_s", MS))),
)


def show(value, form):
    return form.format(1000 * value if form == MS else value)


def verdict(value, row):
    return "" if row.goal is None else f"goal: at most {show(row.goal, row.form)}, {'met' if value <= row.goal else 'MISSED'}"


class Service:
    """`models`: names and files of the model that is measured, and of the one beside it."""

    def __init__(self, build, models, rounds, views, threads=None, sizes=Sizes()):
        self.build, self.models, self.rounds, self.sizes = build, models, rounds, sizes
        self.views = [v for v in VIEWS if v.name in views]
        self.threads = {"OLLAMA_NUM_THREADS": threads} if threads else {}
        self.figures = {v.name: [] for v in self.views}
        self.answers = {v.name: [] for v in self.views}

    def run(self):
        for name, options in SERVERS.items():
            views = [v for v in self.views if v.server == name]
            if views:
                self.run_server(name, options, views)

    def run_server(self, name, options, views):
        model, second = self.models
        served = self.models if name == "two" else {model: self.models[model]}
        with serving.Server(self.build, served, **options, **self.threads) as server:
            for round_i in range(self.rounds):
                for view in views:
                    common.say(f"service of {model}: {view.name}, round {round_i + 1} of {self.rounds}")
                    figures, answers = view.measure(Scene(server, model, second, self.sizes, f"{view.name} {round_i}"))
                    self.figures[view.name].append(figures)
                    self.answers[view.name].append([dataclasses.asdict(a) for a in answers])

    def title(self, text):
        model, second = self.models
        return text.format(z=self.sizes, model=model, second=second)

    def print(self):
        print(f"\nservice of {next(iter(self.models))} through HTTP: medians of {self.rounds} rounds, least and most in brackets")
        for view in self.views:
            print(f"\n{self.title(view.title)}")
            for row in view.rows:
                values = [figures[row.key] for figures in self.figures[view.name]]
                value, ends = common.middle(values), [show(v, row.form).split()[0] for v in (min(values), max(values))]
                print(f"  {self.title(row.title):38}{show(value, row.form):>11} {f'({ends[0]}-{ends[1]})':18} {verdict(value, row)}".rstrip())
            if view.name == "arrivals":
                tried = sorted(self.figures[view.name][-1]["tried"])
                print("  served in the last round: " + ", ".join(f"{100 * share:.0f} % at {rate:.1f}/s" for rate, share in tried))

    def to_json(self):
        return {"models": list(self.models), "rounds": self.rounds, "sizes": dataclasses.asdict(self.sizes), "figures": self.figures,
                "goals": {v.name: {row.key: row.goal for row in v.rows if row.goal is not None} for v in self.views}, "answers": self.answers}
