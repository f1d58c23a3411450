# SPDX-License-Identifier: MIT
"""Reading /metrics: a strict reader of Prometheus' text format."""
import re

SAMPLE = re.compile(r'([a-z_][a-z0-9_]*)(?:\{(.*)\})? (-?[0-9.e+-]+|NaN|[+-]Inf)')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"(?:,|$)')
SUFFIXES = ("_bucket", "_sum", "_count")


class Scrape(dict):
    """{(name, frozenset of labels): value}; `types` and `helps` by family."""

    def __init__(self, text):
        super().__init__()
        self.types, self.helps, family = {}, {}, None
        assert text.endswith("\n")
        for line in text.splitlines():
            kind, _, rest = line.partition(" ")
            if kind == "#":
                what, name, value = rest.split(" ", 2)
                known = self.helps if what == "HELP" else self.types
                assert what in ("HELP", "TYPE") and name not in known and value, line
                known[name] = value
                family = name
                continue
            match = SAMPLE.fullmatch(line)
            assert match, line
            name, labels, value = match.groups()
            found = LABEL.findall(labels or "")
            assert "".join('%s="%s",' % f for f in found) == (labels + "," if labels else ""), line
            base = name
            if self.types.get(family) == "histogram":
                base = next(name[:-len(s)] for s in SUFFIXES if name.endswith(s))
            assert base == family and family in self.types and family in self.helps, line
            key = (name, frozenset(found))
            assert key not in self, "twice: " + line
            self[key] = float(value)

    def get_one(self, name, **labels):
        """The value of that series; 0 for a counter that has not counted yet."""
        return self.get((name, frozenset(labels.items())), 0.0)

    def series_of(self, name):
        return [key for key in self if key[0] == name]


def scrape(server):
    reply = server.call("GET", "/metrics")
    assert reply.status == 200 and reply.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return Scrape(reply.text)
