"""HTTP connections of the explorer: clients that do not finish a request, or do not wait for the rows."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from anyio import CancelScope, CapacityLimiter, create_task_group, sleep
from anyio.to_thread import run_sync
from starlette.requests import ClientDisconnect, Request
from uvicorn.protocols.http.h11_impl import H11Protocol

from failmodes.runtime.process import connections_of_task, interrupt

REQUEST_S = 10.0  # until a request has arrived, since the connection or its first byte
AGAIN_S = 0.05  # until queries are interrupted again: the next one may not have begun
Result = TypeVar("Result")


class BoundedProtocol(H11Protocol):
    """Uvicorn's protocol, which alone waits for the rest of a request without end."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Expect a request."""
        super().connection_made(transport)
        self._deadline = self.loop.call_later(REQUEST_S, transport.close)

    def data_received(self, data: bytes) -> None:
        """Take a part of a request; its time does not begin again."""
        super().data_received(data)
        has_arrived = self._is_answering() and not self.cycle.more_body
        if has_arrived and self._deadline:
            self._deadline.cancel()
            self._deadline = None
        elif not has_arrived and not self._deadline:
            self._deadline = self.loop.call_later(REQUEST_S, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect no more."""
        super().connection_lost(exc)
        if self._deadline:
            self._deadline.cancel()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, with the headers of every answer."""
        if not self._is_answering():
            kind = (b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")
            headers = [b": ".join(header) for header in (*self.server_state.default_headers, *kind)]
            self.transport.write(b"\r\n".join([b"HTTP/1.1 400 Bad Request", *headers, b"", msg.encode()]))
        self.transport.close()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete


async def read_while_connected(request: Request, read: Callable[[], Result], limiter: CapacityLimiter) -> Result:
    """What a thread reads; its queries are interrupted if the client of the request closes its connection.

    Args:
        request: its body has been read.
        read: ends soon after each of its queries does.
        limiter: of threads; a client that leaves while it waits for one does not get it.

    Raises:
        ClientDisconnect: the client has closed its connection.
    """
    opened = connections_of_task()
    results: list[Result] = []
    errors: list[Exception] = []
    has_ended = False

    async def stop_with_client() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        errors.append(ClientDisconnect())
        group.cancel_scope.cancel()
        with CancelScope(shield=True):
            while not has_ended:
                for con in opened:
                    interrupt(con)
                await sleep(AGAIN_S)

    async with create_task_group() as group:
        group.start_soon(stop_with_client)
        try:
            results.append(await run_sync(read, limiter=limiter))
        except Exception as error:
            errors.append(error)
        finally:
            has_ended = True
            group.cancel_scope.cancel()
    if errors:
        raise errors[0]
    return results[0]
