"""What components say to their parent; and what the board says instead, where words may have been lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dolphin_mp.process.notify import Listener, Word

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dolphin_mp.ipc import Board

# What a component writes into its row before it says so, and in which states that is news to the parent.
_NEWS = {"ready": frozenset({"starting"}), "done": frozenset({"starting", "ready", "stopping"})}


class Hearing:
    """The parent's end of the FIFO, and the rows of those who speak there.

    Args:
        path: of the FIFO.
        board: of the system.
        rows: of its components by name.
    """

    def __init__(self, path: str, board: Board, rows: Mapping[str, int]) -> None:
        self._listener = Listener(path)
        self._board = board
        self._rows = rows

    def fileno(self) -> int:
        """Give the descriptor to poll."""
        return self._listener.fileno()

    def words(self) -> list[Word]:
        """Give all that components have said since the last call, for whatever reason it was lost, too."""
        words = [word for word in self._listener.words() if word.component in self._rows]
        return words + self._written() if self._listener.take_doubt() else words

    def _written(self) -> list[Word]:
        """Give what the rows say that is news."""
        found = []
        for name, index in self._rows.items():
            row = self._board.read(index)
            mine, its = row.parent, row.component
            if mine is None or its is None or mine.incarnation != its.incarnation:
                continue
            if mine.state in _NEWS.get(its.phase, ()):
                found.append(Word(name, its.incarnation, its.phase, ""))
        return found

    def close(self) -> None:
        """Stop listening."""
        self._listener.close()
