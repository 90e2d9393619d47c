"""Metrics of a user's own: functions decorated or not, of files and of studies, and how errors in them are told."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from given_cells import contribution_error, given_rows, random_cell, without_logits
from sklearn.metrics import cohen_kappa_score, matthews_corrcoef, roc_auc_score

import failmodes
from failmodes.warehouse.errors import StudyError
from failmodes.warehouse.metrics.cell_rows import Cell, CellRows
from failmodes.warehouse.metrics.custom import metric, metrics_of_studies, named_metrics, read_metrics, user_metrics
from failmodes.warehouse.metrics.intervals import image_weights
from failmodes.warehouse.metrics.metric import RESAMPLES, Evaluated, Metric, all_metrics, ends_of, evaluate

torch = pytest.importorskip("torch")
of_torchmetrics = pytest.importorskip("torchmetrics.functional.classification")

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
    found = evaluate(metric(function), Cell(rows), None, weights)
    assert isinstance(found, Evaluated), found
    return found


def refused(make: Callable[[], Any], *words: str) -> None:
    with pytest.raises(StudyError) as raised:
        make()
    for word in words:
        assert word in str(raised.value), str(raised.value)


def test_a_function_is_a_metric_under_its_own_name() -> None:
    found = metric(agreement)
    assert (found.name, found.title, found.unit) == ("agreement", "agreement", "score")
    assert (found.range, found.higher_is_better) == ((-np.inf, np.inf), None)
    assert found.formula == "Share of images that agree."
    assert found.is_users
    assert found.columns == ("label", "predicted")
    assert failmodes.metric is metric


@pytest.mark.parametrize("called", [True, False])
def test_a_decorated_function_can_still_be_called(called: bool) -> None:
    made = metric()(agreement) if called else metric(agreement)
    assert isinstance(made, Metric)
    assert made(np.array([1, 2]), np.array([1, 0])).tolist() == [True, False]
    assert metric(made) is made


def test_a_decorator_says_what_it_is() -> None:
    made = metric(
        name="my_share", title="My share", unit="share", higher_is_better=True, range=(0, 1), formula="f", source="s"
    )(agreement)
    assert (made.name, made.title, made.unit, made.range) == ("my_share", "My share", "share", (0.0, 1.0))
    assert (made.better, made.formula, made.source) == ("higher", "f", "s")


def test_one_number_an_image_is_a_mean() -> None:
    found = found_of(agreement)
    assert (found.value, found.n) == (pytest.approx((LABELS == PREDICTIONS).mean()), 200)
    assert contribution_error(np.asarray(found.images)) == pytest.approx((LABELS == PREDICTIONS).std() / np.sqrt(200))

    def of_some(preds: np.ndarray, target: np.ndarray) -> np.ndarray:
        return np.where(target == 1, preds == target, np.nan)

    some = found_of(of_some)
    assert (some.value, some.n) == (pytest.approx((PREDICTIONS == 1)[LABELS == 1].mean()), (LABELS == 1).sum())


@pytest.mark.parametrize("reference", [cohen_kappa_score, matthews_corrcoef])
def test_one_number_is_that_of_scikit_learn_and_its_interval_a_bootstrap(reference: Callable[..., float]) -> None:
    def score(preds: np.ndarray, target: np.ndarray) -> float:
        return reference(target, preds)

    made = metric(range=(-1, 1))(score)
    weights = image_weights(200, RESAMPLES, 0)
    found = evaluate(made, Cell(ROWS), None, weights)
    assert isinstance(found, Evaluated)
    assert (found.value, found.n) == (pytest.approx(reference(LABELS, PREDICTIONS)), 200)
    again = [np.repeat(np.arange(200), row.astype(int)) for row in weights[:20]]
    expected = [reference(LABELS[places], PREDICTIONS[places]) for places in again]
    assert found.replicates is not None
    assert found.replicates[:20] == pytest.approx(expected)
    low, high = ends_of(made, Cell(ROWS), None, found) or (0, 0)
    assert -1 <= low < found.value < high <= 1
    half = 1.96 * np.std(found.replicates, ddof=1)
    assert high - low == pytest.approx(2 * half, rel=0.25)


def test_functions_of_torchmetrics_with_what_is_bound_to_them() -> None:
    kappa = functools.partial(of_torchmetrics.multiclass_cohen_kappa, num_classes=4)
    made = metric(kappa)
    assert made.name == "multiclass_cohen_kappa"
    assert made.takes_tensors
    assert found_of(kappa).value == pytest.approx(cohen_kappa_score(LABELS, PREDICTIONS), rel=1e-5)
    renamed = metric(name="kappa_of_four", higher_is_better=True)(kappa)
    assert (renamed.name, renamed.better) == ("kappa_of_four", "higher")


def test_probabilities_go_to_functions_of_torchmetrics_and_scikit_learn() -> None:
    areas = functools.partial(of_torchmetrics.multiclass_auroc, num_classes=4)
    made = metric(name="areas", preds="probabilities")(areas)
    assert made.columns == ("label", "logits")
    found = evaluate(made, Cell(ROWS))
    assert isinstance(found, Evaluated)
    p = np.exp(ROWS["logits"].astype(float))
    p /= p.sum(1, keepdims=True)
    assert found.value == pytest.approx(roc_auc_score(LABELS, p, multi_class="ovr"), rel=1e-4)

    @metric(preds="probabilities")
    def of_label(preds: np.ndarray, target: np.ndarray) -> np.ndarray:
        return preds[np.arange(len(target)), target]

    own = evaluate(of_label, Cell(ROWS))
    assert isinstance(own, Evaluated)
    assert own.value == pytest.approx(p[np.arange(200), LABELS].mean())


def test_images_without_a_prediction_take_no_part() -> None:
    rows = given_rows(without_logits({name: ROWS[name] for name in ("label", "predicted", "finite")}, [0, 1]))

    def least_class(preds: np.ndarray, target: np.ndarray) -> float:
        assert len(preds) == len(target)
        return float(preds.min())

    def is_first(preds: np.ndarray, target: np.ndarray) -> np.ndarray:
        return preds == 0

    alone, each = found_of(least_class, rows), found_of(is_first, rows)
    assert (alone.value, alone.n, each.n) == (0, 198, 198)
    assert each.value == (ROWS["predicted"][2:] == 0).mean()


def test_a_reason_is_no_error() -> None:
    assert evaluate(metric(lambda preds, target: "too few", name="few"), Cell(ROWS)) == "too few"


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda preds, target: 1 / 0, ["ZeroDivisionError", "division by zero"]),
        (lambda preds, target: np.ones(3), ["(3,)", "(200,)"]),
        (lambda preds, target: np.ones((200, 2)), ["(200, 2)"]),
        (lambda preds, target: torch.ones(3), ["(3,)"]),
        (lambda preds, target: {"kappa": 1}, ["float"]),
    ],
    ids=["it raises", "a number a class", "a matrix", "a tensor of classes", "a dictionary"],
)
def test_what_fails_is_told_with_its_cell(function: Any, words: list[str]) -> None:
    made = metric(function, name="failing")
    refused(lambda: evaluate(made, Cell(ROWS)), "metric 'failing'", "fog", "severity 3", *words)


@pytest.mark.parametrize("own", ["accuracy", "auroc", "mean_cosine_of_prediction"])
def test_names_of_this_package_are_taken(own: str) -> None:
    refused(lambda: metric(agreement, name=own), own, f"my_{own}")


@pytest.mark.parametrize(
    ("own", "suggested"),
    [("Kappa", "'kappa'"), ("my-kappa", "'my_kappa'"), ("1st", "'my_metric'"), ("a" * 64, ""), ("κ", "'my_metric'")],
)
def test_names_that_are_none(own: str, suggested: str) -> None:
    refused(lambda: metric(agreement, name=own), "a-z, 0-9 and _", suggested)


def test_functions_without_a_name_need_one() -> None:
    refused(lambda: metric(lambda preds, target: 1.0), "name=")
    assert metric(lambda preds, target: 1.0, name="mine").name == "mine"


@pytest.mark.parametrize("given", [(1, 0), (0, 0), (0,), "01", 5, (0, np.nan), (None, 1), (0, "1")])
def test_ranges_that_are_none(given: Any) -> None:
    refused(lambda: metric(agreement, range=given), "range", "agreement")


@pytest.mark.parametrize("given", [(0, 1), [-1, 1], (0, np.inf), (-np.inf, np.inf)])
def test_ranges(given: Any) -> None:
    assert metric(agreement, range=given).range == (float(given[0]), float(given[1]))


def test_unknown_parameters_and_preds() -> None:
    def needs_more(preds: np.ndarray, target: np.ndarray, num_classes: int) -> float:
        return num_classes

    refused(lambda: metric(needs_more), "num_classes", "functools.partial")
    assert metric(functools.partial(needs_more, num_classes=4)).parameters == ("preds", "target")
    refused(lambda: metric(agreement, preds="logits"), "'logits'", "'probabilities'")  # type: ignore[arg-type]
    for given in (5, "kappa"):
        refused(functools.partial(metric, given), "function")


def test_versions_change_with_the_source_and_with_what_is_bound() -> None:
    def made(threshold: float) -> Metric:
        def above(preds: np.ndarray, target: np.ndarray) -> np.ndarray:
            return preds > threshold

        return metric(above)

    assert made(1).version == made(1).version
    assert made(1).version != made(2).version
    kappas = [metric(functools.partial(of_torchmetrics.multiclass_cohen_kappa, num_classes=k)) for k in (4, 4, 5)]
    assert kappas[0].version == kappas[1].version != kappas[2].version
    other = {}
    for number in (1, 2, 1):
        scope: dict[str, Any] = {}
        exec(f"def own(preds, target):\n    return {number}.0", scope)  # noqa: S102
        other.setdefault(number, set()).add(metric(scope["own"]).version)
    assert len(other[1]) == 1
    assert other[1].isdisjoint(other[2])


def written(folder: Path, text: str, name: str = "metrics.py") -> str:
    (folder / name).write_text(text)
    return name


def test_a_file_gives_what_it_decorates(tmp_path: Path) -> None:
    text = (
        KAPPA + "\nalias = kappa\n@failmodes.metric\ndef half(preds, target):\n    return 0.5\ndef plain(preds): ...\n"
    )
    found = read_metrics([written(tmp_path, text)], tmp_path, "study.toml")
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
        ("def kappa(preds, target): ...", ["decorates no function"]),
        ("", ["decorates no function"]),
        ("def kappa(", ["SyntaxError"]),
        ("import no_such_module_of_ours", ["ModuleNotFoundError", "no_such_module_of_ours"]),
        ("1 / 0", ["ZeroDivisionError"]),
        ("import failmodes\n@failmodes.metric\ndef accuracy(preds, target): ...", ["accuracy", "my_accuracy"]),
        (KAPPA + KAPPA.replace("def kappa", "def other").replace("title", "name='kappa', title"), ["two", "'kappa'"]),
    ],
    ids=["nothing decorated", "empty", "no Python", "a module that is not there", "it raises", "a taken name", "two"],
)
def test_errors_in_files_name_the_file(tmp_path: Path, text: str, words: list[str]) -> None:
    name = written(tmp_path, text)
    refused(lambda: read_metrics([name], tmp_path, "study.toml"), *words)
    refused(lambda: read_metrics([name], tmp_path, "study.toml"), "metrics.py" if "two" not in words else "study.toml")


@pytest.mark.parametrize("given", ["metrics.py", [1], {"a": 1}, None])
def test_files_are_given_as_a_list(tmp_path: Path, given: Any) -> None:
    refused(lambda: read_metrics(given, tmp_path, "study.toml"), "study.toml", "list of files")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    refused(lambda: read_metrics(["none.py"], tmp_path, "study.toml"), "none.py", "study.toml")
    (tmp_path / "metrics.txt").write_text(KAPPA)
    refused(lambda: read_metrics(["metrics.txt"], tmp_path, "study.toml"), "metrics.txt", "Python")


def test_metrics_of_studies(tmp_path: Path) -> None:
    study = tmp_path / "study.toml"
    written(tmp_path, KAPPA)
    study.write_text('metrics = ["metrics.py"]\n')
    assert [one.name for one in metrics_of_studies([study]) or []] == ["kappa"]
    study.write_text("name = 'one'\n")
    assert metrics_of_studies([study]) == []
    assert metrics_of_studies([tmp_path]) is None, "a folder of results says nothing of metrics"


def test_metrics_are_named_by_name_file_or_function(tmp_path: Path) -> None:
    file, study = tmp_path / written(tmp_path, KAPPA), tmp_path / "study.toml"
    found = named_metrics(["accuracy", str(file), agreement, all_metrics()["ece"], "accuracy"])
    assert [one.name for one in found] == ["accuracy", "kappa", "agreement", "ece"]
    study.write_text('metrics = ["metrics.py"]\n')
    assert [one.name for one in named_metrics([], study)] == ["kappa"]
    assert [one.name for one in named_metrics(["kappa", "brier"], study)] == ["kappa", "brier"]
    refused(lambda: named_metrics(["acuracy"]), "acuracy", "accuracy")
    refused(lambda: named_metrics([agreement, metric(lambda preds, target: 1.0, name="agreement")]), "two metrics")


def test_functions_of_a_program() -> None:
    assert [one.name for one in user_metrics([agreement, metric(name="other")(agreement)])] == ["agreement", "other"]
    refused(lambda: user_metrics([agreement, metric(agreement)]), "two metrics", "agreement")
    refused(lambda: user_metrics([3]), "function")
