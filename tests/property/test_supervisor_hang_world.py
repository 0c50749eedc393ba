"""The supervisor's world once more, in which processes hang too."""

import importlib.util
import sys
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from dolphin_mp.supervision.stopping import STACKS_WITHIN_S
from dolphin_mp.supervision.supervisor import DumpStacks, Exited, Forced, HungDetected, Kill


def _load_world():
    path = Path(__file__).with_name("test_supervisor_world.py")
    specification = importlib.util.spec_from_file_location("_world_without_hangs", path)
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    return module


_world = _load_world()


class HangingWorld(_world.World):
    """A process found hung is asked for its stacks once, then killed, unless it dies or patience is lost."""

    def _check(self, action, event, before):
        if not hasattr(self, "examined"):
            self.examined = {}
        if isinstance(action, DumpStacks):
            assert self.alive.get(action.process) == action.incarnation
            assert isinstance(event, HungDetected)
            assert (action.process, action.incarnation) not in self.examined
            assert action.process not in self.asked
            self.examined[action.process, action.incarnation] = self.now
        if isinstance(action, Kill) and not isinstance(event, Forced):
            begun = self.examined.get((action.process, action.incarnation))
            assert begun is None or self.now >= begun + STACKS_WITHIN_S
        super()._check(action, event, before)

    @precondition(lambda self: self.in_flight or self.alive)
    @rule(index=st.integers(0, 5))
    def hang(self, index):
        there = sorted((self.in_flight | self.alive).items())
        process, incarnation = there[index % len(there)]
        self.tell(HungDetected(process, incarnation, "hung"))

    @precondition(lambda self: self.alive)
    @rule(index=st.integers(0, 5))
    def hang_and_answer(self, index):
        process, incarnation = sorted(self.alive.items())[index % len(self.alive)]
        self.tell(HungDetected(process, incarnation, "hung"))
        self.reach_the_deadline_if_any()
        if process in self.killed:
            self.tell(Exited(process, incarnation, -9))

    def reach_the_deadline_if_any(self):
        if self.supervisor.deadline is not None:
            self.reach_the_deadline()


HangingWorld.TestCase.settings = _world.World.TestCase.settings
TestHangingWorld = HangingWorld.TestCase
