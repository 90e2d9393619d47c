"""Whole reports of two models whose truth is known: how much of what each prints is false, and how much of it is said.

A report prints every finding whose verdict its kind prints, one by one or counted as "more like it", and every sentence
and chart title of its page, each of which is read; that something is inconclusive is never false.
"""

import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from claims import NEVER_FALSE, share_interval
from page_sentences import is_true, page_statements
from report_data import class_name, warehouse_of
from report_scenarios import CLASSES, SCENARIOS, Scenario, Statement, true_statements
from running import in_processes

from failmodes.analysis.evaluations.selection import select_one
from failmodes.analysis.judging.derivation import DERIVATION
from failmodes.analysis.judging.findings.correction import selection_findings
from failmodes.analysis.judging.findings.kind import Finding, all_kinds
from failmodes.analysis.report.rendering import report_part
from failmodes.warehouse.database.stored_metrics import update_metrics

ONLY = "reports"  # what `make soundness ONLY=` calls them
REPORTS, QUICK_REPORTS = 70, 5  # of a scenario and a number of images
PART = 10  # reports simulated at a time


class Outcome(NamedTuple):
    """One report.

    Attributes:
        printed: findings that it prints, and what its page states besides, by kind.
        false: those of them that are false.
        is_first_screen_false: whether its first screen states something false.
        said: by what might be said, how much of it is said, and how much is true; of words of curves by word too.
    """

    printed: Mapping[str, int]
    false: Mapping[str, int]
    is_first_screen_false: bool
    said: Mapping[str, tuple[int, int]]


class ReportRow(NamedTuple):
    """All reports of one scenario.

    Attributes:
        scenario: its name.
        images: of each report.
        reports: how many.
        false_reports: of them with a false sentence.
        false_first_screens: with one on the first screen.
        false_proportion: mean over reports of false / printed sentences, 0 where nothing is printed.
        false_proportion_error: standard error of that.
        printed: sentences a report, by kind.
        false: false sentences a report, by kind.
        power: share of what is true that is said, by what.
    """

    scenario: str
    images: int
    reports: int
    false_reports: int
    false_first_screens: int
    false_proportion: float
    false_proportion_error: float
    printed: dict[str, float]
    false: dict[str, float]
    power: dict[str, float]

    @property
    def is_first_screen_sound(self) -> bool:
        """Whether the interval of the share of reports whose first screen is false begins within the limit."""
        return share_interval(self.false_first_screens, self.reports)[0] <= (NEVER_FALSE.high or 0)

    @property
    def is_proportion_sound(self) -> bool:
        """The same of the false share of what is printed: 99 % as elsewhere, of a normal mean."""
        return self.false_proportion - 2.576 * self.false_proportion_error <= (NEVER_FALSE.high or 0)

    @property
    def ok(self) -> bool:
        return self.is_first_screen_sound and self.is_proportion_sound


def printed(findings: Sequence[Finding]) -> list[Finding]:
    """The findings that a report prints, told or counted: see `headlines`."""
    return [finding for finding in findings if finding.verdict in all_kinds()[finding.kind].printed]


def statement_of(finding: Finding) -> Statement:
    """What a printed finding states."""
    kind, model, about = finding.kind, finding.evaluation_id, finding.corruption or ""
    if kind in ("better_model", "calibration_error", "at_chance"):
        return Statement(kind, model)
    if kind == "early_warning":
        return Statement(kind, model, finding.claim)
    word = {"shape": finding.claim, "overconfidence": finding.verdict}.get(kind, "")
    if kind in ("prediction_collapse", "class_failure"):
        named = next(index for index in range(CLASSES) if class_name(index) in finding.sentence)
        word = f"{named} at {finding.severity:g}"
    return Statement(kind, model, about, word)


def judge_report(
    findings: Sequence[Finding], scenario: Scenario, first_screen: Sequence[Statement], below: Sequence[Statement]
) -> Outcome:
    """Hold what a report prints against everything that it may state.

    Args:
        findings: all of its findings.
        scenario: what is true.
        first_screen: what its first screen states.
        below: what its other sentences and chart titles state.
    """
    truth, of_findings = true_statements(scenario), [statement_of(finding) for finding in printed(findings)]
    stated = [*of_findings, *({*first_screen, *below} - {*of_findings})]
    false = [one for one in stated if not is_true(one, scenario, truth)]
    told = {one.unit for one in stated if one not in false}
    units: dict[str, set[tuple[str, str, str]]] = {}
    for one in truth - {one for one in truth if one.word == "inconclusive"}:
        units.setdefault(one.kind, set()).add(one.unit)
        if one.kind == "shape":
            units.setdefault(f"{one.kind}: {one.word}", set()).add(one.unit)
    return Outcome(
        Counter(one.kind for one in stated),
        Counter(one.kind for one in false),
        any(one in false for one in first_screen),
        {name: (len(told & own), len(own)) for name, own in units.items()},
    )


def simulate(
    scenario: Scenario, images: int, number: int, seed: int
) -> tuple[list[Finding], list[Statement], list[Statement]]:
    """The findings of one report, and what its first screen and the rest of its page state.

    They depend on the arguments alone.
    """
    name = zlib.crc32(f"{scenario.name}, {images}".encode())
    with warehouse_of(scenario, images, np.random.default_rng([seed, name, number])) as con:
        update_metrics(con)
        DERIVATION.store(con, ())
        selection = select_one(con)
        return selection_findings(con, selection), *page_statements(report_part(con, selection))


def report_jobs() -> list[tuple[int, int]]:
    """A scenario's number and images, of each row."""
    return [(number, images) for number, scenario in enumerate(SCENARIOS) for images in scenario.sizes]


def measure_reports(
    count: int,
    seed: int,
    processes: int,
    finished: Callable[[str, int], None],
    jobs: Sequence[tuple[int, int]] | None = None,
) -> list[ReportRow]:
    """Simulate so many reports of each scenario.

    Args:
        count: reports of a scenario and a number of images.
        seed: of all of them.
        processes: at once.
        finished: told of every part: its scenario's name, and how many reports.
        jobs: scenarios' numbers and images; all if not given.
    """
    wanted = report_jobs() if jobs is None else jobs
    parts = [
        (*job, start, min(PART, count - start))
        for job in sorted(wanted, key=lambda job: -job[1])
        for start in range(0, count, PART)
    ]
    outcomes: dict[tuple[int, int], dict[int, list[Outcome]]] = {job: {} for job in wanted}
    for part, measured in in_processes(parts, partial(measure_reports_part, seed=seed), processes):
        number, images, start, size = part
        outcomes[number, images][start] = measured
        finished(SCENARIOS[number].name, size)
    return [
        summarize(SCENARIOS[number].name, images, [one for _, part in sorted(of_job.items()) for one in part])
        for (number, images), of_job in outcomes.items()
    ]


def measure_reports_part(part: tuple[int, int, int, int], seed: int) -> list[Outcome]:
    """Some reports: a scenario's number, images, the first report's number, and how many."""
    number, images, start, count = part
    scenario, reports = SCENARIOS[number], range(start, start + count)
    found = (simulate(scenario, images, one, seed) for one in reports)
    return [judge_report(findings, scenario, *page) for findings, *page in found]


def summarize(name: str, images: int, outcomes: Sequence[Outcome]) -> ReportRow:
    """The row of all reports of a scenario."""
    count = len(outcomes)
    totals = np.array([[sum(one.printed.values()), sum(one.false.values())] for one in outcomes])
    proportions = totals[:, 1] / totals[:, 0].clip(1)
    said: dict[str, list[tuple[int, int]]] = {}
    for outcome in outcomes:
        for what, numbers in outcome.said.items():
            said.setdefault(what, []).append(numbers)
    of_kind = [
        {kind: sum(one[kind] for one in numbers) / count for kind in sorted(set().union(*numbers))}
        for numbers in ([Counter(one.printed) for one in outcomes], [Counter(one.false) for one in outcomes])
    ]
    return ReportRow(
        scenario=name,
        images=images,
        reports=count,
        false_reports=int((totals[:, 1] > 0).sum()),
        false_first_screens=sum(one.is_first_screen_false for one in outcomes),
        false_proportion=float(proportions.mean()),
        false_proportion_error=float(proportions.std(ddof=1) / np.sqrt(count)) if count > 1 else 0.0,
        printed=of_kind[0],
        false=of_kind[1],
        power={what: sum(s for s, _ in own) / sum(t for _, t in own) for what, own in sorted(said.items())},
    )
