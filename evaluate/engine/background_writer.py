"""Publishing behind the network: a thread hashes, compresses and writes what is finished while the next is computed."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

MAX_PENDING = 2  # cells whose rows wait in memory at most


class BackgroundWriter:
    """Runs jobs one by one, in their order, in a thread; an error reaches whoever submits next, or leaves the block.

    Use it as a context: at its end everything submitted is written; after an exception what has not begun is dropped.
    """

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(1)
        self.waiting: deque[Future[None]] = deque()

    def submit(self, job: Callable[[], None]) -> None:
        """Have `job` done; waits while BEHIND others are not done."""
        self.waiting.append(self.pool.submit(job))
        while len(self.waiting) > MAX_PENDING or self.waiting and self.waiting[0].done():
            self.waiting.popleft().result()

    def __enter__(self) -> "BackgroundWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.pool.shutdown(wait=True, cancel_futures=kind is not None)
        if kind is None:
            for future in self.waiting:
                future.result()
