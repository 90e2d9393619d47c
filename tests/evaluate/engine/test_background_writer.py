"""The engine: networks that raise, memory that ends, logits that are no numbers, blocks made ahead, writing behind."""

import threading

import pytest

from failmodes.evaluate.engine.background_writer import MAX_PENDING, BackgroundWriter
from failmodes.warehouse.errors import StorageError


def test_the_publisher_keeps_order_and_lets_only_so_many_wait() -> None:
    written, gate = [], threading.Event()
    with BackgroundWriter() as publisher:
        publisher.submit(lambda: gate.wait(10) and None)
        for number in range(MAX_PENDING - 1):
            publisher.submit(lambda number=number: written.append(number))
        threading.Timer(0.05, gate.set).start()
        publisher.submit(lambda: written.append("last"))  # waits for the gate
        assert gate.is_set()
    assert written == [*range(MAX_PENDING - 1), "last"]


def fail() -> None:
    raise StorageError("full")


@pytest.mark.parametrize("jobs_after", [0, MAX_PENDING + 2], ids=["at the end", "at the next job"])
def test_what_goes_wrong_while_publishing_is_raised(jobs_after: int) -> None:
    def publish_all() -> None:
        with BackgroundWriter() as publisher:
            publisher.submit(fail)
            for _ in range(jobs_after):
                publisher.submit(lambda: None)

    with pytest.raises(StorageError, match="full"):
        publish_all()
