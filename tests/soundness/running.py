"""All jobs, in parts that several processes measure, each with samples of its own that depend on the seed alone."""

import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from multiprocessing import get_context
from typing import Any

import abstentions
import attentions
import breaks
import conditions
import confidences
import distortion_axes
import drops
import gates
import given_predictions
import metric_gates
import numpy as np
import pairs
import predictors
import ranks
import shapes
import shifts
import slices
import stated_claims
import training
import user_metrics
from claims import Job, Row, judge
from curves import Floats

from failmodes.analysis.judging.findings.kind import all_kinds

MODULES = (
    drops, ranks, shapes, distortion_axes, breaks, given_predictions, confidences, predictors, attentions, pairs,
    training, gates, metric_gates, user_metrics, stated_claims, conditions, shifts,
    slices, abstentions,
)  # fmt: skip
PART = 500  # samples measured at a time
Part = tuple[int, int, int]  # a job, a part of its samples, and how many
_INHERITED: list[Job] = []  # by forked processes, since not all that a job asks can be sent to one


def all_jobs(only: str | None = None) -> list[Job]:
    """All jobs, or those with a claim of one kind."""
    found = [job for module in MODULES for job in module.jobs()]
    return [job for job in found if only is None or any(claim.kind == only for claim in job.claims)]


def measure_all(
    jobs: Sequence[Job], samples: int, seed: int, processes: int, finished: Callable[[Job, int, list[Row]], None]
) -> list[Row]:
    """Measure all.

    Args:
        jobs: what is measured.
        samples: of each job, at most its own number.
        seed: of all samples.
        processes: at once.
        finished: told of every part: its job, its samples, and the job's rows once all parts are there.
    """
    parts = list(_parts(jobs, samples))
    left = Counter(number for number, *_ in parts)
    outcomes: dict[Part, Floats] = {}
    rows: list[Row] = []
    _INHERITED[:] = jobs
    for part, outcome in in_processes(parts, partial(_measure_inherited, seed=seed), processes):
        outcomes[part] = outcome
        left[part[0]] -= 1
        found = [] if left[part[0]] else _rows_of(part[0], jobs, outcomes)
        rows += found
        finished(jobs[part[0]], part[2], found)
    return in_order(rows)


def in_processes(parts: Iterable[Any], measure: Callable[[Any], Any], processes: int) -> Iterator[tuple[Any, Any]]:
    """Each part and what was measured of it, as they end; so many processes are at work at once."""
    with ProcessPoolExecutor(processes, get_context("fork")) as pool:
        futures = {pool.submit(measure, part): part for part in parts}
        for future in as_completed(futures):
            yield futures[future], future.result()


def in_order(rows: Sequence[Row]) -> list[Row]:
    """Rows in the order of the page: kinds of findings as in a report, then everything else by name."""
    return sorted(rows, key=_order)


def _rows_of(number: int, jobs: Sequence[Job], outcomes: Mapping[Part, Floats]) -> list[Row]:
    found = np.concatenate([outcomes[part] for part in sorted(outcomes) if part[0] == number])
    job = jobs[number]
    return [judge(claim, found[:, column], is_exact=job.is_exact) for column, claim in enumerate(job.claims)]


def _parts(jobs: Sequence[Job], samples: int) -> Iterator[Part]:
    for number, job in enumerate(jobs):
        wanted = min(samples, job.samples or samples)
        for part, start in enumerate(range(0, wanted, PART)):
            yield number, part, min(PART, wanted - start)


def _measure_inherited(part: Part, seed: int) -> Floats:
    number, place, count = part
    return measure_part(_INHERITED[number], place, count, seed)


def measure_part(job: Job, part: int, count: int, seed: int) -> Floats:
    """Answers of some samples of a job, (count, claims)."""
    name = zlib.crc32(repr([claim[:5] for claim in job.claims]).encode())
    return job.answers(np.random.default_rng([seed, name, part]), count)


def _order(row: Row) -> tuple[int, str, str, str, int, int, str]:
    kinds = list(all_kinds())
    place = kinds.index(row.kind) if row.kind in kinds else len(kinds)
    return place, row.kind, row.measured, row.truth, row.images, row.severities, row.note
