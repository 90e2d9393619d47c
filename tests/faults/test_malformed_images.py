"""A stranger's images, arrays and labels: what cannot be read is told in one line, at once, in little memory."""

import time
from pathlib import Path

import pytest
from fault_trials import attempt, refused
from malformed_image_cases import ARRAY_FILES, CIFAR_FILES, DIGITS, IMAGES, PUBLISHED, READ, SETS, TARGETS
from malformed_images import CANARY, Make, encoded, in_folder, make_pipe

from failmodes.evaluate.evaluation_data import open_evaluation_data
from failmodes.evaluate.study.study_file import read_study
from failmodes.ingest.datasets.opening import open_dataset
from failmodes.warehouse.errors import FailmodesError

QUICK = {"a pipe", "a file that is not UTF-8", "sparse labels", "code"}  # the others run in this process all the same


def cases(table: dict[str, tuple[Make, str, str]]) -> list[object]:
    marks = {name: () if name in QUICK else pytest.mark.slow for name in table}
    return [pytest.param(*case, id=name, marks=marks[name]) for name, case in table.items()]


def write_study(folder: Path, dataset: str, corruptions: str = 'names = ["contrast"]\nseverities = [1]\n') -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "study.toml").write_text(
        f'name = "x"\noutput = "out"\n[dataset]\n{dataset}\n[corruptions]\n{corruptions}'
    )
    return folder


@pytest.mark.parametrize(("make", "dataset", "says"), cases(IMAGES | ARRAY_FILES | CIFAR_FILES))
def test_images_that_cannot_be_read_are_one_line(tmp_path: Path, make: Make, dataset: str, says: str) -> None:
    here = write_study(tmp_path / "here", dataset)
    make(here)
    refused("ingest", "study.toml", folder=here, says=says, code=1)
    assert not (here / CANARY).exists()


@pytest.mark.parametrize(("make", "published", "says"), cases(SETS))
def test_sets_that_cannot_be_read_are_one_line(tmp_path: Path, make: Make, published: str, says: str) -> None:
    here = write_study(tmp_path / "here", DIGITS, PUBLISHED.format(published))
    make(here)
    refused("ingest", "study.toml", folder=here, says=says, code=1)


SLOW_TO_MAKE = {"40,000 classes", "a bomb that is whole", "one string of 150 MB"}
HERE = [(name, *case) for name, case in (IMAGES | ARRAY_FILES | CIFAR_FILES).items() if name not in SLOW_TO_MAKE]


@pytest.mark.parametrize(("make", "dataset", "says"), [pytest.param(*case, id=name) for name, *case in HERE])
def test_images_that_cannot_be_read_are_an_error_of_ours(tmp_path: Path, make: Make, dataset: str, says: str) -> None:
    here = write_study(tmp_path / "here", dataset)
    make(here)
    started = time.monotonic()
    with pytest.raises(FailmodesError) as caught:
        open_all(here / "study.toml")
    assert says in str(caught.value)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(("make", "published", "says"), [pytest.param(*case, id=name) for name, case in SETS.items()])
def test_sets_that_cannot_be_read_are_an_error_of_ours(tmp_path: Path, make: Make, published: str, says: str) -> None:
    here = write_study(tmp_path / "here", DIGITS, PUBLISHED.format(published))
    make(here)
    with pytest.raises(FailmodesError) as caught:
        open_all(here / "study.toml")
    assert says in str(caught.value)


def open_all(study_file: Path) -> None:
    """What `failmodes ingest` opens, in this process."""
    study = read_study(study_file, require_models=False)
    opened = open_dataset(study.dataset, study.cache)
    assert opened.dataset_id
    for data in open_evaluation_data(study, opened):
        assert data.source.source_id


@pytest.mark.slow
@pytest.mark.parametrize(("make", "dataset"), [pytest.param(*case, id=name) for name, case in READ.items()])
def test_what_is_odd_and_can_be_read_is(tmp_path: Path, make: Make, dataset: str) -> None:
    here = write_study(tmp_path / "here", dataset)
    make(here)
    trial = attempt("ingest", "study.toml", folder=here)
    assert trial.code == 0, trial
    assert "\x1b" not in trial.stderr + trial.stdout


CORRUPT = ("digits", "--to", "set", "--images", "20", "--corruption", "contrast")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "content", "says"), [pytest.param(*case, id=name) for name, case in TARGETS.items()])
def test_a_folder_to_write_to_may_be_malformed_too(tmp_path: Path, name: str, content: bytes | Make, says: str) -> None:
    (tmp_path / "here" / "set").mkdir(parents=True)
    path = tmp_path / "here" / "set" / name
    content(path) if callable(content) else path.write_bytes(content)
    refused("corrupt", *CORRUPT, folder=tmp_path / "here", says=says)


@pytest.mark.slow
def test_clean_images_are_opened_by_corrupt_as_by_a_study(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    in_folder("ant/2.png", make_pipe)(here)
    for more in (("--to", "set"), ("--to", "set", "--layout", "imagenet-c")):
        refused(
            "corrupt", "folder", "--path", "images", "--image-size", "32", *more, folder=here, says="no regular file"
        )
    (here / "images" / "ant" / "2.png").unlink()
    (here / "images" / "a\nb").mkdir()
    (here / "images" / "a\nb" / "1.png").write_bytes(encoded())
    options = ("--path", "images", "--image-size", "32", "--recipe", "cifar-c", "--corruption", "contrast")
    assert attempt("corrupt", "folder", *options, "--to", "set", folder=here).code == 0


def test_many_names_are_compared_in_no_time() -> None:
    from failmodes.ingest.study_types import first_duplicate

    names = [*map(str, range(10**5)), "99999"]
    started = time.monotonic()
    assert first_duplicate(names) == "99999"
    assert first_duplicate([1, 0, 0]) == 0
    assert time.monotonic() - started < 0.5
