"""The study file of a benchmark can be run as a study, and never replaces a user's file."""

from decimal import Decimal
from pathlib import Path

import pytest

from failmodes.evaluate.study.study_file import (
    HEADER,
    check_study,
    check_study_file,
    read_study,
    write_study_file,
)
from failmodes.evaluate.study.study_schema import Study
from failmodes.runtime.errors import StudyError
from failmodes.runtime.storage.locations import find_results, find_warehouse

HARD = 'a "b" \\ \'\'\' # größer\n[[models]]\nlabel = "evil"\r\x00\x7f\u2028\u0085…'
LABEL = 'a "b" \\ \'\'\' # größer [[models]] label = "evil"…'  # as hard as a label may be: printable


def model(folder: Path, label: str = "Net A", **more) -> dict:
    file = folder / "models" / f"{''.join(filter(str.isalnum, label[:5]))}.safetensors"
    file.parent.mkdir(exist_ok=True)
    file.touch()
    return {"label": label, "architecture": "torchvision:resnet18", "checkpoint": str(file)} | more


def study(folder: Path, *models: dict, names=("fog",), **more) -> Study:
    content = {
        "name": "mine", "output": str(folder), "dataset": {"kind": "arrays", "path": str(folder / "images" / "ab")},
        "corruptions": {"names": list(names)} | more.pop("corruptions", {}), "models": list(models),
    } | more  # fmt: skip
    return check_study(content, folder, require_models=False)


def write(made: Study, *notes: str) -> str:
    return write_study_file(made, notes).read_text(encoding="utf-8")


VARIANTS = {
    "headline": {"names": ["headline"]},
    "levels between": {"corruptions": {"severities": [Decimal("0.125"), 1, 2.5, 5]}},
    "recipe, seeds, noise": {"corruptions": {"recipe": "imagenet-c", "seeds": [0, 7], "noise": "independent"}},
    "evaluation": {"evaluation": {"attention": "layercam", "precision": "bfloat16", "batch_size": 8, "device": "cpu"}},
    "folder elsewhere": {"dataset": {"kind": "folder", "path": "/data/photographs", "image_size": 32, "resize": 40}},
    "label of the images": {"dataset": {"kind": "arrays", "path": "/data/a", "images": 30, "label": LABEL}},
    "hard name": {"name": LABEL},
}


@pytest.mark.parametrize("more", VARIANTS.values(), ids=VARIANTS)
def test_a_study_reads_what_was_written(tmp_path: Path, more: dict) -> None:
    models = [
        model(tmp_path),
        model(tmp_path, "B", normalization={"mean": [0.1, 0.2, 0.3], "std": [1, 2, 3]}, input_side_px=64),
        model(
            tmp_path, LABEL, class_names=["cat", HARD], class_map={HARD: 3, "dog": "hound"}, attention_layer="layer4"
        ),
    ]
    made = study(tmp_path, *models, **more)
    text = write(made, "Net B: " + HARD)
    assert read_study(tmp_path / "study.toml") == made
    assert text.startswith(HEADER + "\n")
    if "dataset" not in more:
        assert str(tmp_path) not in text


def test_paths_in_the_folder_move_with_it(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    write(study(tmp_path / "old", model(tmp_path / "old")))
    (tmp_path / "old").rename(tmp_path / "new")
    moved = read_study(tmp_path / "new" / "study.toml")
    assert moved == study(tmp_path / "new", model(tmp_path / "new"))


@pytest.mark.parametrize("key", ["path", "masks", "image_list"])
def test_every_path_of_the_images_is_beside_the_study(tmp_path: Path, key: str) -> None:
    dataset = {"kind": "folder", "path": "photographs", "image_size": 32} | {key: "given"}
    assert getattr(study(tmp_path, dataset=dataset).dataset, key) == tmp_path / "given"


def test_a_note_is_one_line(tmp_path: Path) -> None:
    text = write(study(tmp_path, model(tmp_path)), f"{HARD}: a function")
    *notes, note = text.partition("\n\n")[0].split("\n")
    assert note == '# - a "b" \\ \'\'\' # größer [[models]] label = "evil"     …: a function'
    assert all(line.startswith("# ") for line in notes)
    assert [spec.label for spec in read_study(tmp_path / "study.toml").models] == ["Net A"]


@pytest.mark.parametrize(
    "text", ["", 'name = "mine"\n', "# mine\n" + HEADER, "\xff"], ids=["empty", "study", "below", "no text"]
)
def test_a_study_of_the_users_own_is_never_written_over(tmp_path: Path, text: str) -> None:
    (tmp_path / "study.toml").write_text(text, encoding="latin-1")
    with pytest.raises(StudyError, match="was not written by a benchmark"):
        check_study_file(tmp_path)
    assert (tmp_path / "study.toml").read_text(encoding="latin-1") == text


@pytest.mark.parametrize(
    "more",
    [{"name": HARD}, {"dataset": {"kind": "arrays", "path": "/data/a", "label": HARD}}, {"label": HARD}],
    ids=["name", "label of the images", "label of a model"],
)
def test_names_that_a_chart_cannot_show_are_refused(tmp_path: Path, more: dict) -> None:
    label = more.pop("label", "Net A")
    with pytest.raises(StudyError, match="must be printable"):
        study(tmp_path, model(tmp_path) | {"label": label}, **more)


def test_the_home_folder_is_meant_alike_by_every_path(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "net.safetensors").touch()
    path = tmp_path / "study.toml"
    path.write_text(
        'name = "x"\noutput = "~/out"\nresults = "~/results"\n[dataset]\nkind = "cifar10"\npath = "~/images"\n'
        '[corruptions]\nnames = ["fog"]\npublished = "~/set"\n'
        '[[models]]\nlabel = "A"\narchitecture = "resnet18"\ncheckpoint = "~/net.safetensors"\n',
    )
    study = read_study(path)
    assert (study.output, study.results_folder) == (tmp_path / "out", tmp_path / "results")
    assert (study.dataset.path, study.corruptions.published) == (tmp_path / "images", tmp_path / "set")
    assert study.models[0].checkpoint == tmp_path / "net.safetensors"
    assert find_warehouse(path) == tmp_path / "out" / "warehouse.duckdb"
    assert find_results(path) == tmp_path / "results"
