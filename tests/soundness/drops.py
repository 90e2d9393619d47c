"""Which corruption costs most, where several cost the same; and intervals of what one costs on average."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from claims import COVERAGE, COVERS, COVERS_AT_LEAST, FALSE, NEVER_FALSE, NO_LIMIT, POWER, Answers, Claim, Job, answered
from curves import Bools, draw_cells, draw_outcomes, straight

from failmodes.analysis.statistics.difference import ModelMetrics, mean_of
from failmodes.analysis.statistics.estimate import Estimate
from failmodes.analysis.statistics.model_accuracy import accuracy_over, rank_drops, severities_of
from failmodes.analysis.statistics.run_rows import ModelRows, RunRows
from failmodes.analysis.statistics.shares import count_pairs, newcombe_interval
from failmodes.warehouse.schema import CLEAN

KIND = "largest_drop"
SEVERITIES = 6
Curves = tuple[tuple[float, ...], ...]


def matrix_of(correct: Bools, severities: int = SEVERITIES, *, paired: bool = True) -> RunRows:
    """Answers (N, C * S) as an evaluation of C corruptions that share the first's clean cell."""
    cells, columns = [(CLEAN, 0.0)], [0]
    for column in range(correct.shape[1]):
        corruption, severity = divmod(column, severities)
        if severity:
            cells.append((f"{corruption:02}", float(severity)))
            columns.append(column)
    return RunRows("simulated", paired, cells, correct[:, columns], ("",) * len(cells))


def model_of(*runs: RunRows) -> ModelRows:
    """A model whose training runs gave these answers."""
    return ModelRows(runs)


def mean_cost(model: ModelRows, corruption: str, other: str = CLEAN) -> Estimate:
    """The mean accuracy of the other corruption minus that of the first, over severities."""
    severities = severities_of(model.cells)
    one, another = ([(c, s) for s in severities.get(c, [0.0])] for c in (corruption, other))
    return accuracy_over(ModelMetrics(model), [*mean_of(another), *mean_of(one, -1)]).interval()


@answered
def measure_leads(curves: Curves, images: int, paired: bool, rng: np.random.Generator, samples: int) -> Answers:
    """Whether a corruption is said to have the largest drop at the last severity."""
    names = [f"{number:02}" for number in range(len(curves))]
    shared, correlation = (0.7, 0.9) if paired else (0.0, 0.0)
    for correct in draw_cells(rng, curves, images, samples, shared, correlation):
        ranking = rank_drops(model_of(matrix_of(correct, paired=paired)), names, names, 0.95)
        yield [ranking.is_clear]


def lead_jobs() -> list[Job]:
    found = []
    first, lower = straight(0.9, 0.4, SEVERITIES), straight(0.9, 0.1, SEVERITIES)
    cases = [(2, 0, n, True) for n in (50, 500, 2_000)] + [(2, 4, n, True) for n in (50, 500)]
    cases += [(6, 0, n, True) for n in (50, 500)] + [(19, 0, 200, True), (2, 0, 500, False)]
    for tied, others, images, paired in cases:
        curves = (first,) * tied + (lower,) * others
        truth = f"{tied} drop the same" + (f", {others} much less" if others else "")
        note = "" if paired else "images do not pair"
        where = ", ".join(part for part in ("at the last severity", note) if part)
        claims = (Claim(KIND, FALSE, truth, images, SEVERITIES, NEVER_FALSE, where),)
        found.append(Job(claims, partial(measure_leads, curves, images, paired)))
    curves = (first, straight(0.9, 0.3, SEVERITIES))
    claims = (
        Claim(KIND, POWER, "10 points apart at the last severity", 500, SEVERITIES, NO_LIMIT, "at the last severity"),
    )
    return [*found, Job(claims, partial(measure_leads, curves, 500, True))]


@answered
def measure_average(
    clean: float, drop: float, images: int, paired: bool, rng: np.random.Generator, samples: int
) -> Answers:
    """Whether the interval of the average cost holds the true one."""
    curve = straight(clean, drop, SEVERITIES)
    truth = curve[0] - np.mean(curve[1:])
    for correct in draw_outcomes(rng, curve, images, samples, 0.9 if paired else 0.0):
        _, low, high = mean_cost(model_of(matrix_of(correct, paired=paired)), "00")[:3]
        yield [low <= truth <= high]


@answered
def measure_average_lead(drops: Sequence[float], images: int, rng: np.random.Generator, samples: int) -> Answers:
    """Whether the interval of the difference of two corruptions' average costs holds the true one."""
    curves = [straight(0.9, drop, SEVERITIES) for drop in drops]
    truth = float(np.mean(curves[1][1:]) - np.mean(curves[0][1:]))
    for correct in draw_cells(rng, curves, images, samples):
        _, low, high = mean_cost(model_of(matrix_of(correct)), "00", "01")[:3]
        yield [low <= truth <= high]


def average_jobs() -> list[Job]:
    found = []
    kind, few = "interval of a mean accuracy drop", "two pseudo-images weigh where few images differ"
    for images in (30, 50, 100, 500, 2_000):
        for clean, drop in ((0.9, 0.4), (0.99, 0.05)):
            limit, note = (COVERS, "") if images >= 500 and clean < 0.99 else (COVERS_AT_LEAST, few)
            truth = f"straight from {100 * clean:g}%, a drop of {100 * drop:g} points"
            claims = (Claim(kind, COVERAGE, truth, images, SEVERITIES, limit, note),)
            found.append(Job(claims, partial(measure_average, clean, drop, images, True)))
    for images in (50, 500):
        truth, note = "straight from 90%, a drop of 40 points", "images do not pair"
        claims = (Claim(kind, COVERAGE, truth, images, SEVERITIES, COVERS_AT_LEAST, note),)
        found.append(Job(claims, partial(measure_average, 0.9, 0.4, images, False)))
        claims = (Claim("interval of a mean lead", COVERAGE, "drops of 40 and 30 points", images, SEVERITIES,
                        COVERS_AT_LEAST, few),)  # fmt: skip
        found.append(Job(claims, partial(measure_average_lead, (0.4, 0.3), images)))
    return found


@answered
def measure_unpaired(images: int, rng: np.random.Generator, samples: int) -> Answers:
    """Whether Newcombe's interval of a drop between different images holds the true one."""
    for correct in draw_outcomes(rng, (0.9, 0.8), images, samples, 0.0):
        low, high = newcombe_interval(count_pairs(*correct.T, paired=False))
        yield [low <= 0.1 <= high]


def jobs() -> list[Job]:
    unpaired = [
        Job((Claim("interval of a drop", COVERAGE, "from 90 to 80%, images do not pair", images, 2, COVERS),),
            partial(measure_unpaired, images))
        for images in (50, 500)
    ]  # fmt: skip
    return lead_jobs() + average_jobs() + unpaired
