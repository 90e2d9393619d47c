"""`failmodes explore`: serve the page of a warehouse, by default to this machine only, protected by a token."""

import errno
import socket
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING

from failmodes.runtime.errors import StudyError, printable
from failmodes.runtime.packages import require
from failmodes.runtime.process import leave_threads, limit_command, query_memory
from failmodes.runtime.terminal import say

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from failmodes.analysis.images.stored_images import OpenStudy

FIRST_PORT, TRIED_PORTS = 2718, 50  # marimo's own first port
LOCAL_NAMES = ("127.0.0.1", "localhost", "[::1]")
EVERY_ADDRESS = ("0.0.0.0", "::")
# The page may load and request only from this server, whatever text a warehouse contains. marimo also needs inline
# scripts and styles, generated functions (Vega), and images, fonts and workers as data URLs
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; connect-src 'self' data: blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
_SELECTING = ("corruptions", "evaluation_labels", "evaluations", "shards", "stated_models")

EXPLORED: "list[tuple[Path, OpenStudy | None]]" = []  # the page runs in the same process and shows the last one


def explored_warehouse() -> "tuple[Path, OpenStudy | None]":
    """The served warehouse, and a function that opens its study.

    Raises:
        StudyError: the page was started without the command.
    """
    if not EXPLORED:
        raise StudyError("this page has no warehouse: start it with `failmodes explore WAREHOUSE`")
    return EXPLORED[-1]


def explore_warehouse(path: Path, open_study: "OpenStudy", *, host: str, port: int | None, open_browser: bool) -> None:
    """Serve the explorer of a warehouse until the process is stopped.

    Args:
        path: the DuckDB file.
        open_study: opens the study, for images that the warehouse does not store.
        host: address to listen on.
        port: its port. Default: the first free port from 2718.
        open_browser: whether to open the page.

    Raises:
        MissingExtraError: marimo is not installed.
        StudyError: the port is taken, or the host is invalid.
        WarehouseError: the warehouse cannot be read, or has no evaluations.
    """
    import secrets
    import threading
    import webbrowser

    limit_command(None, query_memory(None))
    require("explore", "`failmodes explore`")
    from failmodes.analysis.evaluations.selection import select
    from failmodes.warehouse.database.checks import RELATED, refuse_broken_relations
    from failmodes.warehouse.database.connection import open_warehouse

    with open_warehouse(path, [*_SELECTING, *RELATED]) as con:
        refuse_broken_relations(con)
        select(con)  # report errors here, not in the page
    listening = bound_socket(host, port)
    token = secrets.token_urlsafe(16)
    EXPLORED.append((path.absolute(), open_study))
    address = page_address(host, listening.getsockname()[1], token)
    say(printable(f"{path}: {address}"))
    say("Press Ctrl-C to stop.")
    if open_browser:
        threading.Timer(1.0, webbrowser.open, [address]).start()
    import uvicorn

    leave_threads()  # of open pages
    with as_file(files("failmodes.analysis.explorer").joinpath("app.py")) as page:
        # the server prints nothing, and stopping it does not wait for open pages
        config = uvicorn.Config(guarded(page_app(page, token), host), log_level="error", timeout_graceful_shutdown=1)
        uvicorn.Server(config).run(sockets=[listening])


def page_app(page: Path, token: str) -> "ASGIApp":
    """The page as an ASGI application that requires the token; its code is neither visible nor editable."""
    import marimo

    from failmodes.analysis.charts.style.theme import size_variables
    from failmodes.analysis.images.strips import viewer

    script = viewer("js") + files("failmodes.analysis.explorer").joinpath("explorer.js").read_text("utf-8")
    head = (
        '<meta name="description" content="Failmodes explorer: curves, cells, confusions and images of a warehouse">'
        f'<style>{size_variables()}{viewer("css")}</style><template id="viewer">{viewer("html")}</template>'
        f"<script>(() => {{\n{script}\n}})();</script>"
    )
    builder = marimo.create_asgi_app(quiet=True, include_code=False, token=token, html_head=head, show_tracebacks=False)
    app: ASGIApp = builder.with_app(path="", root=str(page)).build()
    return app


def guarded(app: "ASGIApp", host: str) -> "ASGIApp":
    """Refuse requests from other web pages or with other host names (DNS rebinding); add the policy."""
    from starlette.datastructures import Headers, MutableHeaders
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.responses import PlainTextResponse
    from starlette.types import Message, Receive, Scope, Send

    async def from_own_pages(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["content-security-policy"] = POLICY
            await send(message)

        headers = Headers(scope=scope) if scope["type"] in ("http", "websocket") else Headers()
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != headers.get("host"):
            await PlainTextResponse("requested by another page\n", 403)(scope, receive, send)
        else:
            await app(scope, receive, send_with_policy)

    bracketed = f"[{host}]" if ":" in host else host
    return TrustedHostMiddleware(from_own_pages, ["*"] if host in EVERY_ADDRESS else [*LOCAL_NAMES, bracketed])


def page_address(host: str, port: int, token: str) -> str:
    """The address that opens the page."""
    name = "127.0.0.1" if host in EVERY_ADDRESS else host
    return f"http://{f'[{name}]' if ':' in name else name}:{port}/?access_token={token}"


def bound_socket(host: str, port: int | None) -> socket.socket:
    """A socket bound to the given port, or to the first free one from 2718.

    Raises:
        StudyError: the port is taken or not allowed, or the host is not an address of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    is_dual = host == "::" and socket.has_dualstack_ipv6()
    for tried in range(FIRST_PORT, FIRST_PORT + TRIED_PORTS) if port is None else [port]:
        try:
            return socket.create_server((host, tried), family=family, backlog=64, dualstack_ipv6=is_dual)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise StudyError(f"cannot listen on {host}, port {tried}: {error.strerror or error}") from error
    if port is None:
        raise StudyError(f"no free port from {FIRST_PORT} to {FIRST_PORT + TRIED_PORTS - 1}: name one with --port")
    raise StudyError(f"port {port} is taken: name another with --port, or leave --port out")
