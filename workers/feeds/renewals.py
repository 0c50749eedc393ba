"""When a recording needs new snapshots: before those that it has are removed, and after a gap.

What follows a gap, or a beginning that was removed, can't be replayed before the next snapshot. So a
connection is made anew, which brings all of its books: no venue has another way that is sure.
"""

from __future__ import annotations


class Renewals:
    """What each stream of a recording has lost of its snapshots.

    Args:
        span_bytes: noted on all streams, after which the files with a connection's snapshots may soon go.
    """

    def __init__(self, span_bytes: int) -> None:
        self._span_bytes = span_bytes
        self._noted_bytes = 0
        self._begun: dict[str, int] = {}  # what was noted before a stream's connection
        self._torn: set[str] = set()

    def note(self, size: int) -> None:
        """Hear that so many bytes were noted."""
        self._noted_bytes += size

    def begin(self, stream: str) -> None:
        """Hear that a connection begins, whose snapshots come now."""
        self._begun[stream] = self._noted_bytes
        self._torn.discard(stream)

    def tear(self, stream: str) -> None:
        """Hear, perhaps on another thread, that something is missing in a stream."""
        self._torn.update([stream] if stream in self._begun else list(self._begun))  # whose replies?

    def due(self) -> dict[str, str]:
        """Give the streams that need new snapshots, and why."""
        due = {}
        for name, begun in self._begun.items():
            if name in self._torn:
                due[name] = "something is missing in the recording"
            elif self._noted_bytes - begun > self._span_bytes:
                due[name] = "its snapshots will be removed from the recording"
        return due
