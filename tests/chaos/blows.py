"""The blows by name, with how often each is chosen; each strikes, and says what may follow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import from_outside
import on_components
import on_disk
import on_machinery
import on_parent
import on_pool
import on_reload

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from checks import Effect
    from field import Field

BLOWS: dict[str, tuple[Callable[[Field, Random], Effect], int]] = {
    "killed": (on_components.killed, 8),
    "killed at birth": (on_components.killed_at_birth, 5),
    "killed in setup": (on_components.killed_in_setup, 3),
    "many killed": (on_components.many_killed, 3),
    "stopped": (on_components.stopped, 2),
    "misdeed": (on_components.misdeed, 8),
    "failing setup": (on_components.failing_setup, 3),
    "stubborn": (on_components.stubborn, 2),
    "gluttony": (on_components.gluttony, 1),
    "kin": (on_components.kin, 2),
    "zygote killed": (on_machinery.zygote_killed, 3),
    "zygote stopped": (on_machinery.zygote_stopped, 2),
    "spare killed": (on_machinery.spare_killed, 2),
    "collector killed": (on_machinery.collector_killed, 1),
    "collector stopped": (on_machinery.collector_stopped, 1),
    "flood": (on_machinery.flood, 2),
    "notify full": (on_machinery.notify_full, 2),
    "parent stopped": (on_parent.parent_stopped, 3),
    "parent killed": (on_parent.parent_killed, 3),
    "launch killed": (on_parent.launch_killed, 1),
    "shutdown killed": (on_parent.shutdown_killed, 1),
    "reload": (on_reload.reloaded, 6),
    "faulty reload": (on_reload.reload_of_a_fault, 1),
    "reload cut short": (on_reload.reload_cut_short, 3),
    "scale": (on_pool.scaled, 3),
    "crash loop": (on_components.crash_loop, 3),
    "disk full": (on_disk.disk_full, 3),
    "shm full": (on_disk.shm_full, 3),
    "bundle writer killed": (on_components.writer_killed, 1),
    "operator": (from_outside.operator, 5),
    "rubbish": (from_outside.rubbish, 2),
    "client flood": (from_outside.client_flood, 1),
    "deaf subscribers": (from_outside.deaf_subscribers, 1),
    "readers killed": (from_outside.readers_killed, 2),
    "signals to parent": (from_outside.signals_to_parent, 1),
}
NEED_MOUNTS = frozenset({"disk full", "shm full"})
