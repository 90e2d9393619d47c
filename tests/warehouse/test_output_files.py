"""What a file that the user names may replace."""

import os
from pathlib import Path

import pytest
from precious_files import FILES, NO_FILES, STUDY

from failmodes.runtime.errors import StudyError
from failmodes.warehouse.output_files import NO_SUFFIX, atomic_output, check_output, write_output


@pytest.mark.parametrize("name", ["new.csv", "NEW.CSV", "no_suffix", "former.csv", "linked/a.csv"])
def test_plain_files_are_fine(tmp_path: Path, name: str) -> None:
    (tmp_path / "former.csv").write_text("dataset,models\n1,2\n")
    (tmp_path / "linked").symlink_to(tmp_path)
    write_output(tmp_path / name, b"x", (".csv", NO_SUFFIX))
    assert (tmp_path / name).read_bytes() == b"x"


@pytest.mark.parametrize("content", [b"", b"PAR1", b"# [dataset]", b"{", b"\x80", b"DUCK", b"<html>\n[x]</html>"])
def test_files_that_only_look_a_little_like_it(tmp_path: Path, content: bytes) -> None:
    (path := tmp_path / "a.md").write_bytes(content)
    check_output(path, (".md",))


@pytest.mark.parametrize("text", [STUDY, "[[models]]\n", "  [gate]", "dataset.kind = 'x'\n[[[", '["models"]'])
def test_studies_are_known_even_damaged(tmp_path: Path, text: str) -> None:
    (path := tmp_path / "a.md").write_text(text)
    with pytest.raises(StudyError, match="it is a study"):
        check_output(path, (".md",))
    check_output(path, (".md",), force=True)


@pytest.mark.parametrize(
    ("name", "text"),
    [(name, r"expected a file name that ends in \.csv or \.json") for name in ("a.duckdb", "a", "a.csv.gz", "a.csv\n")]
    + [("a\0.csv", "null")],
)
def test_other_names_are_refused(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(StudyError, match=text):
        check_output(tmp_path / name, (".csv", ".json"), force=True)


@pytest.mark.parametrize("make", [*NO_FILES.values(), *FILES.values()], ids=[*NO_FILES, *FILES])
def test_what_appears_meanwhile_stays(tmp_path: Path, make) -> None:
    path = tmp_path / "a.csv"

    def write() -> None:
        with atomic_output(path, (".csv",)) as temporary:
            temporary.write_text("x")
            make(path)

    with pytest.raises(StudyError):
        write()
    assert not list(tmp_path.glob(".tmp-*"))
    assert path.is_symlink() or path.is_dir() or not path.is_file() or path.read_bytes() != b"x"


def test_a_temporary_name_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (victim := tmp_path / "victim").write_text("kept")
    (tmp_path / f".tmp-{os.getpid()}-a.csv").symlink_to(victim)
    write_output(tmp_path / "a.csv", b"x", (".csv",))
    assert victim.read_text() == "kept"
