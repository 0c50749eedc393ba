"""What several modules share: a folder with a configuration and components, and a way to see its faults."""

import sys

import pytest

from dolphin_mp import System
from dolphin_mp.faults import ConfigurationError

PARTS = """
import numpy as np
from dataclasses import dataclass, field
from dolphin_mp import Component, Input, Output

class Quotes(Component):
    every = "10ms"
    quote = Output(np.dtype([("bid", "f8"), ("ask", "f8")]), keep=1024)
    def step(self): pass

class Edge(Component):
    quote = Input("quotes.quote", stale_after="3s", required=True)
    edge = Output("f8")
    def step(self): pass

@dataclass
class Nested:
    depth: int = 1

class Tuned(Component):
    every = "1s"
    @dataclass
    class Options:
        symbols: list[str]
        size: int = 4
        inner: Nested | None = None
        def __post_init__(self):
            if self.size > 100:
                raise ValueError("size is at most 100")
    out = Output("f8", shape=lambda options: (options.size, len(options.symbols)))
    def step(self): pass

class NotOne:
    pass
"""


@pytest.fixture
def project(tmp_path):
    """A folder whose `parts` module and dolphin.toml are gone from this process afterwards."""
    before = set(sys.modules)
    (tmp_path / "parts.py").write_text(PARTS)

    def write(text, name="dolphin.toml"):
        path = tmp_path / name
        path.write_text(text)
        return System.from_toml(path)

    write.folder = tmp_path
    yield write
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def faults_of():
    """Give a function that gives the faults with which another one fails."""

    def faults_of(make):
        with pytest.raises(ConfigurationError) as caught:
            make()
        return caught.value.faults

    return faults_of


@pytest.fixture
def faults_with(faults_of):
    """Give a function that gives the faults of a system of these components."""
    return lambda **components: faults_of(System("s", components).plan)
