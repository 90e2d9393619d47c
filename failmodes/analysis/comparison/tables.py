"""The tables of a comparison: by corruption, metrics, cells, classes, and images that change sides."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from failmodes.analysis.findings.comparison_sentences import (
    cells_sentence,
    changed_sentence,
    crossover_text,
    has_verdict,
)
from failmodes.analysis.formatting import (
    NO_BREAK,
    capitalize_first,
    format_interval,
    format_number,
    format_percent,
    format_severity,
    label_with_extra,
    shown_sentence,
    smallest_shown_sentence,
)
from failmodes.analysis.statistics.bootstrap import Estimate
from failmodes.analysis.statistics.model_comparison import (
    CellComparison,
    ChangedImages,
    ClassComparison,
    Comparison,
    MetricComparison,
    Winner,
)
from failmodes.analysis.statistics.sufficiency import difference_shown
from failmodes.analysis.text_tables import EMPTY, MOST_LEVELS, TableCell, TextTable
from failmodes.warehouse.schema import CLEAN

DECIDED = "*"  # after a cell's difference
ANOTHER_CLASS = "another class"
BY_CORRUPTION, CLEAN_NAME, BETTER, CROSSOVER = "Accuracy by corruption", "Clean", "Better", "Crossover"
IMAGE = "Image"
SEVERITY_DIGITS = 2
LONGEST_DIFFERENCE = 24  # letters of a heading


class Sides(NamedTuple):
    """How the two models are called in a table."""

    a: str
    b: str

    @property
    def difference(self) -> str:
        """The heading of a difference: what is subtracted from what, where there is room."""
        heading = f"{self.b} \u2212 {self.a}"
        return heading if len(heading) <= LONGEST_DIFFERENCE else "Second \u2212 first"

    def of(self, winner: Winner) -> str:
        """The name of a winner; a word where there is none."""
        return {"a": self.a, "b": self.b, "": "inconclusive"}[winner]


LETTERS = Sides("A", "B")


def comparison_tables(comparison: Comparison, sides: Sides, *, most_images: int | None = None) -> list[TextTable]:
    """All tables, the one by corruption first; of single images as many as there are, or `most_images` each."""
    found = [corruption_table(comparison, sides), metric_table(comparison, sides), cell_table(comparison)]
    if comparison.classes:
        found.append(class_table(comparison, sides))
    for changed, is_incorrect in ((comparison.newly_incorrect, True), (comparison.newly_correct, False)):
        if changed is not None:
            found.append(image_table(changed, comparison, sides, is_incorrect=is_incorrect, most=most_images))
    return found


def corruption_table(comparison: Comparison, sides: Sides) -> TextTable:
    """Accuracy clean, on average, and under each corruption, the largest loss of the second first."""
    names = (f"Mean of {len(comparison.averaged)}", CLEAN_NAME)
    rows = [
        (TableCell(name), _percent(one.a), _percent(one.b), _points(one.difference))
        for name, one in zip(names, (comparison.overall, comparison.clean), strict=True)
    ]
    rows += [
        (
            TableCell(label_with_extra(one.corruption_label, is_extra=one.corruption not in comparison.averaged)),
            _percent(one.accuracy_a),
            _percent(one.accuracy_b),
            _points(one.difference),
        )
        for one in comparison.corruptions
    ]
    note = f"Per cent, and the difference in points with its {format_percent(comparison.level, 0)} interval."
    note += _shown([one.difference for one in comparison.corruptions], comparison.level)
    columns = ("Corruption", sides.a, sides.b, sides.difference)
    crossovers = [one.crossover if has_verdict(comparison) else None for one in comparison.corruptions]
    if not any(crossovers):
        return TextTable(BY_CORRUPTION, note, columns, tuple(rows))
    crossed = [EMPTY if one is None else crossover_text(one) for one in crossovers]
    return TextTable(
        BY_CORRUPTION,
        f"{note} Crossover: the severity at which the curves cross, between the last at which one is shown ahead and "
        "the first at which the other is.",
        (*columns, CROSSOVER),
        tuple((*row, TableCell(text)) for row, text in zip(rows, ["", "", *crossed], strict=True)),
    )


def metric_table(comparison: Comparison, sides: Sides) -> TextTable:
    """The metrics beside accuracy under corruption."""
    level = format_percent(comparison.level, 0)
    return TextTable(
        "Other metrics",
        "Corrupted: the mean over corruptions of the mean over their severities. Differences of per cent are points; "
        f"{level} intervals.{_shown_of_metrics(comparison)}",
        ("Metric", sides.a, sides.b, sides.difference, BETTER),
        tuple(_metric_row(one, sides, comparison) for one in comparison.metrics),
    )


def cell_table(comparison: Comparison, most_levels: int = MOST_LEVELS, *, has_intervals: bool = True) -> TextTable:
    """The difference in every cell: corruptions against severities, of a dense grid the whole ones."""
    found = {(cell.corruption, cell.severity): cell for cell in comparison.cells}
    levels = sorted({severity for _, severity in found if severity})
    shown = levels if len(levels) <= most_levels else [severity for severity in levels if not severity % 1]
    interval = f" with the {format_percent(comparison.level, 0)} interval of each cell" if has_intervals else ""
    note = f"Accuracy, second minus first, in points{interval}"
    note += f"; {DECIDED}: decided. {cells_sentence(comparison)}" if has_verdict(comparison) else "."
    note += _shown([cell.difference for cell in comparison.cells], comparison.level, "difference in a cell by itself")
    if len(shown) < len(levels):
        note += f" Shown are whole severities of {len(levels)}."
    names = corruption_names(comparison)
    rows = [
        (TableCell(names[c]), *(_cell(found.get((c, s)), comparison, has_intervals=has_intervals) for s in shown))
        for c in (one.corruption for one in comparison.corruptions)
    ]
    return TextTable("Difference in every cell", note, ("Corruption", *map(format_severity, shown)), tuple(rows))


def class_table(comparison: Comparison, sides: Sides, most: int | None = None) -> TextTable:
    """Classes by what the second loses, the largest loss first; `most` of those that lose, and as many that gain."""
    classes = comparison.classes if most is None else extremes(comparison.classes, most)
    rows = (
        (
            TableCell(one.class_name),
            TableCell(f"{one.image_count:,}"),
            _percent(one.accuracy_a),
            _percent(one.accuracy_b),
            _points(one.difference),
        )
        for one in classes
    )
    left = len(comparison.classes) - len(classes)
    cut = f" Those that lose or gain most, {len(classes)} of {len(comparison.classes)}." if left else ""
    differences = [one.difference for one in classes]
    smallest = _shown(differences, comparison.level, "difference of a class", len(comparison.classes))
    return TextTable(
        "Accuracy by class",
        f"Mean accuracy under corruption in per cent; intervals hold for all classes together.{cut}{smallest}",
        ("Class", "Images", sides.a, sides.b, sides.difference),
        tuple(rows),
    )


def image_table(
    changed: ChangedImages, comparison: Comparison, sides: Sides, *, is_incorrect: bool, most: int | None = None
) -> TextTable:
    """The images that change sides in most cells, with the answers in the mildest of them."""
    names = corruption_names(comparison)
    rows = (
        (
            TableCell(f"{image.image_id}"),
            TableCell(image.label_name),
            TableCell(str(image.cell_count)),
            TableCell(cell_name(names, image.corruption, image.severity)),
            TableCell(image.predicted_a or ANOTHER_CLASS),
            TableCell(image.predicted_b or ANOTHER_CLASS),
        )
        for image in changed.images[:most]
    )
    correct, incorrect = (sides.a, sides.b) if is_incorrect else (sides.b, sides.a)
    return TextTable(
        "Newly wrong" if is_incorrect else "Newly right",
        f"Right by {correct}, wrong by {incorrect}: {changed_sentence(changed)}. Those of most cells, with both "
        "answers in the mildest.",
        (IMAGE, "Class", "Cells", "Mildest", sides.a, sides.b),
        tuple(rows),
    )


def _shown(estimates: Sequence[Estimate | None], level: float, what: str = "difference", comparisons: int = 1) -> str:
    """The smallest of such differences that these images could show, in words."""
    known = [one for one in estimates if one is not None]
    shown = difference_shown(
        [one.low for one in known], [one.high for one in known], comparisons=comparisons, level=level
    )
    return smallest_shown_sentence(shown.tolist(), what)


def corruption_names(comparison: Comparison) -> Mapping[str, str]:
    """Human name by corruption of all that is compared."""
    known = {one.corruption: one.corruption_label for one in comparison.corruptions}
    return {cell.corruption: known.get(cell.corruption, cell.corruption) for cell in comparison.cells} | known


def cell_name(names: Mapping[str, str], corruption: str, severity: float) -> str:
    """A cell as a reader sees it: Fog 3, or clean."""
    return "clean" if corruption == CLEAN else f"{names.get(corruption, corruption)} {format_severity(severity)}"


def extremes(classes: Sequence[ClassComparison], most: int) -> list[ClassComparison]:
    """At most so many that lose, and as many that gain, in the order given: the largest loss first."""
    losing = [one for one in classes if one.difference.value < 0][:most]
    gaining = [one for one in classes if one.difference.value > 0][-most:]
    return [*losing, *gaining]


def side_names(comparison: Comparison, longest: int) -> Sides:
    """The labels where both are short enough for a heading, else letters."""
    labels = Sides(comparison.a.label, comparison.b.label)
    return labels if max(map(len, labels)) <= longest else LETTERS


def _shown_of_metrics(comparison: Comparison) -> str:
    """The smallest differences under corruption that these images could show, each in its unit."""
    sizes = []
    for one in comparison.metrics:
        if one.cells == "corrupted" and one.difference is not None:
            _, low, high = one.difference
            digits, scale = _precision(one)
            size = format_number(scale * float(difference_shown(low, high, level=comparison.level)), digits)
            sizes.append(f"{one.title} {size}{f'{NO_BREAK}points' if _is_share(one) else ''}")
    return shown_sentence("difference under corruption", "; ".join(sizes)) if sizes else ""


def _is_share(one: MetricComparison) -> bool:
    return one.unit == "share"


def _precision(one: MetricComparison) -> tuple[int, float]:
    """Digits that a metric is told with, and what it is multiplied by."""
    return (1, 100.0) if _is_share(one) else (SEVERITY_DIGITS if one.unit == "severity" else 3, 1.0)


def _metric_row(one: MetricComparison, sides: Sides, comparison: Comparison) -> tuple[TableCell, ...]:
    is_share, (digits, scale) = _is_share(one), _precision(one)
    name = TableCell(f"{capitalize_first(one.cells)}: {one.title}{', %' if is_share else ''}")
    values = [TableCell(EMPTY) if v is None else TableCell(format_number(scale * v, digits)) for v in (one.a, one.b)]
    if one.difference is None:
        return name, *values, TableCell(EMPTY), TableCell(one.reason)
    has_direction = one.better != "neither" and has_verdict(comparison)
    better = sides.of(one.winner) if has_direction else ""
    return name, *values, _difference(one.difference, digits, scale), TableCell(better)


def _cell(cell: CellComparison | None, comparison: Comparison, *, has_intervals: bool) -> TableCell:
    if cell is None:
        return TableCell(EMPTY)
    text, small = _points(cell.difference)
    mark = DECIDED if cell.winner and has_verdict(comparison) else ""
    return TableCell(f"{text}{mark}", small if has_intervals else "")


def _percent(share: float | None) -> TableCell:
    return TableCell(EMPTY) if share is None else TableCell(format_number(100 * share))


def _points(estimate: Estimate | None) -> TableCell:
    return TableCell(EMPTY) if estimate is None else _difference(estimate, 1, 100)


def _difference(estimate: Estimate, digits: int, scale: float) -> TableCell:
    text = format_number(scale * estimate.value, digits, signed=True)
    return TableCell(text, format_interval(estimate.low, estimate.high, digits, scale))
