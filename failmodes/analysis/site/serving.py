"""`failmodes explore`: serve the page of a warehouse with DuckDB behind it, by default to this machine only.

The page's files are public; all that concerns the warehouse needs the token of the printed address. Queries run on the
locked read-only connection, a few at a time, each within a time limit.
"""

import errno
import json
import os
import secrets
import socket
import threading
import webbrowser
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from failmodes.analysis.charts.style.theme import page_variables
from failmodes.runtime.errors import (
    FailmodesError,
    LimitError,
    MissingExtraError,
    QueryError,
    StudyError,
    first_line,
    printable,
)
from failmodes.runtime.packages import require
from failmodes.runtime.process import (
    interrupt_when_stopped,
    leave_threads,
    limit_command,
    query_memory,
)
from failmodes.runtime.terminal import note, say

if TYPE_CHECKING:
    import polars as pl
    import uvicorn
    from duckdb import DuckDBPyConnection
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp

    from failmodes.analysis.evaluations.selection import Selection
    from failmodes.analysis.images.stored_images import OpenStudy

FIRST_PORT, TRIED_PORTS = 2718, 50
LOCAL_NAMES = ("127.0.0.1", "localhost", "[::1]")
EVERY_ADDRESS = ("0.0.0.0", "::")
QUERY_S = 60.0
MAX_MEMORY_BYTES = 3_000_000_000  # beyond what the process has before it opens the warehouse
MAX_CONNECTIONS = 100  # a browser opens up to six for a page, and closes idle ones
MAX_QUERIES = 4  # at once; others wait
MAX_BODY_BYTES = 200_000  # of a query
HEADERS = {  # of every answer
    "content-security-policy": "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",  # the address of the page holds the token
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".wasm": "application/wasm"}
_STATUS = ((QueryError, 400), (LimitError, 408), (StudyError, 404), (MissingExtraError, 501))


class ServedWarehouse:
    """The warehouse that the page shows: opened once, and again when a load has replaced the file."""

    def __init__(self, path: Path, open_study: "OpenStudy", location: str) -> None:
        """Open it.

        Raises:
            WarehouseError: it cannot be read, or has no evaluations.
        """
        self.path = path
        self._open_study = open_study
        self._location = location
        self._lock = threading.Lock()
        self._open()

    def _open(self) -> None:
        from failmodes.analysis.site.answers import opened_selections
        from failmodes.warehouse.database.connection import open_warehouse

        version = self._file_version()
        held = ExitStack()
        con = held.enter_context(open_warehouse(self.path))
        selections = opened_selections(con)
        # All at once: another request may be reading. The former connection closes with its last query
        self._held, self._version = held, version
        self.con: DuckDBPyConnection = con
        self.selections: list[Selection] = selections

    def _cursor(self) -> "DuckDBPyConnection":
        """A cursor for one request."""
        cursor = self.con.cursor()
        interrupt_when_stopped(cursor)
        return cursor

    def _file_version(self) -> tuple[int, int]:
        if not self.path.exists():
            return 0, 0
        status = os.stat(self.path)
        return status.st_ino, status.st_mtime_ns

    def study(self, token: str) -> bytes:
        """The study as JSON; after a load that of the new file. Addresses in it hold the token."""
        from failmodes.analysis.site.answers import study_facts

        with self._lock:
            if self._file_version() != self._version:
                self._open()
            facts = study_facts(self._cursor(), self.selections, self._location)
        addresses = {
            "query": f"query?token={token}",
            "strip": f"strip?token={token}&evaluation={{evaluation}}&corruption={{corruption}}&image={{image}}",
            "compare": f"compare?token={token}&a={{a}}&b={{b}}",
        }
        return _json(facts | addresses | {"mode": "server", "strips": None, "pairs": None, "missing": []})

    def query(self, asked: Mapping[str, Any]) -> bytes:
        """The rows of one SELECT as an Arrow stream; of the SQL box, whatever `failmodes query` takes, or as Parquet.

        Raises:
            QueryError: it is not a request with one reading statement, or that fails.
            LimitError: it takes too long or too much memory, or its result is too large.
        """
        from failmodes.warehouse.database.query import query_arrow, select_arrow

        sql, kind, most = asked.get("sql"), asked.get("type", "arrow"), asked.get("limit")
        if not isinstance(sql, str) or kind not in ("arrow", "parquet"):
            raise QueryError("expected an object with sql (text) and type (arrow or parquet)")
        if most is not None and (type(most) is not int or not 0 < most < 2**31):  # True is an int
            raise QueryError("limit: expected a number of rows")
        if kind == "parquet":
            return _parquet(self.path, sql)
        if asked.get("box"):
            return query_arrow(self.path, sql, most=most, timeout_s=QUERY_S)
        return select_arrow(self._cursor(), self.path, sql, timeout_s=QUERY_S)

    def strip(self, asked: Mapping[str, str]) -> bytes:
        """One image along the severities of a corruption as JSON.

        Raises:
            FailmodesError: see `strip_answer`.
        """
        from failmodes.analysis.site.answers import strip_answer

        image = asked.get("image", "")
        if not image.isdecimal() or len(image) > 9:
            raise StudyError("expected the number of an image")
        names = asked.get("evaluation", ""), asked.get("corruption", "")
        return _json(strip_answer(self._cursor(), self.selections, self._open_study, *names, int(image)))

    def comparison(self, asked: Mapping[str, str]) -> bytes:
        """A comparison of two evaluations as JSON.

        Raises:
            FailmodesError: see `comparison_answer`.
        """
        from failmodes.analysis.site.answers import comparison_answer

        return _json(comparison_answer(self.path, self.selections, asked.get("a", ""), asked.get("b", "")))

    def public(self, error: FailmodesError) -> str:
        """The message of an error without the folder of the warehouse."""
        return printable(str(error)).replace(f"{self.path.absolute().parent}{os.sep}", "")


def explore_warehouse(
    path: Path, open_study: "OpenStudy", *, location: str, host: str, port: int | None, open_browser: bool
) -> None:
    """Serve the page of a warehouse until the process is stopped.

    Args:
        path: the DuckDB file.
        open_study: opens the study, for images that the warehouse does not store.
        location: how the user named the warehouse, for commands that the page shows.
        host: address to listen on.
        port: its port. Default: the first free port from 2718.
        open_browser: whether to open the page.

    Raises:
        MissingExtraError: Starlette or Uvicorn is not installed.
        StudyError: the port is taken, the host is invalid, or the page is not built and cannot be.
        WarehouseError: the warehouse cannot be read, or has no evaluations.
    """
    limit_command(None, min(query_memory(None), MAX_MEMORY_BYTES))
    require("explore", "`failmodes explore`")
    from failmodes.analysis.site.bundling import bundled_page

    served = ServedWarehouse(path, open_study, location)  # errors appear here, not in the page
    bundle = bundled_page()
    listening = bound_socket(host, port)
    token = secrets.token_urlsafe(16)
    address = page_address(host, listening.getsockname()[1], token)
    say(printable(f"{path}: {address}"))
    say("Press Ctrl-C to stop.")
    if open_browser:
        threading.Timer(1.0, webbrowser.open, [address]).start()
    leave_threads()  # of running queries
    server_of(Page(served, bundle, token), host).run(sockets=[listening])


def server_of(page: "Page", host: str) -> "uvicorn.Server":
    """The HTTP server of a page that is bound to an address."""
    import uvicorn

    from failmodes.analysis.site.http_connections import BoundedProtocol

    config = uvicorn.Config(
        guarded(page.app, host), http=BoundedProtocol, log_level="critical", timeout_graceful_shutdown=1,
        limit_concurrency=MAX_CONNECTIONS, headers=list(HEADERS.items()), server_header=False, proxy_headers=False,
        ws="none",
    )  # fmt: skip
    return uvicorn.Server(config)


class Page:
    """The answers to requests: files of the bundle to anyone, those about the warehouse only with the token."""

    def __init__(self, served: ServedWarehouse, bundle: Path, token: str) -> None:
        """Read the bundle, but not DuckDB-WASM, which only a site needs."""
        from anyio import CapacityLimiter

        self._served = served
        self._token = token
        self._files = {path.name: path.read_bytes() for path in bundle.iterdir() if not path.name.startswith("duckdb-")}
        self._files["theme.css"] = page_variables().encode()
        self._queries, self._comparisons = CapacityLimiter(MAX_QUERIES), CapacityLimiter(1)

    @property
    def app(self) -> "Starlette":
        """The page as an ASGI application."""
        from starlette.applications import Starlette
        from starlette.routing import Route

        return Starlette(
            routes=[
                Route("/study.json", self.study),
                Route("/query", self.query, methods=["POST"]),
                Route("/strip", self.strip),
                Route("/compare", self.compare),
                Route("/", self.file),
                Route("/{name}", self.file),
            ]
        )

    async def file(self, request: "Request") -> "Response":
        """A file of the bundle."""
        name = request.path_params.get("name", "index.html")
        if name not in self._files:
            return _text(f"there is no {printable(name, 80)}", 404)
        return _answer(self._files[name], _TYPES.get(Path(name).suffix, "text/plain"))

    async def study(self, request: "Request") -> "Response":
        """The study."""
        return await self._read(request, partial(self._served.study, self._token), self._queries)

    async def query(self, request: "Request") -> "Response":
        """The rows of a query."""
        return await self._read(request, self._served.query, self._queries, is_body=True)

    async def strip(self, request: "Request") -> "Response":
        """An image along severity."""
        return await self._read(request, partial(self._served.strip, request.query_params), self._queries)

    async def compare(self, request: "Request") -> "Response":
        """A comparison."""
        return await self._read(request, partial(self._served.comparison, request.query_params), self._comparisons)

    async def _read(
        self, request: "Request", read: Callable[..., bytes], limiter: Any, *, is_body: bool = False
    ) -> "Response":
        """What a thread reads, or the one line of its error; only the terminal shows errors of files."""
        from starlette.requests import ClientDisconnect

        from failmodes.analysis.site.http_connections import read_while_connected

        given = request.query_params.get("token", "")
        if not secrets.compare_digest(given.encode(), self._token.encode()):
            return _text("no access: open the address that `failmodes explore` printed", 403)
        try:
            asked = partial(read, await _body(request)) if is_body else read
            kind = "application/vnd.apache.arrow.stream" if is_body else "application/json"
            return _answer(await read_while_connected(request, asked, limiter), kind)
        except ClientDisconnect:
            return _text("the client has gone", 400)
        except FailmodesError as error:
            status = next((status for known, status in _STATUS if isinstance(error, known)), 500)
            if status < 500 or isinstance(error, MissingExtraError):
                return _text(self._served.public(error), status)
            note(str(error))
        except Exception as error:  # a bug: the page goes on
            note(f"{type(error).__name__}: {first_line(error)}")
        return _text("the warehouse or its images cannot be read: the terminal of `failmodes explore` shows why", 500)


async def _body(request: "Request") -> dict[str, Any]:
    """The JSON object in the body of a request.

    Raises:
        QueryError: it is too long, or no JSON object.
    """
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise QueryError("expected JSON")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise QueryError(f"the query has more than {MAX_BODY_BYTES:,} bytes")
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict):
        raise QueryError("expected a JSON object")
    return asked


def _parquet(path: Path, sql: str) -> bytes:
    from failmodes.analysis.render.row_formats import write_rows
    from failmodes.runtime.storage.files import temporary_folder
    from failmodes.warehouse.database.query import check_stream_size, query_batches

    def bounded(batches: "Iterator[pl.DataFrame]") -> "Iterator[pl.DataFrame]":
        for batch in batches:
            yield batch
            check_stream_size(sum(file.stat().st_size for file in folder.iterdir()))  # what is written of it

    with temporary_folder() as folder, query_batches(path, sql, timeout_s=QUERY_S) as batches:
        write_rows(bounded(batches), folder / "rows.parquet")
        return (folder / "rows.parquet").read_bytes()


def _json(facts: Mapping[str, Any]) -> bytes:
    return json.dumps(facts, ensure_ascii=False, allow_nan=False).encode()


def _answer(content: bytes, kind: str, status: int = 200) -> "Response":
    from starlette.responses import Response

    return Response(content, status, media_type=kind)


def _text(message: str, status: int) -> "Response":
    return _answer(f"{message}\n".encode(), "text/plain", status)


def guarded(app: "ASGIApp", host: str) -> "ASGIApp":
    """Refuse requests from other web pages or with other host names (DNS rebinding)."""
    from starlette.datastructures import Headers
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.types import Receive, Scope, Send

    async def from_own_pages(scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        origin = headers.get("origin")
        if origin is not None and origin != f"http://{headers.get('host')}":
            await _text("requested by another page", 403)(scope, receive, send)
        else:
            await app(scope, receive, send)

    bracketed = f"[{host}]" if ":" in host else host
    return TrustedHostMiddleware(
        from_own_pages, ["*"] if host in EVERY_ADDRESS else [*LOCAL_NAMES, bracketed], www_redirect=False
    )


def page_address(host: str, port: int, token: str) -> str:
    """The address that opens the page."""
    name = "127.0.0.1" if host in EVERY_ADDRESS else host
    return f"http://{f'[{name}]' if ':' in name else name}:{port}/?token={token}"


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
