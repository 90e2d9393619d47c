"""Temperature scaling: it finds the factor of logits, as SciPy's softmax says, and says nothing without all logits."""

from typing import Any

import numpy as np
import pytest
from given_cells import NAN, columns_of_logits, found_of, reason_of, scaled_sums, value_of, without_logits
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from sklearn.metrics import log_loss

from failmodes.warehouse.metrics.cell_rows import CellRows, ComparedCell, Undefined
from failmodes.warehouse.metrics.temperature import NO_LOGITS, scalable_logits
from failmodes.warehouse.schema import TEMPERATURES

SCALED = ("scaled_nll_nats", "scaled_ece", "scaled_mean_confidence")
OF_HALVES = ("even_temperature", "odd_temperature")


def drawn(images: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits (N, 4), and labels drawn from their softmax."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (images, 4)).astype(np.float32).astype(np.float64)
    return logits, np.array([rng.choice(4, p=p) for p in softmax(logits, axis=1)])


def rows_of(logits: np.ndarray, labels: np.ndarray, severity: float = 0, **changed: Any) -> CellRows:
    return CellRows.of(columns_of_logits(logits, labels) | changed, severity)


def with_sums_alone(logits: np.ndarray, labels: np.ndarray, severity: float = 0) -> CellRows:
    columns = columns_of_logits(logits, labels) | {"scaled_log_sum_exp": scaled_sums(logits)}
    del columns["logits"]
    return CellRows.of(columns, severity)


def clean_cell(rows: CellRows) -> ComparedCell:
    return ComparedCell(rows, rows, (rows,), rows)


def best_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Of the grid, eighths of a doubling from 1/2 on, what is next to SciPy's optimum and fits best."""

    def loss(step: float) -> float:
        return log_loss(labels, softmax(logits / 2 ** (step / 8), axis=1), labels=range(4))

    optimum = minimize_scalar(loss, bounds=(-8, 16), method="bounded").x
    return 2 ** (min((np.floor(optimum), np.ceil(optimum)), key=loss) / 8)


def ece_of(confidence: np.ndarray, correct: np.ndarray) -> float:
    bins = np.minimum(confidence * 15, 14).astype(int)
    return float(sum(abs((confidence - correct)[bins == b].sum()) for b in range(15))) / len(correct)


@pytest.mark.parametrize("make", [rows_of, with_sums_alone])
@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_scaled_metrics_are_those_of_scipys_softmax(sharpness: float, make: Any) -> None:
    clean_logits, clean_labels = drawn(300)
    logits, labels = drawn(300, seed=1)
    clean_logits, logits = clean_logits * sharpness, logits * sharpness * 1.3
    clean, here = make(clean_logits, clean_labels), make(logits, labels, 2.0)
    cell = ComparedCell(here, clean, (clean, here), clean)
    fitted = [best_temperature(clean_logits[half::2], clean_labels[half::2]) for half in (1, 0)]
    assert [value_of(name, cell) for name in OF_HALVES] == pytest.approx(fitted), "what fits the other half"
    p = softmax(logits / np.where(np.arange(300) % 2, fitted[1], fitted[0])[:, None], axis=1)
    expected = (log_loss(labels, p), ece_of(p.max(1), logits.argmax(1) == labels), p.max(1).mean())
    for name, value in zip(SCALED, expected, strict=True):
        found = found_of(name, cell)
        assert (found.value, found.n) == (pytest.approx(value, rel=1e-4, abs=1e-4), 300)


def test_one_half_alone_has_no_temperature_of_its_own() -> None:
    logits, labels = drawn(100)
    even = rows_of(logits[::2], labels[::2], image_id=np.arange(0, 100, 2))
    assert {reason_of(name, clean_cell(even)) for name in (*SCALED, "even_temperature")} == {NO_LOGITS}
    cell = ComparedCell(rows_of(logits, labels, 1.0), reference=even)
    assert reason_of("even_temperature", cell) == NO_LOGITS
    assert value_of("odd_temperature", cell) == pytest.approx(best_temperature(logits[::2], labels[::2]))
    assert [found_of(name, cell).n for name in SCALED] == [50] * 3


def test_images_without_finite_logits_take_no_part() -> None:
    logits, labels = drawn(60)
    columns = without_logits(columns_of_logits(logits, labels), range(10))
    kept = clean_cell(rows_of(logits[10:], labels[10:], image_id=np.arange(10, 60)))
    for name in SCALED:
        found = found_of(name, clean_cell(CellRows.of(columns, 0)))
        assert (found.value, found.n) == (pytest.approx(value_of(name, kept)), 50)


def test_there_is_a_reason_without_clean_images_or_logits() -> None:
    logits, labels = drawn(10)
    rows = rows_of(logits, labels, 1.0)
    bare = CellRows.of({name: v for name, v in columns_of_logits(logits, labels).items() if name != "logits"}, 0)
    for name in (*SCALED, *OF_HALVES):
        assert reason_of(name, ComparedCell(rows)) == "there is no clean cell"
        assert reason_of(name, ComparedCell(rows, reference=bare)) == NO_LOGITS


SUMS = {"logits": [[np.nan] * 2] * 3}


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({}, 2),
        (SUMS | {"scaled_log_sum_exp": [[1.0] * len(TEMPERATURES)] * 3}, 2),
        (SUMS | {"scaled_log_sum_exp": [[1.0]] * 3}, None),
        ({"logit_classes": [True] * 3}, None),
        (SUMS, None),
        ({"label": [5, 5, 5]}, None),
        ({"finite": [False] * 3}, None),
        ({"logits": [[0, 1, NAN], [1, 0, 2], [NAN] * 3]}, 1),
    ],
    ids=[
        "whole", "sums", "sums at other temperatures", "the largest", "none", "a label beyond", "no numbers",
        "of several lengths",
    ],
)  # fmt: skip
def test_it_takes_all_logits_or_their_sums(change: dict[str, Any], kept: int | None) -> None:
    columns = {
        "image_id": [0, 1, 2], "label": [0, 1, 0], "predicted": [1, 0, 0], "finite": [True, True, False],
        "logits": [[0.0, 1.0], [1.0, 0.0], [NAN, NAN]], "logit_classes": [False] * 3,
        "loss_nats": [1.0, 1.0, NAN], "confidence": [1.0, 1.0, NAN],
    }  # fmt: skip
    rows = CellRows.of(columns | change)
    if kept:
        assert scalable_logits(rows).values.shape[1] == kept
    else:
        with pytest.raises(Undefined, match=NO_LOGITS):
            scalable_logits(rows)
