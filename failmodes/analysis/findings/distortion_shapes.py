"""Whether a curve has another shape over measured distortion than over severity, which is only an index."""

from collections.abc import Mapping, Sequence
from typing import Any

import duckdb

from failmodes.analysis.findings.curve_shape import MANNERS, is_stable
from failmodes.analysis.findings.finding import Finding, Verdict, judged, of_images
from failmodes.analysis.formatting import format_count, format_interval, format_number, join_names, lower_label
from failmodes.analysis.selection import EvaluationInfo, Selection, corruption_labels, read_for_selection
from failmodes.analysis.statistics.curve_shape import FALLING, RMSE_AXIS, SEVERITY_AXIS, SSIM_AXIS
from failmodes.sql import sql_literal

KIND = "shape_over_distortion"
AXIS_NAMES = {SEVERITY_AXIS: "severity", RMSE_AXIS: "RMSE", SSIM_AXIS: "1\u00a0\u2212\u00a0SSIM"}
Row = Mapping[str, Any]


def distortion_shape_findings(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Finding]:
    """For each model, curve that falls and measure of distortion: whether its shape is another than over severity.

    The largest changes of a model come first. Nothing is judged where distortion is no axis (see the table).
    """
    names = {corruption: lower_label(label) for corruption, label in corruption_labels(con).items()}
    return [
        _finding(evaluation, severity, over, names[over["corruption"]], selection.image_count)
        for evaluation in selection.evaluations
        for severity, over in axis_pairs(con, selection.only(evaluation))
    ]


def axis_pairs(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[tuple[Row, Row]]:
    """Rows of `shapes_over_distortion` that may be compared, over severity and over distortion; largest change first.

    They are of curves that fall over severity, with distortion that rises along them.
    """
    table = read_for_selection(con, "shapes_over_distortion", selection).rows(named=True)
    over_severity = {(r["evaluation_id"], r["corruption"]): r for r in table if r["axis"] == SEVERITY_AXIS}
    pairs = [
        (over_severity[row["evaluation_id"], row["corruption"]], row)
        for row in table
        if row["axis"] != SEVERITY_AXIS and row["curvature"] is not None and row["shape"] in FALLING
    ]
    return sorted(pairs, key=lambda pair: -abs(pair[1]["curvature_change"]))


def axes_verdict(over_severity: Row, over_distortion: Row) -> Verdict:
    """Whether the two classes differ; inconclusive unless both may be named."""
    if not (is_stable(dict(over_severity)) and is_stable(dict(over_distortion))):
        return "inconclusive"
    return "contradicted" if over_severity["shape"] == over_distortion["shape"] else "supported"


def _finding(evaluation: EvaluationInfo, over_severity: Row, over: Row, where: str, images: int) -> Finding:
    verdict = axes_verdict(over_severity, over)
    sentence = f"{describe_shapes(evaluation.label, over_severity, over, where)} {of_images(images)}."
    query = f"from shapes_over_distortion where evaluation_id = {sql_literal(evaluation.evaluation_id)} "
    query += f"and corruption = {sql_literal(over['corruption'])}"
    return judged(
        KIND, verdict, evaluation, sentence, query, n=images, unit="curvature",
        estimate=(over["curvature"], over["curvature_low"], over["curvature_high"]), corruption=over["corruption"],
        claim=over["axis"],
    )  # fmt: skip


def describe_shapes(label: str, over_severity: Row, over: Row, where: str) -> str:
    """What is said of one curve and one measure of distortion, with the curvature over it."""
    axis, verdict = AXIS_NAMES[over["axis"]], axes_verdict(over_severity, over)
    curvature = format_number(over["curvature"], 2, signed=True)
    curvature += f" {format_interval(over['curvature_low'], over['curvature_high'], 2, 1)}"
    if verdict == "supported":
        how = f"falls {MANNERS[over_severity['shape']]} over severity but {MANNERS[over['shape']]} over {axis}"
    elif verdict == "contradicted":
        how = f"falls {MANNERS[over['shape']]} over {axis} as over severity"
    else:
        how = f"may fall otherwise over {axis} than over severity"
    return f"Under {where} {label} {how}: curvature {curvature}"


def distortion_shapes_sentence(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    """Where the two axes of shape disagree most, and in how many curves; or that they are not shown to."""
    names = {corruption: lower_label(label) for corruption, label in corruption_labels(con).items()}
    pairs = axis_pairs(con, selection)
    verdicts = [axes_verdict(*pair) for pair in pairs]
    differing = [pair for pair, verdict in zip(pairs, verdicts, strict=True) if verdict == "supported"]
    if differing:
        severity, over = differing[0]
        sentence = describe_shapes(over["label"], severity, over, names[over["corruption"]])
        return f"{sentence}; the axes disagree for {_curves(differing)} of {format_count(_curves(pairs), 'curve')}"
    if not pairs:
        return "No curve falls over distortion that was measured and rises with severity"
    axes = join_names(AXIS_NAMES[axis] for axis in AXIS_NAMES if axis in {over["axis"] for _, over in pairs})
    same, open_ones = verdicts.count("contradicted"), verdicts.count("inconclusive")
    left = f", {open_ones} inconclusive" if open_ones else ""
    return f"No curve is shown to have another shape over {axes} than over severity: {same} alike{left}"


def _curves(pairs: Sequence[tuple[Row, Row]]) -> int:
    """How many curves there are, whatever the number of axes."""
    return len({(over["evaluation_id"], over["corruption"]) for _, over in pairs})
