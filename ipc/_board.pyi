from typing import Any, TypeAlias

OFFSET_NAME: int
OFFSET_WORDS: int
OFFSET_DEALT: int

Found: TypeAlias = tuple[str, int, int, int, bool, int, int, int, bytes | None, bytes | None, int, int, int]

class Cell:
    def __init__(self, buffer: Any, offset: int, size: int, writable: bool = False) -> None: ...
    def write(self, data: Any) -> None: ...
    def read(self) -> bytes | None: ...

class Rows:
    def __init__(
        self,
        buffer: Any,
        first: int,
        stride: int,
        count: int,
        lock: int,
        parent_at: int,
        parent_size: int,
        component_at: int,
        component_size: int,
    ) -> None: ...
    def read(self, fd: int, index: int) -> Found: ...
