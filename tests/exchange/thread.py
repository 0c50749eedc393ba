"""An event loop in a thread of its own, that ends with all its tasks."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")
WITHIN_S = 20.0


class LoopThread:
    """Runs what other threads hand in; each call waits until it is done, and raises what it raised."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def do(self, do: Callable[[], T]) -> T:
        """Call something on the loop, and give what it gives."""

        async def call() -> T:
            return do()

        return self.wait_for(call())

    def wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        """Await something on the loop, and give what it gives."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WITHIN_S)

    def begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Begin something; only what runs on the loop may call this."""
        return self._loop.create_task(work)

    def end(self) -> None:
        """End all that is still done there, the loop and the thread."""

        async def cancel() -> None:
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self.wait_for(cancel())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WITHIN_S)
        self._loop.close()
