"""The server: whom it refuses, which statements it runs, how it reports errors, where it listens, how it is stopped."""

import asyncio
import io
import json
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import duckdb
import httpx
import polars as pl
import pyarrow as pa
import pytest
from explorer_process import explorer
from page_bundle import built_page
from run_commands import run

pytest.importorskip("starlette")

from failmodes.analysis.site import http_connections, serving
from failmodes.analysis.site.serving import Page, ServedWarehouse, bound_socket, guarded, page_address, server_of
from failmodes.warehouse.database import query
from failmodes.warehouse.database.query import run_query

HERE = "127.0.0.1:2718"
TOKEN = "right"
COPIED = Path("/tmp/failmodes-copied.csv")  # by no statement


class Client:
    """Requests to a guarded page, without a network."""

    def __init__(self, page: Page) -> None:
        self._app = guarded(page.app, "127.0.0.1")

    def request(self, method: str, path: str, token: str | None = TOKEN, **options: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app=self._app)
            async with httpx.AsyncClient(transport=transport, base_url=f"http://{HERE}") as client:
                return await client.request(method, path, params=options.pop("params", {}) | of_token, **options)

        of_token = {} if token is None else {"token": token}
        return asyncio.run(send())

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def query(self, sql: object, **options: Any) -> httpx.Response:
        return self.request("POST", "/query", json={"type": "arrow", "sql": sql} | options)


@pytest.fixture(scope="module")
def served(explored: Path) -> ServedWarehouse:
    return ServedWarehouse(explored, lambda: None, "warehouse.duckdb")


@pytest.fixture(scope="module")
def client(served: ServedWarehouse, plain_bundle: Path) -> Client:
    return Client(Page(served, plain_bundle, TOKEN))


class Server:
    """The page at a port of this machine, as `explore` serves it, within this process."""

    def __init__(self, page: Page) -> None:
        self._server = server_of(page, "127.0.0.1")
        self._socket = bound_socket("127.0.0.1", None)
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})
        self._thread.start()

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    def answer(self, sent: bytes) -> bytes:
        """All that the server sends after these bytes until it closes the connection; a minute at most."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as client:
            client.sendall(sent)
            return b"".join(iter(lambda: client.recv(1 << 16), b""))

    def abort(self, sent: bytes) -> None:
        """Close a connection some time after these bytes."""
        with socket.create_connection(("127.0.0.1", self.port)) as client:
            client.sendall(sent)
            time.sleep(0.5)

    def query(self, sql: str) -> httpx.Response:
        url = f"http://127.0.0.1:{self.port}/query"
        return httpx.post(url, params={"token": TOKEN}, json={"type": "arrow", "sql": sql}, timeout=60)


@pytest.fixture
def server(served: ServedWarehouse, plain_bundle: Path) -> Iterator[Server]:
    server = Server(Page(served, plain_bundle, TOKEN))
    yield server
    server.stop()


def rows(response: httpx.Response) -> pl.DataFrame:
    assert response.status_code == 200, response.text
    return pl.DataFrame(pa.ipc.open_stream(response.content).read_all())


@pytest.mark.parametrize(
    ("host", "origin", "bound_to", "passes"),
    [
        (HERE, None, "127.0.0.1", True),
        (HERE, f"http://{HERE}", "127.0.0.1", True),
        ("localhost:2718", "http://localhost:2718", "127.0.0.1", True),
        ("[::1]:2718", None, "::1", True),
        (HERE, f"https://{HERE}", "127.0.0.1", False),
        (HERE, "http://evil.example", "127.0.0.1", False),
        (HERE, "http://127.0.0.1:9999", "127.0.0.1", False),
        (HERE, "null", "127.0.0.1", False),
        ("evil.example:2718", None, "127.0.0.1", False),
        ("evil.example:2718", "http://evil.example:2718", "127.0.0.1", False),
        ("", None, "127.0.0.1", False),
        ("lab.example:2718", "http://lab.example:2718", "0.0.0.0", True),
        ("lab.example:2718", "http://evil.example", "0.0.0.0", False),
    ],
)
def test_other_pages_and_hosts_are_refused(host: str, origin: str | None, bound_to: str, passes: bool) -> None:
    sent: list[Any] = []

    async def inner(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "passed"})

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {}

    headers = [(b"host", host.encode()), *([(b"origin", origin.encode())] if origin else [])]
    asyncio.run(guarded(inner, bound_to)({"type": "http", "headers": headers}, receive, send))
    assert (sent == [{"type": "passed"}]) == passes
    if not passes:
        assert sent[0]["status"] in (400, 403)


@pytest.mark.parametrize("path", ["/study.json", "/strip", "/compare", "/query"])
@pytest.mark.parametrize("token", [None, "", "wrong", "\N{SNOWMAN}"])
def test_nothing_of_the_warehouse_without_the_token(client: Client, path: str, token: str | None) -> None:
    refused = client.request("POST" if path == "/query" else "GET", path, token)
    assert refused.status_code == 403
    assert len(refused.text.splitlines()) == 1


def test_the_page_loads_only_from_its_server(client: Client, server: Server) -> None:
    page = httpx.get(f"http://127.0.0.1:{server.port}")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy.replace("wasm-unsafe-eval", "")
    assert "http" not in policy
    assert page.headers["referrer-policy"] == "no-referrer"
    assert "--paper" in client.get("/theme.css").text


@pytest.mark.parametrize(
    "path", ["/..%2f..%2fetc%2fpasswd", "/../pyproject.toml", "/gone.js", "/a/b", "/warehouse.duckdb"]
)
def test_only_files_of_the_bundle_are_served(client: Client, path: str) -> None:
    assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/study.json"), ("GET", "/query"), ("PUT", "/query"), ("DELETE", "/"), ("POST", "/")]
)
def test_other_methods_are_refused(client: Client, method: str, path: str) -> None:
    assert client.request(method, path).status_code in (404, 405)


def test_the_study_names_what_the_page_needs(client: Client, explored: Path) -> None:
    study = client.get("/study.json").json()
    (group,) = study["groups"]
    assert study["mode"] == "server"
    assert sorted(group["labels"].values()) == ["Alpha", "Beta"]
    assert set(group["corruptions"]) == {"fog", "contrast"}
    assert study["classes"][group["dataset_id"]] == ["zero", "one", "two", "three"]
    assert group["chance"] == 1 / 4
    assert group["colors"].keys() == set(group["ids"])
    assert "worst_cells" in [query["name"] for query in study["queries"]]
    assert str(explored.parent) not in json.dumps(study)


SQL = (
    "select model_label, corruption, count(*) as n, avg(correct::int) as accuracy from predictions group by all "
    "order by all"
)


@pytest.mark.test_all
@pytest.mark.parametrize("options", [{}, {"box": True}])
def test_results_are_those_of_a_query(client: Client, explored: Path, options: dict[str, Any]) -> None:
    assert rows(client.query(SQL, **options)).equals(run_query(explored, SQL))
    assert rows(client.query("describe select * from predictions", **options)).height > 30


def test_the_box_takes_saved_queries_and_parquet_holds_all_rows(client: Client, explored: Path) -> None:
    assert rows(client.query("@worst_cells", box=True, limit=3)).height == 3
    got = client.request("POST", "/query", json={"type": "parquet", "sql": SQL})
    assert pl.read_parquet(io.BytesIO(got.content)).equals(run_query(explored, SQL))


@pytest.mark.parametrize(
    "sql",
    [
        "create table x as select 1", "insert into models select * from models", "set threads = 1",
        "pragma enable_progress_bar",
        "attach '/tmp/x.duckdb' as x", f"copy (select 1) to '{COPIED}'", "install httpfs", "select 1; select 2",
        "select * from read_csv('/etc/passwd')", "from '/etc/passwd'", "select * from nowhere", "selec", "",
        "call pragma_version()", "explain select 1", "export database '/tmp/failmodes-export'", 3, None, ["select 1"],
        "select '\ud800'", "with x as (delete from models returning *) from x", "load json", "use warehouse",
        "select getenv('HOME')", "select $1",
    ],
)  # fmt: skip
def test_only_one_reading_statement_runs(client: Client, sql: object) -> None:
    content = json.dumps({"type": "arrow", "sql": sql}).encode()
    got = client.request("POST", "/query", content=content, headers={"content-type": "application/json"})
    assert got.status_code == 400
    assert len(got.text.strip().splitlines()) == 1
    assert "Traceback" not in got.text
    assert not COPIED.exists()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"{", "application/json"), (b"[]", "application/json"), (b"[" * 100_000, "application/json"),
        (b'{"sql": "select 1"}', "text/plain"), (b'{"type": "exec", "sql": "select 1"}', "application/json"),
        (b'{"sql": "select 1", "limit": -1}', "application/json"), (b"\xff", "application/json"),
        (b'{"sql": "select 1", "box": true, "limit": true}', "application/json"),
        (b'{"sql": "' + b" " * 300_000 + b'select 1"}', "application/json"),
    ],
)  # fmt: skip
def test_malformed_requests_are_one_line(client: Client, content: bytes, kind: str) -> None:
    got = client.request("POST", "/query", content=content, headers={"content-type": kind})
    assert got.status_code == 400
    assert len(got.text.strip().splitlines()) == 1


HEADER_LINES = f"POST /query?token={TOKEN} HTTP/1.1\r\nhost: {HERE}\r\ncontent-type: application/json\r\n"
CROSS = "select count(*) from range(1000000) a, range(1000000) b where a.range + b.range = 7"


def posted(sql: str) -> bytes:
    body = json.dumps({"type": "arrow", "sql": sql})
    return f"{HEADER_LINES}content-length: {len(body)}\r\n\r\n{body}".encode()


def test_queries_of_clients_that_have_gone_end(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as run at once, and as many that wait for them."""
    monkeypatch.setattr(serving, "QUERY_S", 20)
    gone = [threading.Thread(target=server.abort, args=[posted(CROSS)]) for _ in range(2 * serving.MAX_QUERIES)]
    for thread in gone:
        thread.start()
    for thread in gone:
        thread.join()
    started = time.monotonic()
    assert rows(server.query("select 1 as one")).item() == 1
    assert time.monotonic() - started < 10


def test_a_body_that_breaks_off_says_nothing(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.abort(f'{HEADER_LINES}content-length: 100\r\n\r\n{{"sql": '.encode())
    assert rows(server.query("select 1 as one")).item() == 1
    assert capsys.readouterr() == ("", "")


def test_a_query_of_a_client_that_has_gone_is_no_error(
    server: Server, served: ServedWarehouse, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = threading.Event()

    def fails(_: object) -> bytes:
        try:
            return bytes(run_query(served.path, CROSS, timeout_s=20).item())
        finally:
            ended.set()

    monkeypatch.setattr(served, "strip", fails)
    server.abort(f"GET /strip?token={TOKEN} HTTP/1.1\r\nhost: {HERE}\r\n\r\n".encode())
    assert ended.wait(10)
    assert rows(server.query("select 1 as one")).item() == 1
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("sent", ["", HEADER_LINES, f"{HEADER_LINES}content-length: 100\r\n\r\n{{"])
def test_a_request_that_does_not_arrive_ends_its_connection(
    server: Server, monkeypatch: pytest.MonkeyPatch, sent: str
) -> None:
    monkeypatch.setattr(http_connections, "REQUEST_S", 0.3)
    assert server.answer(sent.encode()) == b""


def test_a_connection_stays_for_requests_that_come_in_parts(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_connections, "REQUEST_S", 1)
    head, _, body = posted("select 1 as one").partition(b"\r\n\r\n")
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        for _ in range(3):
            client.sendall(head)
            time.sleep(0.4)
            client.sendall(b"\r\n\r\n" + body)
            answer = HTTPResponse(client)
            answer.begin()
            assert pa.ipc.open_stream(answer.read()).read_all().num_rows == 1
            time.sleep(0.4)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (f"GET / HTTP/1.1\r\nhost: {HERE}\r\n", 200),
        (f"GET /gone HTTP/1.1\r\nhost: {HERE}\r\n", 404),
        (f"GET /a/b HTTP/1.1\r\nhost: {HERE}\r\n", 404),
        (f"PUT / HTTP/1.1\r\nhost: {HERE}\r\n", 405),
        ("GET / HTTP/1.1\r\nhost: evil.example\r\n", 400),
        (f"GET / HTTP/1.1\r\nhost: {HERE}\r\norigin: null\r\n", 403),
        ("no request\r\n", 400),
    ],
)
def test_every_answer_has_the_policy_of_the_page(server: Server, sent: str, status: int) -> None:
    head = server.answer(f"{sent}connection: close\r\n\r\n".encode()).partition(b"\r\n\r\n")[0].decode().lower()
    assert head.startswith(f"http/1.1 {status} ")
    policies = [line for line in head.splitlines() if line.startswith("content-security-policy: ")]
    assert policies == [f"content-security-policy: {serving.HEADERS['content-security-policy']}"]
    assert "x-content-type-options: nosniff" in head.splitlines()


NUMBERS = "select hash(range) from range({})"


@pytest.mark.parametrize(
    ("sql", "options"),
    [
        ("select repeat('a', 1100000)", {}),
        ("select repeat('a', 1100000)", {"box": True}),
        (NUMBERS.format(150_000), {}),
        (NUMBERS.format(150_000), {"box": True}),
        (NUMBERS.format(150_000), {"type": "parquet"}),
    ],
)
def test_an_answer_is_bounded_whatever_a_value_or_a_batch_holds(
    client: Client, monkeypatch: pytest.MonkeyPatch, sql: str, options: dict[str, Any]
) -> None:
    monkeypatch.setattr(query, "MAX_STREAM_BYTES", 1_000_000)
    refused = client.query(sql, **options)
    assert refused.status_code == 408
    assert "1 MB" in refused.text
    assert client.query(NUMBERS.format(100_000), **options).status_code == 200


def test_a_query_ends_at_its_time_limit_and_others_go_on(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "QUERY_S", 0.2)
    started = time.monotonic()
    assert client.query(CROSS).status_code == 408
    assert time.monotonic() - started < 5
    monkeypatch.undo()
    assert rows(client.query("select 1 as one")).item() == 1


def test_a_strip_shows_the_stored_predictions(client: Client, explored: Path) -> None:
    (group,) = client.get("/study.json").json()["groups"]
    evaluation = group["ids"][0]
    asked = {"evaluation": evaluation, "corruption": "fog", "image": "7"}
    strip = client.get("/strip", params=asked).json()
    stored = run_query(
        explored,
        "select correct, predicted_name from predictions where evaluation_id = $e and image_id = 7 "
        "and corruption in ('none', 'fog') order by severity",
        {"e": evaluation},
    )
    assert strip["severities"] == [0, 1, 2, 3, 4, 5]
    assert [frame[3] for frame in strip["frames"]] == stored["correct"].to_list()
    assert [frame[1] for frame in strip["frames"]] == stored["predicted_name"].to_list()
    assert strip["src"].startswith("data:image/")
    for changed in (
        {"evaluation": "gone"},
        {"corruption": "'; drop"},
        {"image": "9999"},
        {"image": "-1"},
        {"image": "x"},
    ):
        assert client.get("/strip", params=asked | changed).status_code == 404


@pytest.mark.test_all
def test_a_comparison_is_that_of_the_command(client: Client, explored: Path) -> None:
    a, b = client.get("/study.json").json()["groups"][0]["ids"]
    got = client.get("/compare", params={"a": a, "b": b}).json()
    printed = run("compare", a, b, explored, folder=explored.parent).stdout
    first = next(block["text"] for block in got["blocks"] if block["kind"] == "sentence")
    assert " ".join(first.replace("\N{NO-BREAK SPACE}", " ").split()) in " ".join(printed.split())
    for pair in ({"a": "gone", "b": b}, {"a": f"{explored}::Alpha", "b": b}, {}):
        assert client.get("/compare", params=pair).status_code == 404


def test_errors_of_files_are_only_in_the_terminal(
    client: Client, served: ServedWarehouse, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(_: object) -> bytes:
        raise OSError(f"cannot read {served.path}")

    monkeypatch.setattr(served, "strip", fails)
    got = client.get("/strip")
    assert got.status_code == 500
    assert str(served.path) not in got.text
    assert "cannot read" in capsys.readouterr().err


@pytest.mark.test_all
def test_a_page_opened_after_a_load_shows_the_new_file(own_warehouse: Path, plain_bundle: Path) -> None:
    client = Client(Page(ServedWarehouse(own_warehouse, lambda: None, "w"), plain_bundle, TOKEN))
    labels = "select model_label from models order by 1"
    assert rows(client.query(labels)).to_series().to_list() == ["Alpha", "Beta"]
    other = own_warehouse.with_name("new.duckdb")
    shutil.copy(own_warehouse, other)
    with duckdb.connect(str(other)) as con:
        con.execute("update models set model_label = 'Gamma' where model_label = 'Beta'")
    os.replace(other, own_warehouse)
    assert rows(client.query(labels)).to_series().to_list() == ["Alpha", "Beta"]
    assert "Gamma" in client.get("/study.json").text
    assert rows(client.query(labels)).to_series().to_list() == ["Alpha", "Gamma"]
    other.write_bytes(b"damaged")
    os.replace(other, own_warehouse)
    assert client.get("/study.json").status_code == 500
    assert rows(client.query(labels)).to_series().to_list() == ["Alpha", "Gamma"]


def test_the_address_has_the_token() -> None:
    assert page_address("127.0.0.1", 2718, "t") == "http://127.0.0.1:2718/?token=t"
    assert page_address("::1", 2718, "t") == "http://[::1]:2718/?token=t"
    assert page_address("0.0.0.0", 2718, "t") == "http://127.0.0.1:2718/?token=t"


ERRORS = {
    "no warehouse": (["explore"], 2, "name a study file, an output folder or a .duckdb"),
    "missing warehouse": (["explore", "gone.duckdb", "--no-browser"], 2, "warehouse gone.duckdb does not exist"),
    "damaged warehouse": (["explore", "bad.duckdb", "--no-browser"], 1, "bad.duckdb"),
}


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.test_all
def test_what_prevents_the_page_is_one_line(tmp_path: Path, name: str) -> None:
    arguments, code, message = ERRORS[name]
    (tmp_path / "bad.duckdb").write_bytes(b"no database" * 1000) if name == "damaged warehouse" else None
    done = run(*arguments, folder=tmp_path, expect=code)
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.nightly
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory of a process is read from Linux")
def test_large_values_at_once_take_bounded_memory(running: Any) -> None:
    def ask() -> None:
        with httpx.Client(base_url=running.origin, timeout=120) as client:
            asked = {"type": "arrow", "sql": "select repeat('a', 1000000000)", "box": True}
            statuses.append(client.post("/query", params={"token": token}, json=asked).status_code)

    token = running.address.partition("=")[2]
    statuses: list[int] = []
    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    peak_kb = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    assert statuses == [408] * 4
    assert peak_kb * 1024 < 1.2 * serving.MAX_MEMORY_BYTES


@pytest.fixture
def running(explored: Path) -> Iterator[Any]:
    built_page()
    with explorer(explored) as process:
        yield process


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.test_all
def test_it_answers_many_at_once_and_ends_at_once_on_a_signal(running: Any, explored: Path) -> None:
    before = explored.read_bytes()
    token = running.address.partition("=")[2]
    statuses: list[int] = []

    def ask() -> None:
        with httpx.Client(base_url=running.origin, timeout=60) as client:
            for _ in range(2):
                got = client.post("/query", params={"token": token}, json={"type": "arrow", "sql": SQL})
                statuses.append(got.status_code)

    threads = [threading.Thread(target=ask) for _ in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses.count(200) == 120
    assert len(list(Path(f"/proc/{running.process.pid}/task").iterdir())) < 60
    started = time.monotonic()
    running.process.send_signal(signal.SIGINT)
    _, said = running.process.communicate(timeout=20)
    assert time.monotonic() - started < 4
    assert running.process.returncode == 130
    assert said.strip().splitlines()[-1] == "failmodes: stopped"
    assert explored.read_bytes() == before
