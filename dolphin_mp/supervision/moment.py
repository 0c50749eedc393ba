"""What each handler of the machine of one process is given besides a life and an event, and what it gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dolphin_mp.supervision.life import Life
from dolphin_mp.supervision.vocabulary import Action


@dataclass(frozen=True, slots=True)
class Moment:
    """When an event is handled, and the chance that goes with it."""

    now: float
    random: Callable[[], float]


Step = tuple[Life, tuple[Action, ...]]
Handler = Callable[[Life, Any, Moment], Step]
