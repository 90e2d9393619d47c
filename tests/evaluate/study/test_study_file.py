"""The study file of a benchmark says what was run, for a study to read; it never replaces one of the user's own."""

from decimal import Decimal
from pathlib import Path

import pytest

from failmodes.evaluate.study.study_file import (
    HEADER,
    check_study,
    check_study_file,
    claims_of_folder,
    read_study,
    write_study_file,
)
from failmodes.evaluate.study.study_schema import Study
from failmodes.ingest.corruptions.catalog import STUDY_CORRUPTIONS
from failmodes.warehouse.errors import StudyError
from failmodes.warehouse.storage.locations import find_results, find_warehouse

HARD = 'a "b" \\ \'\'\' # größer\n[[models]]\nlabel = "evil"\r\x00\x7f\u2028\u0085…'
LABEL = 'a "b" \\ \'\'\' # größer [[models]] label = "evil"…'  # as hard as a label may be: printable


def model(folder: Path, label: str = "Net A", weights: str = "aaaa", **more) -> dict:
    file = folder / "models" / f"{''.join(filter(str.isalnum, label[:5]))}-{weights}.safetensors"
    file.parent.mkdir(exist_ok=True)
    file.touch()
    return {"label": label, "architecture": "torchvision:resnet18", "checkpoint": str(file)} | more


def study(folder: Path, *models: dict, names=("fog",), **more) -> Study:
    content = {
        "name": "mine", "output": str(folder), "dataset": {"kind": "arrays", "path": str(folder / "images" / "ab")},
        "corruptions": {"names": list(names)} | more.pop("corruptions", {}), "models": list(models),
    } | more  # fmt: skip
    return check_study(content, folder, require_models=False)


def write(made: Study, *notes: str, subjects: tuple[str, ...] = ()) -> str:
    labels = [spec.label for spec in made.models]
    return write_study_file(made, notes, [*labels, *subjects]).read_text(encoding="utf-8")


def labels(folder: Path) -> list[str]:
    return [spec.label for spec in read_study(folder / "study.toml", require_models=False).models]


def notes(folder: Path) -> list[str]:
    return [line for line in (folder / "study.toml").read_text().splitlines() if line.startswith("# - ")]


VARIANTS = {
    "one": {},
    "defaults": {"names": STUDY_CORRUPTIONS},
    "headline": {"names": ["headline"]},
    "all": {"names": ["all"]},
    "levels between": {"corruptions": {"severities": [Decimal("0.125"), 1, 2.5, 5]}},
    "recipe, seeds, noise": {"corruptions": {"recipe": "imagenet-c", "seeds": [0, 7], "noise": "independent"}},
    "evaluation": {"evaluation": {"attention": "layercam", "precision": "bfloat16", "batch_size": 8, "device": "cpu"}},
    "no attention": {"evaluation": {"attention": False}},
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


def test_a_note_stays_in_its_line(tmp_path: Path) -> None:
    text = write(study(tmp_path, model(tmp_path)), f"{HARD}: a function", subjects=(HARD,))
    head, _, _ = text.partition("\n\n")
    assert all(line.startswith("# ") for line in head.split("\n"))
    assert labels(tmp_path) == ["Net A"]
    assert notes(tmp_path) == ['# - a "b" \\ \'\'\' # größer [[models]] label = "evil"     …: a function']
    assert write(study(tmp_path, model(tmp_path)), f"{HARD}: a function", subjects=(HARD,)) == text


def test_models_of_former_benchmarks_stay_where_only_models_differ(tmp_path: Path) -> None:
    write(study(tmp_path, model(tmp_path, "A", "11")), "F: a function", subjects=("F",))
    write(study(tmp_path, model(tmp_path, "B", "22")), "G: a function", subjects=("G",))
    assert labels(tmp_path) == ["A", "B"]
    assert notes(tmp_path) == ["# - F: a function", "# - G: a function"]
    write(study(tmp_path, model(tmp_path, "A", "33")), "G: another function", subjects=("G",))
    assert labels(tmp_path) == ["B", "A"]
    assert notes(tmp_path) == ["# - F: a function", "# - G: another function"]
    assert read_study(tmp_path / "study.toml").models[1].checkpoint == tmp_path / "models" / "A-33.safetensors"


def test_what_was_named_and_no_longer_can_be_is_a_note_and_the_other_way_round(tmp_path: Path) -> None:
    write(study(tmp_path, model(tmp_path, "A", "11"), model(tmp_path, "B", "22")))
    write(study(tmp_path), "A: a Net", subjects=("A",))
    assert (labels(tmp_path), notes(tmp_path)) == (["B"], ["# - A: a Net"])
    write(study(tmp_path, model(tmp_path, "A", "11")))
    assert (labels(tmp_path), notes(tmp_path)) == (["B", "A"], [])


def test_a_model_under_another_label_stands_there_once(tmp_path: Path) -> None:
    write(study(tmp_path, model(tmp_path, "A", "11"), model(tmp_path, "B", "22")))
    write(study(tmp_path, model(tmp_path, "New", "11")))
    assert labels(tmp_path) == ["B", "New"]
    write(study(tmp_path, model(tmp_path, "Resized", "11", input_side_px=64)))
    assert labels(tmp_path) == ["B", "New", "Resized"]


@pytest.mark.parametrize(
    "more",
    [{"names": ["snow"]}, {"corruptions": {"seeds": [1]}}, {"evaluation": {"precision": "bfloat16"}}, {"name": "b"}],
    ids=["corruptions", "seeds", "precision", "name"],
)
def test_a_benchmark_of_another_kind_starts_a_new_file(tmp_path: Path, more: dict) -> None:
    write(study(tmp_path, model(tmp_path, "A", "11")), "F: a function", subjects=("F",))
    write(study(tmp_path, model(tmp_path, "B", "22"), **more))
    assert (labels(tmp_path), notes(tmp_path)) == (["B"], [])


@pytest.mark.parametrize("damage", ["name =", "\x00", "models = 3\n"], ids=["cut off", "no text", "other type"])
def test_a_damaged_file_of_its_own_is_rewritten(tmp_path: Path, damage: str) -> None:
    (tmp_path / "study.toml").write_text(HEADER + "\n" + damage)
    check_study_file(tmp_path)
    write(study(tmp_path, model(tmp_path)))
    assert labels(tmp_path) == ["Net A"]


@pytest.mark.parametrize(
    "text", ["", 'name = "mine"\n', "# mine\n" + HEADER, "\xff"], ids=["empty", "study", "below", "no text"]
)
def test_a_study_of_the_users_own_is_never_written_over(tmp_path: Path, text: str) -> None:
    (tmp_path / "study.toml").write_text(text, encoding="latin-1")
    with pytest.raises(StudyError, match=r"study\.toml is a study of your own, .*: give another folder as to="):
        check_study_file(tmp_path)
    assert (tmp_path / "study.toml").read_text(encoding="latin-1") == text


def test_a_folder_in_its_place_is_refused_and_none_is_fine(tmp_path: Path) -> None:
    check_study_file(tmp_path)
    check_study_file(tmp_path / "not there")
    (tmp_path / "study.toml").mkdir()
    with pytest.raises(StudyError, match="give another folder"):
        check_study_file(tmp_path)


def test_without_any_corruption_that_a_file_can_name_it_says_so_when_it_is_run(tmp_path: Path) -> None:
    made = study(tmp_path, model(tmp_path))
    made = made.model_copy(update={"corruptions": made.corruptions.model_copy(update={"names": []})})
    write(made, "mine: a corruption of the program", subjects=("mine",))
    with pytest.raises(StudyError, match="corruptions.names: "):
        read_study(tmp_path / "study.toml")


def test_models_alone_may_be_none(tmp_path: Path) -> None:
    write(study(tmp_path), "A: a function", subjects=("A",))
    with pytest.raises(StudyError, match="no model is named"):
        read_study(tmp_path / "study.toml")
    assert labels(tmp_path) == []


@pytest.mark.parametrize(
    "more",
    [{"name": HARD}, {"dataset": {"kind": "arrays", "path": "/data/a", "label": HARD}}, {"models": [{"label": HARD}]}],
    ids=["name", "label of the images", "label of a model"],
)
def test_names_that_a_chart_cannot_show_are_refused(tmp_path: Path, more: dict) -> None:
    models = [model(tmp_path) | given for given in more.get("models", [{}])]
    others = {key: value for key, value in more.items() if key != "models"}
    with pytest.raises(StudyError, match=r"must be printable, and holds \\n"):
        study(tmp_path, *models, **others)


def test_other_claims_leave_models_of_former_benchmarks_where_they_are(tmp_path: Path) -> None:
    write(study(tmp_path, model(tmp_path, "Net A"), claims=[{"shape": "rise", "corruptions": ["fog"]}]))
    claim = {"metric": "accuracy", "severities": [1.5, 5], "relation": "at_least", "limit": 0.3}
    write(study(tmp_path, model(tmp_path, "Net B", "bbbb"), claims=[claim]))
    assert labels(tmp_path) == ["Net A", "Net B"]
    assert claims_of_folder(tmp_path) == [claim]
    (tmp_path / "study.toml").write_text("claims = 3")
    assert claims_of_folder(tmp_path) == []


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
