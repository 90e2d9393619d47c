"""The script that draws charts: kept for the next report, made again where what was kept is not whole."""

from pathlib import Path

import pytest
import vl_convert

from failmodes.analysis.report.vega_bundle import vega_bundle


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Snippets of which a bundle was made; made is a short one."""
    snippets: list[str] = []

    def bundle(snippet: str) -> str:
        snippets.append(snippet)
        return f"/* é */ {snippet}"

    monkeypatch.setattr(vl_convert, "javascript_bundle", bundle)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return snippets


def test_it_is_made_once(made: list[str]) -> None:
    first = vega_bundle()
    assert first.endswith("window.vegaEmbed = vegaEmbed;")
    assert "University of Washington Interactive Data Lab" in first.partition("*/")[0]
    assert vega_bundle() == first
    assert len(made) == 1


@pytest.mark.parametrize("content", [b"", b"\xff", b"alert(1)", b"0000\nalert(1)"])
def test_what_is_not_whole_is_recomputed(made: list[str], content: bytes, tmp_path: Path) -> None:
    first = vega_bundle()
    (kept,) = (tmp_path / "cache" / "failmodes").iterdir()
    kept.write_bytes(content)
    assert vega_bundle() == first
    assert len(made) == 2
    assert vega_bundle() == first
    assert len(made) == 2


def test_without_a_home_it_is_made_each_time(made: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(self: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "expanduser", nowhere)
    assert vega_bundle() == vega_bundle()
    assert len(made) == 2


def test_without_a_folder_to_keep_it_in_it_is_made_each_time(made: list[str], tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("no folder")
    assert vega_bundle() == vega_bundle()
    assert len(made) == 2
