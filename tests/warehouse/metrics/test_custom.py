"""Metrics of a user's own: functions decorated or not, of files and of studies, and how errors in them are told."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from given_cells import contribution_error, random_cell, without_logits
from sklearn.metrics import cohen_kappa_score, roc_auc_score

import failmodes
from failmodes.runtime.errors import StudyError
from failmodes.warehouse.metrics.cell_rows import CellRows, ComparedCell
from failmodes.warehouse.metrics.custom import metric, metrics_of_studies, named_metrics, read_metrics, user_metrics
from failmodes.warehouse.metrics.intervals import image_weights
from failmodes.warehouse.metrics.metric import RESAMPLES, Evaluated, Metric, all_metrics, evaluate

torch = pytest.importorskip("torch")

ROWS = random_cell(200, seed=12).rows
LABELS, PREDICTIONS = ROWS["label"].astype(int), ROWS["predicted"].astype(int)
KAPPA = """
import failmodes
from sklearn.metrics import cohen_kappa_score

@failmodes.metric(title="Cohen's kappa", higher_is_better=True, range=(-1, 1))
def kappa(preds, target):
    return cohen_kappa_score(target, preds)
"""


def agreement(preds: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Share of images that agree.

    More words.
    """
    return preds == target


def found_of(function: Any, rows: CellRows = ROWS, weights: Any = None) -> Evaluated:
    found = evaluate(metric(function), ComparedCell(rows), None, weights)
    assert isinstance(found, Evaluated), found
    return found


def refused(make: Callable[[], Any], *words: str) -> None:
    with pytest.raises(StudyError) as raised:
        make()
    assert all(word in str(raised.value) for word in words), str(raised.value)


@pytest.mark.parametrize("made", [metric(agreement), metric()(agreement), metric(metric(agreement))])
def test_a_function_is_a_metric_under_its_own_name_and_can_still_be_called(made: Metric) -> None:
    assert (made.name, made.unit, made.formula) == ("agreement", "score", "Share of images that agree")
    assert (made.range, made.higher_is_better, made.is_users) == ((-np.inf, np.inf), None, True)
    assert made.columns == ("label", "predicted")
    assert made(np.array([1, 2]), np.array([1, 0])).tolist() == [True, False]
    assert failmodes.metric is metric


def test_a_decorator_says_what_it_is() -> None:
    made = metric(
        name="my_share", title="My share", unit="share", higher_is_better=True, range=(0, 1), formula="f", source="s"
    )(agreement)
    assert (made.name, made.title, made.unit, made.range) == ("my_share", "My share", "share", (0.0, 1.0))
    assert (made.better, made.formula, made.source) == ("higher", "f", "s")


def test_one_number_an_image_is_a_mean_of_those_that_have_one() -> None:
    found = found_of(agreement)
    assert (found.value, found.n) == (pytest.approx((LABELS == PREDICTIONS).mean()), 200)
    assert contribution_error(np.asarray(found.images)) == pytest.approx((LABELS == PREDICTIONS).std() / np.sqrt(200))

    def of_some(preds: np.ndarray, target: np.ndarray) -> np.ndarray:
        return np.where(target == 1, preds == target, np.nan)

    some = found_of(of_some)
    assert (some.value, some.n) == (pytest.approx((PREDICTIONS == 1)[LABELS == 1].mean()), (LABELS == 1).sum())


def test_one_number_is_that_of_scikit_learn_and_its_interval_a_bootstrap() -> None:
    def score(preds: np.ndarray, target: np.ndarray) -> float:
        return cohen_kappa_score(target, preds)

    weights = image_weights(200, RESAMPLES, 0)
    found = found_of(metric(range=(-1, 1))(score), weights=weights)
    assert (found.value, found.n) == (pytest.approx(cohen_kappa_score(LABELS, PREDICTIONS)), 200)
    again = [np.repeat(np.arange(200), row.astype(int)) for row in weights]
    expected = [cohen_kappa_score(LABELS[places], PREDICTIONS[places]) for places in again]
    assert found.replicates == pytest.approx(expected)
    low, high = found.ends() or (0, 0)
    assert low < found.value < high
    assert high - low == pytest.approx(2 * 1.96 * np.std(expected, ddof=1), rel=0.25)


@pytest.mark.test_all
def test_functions_of_torchmetrics_are_given_tensors_and_what_is_bound_to_them() -> None:
    of_torchmetrics = pytest.importorskip("torchmetrics.functional.classification")
    kappa = functools.partial(of_torchmetrics.multiclass_cohen_kappa, num_classes=4)
    assert (metric(kappa).name, metric(kappa).takes_tensors) == ("multiclass_cohen_kappa", True)
    assert found_of(kappa).value == pytest.approx(cohen_kappa_score(LABELS, PREDICTIONS), rel=1e-5)
    areas = functools.partial(of_torchmetrics.multiclass_auroc, num_classes=4)
    made = metric(name="areas", preds="probabilities")(areas)
    assert made.columns == ("label", "logits")
    p = np.exp(ROWS["logits"].astype(float))
    expected = roc_auc_score(LABELS, p / p.sum(1, keepdims=True), multi_class="ovr")
    assert found_of(made).value == pytest.approx(expected, rel=1e-4)


def test_images_without_a_prediction_take_no_part() -> None:
    rows = CellRows.of(without_logits({name: ROWS[name] for name in ("label", "predicted", "finite")}, [0, 1]))
    alone = found_of(metric(lambda preds, target: float(preds.min()), name="least"), rows)
    each = found_of(metric(lambda preds, target: preds == target, name="each"), rows)
    assert (alone.value, alone.n, each.n) == (0, 198, 198)
    assert each.value == pytest.approx((PREDICTIONS == LABELS)[2:].mean())
    assert each.images is not None
    assert each.images[:2] == pytest.approx([each.value] * 2)


def test_a_reason_is_no_error() -> None:
    assert evaluate(metric(lambda preds, target: "too few", name="few"), ComparedCell(ROWS)) == "too few"


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda preds, target: 1 / 0, ["ZeroDivisionError", "division by zero"]),
        (lambda preds, target: np.ones(3), ["(3,)", "(200,)"]),
        (lambda preds, target: torch.ones((200, 2)), ["(200, 2)"]),
        (lambda preds, target: {"kappa": 1}, ["float"]),
    ],
    ids=["it raises", "a number a class", "a matrix", "a dictionary"],
)
def test_what_fails_is_told_with_its_cell(function: Any, words: list[str]) -> None:
    made = metric(function, name="failing")
    refused(lambda: evaluate(made, ComparedCell(ROWS)), "metric 'failing'", "fog", "severity 3", *words)


def needs_more(preds: np.ndarray, target: np.ndarray, num_classes: int) -> float:
    return num_classes


@pytest.mark.parametrize(
    ("function", "options", "words"),
    [
        *[(agreement, {"name": own}, [own, f"my_{own}"]) for own in ("accuracy", "mean_cosine_of_prediction")],
        *[(agreement, {"name": own}, ["a-z, 0-9 and _", "'my_metric'"]) for own in ("1st", "κ")],
        (agreement, {"name": "my-kappa"}, ["'my_kappa'"]),
        (lambda preds, target: 1.0, {}, ["name="]),
        *[(agreement, {"range": given}, ["range", "agreement"])
          for given in ((1, 0), (0, 0), (0,), "01", 5, (0, np.nan), (None, 1), (0, "1"))],
        (needs_more, {}, ["num_classes", "functools.partial"]),
        (agreement, {"preds": "logits"}, ["'logits'", "'probabilities'"]),
        (5, {}, ["function"]),
    ],
)  # fmt: skip
def test_what_is_no_metric_is_refused(function: Any, options: dict[str, Any], words: list[str]) -> None:
    refused(lambda: metric(function, **options), *words)


def test_versions_change_with_the_source_and_with_what_is_bound() -> None:
    def made(threshold: float) -> Metric:
        def above(preds: np.ndarray, target: np.ndarray) -> np.ndarray:
            return preds > threshold

        return metric(above)

    assert made(1).version == made(1).version != made(2).version
    bound = [metric(functools.partial(needs_more, num_classes=k)).version for k in (4, 4, 5)]
    assert bound[0] == bound[1] != bound[2]
    typed = []
    for number in (1, 2, 1):
        scope: dict[str, Any] = {}
        exec(f"def own(preds, target):\n    return {number}.0", scope)  # noqa: S102
        typed.append(metric(scope["own"]).version)
    assert typed[0] == typed[2] != typed[1]


def written(folder: Path, text: str) -> str:
    (folder / "metrics.py").write_text(text)
    return "metrics.py"


def test_a_file_gives_what_it_decorates(tmp_path: Path) -> None:
    text = "\nalias = kappa\n@failmodes.metric\ndef half(preds, target):\n    return 0.5\ndef plain(preds): ...\n"
    found = read_metrics([written(tmp_path, KAPPA + text)], tmp_path, "study.toml")
    assert [one.name for one in found] == ["kappa", "half"]
    assert found[0].title == "Cohen's kappa"
    assert found_of(found[0]).value == pytest.approx(cohen_kappa_score(LABELS, PREDICTIONS))
    assert found[0].version == found[1].version, "that of the whole file, which both may use"


def test_versions_and_values_change_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    versions = set()
    for number in (1, 2, 3):  # of one length, within a second: as compiled before, the first would stay
        text = f"import failmodes\n@failmodes.metric\ndef own(preds, target):\n    return {number}.0\n"
        (made,) = read_metrics([written(tmp_path, text)], tmp_path, "study.toml")
        assert found_of(made).value == number
        versions.add(made.version)
    assert len(versions) == 3
    assert {path.name for path in tmp_path.iterdir()} == {"metrics.py"}, "nothing is written beside it"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def kappa(preds, target): ...", ["metrics.py", "decorates no function"]),
        ("def kappa(", ["metrics.py", "SyntaxError"]),
        ("import no_such_module_of_ours", ["metrics.py", "ModuleNotFoundError", "no_such_module_of_ours"]),
        ("import failmodes\n@failmodes.metric\ndef accuracy(preds, target): ...", ["metrics.py", "my_accuracy"]),
        (KAPPA + KAPPA.replace("def kappa", "def other").replace("title", "name='kappa', title"), ["two", "'kappa'"]),
    ],
    ids=["nothing decorated", "no Python", "it raises", "a taken name", "two"],
)
def test_errors_in_files_name_the_file(tmp_path: Path, text: str, words: list[str]) -> None:
    name = written(tmp_path, text)
    refused(lambda: read_metrics([name], tmp_path, "study.toml"), *words)


@pytest.mark.parametrize("given", ["metrics.py", [1], None, ["none.py"], ["metrics.txt"]])
def test_files_are_given_as_a_list_of_those_that_are_there(tmp_path: Path, given: Any) -> None:
    (tmp_path / "metrics.txt").write_text(KAPPA)
    refused(lambda: read_metrics(given, tmp_path, "study.toml"), "study.toml" if given != ["metrics.txt"] else "Python")


def test_metrics_are_those_of_a_study_and_are_named_by_name_file_or_function(tmp_path: Path) -> None:
    file, study = tmp_path / written(tmp_path, KAPPA), tmp_path / "study.toml"
    study.write_text('metrics = ["metrics.py"]\n')
    assert [one.name for one in metrics_of_studies([study]) or []] == ["kappa"]
    assert [one.name for one in named_metrics([], study)] == ["kappa"]
    assert [one.name for one in named_metrics(["kappa", "brier"], study)] == ["kappa", "brier"]
    found = named_metrics(["accuracy", str(file), agreement, all_metrics()["ece"], "accuracy"])
    assert [one.name for one in found] == ["accuracy", "kappa", "agreement", "ece"]
    refused(lambda: named_metrics(["acuracy"]), "acuracy", "accuracy")
    study.write_text("name = 'one'\n")
    assert metrics_of_studies([study]) == []
    assert metrics_of_studies([tmp_path]) is None, "a folder of results says nothing of metrics"


def test_functions_of_a_program_have_names_of_their_own() -> None:
    assert [one.name for one in user_metrics([agreement, metric(name="other")(agreement)])] == ["agreement", "other"]
    refused(lambda: user_metrics([agreement, metric(agreement)]), "two metrics", "agreement")
    refused(lambda: user_metrics([3]), "function")
