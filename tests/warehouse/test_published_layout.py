"""Published accuracies as files: what is read is what stands there, and what is damaged is one line."""

import csv
from decimal import Decimal
from pathlib import Path

import pytest
from published_files import CLEAN, CURVES, write_published_files

from failmodes.runtime.errors import DataError, StudyError
from failmodes.warehouse.published_layout import (
    CLEAN_CELL,
    PublishedModel,
    clean_file_of,
    read_published,
    write_published,
)

HEAD = ",fog,fog\n,1,2\n"
CLEAN_HEAD = "model,clean_accuracy_percent,architecture,paper\n"


def test_tables_are_read_with_their_clean_accuracies(tmp_path: Path) -> None:
    found = read_published(write_published_files(tmp_path), "My digits")
    assert (found.name, found.dataset, found.has_clean) == ("mine_unaggregated", "My digits", True)
    assert [model.name for model in found.models] == list(CURVES)
    for model in found.models:
        assert model.accuracies[CLEAN_CELL] == CLEAN[model.name]
        assert model.accuracies["fog", Decimal(4)] == CURVES[model.name]["fog"][3]
        assert (model.architecture, model.paper) == (f"net-{model.name.lower()}", "A paper")


def test_a_table_alone_has_no_clean_accuracies(tmp_path: Path) -> None:
    found = read_published(write_published_files(tmp_path, clean=False))
    assert (found.dataset, found.has_clean) == (None, False)
    assert all(len(model.accuracies) == 10 for model in found.models)


@pytest.mark.parametrize(
    ("stem", "name", "dataset"),
    [
        ("cifar10_corruptions", "RobustBench, CIFAR-10-C", "CIFAR-10"),
        ("imagenet_corruptions", "RobustBench, ImageNet-C", "ImageNet"),
        ("cifar10_mine", "cifar10_mine_unaggregated", None),
        ("other_corruptions", "other_corruptions_unaggregated", None),
    ],
)
def test_the_name_of_a_file_tells_its_data_set(tmp_path: Path, stem: str, name: str, dataset: str | None) -> None:
    found = read_published(write_published_files(tmp_path, stem))
    assert (found.name, found.dataset) == (name, dataset)
    assert read_published(tmp_path / f"{stem}_unaggregated.csv", "X").dataset == "X"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("", "ends before its first model"),
        (",fog\n", "ends before its first model"),
        (HEAD, "ends before its first model"),
        ("x\n1\nA\n", "line 1: it names no corruption"),
        (",fog,fog\n,1\nA,.5,.5\n", "line 2: 2 cells, the first row has 3"),
        (",Fog!,fog\n,1,2\nA,.5,.5\n", "line 1, column 2: 'Fog!': String should match"),
        (",none,fog\n,1,2\nA,.5,.5\n", "'none': the clean images are not a corruption"),
        (",fog,fog\n,1,six\nA,.5,.5\n", "column 3: 'six': expected a valid decimal"),
        (",fog,fog\n,0,1\nA,.5,.5\n", "'0': expected greater than 0"),
        (",fog,fog\n,1,1000\nA,.5,.5\n", "'1000': expected less than or equal to 999"),
        (",fog,fog\n,1,1.0\nA,.5,.5\n", "fog at severity 1 occurs twice"),
        (HEAD + "A,.5\n", "line 3: 2 cells, the first row has 3"),
        (HEAD + "A,.5,.5,.5\n", "line 3: 4 cells"),
        (HEAD + "A,.5,81.2\n", "line 3 ('A'), fog at severity 2: '81.2': expected less than or equal to 1"),
        (HEAD + "A,.5,nan\n", "'nan': expected a finite number"),
        (HEAD + "A,.5,-0.1\n", "'-0.1': expected greater than or equal to 0"),
        (HEAD + "A,.5,\n", "'': expected a valid decimal"),
        (HEAD + f"A,.5,{'9' * 5000}\n", "expected less than or equal to 1"),
        (HEAD + "A,.5,.5\nA,.4,.4\n", "line 4: model 'A' occurs twice"),
        (HEAD + ",.5,.5\n", "line 3: the model has no name"),
        (HEAD + "A\x1b[31m,.5,.5\n", "model name: 'A\\x1b[31m': expected one printable line"),
        (HEAD + f"{'A' * 301},.5,.5\n", "expected one printable line of at most 300 letters"),
        (HEAD + 'A,"x"y,.5\n', "not a CSV"),
        (HEAD + 'A,.5,".5\n', "not a CSV"),
        (HEAD + f"A,{'5' * 200_000},.5\n", "not a CSV"),
    ],
)
def test_a_damaged_table_is_one_line(tmp_path: Path, content: str, text: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(content)
    with pytest.raises(DataError) as error:
        read_published(path)
    assert text in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("", "has no columns model and clean_accuracy_percent"),
        ("model,accuracy\nA,50\n", "has no columns model and clean_accuracy_percent"),
        ("model,model,clean_accuracy_percent\nA,A,50\n", "one of them twice"),
        (CLEAN_HEAD + "B,50,x,y\n", "no clean accuracy of 'A'"),
        (CLEAN_HEAD + "A,50\n", "line 2: 2 cells, the first row has 4"),
        (CLEAN_HEAD + "A,150,x,y\n", "('A'), clean_accuracy_percent: '150': expected less than or equal to 100"),
        (CLEAN_HEAD + "A,50,x,y\nA,50,x,y\n", "line 3: model 'A' occurs twice"),
        (CLEAN_HEAD + "A,50,x\x07,y\n", "architecture: "),
        (CLEAN_HEAD + f"A,50,x,{'y' * 301}\n", "paper: "),
    ],
)
def test_a_damaged_file_of_clean_accuracies_is_one_line(tmp_path: Path, content: str, text: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(HEAD + "A,.5,.5\n")
    clean_file_of(path).write_text(content)
    with pytest.raises(DataError) as error:
        read_published(path)
    assert text in str(error.value)
    assert str(tmp_path / "table_clean.csv") in str(error.value)


def test_what_is_no_text_or_no_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="no file at"):
        read_published(tmp_path / "missing.csv")
    with pytest.raises(DataError, match="is a folder"):
        read_published(tmp_path)
    (tmp_path / "latin.csv").write_bytes(HEAD.encode() + b"Caf\xe9,.5,.5\n")
    with pytest.raises(DataError, match=r"not UTF-8 text \(byte 17\)"):
        read_published(tmp_path / "latin.csv")


def test_what_is_written_is_read_again_to_the_last_digit(tmp_path: Path) -> None:
    values = [1 / 3, 0.1 + 0.2, 1.0, 0.0, 2 / 7, 1e-7]
    cells = [("fog", Decimal(s)) for s in (1, 2)] + [("contrast", Decimal("2.5"))]
    names = ["=cmd|' /C calc'!A0", "@x", "'=y", "'", '+1, "quoted"', "-2", "Ω net"]
    models = [
        PublishedModel(
            name, {CLEAN_CELL: values[i % 6]} | {c: values[(i + j) % 6] for j, c in enumerate(cells)}, "=a", None
        )
        for i, name in enumerate(names)
    ]
    table, clean = write_published(tmp_path / "ours.csv", models)
    assert clean == tmp_path / "ours_clean.csv"
    assert read_published(table).models == tuple(models)
    for path in (table, clean):
        with path.open(newline="") as file:
            cells_of = [cell for row in csv.reader(file) for cell in row]
        assert not [cell for cell in cells_of if cell.startswith(("=", "+", "-", "@"))]


@pytest.mark.test_all
@pytest.mark.parametrize(("stem", "count"), [("cifar10", 23), ("imagenet", 12)])
def test_robustbench_is_read(real_data: Path, stem: str, count: int) -> None:
    table = real_data / "robustbench" / f"{stem}_corruptions_unaggregated.csv"
    found = read_published(table)
    lines = table.read_text().splitlines()
    assert len(found.models) == count == len(lines) - 2
    assert all(len(model.accuracies) == 76 for model in found.models)
    assert [float(text) for text in lines[2].split(",")[1:]] == list(found.models[0].accuracies.values())[1:]
