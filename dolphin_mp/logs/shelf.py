"""Which file a component's records go to, and which file goes when the disk's share is used up.

Each component has files of its own, ``COMPONENT.NUMBER.jsonl``, so that one that talks much does not push out
what others said. When all together need more than the bound, the oldest file of whoever has most goes. Pure:
nothing here touches a disk.
"""

from __future__ import annotations

from dataclasses import dataclass, field

SUFFIX = ".jsonl"


@dataclass(frozen=True)
class Bounds:
    """How much disk the logs of a system take.

    Attributes: total (bytes of all files together); largest, smallest (of one file); share (a file is at most
    this part of what its component would have if all had the same).
    """

    total: int = 128 << 20
    largest: int = 16 << 20
    smallest: int = 64 << 10
    share: int = 8


def file_name(component: str, number: int) -> str:
    """Give a file's name."""
    return f"{component}.{number:06d}{SUFFIX}"


def parse_name(name: str) -> tuple[str, int] | None:
    """Give component and number of a file; None if it is none of ours."""
    stem, dot, number = name.removesuffix(SUFFIX).rpartition(".")
    if not name.endswith(SUFFIX) or not dot or not stem or not number.isdecimal():
        return None
    return stem, int(number)


@dataclass
class Shelf:
    """The files that are there and their sizes; the highest number is the one being written.

    Attributes: sizes: by component, by number in rising order.
    """

    bounds: Bounds = field(default_factory=Bounds)
    sizes: dict[str, dict[int, int]] = field(default_factory=dict)
    _last: dict[str, int] = field(default_factory=dict)

    def found(self, files: dict[str, int]) -> None:
        """Note what is on the disk: sizes by name."""
        self.sizes = {}
        for name, number, size in sorted(
            (*parsed, size) for f, size in files.items() if (parsed := parse_name(f))
        ):
            self.sizes.setdefault(name, {})[number] = size

    @property
    def total(self) -> int:
        """Bytes of all files."""
        return sum(sum(files.values()) for files in self.sizes.values())

    @property
    def limit(self) -> int:
        """How large a file may get."""
        bounds = self.bounds
        fair = bounds.total // bounds.share // max(1, len(self.sizes))
        return max(min(fair, bounds.largest), min(bounds.smallest, bounds.total // bounds.share))

    def place(self, component: str, nbytes: int) -> int:
        """Give the number of the file that takes so many more bytes: the last one, or a new one."""
        files = self.sizes.setdefault(component, {})
        last = max(files, default=self._last.get(component, 0))
        if not files or (files[last] and files[last] + nbytes > self.limit):
            last += 1
            files[last] = 0
        return last

    def grew(self, component: str, number: int, nbytes: int) -> None:
        """Note that a file has grown."""
        self.sizes[component][number] += nbytes

    def victims(self, nbytes: int) -> list[tuple[str, int]]:
        """Give the files to remove before so many bytes are written; they are forgotten here."""
        gone = []
        total = self.total
        while total + nbytes > self.bounds.total and total:
            name = max(self.sizes, key=lambda one: (sum(self.sizes[one].values()), one))
            number = min(self.sizes[name])
            total -= self.sizes[name].pop(number)
            self._last[name] = max(number, self._last.get(name, 0))
            if not self.sizes[name]:
                del self.sizes[name]
            gone.append((name, number))
        return gone
