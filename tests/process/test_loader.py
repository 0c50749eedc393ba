"""Classes that another process never saw arrive there whole."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import dolphin_mp

HOME = Path(dolphin_mp.__file__).parents[1]

CHILD = """
import json, sys
from dolphin_mp.component import Component, create_component
from dolphin_mp.loader import load_component
from dolphin_mp.plan import plan_from_json

class Kept:
    def __init__(self):
        self.said = []
    def publish(self, *args, **fields):
        self.said.append([str(arg) for arg in args] + sorted(map(str, fields.items())))

plan = plan_from_json(sys.stdin.buffer.read())
said = {}
for item in plan.components:
    found, options = load_component(item)
    assert issubclass(found, Component)
    out = Kept()
    made = create_component(found, name=item.name, options=options, channels={"out": out})
    made.setup()
    made.step()
    made.step()
    said[item.name] = [out.said, found.__module__, repr(options)]
    assert list(found.outputs()) == ["out"]
print(json.dumps(said))
"""

SCRIPT = """
import sys
from dataclasses import dataclass, field, fields, replace
import numpy as np
import neighbour
from dolphin_mp import Component, Done, Input, Output, System
from dolphin_mp.plan import plan_to_json

QUOTE = np.dtype([("bid", "f8")])
COUNT = 0
UNRELATED = open(__file__)        # nothing uses it, so that nothing has to carry it

def half(value):
    return value / DIVISOR

DIVISOR = 2

class Base(Component):
    every = "1s"
    def setup(self):
        global COUNT
        COUNT += 10
        self.ready = True

class Quotes(Base):
    @dataclass
    class Options:
        size: int = 3
        names: list[str] = field(default_factory=list)
        def doubled(self):
            return self.size * 2
    out = Output(QUOTE, shape=lambda options: (options.size,))
    def setup(self):
        super().setup()
        assert self.ready and type(self.options) is Quotes.Options
        assert [item.name for item in fields(self.options)] == ["size", "names"]
        assert replace(self.options, size=1).doubled() == 2
        assert neighbour.where() == "neighbour"
        assert isinstance(Done(), Exception)
    def step(self):
        global COUNT
        COUNT += 1
        self.out.publish(bid=half(COUNT), total=float(np.zeros(2, QUOTE)["bid"].sum()), wanted=self.wanted())
    def wanted(self):
        return [COUNT for _ in range(1)][0]

def make(offset):
    class Closure(Component):
        every = "1s"
        out = Output("f8")
        def step(self):
            nonlocal offset
            offset += 1
            self.out.publish(offset)
    return Closure

system = System("s", {"quotes": (Quotes, {"options": {"size": 4, "names": ["a"]}}), "closure": make(40)})
sys.stdout.buffer.write(plan_to_json(system.plan()))
"""


def python(code, cwd, given=b"", path=()):
    env = {**os.environ, "PYTHONPATH": str(HOME)}
    command = [sys.executable, *path, *([] if path else ["-c", code])]
    done = subprocess.run(
        command, cwd=cwd, env=env, input=given, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.fixture
def folders(tmp_path):
    for name in ("project", "elsewhere"):
        (tmp_path / name).mkdir()
    (tmp_path / "project" / "neighbour.py").write_text("def where():\n    return __name__\n")
    return tmp_path / "project", tmp_path / "elsewhere"


def test_classes_of_a_script_and_of_a_function_arrive_with_what_they_use(folders):
    project, elsewhere = folders
    (project / "script.py").write_text(SCRIPT)
    plan = python("", project, path=["script.py"])
    said = json.loads(python(CHILD, elsewhere, plan))
    quotes, module, options = said["quotes"]
    # Both steps and setup() count in one global, as they did where they were written.
    assert quotes == [
        ["('bid', 5.5)", "('total', 0.0)", "('wanted', 11)"],
        ["('bid', 6.0)", "('total', 0.0)", "('wanted', 12)"],
    ]
    assert module == "__main__"
    assert options == "Quotes.Options(size=4, names=['a'])"
    assert said["closure"][0] == [["41"], ["42"]]


def test_a_class_of_an_importable_module_goes_by_name_and_takes_up_its_file(folders):
    project, elsewhere = folders
    source = """
        from dolphin_mp import Component, Output
        class Ticks(Component):
            every = "1s"
            out = Output("f8")
            def step(self):
                self.out.publish({value})
    """
    (project / "ticks.py").write_text(textwrap.dedent(source).format(value=1))
    code = "import sys; from dolphin_mp import System; from dolphin_mp.plan import plan_to_json; "
    code += "import ticks; sys.stdout.buffer.write(plan_to_json(System('s', {'t': ticks.Ticks}).plan()))"
    plan = python(code, project)
    (project / "ticks.py").write_text(textwrap.dedent(source).format(value=22))
    said = json.loads(python(CHILD, elsewhere, plan))
    assert said["t"][:2] == [[["22"], ["22"]], "ticks"]
