"""The server: whom it turns away, where it listens, how it is stopped."""

import asyncio
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from explorer_process import explorer
from installed_script import failmodes

from failmodes.analysis.explorer.serving import guarded, page_address

HERE = "127.0.0.1:2718"


def responses(
    host: str, origin: str | None, *, bound_to: str = "127.0.0.1", kind: str = "http", app: Any = None
) -> list[Any]:
    """What a guarded app sends: that it was let through, or a refusal."""
    sent: list[Any] = []

    async def inner(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "let through"})

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {}

    headers = [(b"host", host.encode()), *([(b"origin", origin.encode())] if origin else [])]
    asyncio.run(guarded(app or inner, bound_to)({"type": kind, "headers": headers}, receive, send))
    return sent


@pytest.mark.parametrize(
    ("host", "origin", "bound_to", "passes"),
    [
        (HERE, None, "127.0.0.1", True),
        (HERE, f"http://{HERE}", "127.0.0.1", True),
        ("localhost:2718", "http://localhost:2718", "127.0.0.1", True),
        ("[::1]:2718", None, "::1", True),
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
def test_other_pages_and_hosts_are_turned_away(host: str, origin: str | None, bound_to: str, passes: bool) -> None:
    for kind in ("http", "websocket"):
        sent = responses(host, origin, bound_to=bound_to, kind=kind)
        assert (sent == [{"type": "let through"}]) == passes
        if not passes:
            assert sent[0]["status"] in (400, 403)
            assert not sent[0]["type"].endswith("accept")


def test_the_address_has_the_token() -> None:
    assert page_address("127.0.0.1", 2718, "t") == "http://127.0.0.1:2718/?access_token=t"
    assert page_address("::1", 2718, "t") == "http://[::1]:2718/?access_token=t"
    assert page_address("0.0.0.0", 2718, "t") == "http://127.0.0.1:2718/?access_token=t"


ERRORS = {
    "no warehouse": (["explore"], 2, "name a study file, an output folder or a .duckdb"),
    "missing warehouse": (["explore", "gone.duckdb", "--no-browser"], 2, "warehouse gone.duckdb does not exist"),
    "damaged warehouse": (["explore", "bad.duckdb", "--no-browser"], 1, "bad.duckdb"),
}


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.slow
def test_what_keeps_the_page_from_being_drawn_is_one_line(tmp_path: Path, name: str) -> None:
    pytest.importorskip("marimo")
    arguments, code, message = ERRORS[name]
    (tmp_path / "bad.duckdb").write_bytes(b"no database" * 1000) if name == "damaged warehouse" else None
    done = failmodes(*arguments, folder=tmp_path, expect=code)
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.slow
def test_it_asks_for_the_token_and_ends_at_once_on_a_signal(explored: Path) -> None:
    pytest.importorskip("marimo")
    before = explored.read_bytes()
    with explorer(explored) as served, httpx.Client(follow_redirects=True, timeout=30) as client:
        assert re.match(r"http://127\.0\.0\.1:\d+$", served.origin)
        without = client.get(served.origin)
        assert "login" in str(without.url)
        assert "Failmodes explorer" not in without.text
        assert client.get(served.address, headers={"origin": "http://evil.example"}).status_code == 403
        assert client.get(served.address, headers={"host": "evil.example"}).status_code == 400
        page = client.get(served.address)
        assert page.status_code == 200
        assert "failmodes_view" in page.text
        assert client.post(f"{served.origin}/api/kernel/run", json={"cellIds": [], "codes": []}).status_code >= 400
        started = time.monotonic()
        served.process.send_signal(signal.SIGINT)
        _, said = served.process.communicate(timeout=20)
        assert time.monotonic() - started < 4
        assert served.process.returncode == 130
        assert said.strip() == "failmodes: stopped"
    assert explored.read_bytes() == before
