"""Files of predictions that anyone may have made: `import` refuses each in one line, soon, and keeps nothing of it."""

import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

pytest.importorskip("torch")

from fault_trials import WITH_TORCH_S, Trial, attempt, check_refusal, half_written, refused, shell, stop
from import_files import SMALL_STUDY, import_into, small_frame, stored_rows
from malformed_imports import REFUSED, same_rows

from failmodes.evaluate.import_predictions.predictions_file import MOST_CELLS
from failmodes.warehouse.errors import DataError, StorageError, StudyError

HEAVY = (
    "a text of 1 GB.parquet",
    "a list of 60 million logits.parquet",
    "a bomb of 2 GB.csv.gz",
    "50,000 columns.parquet",
    "a million rows.parquet",
)


def file_of(name: str, folder: Path) -> Path:
    path = folder / f"p.{name.split('.', 1)[1]}"
    REFUSED[name][0](path)
    return path


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n in HEAVY else ()) for n in REFUSED])
def test_a_malformed_file_is_one_error_and_nothing_is_kept(name: str, small_import: Path, tmp_path: Path) -> None:
    path = file_of(name, tmp_path)
    with pytest.raises(DataError) as caught:
        import_into(small_import, path)
    assert REFUSED[name][1] in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list((small_import.parent / "out").rglob("results/*"))


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_import_refuses_a_malformed_file_in_one_line(name: str, small_import: Path, tmp_path: Path) -> None:
    path = file_of(name, tmp_path)
    refused(
        "import", path, "--label", "X", folder=small_import.parent, says=REFUSED[name][1], code=1, most_s=WITH_TORCH_S
    )
    assert not list((small_import.parent / "out").rglob("results/*"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "nothing"])
def test_import_does_not_wait_for_what_is_no_file(kind: str, small_import: Path, tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    code = 2 if kind == "nothing" else 1
    refused(
        "import", path, "--label", "X", folder=small_import.parent, says="p.parquet", code=code, most_s=WITH_TORCH_S
    )


@pytest.mark.parametrize("label", ["\x1b[2J", "a\nb", "a\0b", " \t", "\u202eabc", "x" * 61, "\udcff"])
def test_a_label_that_no_chart_can_show_is_refused(label: str, small_import: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="label"):
        import_into(small_import, tmp_path / "p.parquet", label)
    with pytest.raises(StudyError, match="architecture"):
        import_into(small_import, tmp_path / "p.parquet", architecture=label * 4)


@pytest.mark.slow
def test_many_rows_of_others_are_left_out_and_endless_ones_refused(small_import: Path, tmp_path: Path) -> None:
    frame = small_frame()
    others = pl.concat([frame[20:].with_columns(corruption=pl.lit("fog"))] * 1300)
    pl.concat([others, frame]).write_parquet(tmp_path / "p.parquet")
    report = import_into(small_import, tmp_path / "p.parquet", only_study=True)
    assert (report.written, report.left_out) == (5, len(others))
    same_rows(MOST_CELLS * 500 + 101, "fog")(tmp_path / "endless.parquet")  # of 500 images
    with pytest.raises(DataError, match="more than .* rows, and the study asks for 100"):
        import_into(small_import, tmp_path / "endless.parquet", only_study=True)


def limited(bytes_: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_, bytes_))


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    small_frame().write_parquet(tmp_path / "p.parquet")
    return tmp_path / "p.parquet"


@pytest.mark.slow
@pytest.mark.parametrize("bytes_", [0, 500, 1000, 3000, 5000, 10_000])
def test_a_full_disk_is_one_line_and_the_import_goes_on(bytes_: int, small_import: Path, predictions: Path) -> None:
    """Writes beyond the limit fail, as on a full disk: in the scratch file, the cache, a shard, a dimension."""
    folder = small_import.parent
    trial = attempt("import", predictions, "--label", "X", folder=folder, preexec_fn=limited(bytes_))
    if bytes_:
        check_refusal(trial, "file-size limit", 1)
    else:  # the line goes to a file as well, which has no room for it
        assert (trial.code, trial.stdout, trial.stderr) == (1, "", "")
    assert not half_written(folder)
    assert attempt("import", predictions, "--label", "X", folder=folder).code == 0
    assert len(stored_rows(folder / "out")) == 100


def test_a_full_disk_in_the_scratch_file_is_one_error(small_import: Path, predictions: Path, monkeypatch) -> None:
    class Full:
        def write(self, _: object) -> int:
            raise OSError(28, "No space left on device")

        def __enter__(self) -> "Full":
            return self

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: Full())
    with pytest.raises(StorageError, match="no space left on the disk"):
        import_into(small_import, predictions)


def _checked(trial: Trial, folder: Path) -> None:
    """A command under a limit: it works, or says in one line that it cannot."""
    if trial.code:
        check_refusal(trial)
    assert "Traceback" not in trial.stderr, trial
    assert not half_written(folder)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of Linux")
@pytest.mark.parametrize("limit", ["-n 8", "-n 16", "-n 24", "-n 40", "-v 500000", "-v 1500000", "-v 3000000"])
def test_limits_of_files_and_memory_are_one_line(limit: str, small_import: Path, predictions: Path) -> None:
    folder = small_import.parent
    _checked(attempt("import", predictions, "--label", "X", folder=folder, through=shell(f"ulimit {limit}; ")), folder)
    assert attempt("import", predictions, "--label", "X", folder=folder).code == 0
    assert len(stored_rows(folder / "out")) == 100


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("after_s", [0, 0.5, 1, 1.5, 2, 2.5, 3])
def test_a_stopped_import_is_one_line_and_goes_on(sign, after_s: float, small_import: Path, predictions: Path) -> None:
    folder = small_import.parent
    trial = attempt(
        "import", predictions, "--label", "X", folder=folder, meanwhile=lambda process: stop(process, sign, after_s)
    )
    if trial.code:
        check_refusal(trial, "stopped", {signal.SIGINT: 130, signal.SIGTERM: 143}[sign])
    assert not half_written(folder)
    assert attempt("import", predictions, "--label", "X", folder=folder).code == 0
    assert len(stored_rows(folder / "out")) == 100


@pytest.mark.parametrize("output", ["/proc/nowhere/out", "study.toml/out", "/dev/null/out"])
def test_an_output_that_cannot_be_written_is_one_error(output: str, tmp_path: Path, predictions: Path) -> None:
    (tmp_path / "study.toml").write_text(SMALL_STUDY.replace('"out"', f'"{output}"'))
    with pytest.raises(StorageError, match="cannot write"):
        import_into(tmp_path / "study.toml", predictions)
