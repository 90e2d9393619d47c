"""The sentences and tables of a comparison of two models."""

from collections.abc import Iterator

from failmodes.analysis.evaluations.comparability import mixed_sentence
from failmodes.analysis.judging.compare import ChangedImages, Comparison, Crossover, Difference
from failmodes.analysis.judging.wording import (
    about_text,
    accuracy_comparison,
    images_needed_text,
    images_text,
    listed_cells,
)
from failmodes.analysis.render.blocks import EMPTY, MAX_LEVELS, Table, TableCell, severity_table
from failmodes.analysis.render.formatting import (
    NO_BREAK,
    capitalize_first,
    format_count,
    format_interval,
    format_number,
    format_percent,
    format_points,
    format_points_interval,
    format_severity,
    join_names,
    label_with_extra,
    lower_label,
    precision,
)
from failmodes.analysis.statistics.opened_models import duplicates_notes
from failmodes.warehouse.metrics.metric import too_few
from failmodes.warehouse.schema import CLEAN, SHARE

DECIDED = "*"  # after a significant difference
COLUMNS = ("Baseline", "Candidate", "Difference")
BETTER, CROSSOVER = "Better", "Crossover"  # columns of words
IMAGE_COLUMNS = ("Image", "True class", "Cells", "Mildest", "Baseline", "Candidate")
WINNERS = {"a": "baseline", "b": "candidate", "": "inconclusive"}
SUMMARY_LEVELS, SUMMARY_CLASSES, SUMMARY_IMAGES = 6, 5, 5


class ComparisonText:
    """The sentences and tables of a comparison; in tables the first model is the baseline, the second the candidate.

    Args:
        comparison: what was compared.
        is_summary: whether tables are shortened for a terminal: differences in cells without intervals, at most
            SUMMARY_LEVELS severities, SUMMARY_CLASSES classes with drops and with gains, and SUMMARY_IMAGES images that
            change either way.
    """

    def __init__(self, comparison: Comparison, *, is_summary: bool = False) -> None:
        self.comparison = comparison
        self.is_summary = is_summary
        self.a = comparison.a.label
        self.b = comparison.b.label
        self.level = format_percent(comparison.level, 0)

    @property
    def sentences(self) -> list[str]:
        """Which model is more accurate and on which images, the margin, clean accuracy, missing cells, crossovers."""
        compared = self.comparison
        both = (compared.a, compared.b)
        images = images_text(compared.pair.pairing, *both)
        said = [
            f"{self.headline}, on {images}; {about_text(compared.pair.is_about_training, *both)}.",
            self._margin_sentence() if compared.pair.has_verdict else f"{too_few(compared.pair.distinct_count)}.",
            *self._clean_sentence(),
        ]
        if compared.pair.mixed:
            said.insert(1, mixed_sentence(compared.pair.mixed))
        if compared.pair.filter:
            said.insert(1, compared.pair.filter.sentence)
        said += [f"{note}." for note in duplicates_notes(*both)]
        if compared.pair.missing_cells:
            said.append(f"Excluded, evaluated for one model only: {listed_cells(compared.pair.missing_cells)}.")
        said += [self._crossover(row.label, row.crossover) for row in compared.corruptions if row.crossover]
        return [*said, f"Baseline: {self.a}. Candidate: {self.b}. Differences are candidate \u2212 baseline."]

    @property
    def headline(self) -> str:
        """Which model is more accurate under corruption (else on clean images), and by how much; no full stop."""
        overall = self.comparison.overall
        averaged = self.comparison.pair.averaged
        average = f"averaged over {format_count(len(averaged), 'corruption')}" if averaged else "on clean images"
        if overall.winner:
            return accuracy_comparison(self.b, self.a, overall.estimate, average)
        size = format_points_interval(overall.estimate, signed=True)
        condition = "under corruption" if averaged else "on clean images"
        if self.comparison.pair.has_verdict:
            said = f"Whether {self.b} or {self.a} is more accurate {condition} is inconclusive: {size}"
        else:
            said = f"Accuracy of {self.b} minus that of {self.a} {condition}: {size}"
        return f"{said}, {average}" if averaged else said

    @property
    def margin(self) -> str:
        """The margin in points: 1 point, 0.5 points."""
        points = f"{100 * self.comparison.margin:.6g}"
        return f"{points}{NO_BREAK}{'point' if points == '1' else 'points'}"

    @property
    def cell_test(self) -> str:
        """The test that decides each cell."""
        is_exact = all(cell.only_a is not None for cell in self.comparison.cells)
        return "exact McNemar tests" if is_exact else "tests of the difference"

    @property
    def no_images(self) -> str:
        """Why there is no per-image comparison; '' if there is."""
        if self.comparison.newly_incorrect is not None:
            return ""
        return "A per-image comparison requires the same images and one training run per model."

    def cell(self, corruption: str, severity: float) -> str:
        """A cell: Fog 3, or clean."""
        label = next((row.label for row in self.comparison.corruptions if row.corruption == corruption), corruption)
        return "clean" if corruption == CLEAN else f"{label} {format_severity(severity)}"

    def tables(self) -> list[Table]:
        """All tables: by corruption, other metrics, cells, classes, and images that change either way."""
        compared = self.comparison
        tables = [self._corruption_table(), self._metric_table()]
        tables += [self._cell_table()] if compared.pair.averaged else []
        tables += [self._class_table()] if compared.classes else []
        changes = (
            (compared.newly_incorrect, "Newly incorrect", "The baseline is correct, the candidate is not"),
            (compared.newly_correct, "Newly correct", "The candidate is correct, the baseline is not"),
        )
        return tables + [self._image_table(changed, title, note) for changed, title, note in changes if changed]

    def _corruption_table(self) -> Table:
        """Accuracy clean, on average, and under each corruption, the largest drop of the candidate first."""
        compared = self.comparison
        averaged = f"Mean of {len(compared.pair.averaged)}" if compared.pair.averaged else "Clean"
        rows = [(averaged, compared.overall), *([("Clean", compared.clean)] if compared.clean else [])]
        for row in compared.corruptions:
            rows.append((label_with_extra(row.label, is_extra=row.corruption not in compared.pair.averaged), row))
        note = f"Accuracy in percent, and the difference in points with its {self.level} interval"
        note += "; those of corruptions hold for all of them together." if len(compared.corruptions) > 1 else "."
        columns: tuple[str, ...] = ("Corruption", *COLUMNS)
        lines = [_line(name, row) for name, row in rows]
        if any(row.crossover for _, row in rows):
            note += " Crossover: the severity at which the curves cross, between the last severity at which one model "
            note += "is shown to be more accurate and the first at which the other is."
            columns = (*columns, CROSSOVER)
            crossed = (TableCell(crossover_text(row.crossover) if row.crossover else EMPTY) for _, row in rows)
            lines = [(*line, cell) for line, cell in zip(lines, crossed, strict=True)]
        return Table("Accuracy by corruption", note, columns, tuple(lines), texts=(CROSSOVER,))

    def _metric_table(self) -> Table:
        """Metrics other than accuracy under corruption."""
        lines = []
        for row in self.comparison.metrics:
            better = row.reason or ("" if row.metric.better == "neither" else WINNERS[row.winner])
            unit = ", %" if row.metric.unit == SHARE else ""
            lines.append((*_line(f"{capitalize_first(row.scope)}: {row.title}{unit}", row), TableCell(better)))
        corrupted = "Corrupted: the mean over corruptions of the mean over their severities. "
        corrupted = corrupted if self.comparison.pair.averaged else ""
        return Table(
            "Other metrics",
            f"{corrupted}Differences of percentages are points; {self.level} intervals.",
            ("Metric", *COLUMNS, BETTER),
            tuple(lines),
            texts=(BETTER,),
        )

    def _cell_table(self) -> Table:
        """The difference in every corrupted cell."""
        compared = self.comparison
        winners = [cell.winner for cell in compared.cells]
        interval = "" if self.is_summary else f" with the {self.level} interval of each cell"
        cells_of_both = f"{format_count(len(winners), 'cell')}{' (clean included)' * bool(compared.clean)}"
        note = (
            f"Difference of accuracy in points{interval}; {DECIDED}: significant. {self.b} is more accurate in "
            f"{winners.count('b')} of {cells_of_both}, {self.a} in "
            f"{winners.count('a')}, inconclusive in {winners.count('')}: {self.cell_test} with Holm's correction over "
            f"all cells, at {format_percent(1 - compared.level, 0)}."
        )
        cells = {}
        for row in compared.cells:
            text, small = _line("", row)[-1]
            if row.corruption and row.severity:
                mark = DECIDED if row.winner else ""
                cells[row.corruption, row.severity] = TableCell(f"{text}{mark}", "" if self.is_summary else small)
        names = {row.corruption: row.label for row in compared.corruptions if row.corruption}
        most = SUMMARY_LEVELS if self.is_summary else MAX_LEVELS
        return severity_table("Difference in every cell", note, names, cells, "JSON", most)

    def _class_table(self) -> Table:
        """Classes by the difference, the largest drop of the candidate first."""
        rows = every = self.comparison.classes
        if self.is_summary:
            losing = [row for row in every if row.estimate.value < 0][:SUMMARY_CLASSES]
            rows = losing + [row for row in every if row.estimate.value > 0][-SUMMARY_CLASSES:]
        of_images = "Mean accuracy under corruption" if self.comparison.pair.averaged else "Accuracy on clean images"
        cut = f" The largest drops and gains, {len(rows)} of {len(every)}." if len(rows) < len(every) else ""
        return Table(
            "Accuracy by class",
            f"{of_images} in percent; intervals hold for all classes together.{cut}",
            ("Class", "Images", *COLUMNS),
            tuple((TableCell(row.label), TableCell(f"{row.estimate.n:,}"), *_line("", row)[1:]) for row in rows),
        )

    def _image_table(self, changed: ChangedImages, title: str, meaning: str) -> Table:
        """Images that become incorrect, or correct, with both predictions in the mildest cell."""
        images = changed.images[:SUMMARY_IMAGES] if self.is_summary else changed.images
        rest = format_count(len(changed.images) - len(images), "more image")
        texts = (
            (image.label_name, str(image.cell_count), self.cell(image.corruption, image.severity),
             image.predicted_a or "another class", image.predicted_b or "another class")
            for image in images
        )  # fmt: skip
        names = (TableCell(str(image.image_id), image.file or "") for image in images)
        lines = tuple((name, *map(TableCell, row)) for name, row in zip(names, texts, strict=True))
        pair = self.comparison.pair
        has_clean = bool(self.comparison.clean) or not pair.averaged
        changes = [format_count(changed.clean_count, "clean image")] * has_clean
        changes += [f"{format_percent(changed.share)} of corrupted images"] * bool(pair.averaged)
        listed = "Listed are images that change in most cells, with both predictions in the mildest cell."
        note = (
            f"{meaning}: {join_names(changes)}. {listed if self.comparison.pair.averaged else ''}"
            f"{f' JSON has {rest}.' if len(images) < len(changed.images) else ''}"
        )
        return Table(title, note, IMAGE_COLUMNS, lines, texts=IMAGE_COLUMNS)

    def _margin_sentence(self) -> str:
        compared = self.comparison
        margin = self.margin
        one_sided = f"(one-sided, {self.level})"
        not_worse, _ = compared.within_margin
        low, high = (format_points(bound, signed=True) for bound in compared.bounds)
        if compared.bounds[0] > compared.margin:
            return f"{self.b} is more than {margin} better: the difference is above {low} {one_sided}."
        has_seeds = max(len(model.evaluation_ids) for model in (compared.a, compared.b)) > 1
        needed = images_needed_text(not_worse.images_needed, has_seeds=has_seeds)
        at_most = "not" if compared.bounds[0] > 0 else f"at most {margin}"
        worse = {
            "supported": f"{self.b} is {at_most} worse: the difference is above {low} {one_sided}",
            "contradicted": f"{self.b} is more than {margin} worse: the difference is below {high} {one_sided}",
            "inconclusive": f"Whether {self.b} is more than {margin} worse is inconclusive: {needed}",
        }[not_worse.verdict]
        equivalent = {
            "supported": f"the two differ by less than {margin} either way",
            "contradicted": f"the two differ by more than {margin}",
            "inconclusive": f"whether the two differ by less than {margin} either way is inconclusive",
        }[compared.equivalent]
        return f"{worse}; {equivalent}."

    def _clean_sentence(self) -> Iterator[str]:
        """Clean accuracy of both, beside corrupted accuracy."""
        if (clean := self.comparison.clean) is None:
            return
        size = format_points_interval(clean.estimate, signed=True)
        of_a, of_b = (format_percent(share) for share in (clean.a, clean.b) if share is not None)
        decided = {"b": ", higher", "a": ", lower", "": ", inconclusive"}[clean.winner]
        decided = decided if self.comparison.pair.has_verdict else ""
        yield f"Clean accuracy: {self.b} {of_b}, {self.a} {of_a} ({size}{decided})."

    def _crossover(self, label: str, crossover: Crossover) -> str:
        first, then = (self.a, self.b) if crossover.ahead_first == "a" else (self.b, self.a)
        below = f"at severity {format_severity(crossover.low)}" if crossover.low else "on clean images"
        return (
            f"Under {lower_label(label)} the curves cross at severity {format_number(crossover.at)}: "
            f"{first} is more accurate {below}, {then} at severity {format_severity(crossover.high)}."
        )


def crossover_text(crossover: Crossover) -> str:
    """The severity at which two curves cross, and the severities between which that is shown: 2.4 [2, 3]."""
    low, high = (format_severity(severity) for severity in (crossover.low, crossover.high))
    return f"{format_number(crossover.at)} [{low},{NO_BREAK}{high}]"


def _line(name: str, row: Difference) -> tuple[TableCell, ...]:
    """The cells of a row: name, both values, and the difference with its interval."""
    digits, scale = precision(row.metric.unit)
    values = (
        TableCell(EMPTY if accuracy is None else format_number(scale * accuracy, digits)) for accuracy in (row.a, row.b)
    )
    if row.difference is None:
        return TableCell(name), *values, TableCell(EMPTY)
    value, low, high = row.difference[:3]
    text = format_number(scale * value, digits, signed=True)
    return TableCell(name), *values, TableCell(text, format_interval(low, high, digits, scale))
