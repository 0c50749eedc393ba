"""A process' own use of CPU and memory, at most a second old."""

from __future__ import annotations

import os
import resource
import time

PAGE = os.sysconf("SC_PAGE_SIZE")
SHORT_S = 0.1  # chosen: over less, a birth is all that would be seen


class Sampler:
    """Gives CPU per cent since the last sample, and private memory: the channels are not counted.

    Memory is resident minus file- and shmem-backed pages (proc_pid_statm(5), fields 2 and 3).
    """

    def __init__(self) -> None:
        self._statm = open("/proc/self/statm", "rb", buffering=0)  # noqa: SIM115, PTH123 - kept open: 6 us a sample
        self._last = time.monotonic(), self._cpu()
        self._percent = 0.0

    @staticmethod
    def _cpu() -> float:
        used = resource.getrusage(resource.RUSAGE_SELF)
        return used.ru_utime + used.ru_stime

    def sample(self) -> tuple[float, int]:
        """Give (CPU per cent of one core, private bytes); too soon after the last time, what it was then."""
        now, cpu = time.monotonic(), self._cpu()
        before, cpu_before = self._last
        if now - before >= SHORT_S:
            self._last = now, cpu
            self._percent = 100 * (cpu - cpu_before) / (now - before)
        self._statm.seek(0)
        resident, shared = (int(word) for word in self._statm.read().split()[1:3])
        return self._percent, (resident - shared) * PAGE
