"""The server of the explorer: this machine alone unless told otherwise, with a token, and nothing but the one page."""

import errno
import secrets
import socket
import threading
import webbrowser
from collections.abc import Awaitable, Callable
from functools import partial
from importlib.resources import as_file, files
from typing import Any
from urllib.parse import urlsplit

from failmodes.warehouse.errors import StudyError

FIRST_PORT, TRIED_PORTS = 2718, 50  # marimo's own first port
LOCAL_NAMES = ("127.0.0.1", "localhost", "::1")
EVERY_ADDRESS = ("0.0.0.0", "::")
TITLE = "Failmodes explorer"

# A page may load and request only what comes from this server, whatever a warehouse's texts say. Beyond that marimo
# needs scripts and styles within its page, generated functions (Vega), and images, fonts and workers as data
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; connect-src 'self' data: blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class GuardedApp:
    """Refuses what other web pages ask and what comes under other host names (DNS rebinding); adds the policy."""

    def __init__(self, app: AsgiApp, host: str) -> None:
        """Guard an app that is served at `host`."""
        self._app = app
        self._names = None if host in EVERY_ADDRESS else {*LOCAL_NAMES, host}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it: 400 for malformed headers, 403 for another page's or host's."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        try:
            refusal = None if self._allows(scope) else (403, b"requested by another page or host\n")
        except ValueError:
            refusal = (400, b"malformed Host or Origin\n")
        if refusal is None:
            await self._app(scope, receive, partial(_send_with_policy, send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            status, body = refusal
            await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": body})

    def _allows(self, scope: Scope) -> bool:
        """Whether host and origin are this server's.

        Raises:
            ValueError: one of them is malformed.
        """
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host, origin = urlsplit(f"//{headers.get(b'host', '')}"), headers.get(b"origin")
        host.port  # noqa: B018  which raises where it is no number
        if self._names is not None and host.hostname not in self._names:
            return False
        return origin is None or urlsplit(origin).netloc == host.netloc


async def _send_with_policy(send: Send, message: dict[str, Any]) -> None:
    if message["type"] == "http.response.start":
        message = {**message, "headers": [*message.get("headers", ()), (b"content-security-policy", POLICY.encode())]}
    await send(message)


def bound_socket(host: str, port: int | None) -> socket.socket:
    """A socket that is bound: to the port that was asked for, or to the first free one from 2718 on.

    Raises:
        StudyError: the port is taken or may not be used, or the host is no address of this machine.
    """
    if port is not None:
        return _bound(host, port)
    for tried in range(FIRST_PORT, FIRST_PORT + TRIED_PORTS):
        try:
            return _bound(host, tried)
        except StudyError as error:
            if not isinstance(error.__cause__, OSError) or error.__cause__.errno != errno.EADDRINUSE:
                raise
    raise StudyError(f"no free port from {FIRST_PORT} to {FIRST_PORT + TRIED_PORTS - 1}: name one with --port")


def page_address(host: str, port: int, token: str) -> str:
    """The address that opens the page."""
    name = "127.0.0.1" if host in EVERY_ADDRESS else host
    return f"http://{f'[{name}]' if ':' in name else name}:{port}/?access_token={token}"


def serve(listening: socket.socket, host: str, token: str, *, open_browser: bool) -> None:
    """Serve the page until the process is stopped.

    Args:
        listening: a bound socket.
        host: the address that it is bound to.
        token: what the reader must bring.
        open_browser: whether to open the page here.
    """
    import uvicorn

    if open_browser:
        address = page_address(host, listening.getsockname()[1], token)
        threading.Timer(1.0, webbrowser.open, [address]).start()
    with as_file(files("failmodes.analysis.explorer").joinpath("app.py")) as page:
        app = GuardedApp(page_app(str(page), token), host)
        # nothing of the server's own is printed, and whoever stops it does not wait for open pages
        config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1, ws_ping_interval=20)
        uvicorn.Server(config).run(sockets=[listening])


def page_app(page: str, token: str) -> AsgiApp:
    """The page as an ASGI application that asks for the token; readers cannot see or change its code."""
    import marimo

    head = files("failmodes.analysis.explorer").joinpath("head.html").read_text("utf-8")
    builder = marimo.create_asgi_app(quiet=True, include_code=False, token=token, html_head=head, show_tracebacks=False)
    app: AsgiApp = builder.with_app(path="", root=page).build()
    return app


def new_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_urlsafe(16)


def _bound(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        made = socket.socket(family, kind, protocol)
    except OSError as error:
        raise StudyError(f"--host {host}: no address of this machine ({error.strerror or error})") from error
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen(64)
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRINUSE:
            raise StudyError(f"port {port} is taken: name another with --port, or leave it out") from error
        raise StudyError(f"cannot listen on {host}, port {port}: {error.strerror or error}") from error
    return made
