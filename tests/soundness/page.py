"""The measured rows as a table of a terminal and as a page."""

from collections.abc import Sequence

from claims import COVERAGE, FALSE, Row
from report_page import ReportSet, power_of, scenario_table, shape_power, table_lines

from failmodes.analysis.judging.findings.kind import all_kinds

PAGE = """# Error rates of statements

Failmodes states findings, judges claims and decides gates. This page shows how often such statements are false,
measured on simulated data with exactly known truth by the code that judges real results.

- **Whole reports.** {reports}
- **Each kind of statement** is measured where it is most likely to be false: at the threshold of its rule, or where
  nothing differs. It may be false in at most 5% of samples, in 5.5% for a gate's limit of the gap under a shift, whose
  bound combines two exact ones, and in 7% for a gate on a user's range of classes (see [gate](gate.md#statistics));
  {false_broken} of {false:,} cases exceed their limit.
- **95% intervals** contain the true value in 93.5 to 97% of samples, in more if there are few images;
  {coverage_broken} of {coverage:,} cases violate their limit.
- **Power**, how often a true statement is printed, has no limit: it grows with the number of images.

Do not read these rates as those of your data: simulated images are independent, and their difficulty is normal and
correlated over severities, corruptions and models. "Inconclusive" and "not measurable" never count as false.

Data: [all {count:,} cases](soundness.csv) and [whole reports]({stored}). {made}

## Whole reports

Two models, 6 corruptions, 5 severities; every finding, sentence and chart title of a report is read. At most 5% of
printed statements may be false on average, and at most 5% of first screens may contain a false statement. A share of 5%
of 100 reports has a standard error of 2.2 points.

{scenarios}

## Each kind of statement

The worst case of each kind, with its 99% Clopper-Pearson interval. A case exceeds its limit if that whole interval
does. Power is that in the reports of 500 images above, over the scenarios in which the statement is true.

{statements}

Power by shape: {shapes}.

## Intervals

The case of each interval with the lowest coverage. Intervals that must be conservative have only a lower limit.

{intervals}
"""
TITLES = {  # what is stated or covered, by kind
    "permuted_outputs": "the outputs of the model are permuted",
    "at_chance": "a model is at chance",
    "largest_drop": "which corruption hurts most",
    "shape": "the shape of a curve",
    "prediction_collapse": "one class dominates the predictions",
    "class_failure": "one class fails",
    "overconfidence": "over- or underconfidence",
    "calibration_error": "clean confidence is miscalibrated",
    "confidence_below_chance": "confidence ranks failures worse than chance",
    "errors_accepted": "accepted images exceed the error of a threshold",
    "early_warning": "a score predicts failure at the next severity",
    "attention_drift": "Grad-CAM stays near its clean location",
    "attention_off_object": "Grad-CAM leaves the object",
    "better_model": "which checkpoint is more accurate",
    "better_model over seeds": "which model is more accurate, over training seeds",
    "shape_over_distortion": "the shape over measured distortion",
    "a cell of a pair (McNemar)": "`compare`: a cell differs",
    "a claim of a limit of accuracy": "claim: accuracy at least or at most a limit",
    "a claim of a drop limit": "claim: accuracy drop at least or at most a limit",
    "a claim of a gap limit": "claim: gap to clean accuracy under a shift at most a limit",
    "a claim of a shape": "claim: the shape of a curve",
    "a claim of two accuracy drops": "claim: accuracy under one corruption against another",
    "a claim that a checkpoint is better": "claim: one checkpoint is better",
    "a curve has a break": "a curve has a break",
    "a curve has a threshold": "a curve has a threshold",
    "a slice is supported": "`slices`: a slice is less accurate than all other images",
    "a slice is worse on clean images": "`slices`: a slice is worse, or not worse, on clean images",
    "a gate fails a rule": "`gate`: a true rule fails",
    "a gate passes a rule": "`gate`: a false rule passes",
    "a gate fails a gap limit": "`gate`: a true rule on a gap under a shift fails",
    "a gate passes a gap limit": "`gate`: a false rule on a gap under a shift passes",
    "a gate fails any metric": "`gate`: a true rule on any metric fails",
    "a gate passes any metric": "`gate`: a false rule on any metric passes",
    "a gate on a user's metric": "`gate`: a rule on a user's metric of one number",
    "a winner under a corruption": "`compare`: a model is more accurate under a corruption",
    "a threshold meets its error": "`threshold`: more errors than its target on clean images",
    "a straight line does not fit": "a straight line does not fit a curve",
    "interval of the accuracy gap of a class": "accuracy gap of a class",
    "interval of a difference of models": "accuracy difference of two checkpoints",
    "interval of a difference over seeds": "accuracy difference of two models, over seeds",
    "interval of a drop": "accuracy drop",
    "interval of a reduction": "log-loss reduction of an early warning",
    "interval of a mean lead": "lead of the largest mean drop",
    "interval of a mean change": "mean change of attention",
    "interval of a metric": "any metric in one cell",
    "interval of a share": "share of the top prediction",
    "interval of a share kept": "share of centroids that stay near their clean location",
    "interval of an AUROC": "AUROC",
    "interval of an accuracy over seeds": "accuracy, over seeds",
    "interval of a mean accuracy drop": "mean accuracy drop",
    "interval of overconfidence": "overconfidence",
    "interval of the curvature": "curvature",
    "intervals of all ranks of classes": "ranks of all classes together",
    "intervals of all ranks of corruptions": "ranks of all corruptions together",
    "interval of the largest change": "largest change between severities",
    "interval of the largest step": "largest step of a curve",
    "clean coverage of a conformal set": "clean images that conformal sets cover",
    "changes within": "largest change from clean",
    "where a break lies": "location of a break",
}


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _measured(row: Row) -> str:
    return f"{percent(row.share)} [{percent(row.low)}, {percent(row.high)}]"


def broken_lines(rows: Sequence[Row]) -> list[str]:
    return [
        f"BROKEN: {row.kind} | {row.measured} | {row.truth}, {row.images:,} images; {row.note} | {_measured(row)} | "
        f"{row.limit}"
        for row in rows
        if not row.ok
    ]


def markdown(rows: Sequence[Row], found: ReportSet, made: str, stored: str) -> str:
    """Return the page.

    Args:
        rows: each kind by itself.
        found: whole reports; none if they were not measured yet.
        made: how and when all this was measured.
        stored: file of the whole reports, beside the page.
    """
    return PAGE.format(
        reports=_summary_of_reports(found),
        **_counts(rows),
        count=len(rows),
        stored=stored,
        made=made,
        scenarios="\n".join(scenario_table(found)),
        statements="\n".join(statement_table(rows, found)),
        shapes=shape_power(found),
        intervals="\n".join(interval_table(rows)),
    )


def _summary_of_reports(found: ReportSet) -> str:
    """The worst scenario of whole reports against both limits."""
    if not found.rows:
        return "Not measured yet."
    screen = max(row.false_first_screens / row.reports for row in found.rows)
    proportion = max(row.false_proportion for row in found.rows)
    broken = sum(not row.ok for row in found.rows)
    return (
        f"In the worst scenario {percent(proportion)}% of printed statements are false, and\n"
        f"  {percent(screen)}% of first screens contain a false statement. Both limits are 5%;\n"
        f"  {broken} of {len(found.rows)} scenarios exceed one."
    )


def statement_table(rows: Sequence[Row], found: ReportSet) -> list[str]:
    """Lines of the table of statements."""
    header = ("statement", "cases", "false at worst, %", "power in reports, %")
    return table_lines(header, [(*_worst_case(here), power_of(found, here[0].kind)) for here in _by_kind(rows, FALSE)])


def interval_table(rows: Sequence[Row]) -> list[str]:
    """Lines of the table of intervals."""
    header = ("interval of", "cases", "lowest coverage, %", "limit, %")
    of_kinds = _by_kind(rows, COVERAGE)
    return table_lines(header, [(*_worst_case(here), _worst(here).limit.removesuffix("%")) for here in of_kinds])


def _by_kind(rows: Sequence[Row], measured: str) -> list[list[Row]]:
    """The rows of one measure, in a list per kind, without those that are measurable in no sample."""
    own = [row for row in rows if row.measured == measured and row.samples]
    return [[row for row in own if row.kind == kind] for kind in dict.fromkeys(row.kind for row in own)]


def _worst_case(here: Sequence[Row]) -> tuple[str, str, str]:
    """Title, number of cases and worst share of the rows of a kind."""
    kind, broken = here[0].kind, sum(not row.ok for row in here)
    name = f"{TITLES.get(kind, kind)} (`{kind}`)" if kind in all_kinds() else TITLES.get(kind, kind)
    return name, str(len(here)), f"{_measured(_worst(here))}{f', {broken} BROKEN' if broken else ''}"


def _counts(rows: Sequence[Row]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, measured in (("false", FALSE), ("coverage", COVERAGE)):
        own = [row for row in rows if row.measured == measured]
        found |= {name: len(own), f"{name}_broken": sum(not row.ok for row in own)}
    return found


def _worst(rows: Sequence[Row]) -> Row:
    """Of rows of one measure, the one nearest to its limit."""
    pick = max if rows[0].measured == FALSE else min
    return pick(rows, key=lambda row: row.share)
