"""The components of measured systems."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

import numpy as np

from dolphin_mp.component import Component, Output

SMALL_SHAPE = 64
STATE = np.dtype([("time_ns", "i8"), ("value", "f8")])


class Small(Component):
    """Has an array and a channel, and sleeps."""

    every = "1h"
    out = Output(STATE)

    def setup(self) -> None:
        """Be there."""
        self.state = np.ones(SMALL_SHAPE)
        self.out.publish(time_ns=time.monotonic_ns(), value=self.state.sum())

    def step(self) -> None:
        """Do nothing."""


class Victim(Small):
    """Says through a FIFO when its `setup` began, and who it is."""

    @dataclass
    class Options:
        """fifo: its path; size: of the array that it holds, in bytes."""

        fifo: str
        size: int

    options: Options

    def setup(self) -> None:
        """Say it, then fill the memory."""
        now = time.monotonic_ns()
        fd = os.open(self.options.fifo, os.O_WRONLY)
        os.write(fd, b"%d %d\n" % (now, os.getpid()))
        os.close(fd)
        self.array = np.ones(self.options.size // 8)
        super().setup()
