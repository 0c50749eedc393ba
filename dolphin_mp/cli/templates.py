"""The files that `dolphin-mp init` writes, by name. They launch and pass as they are."""

from __future__ import annotations

SYSTEM_NAME = "SYSTEM_NAME"

_CONFIGURATION = """\
# `dolphin-mp launch` starts this system, `dolphin-mp check` checks it.

[system]
name = "SYSTEM_NAME"

[components.quotes]
run = "market:Quotes"
options = { start = 100.0, spread = 0.5 }

[components.edge]
run = "market:Edge"
"""

_COMPONENTS = '''\
"""Two components: one makes quotes of a random walk, the other watches how far bid and ask are apart."""

from dataclasses import dataclass

import numpy as np

from dolphin_mp import Component, Input, Output

QUOTE = np.dtype([("bid", "f8"), ("ask", "f8")])
EDGE = np.dtype([("value", "f8"), ("mean", "f8")])


class Quotes(Component):
    """Publishes a quote ten times a second; a restart goes on from the last one."""

    every = "100ms"
    quote = Output(QUOTE, keep=1024)

    @dataclass
    class Options:
        start: float = 100.0
        spread: float = 0.5

    def setup(self):
        last = self.quote.latest()
        self.price = self.options.start if last is None else float(last.value["bid"])
        self.random = np.random.default_rng()

    def step(self):
        self.price *= 1 + 1e-4 * self.random.standard_normal()
        self.quote.publish(bid=self.price, ask=self.price + self.options.spread)


class Edge(Component):
    """Steps on each new quote, and not while the newest one is older than three seconds."""

    quote = Input("quotes.quote", stale_after="3s", required=True)
    edge = Output(EDGE)

    def setup(self):
        self.mean = None

    def step(self):
        quote = self.quote.latest().value
        value = float(quote["ask"] - quote["bid"])
        self.mean = value if self.mean is None else 0.9 * self.mean + 0.1 * value
        self.edge.publish(value=value, mean=self.mean)

    def on_stale(self):
        self.log.warning("no fresh quote: waiting")
'''

_TEST = '''\
"""The components stepped one at a time, without a process: `python -m unittest`, or pytest."""

import unittest

from dolphin_mp.testing import stepping
from market import Edge, Quotes


class TestQuotes(unittest.TestCase):
    def test_the_ask_is_a_spread_above_the_bid(self):
        with stepping(Quotes, {"start": 50.0, "spread": 2.0}) as quotes:
            quotes.step()
            quote = quotes.latest("quote").value
            self.assertAlmostEqual(quote["ask"] - quote["bid"], 2.0)


class TestEdge(unittest.TestCase):
    def test_it_tells_the_distance_and_its_mean(self):
        with stepping(Edge, inputs={"quote": Quotes.quote}) as edge:
            edge.give("quote", bid=1.0, ask=2.0)
            edge.step()
            edge.give("quote", bid=1.0, ask=3.0)
            edge.step()
            self.assertEqual(edge.latest("edge").value["value"], 2.0)
            self.assertAlmostEqual(edge.latest("edge").value["mean"], 1.1)

    def test_it_publishes_nothing_on_stale_quotes(self):
        with stepping(Edge, inputs={"quote": Quotes.quote}) as edge, self.assertLogs("edge", "WARNING"):
            edge.give("quote", bid=1.0, ask=2.0)
            edge.expire("quote")
            edge.step()
            self.assertIsNone(edge.latest("edge"))


if __name__ == "__main__":
    unittest.main()
'''

FILES = {"dolphin.toml": _CONFIGURATION, "market.py": _COMPONENTS, "test_market.py": _TEST}
