"""The sentences and tables of a comparison of two models."""

from failmodes.analysis.judging.compare import ChangedImage, ChangedImages, Comparison, Crossover, Difference
from failmodes.analysis.judging.findings.kind import too_few
from failmodes.analysis.render.blocks import EMPTY, MOST_LEVELS, Cell, Table
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
    round_up,
)
from failmodes.analysis.statistics.opened_models import duplicates_notes
from failmodes.warehouse.metrics.metric import Metric
from failmodes.warehouse.schema import CLEAN

MOST_CELLS_NAMED = 6  # that are left out; of more only some are named
DECIDED = "*"  # after a cell's difference
COLUMNS = ("Baseline", "Candidate", "Difference")
BETTER, CROSSOVER = "Better", "Crossover"  # columns of words
IMAGE_COLUMNS = ("Image", "True class", "Cells", "Mildest", "Baseline", "Candidate")
WINNERS = {"a": "baseline", "b": "candidate", "": "inconclusive"}
SUMMARY_LEVELS, SUMMARY_CLASSES, SUMMARY_IMAGES = 6, 5, 5


class ComparisonText:
    """The sentences and tables of a comparison; in tables the first model is the baseline, the second the candidate.

    Args:
        comparison: what was compared.
        is_summary: whether tables are cut to what fits a terminal: differences in cells without intervals, at most
            SUMMARY_LEVELS severities, SUMMARY_CLASSES classes that lose and that gain, SUMMARY_IMAGES images that
            change either way.
    """

    def __init__(self, comparison: Comparison, *, is_summary: bool = False) -> None:
        self.comparison, self.is_summary = comparison, is_summary
        self.a, self.b = comparison.a.label, comparison.b.label
        self.run_counts = len(comparison.a.evaluation_ids), len(comparison.b.evaluation_ids)
        self.level = format_percent(comparison.level, 0)

    @property
    def sentences(self) -> list[str]:
        """Which model is more accurate, the margin, clean accuracy, how images pair, missing cells, and crossovers."""
        compared, pairing = self.comparison, self.comparison.pairing
        how = {
            "same": "They are compared on the same clean images",
            "common": "They are compared on the images that both were evaluated on",
            "different": "They are compared as independent samples, not image by image",
        }[pairing.kind]
        said = [f"{self.headline}, {self._images()} ({self._runs()}).", self._margin_sentence(), self._clean_sentence()]
        if not compared.has_verdict:
            shares = [format_percent(share) for share in (compared.overall.b, compared.overall.a) if share is not None]
            figures = f"Accuracy under corruption: {self.b} {shares[0]}, {self.a} {shares[1]}"
            distinct = (one.distinct_count or one.image_count for one in (compared.a, compared.b))
            said = [f"{figures}. {self.headline}.", too_few(min(pairing.image_count, *distinct))]
        pairs = [f"{how}: {pairing.note}."] if pairing.note else []
        duplicates = [f"{note}." for note in duplicates_notes(compared.a, compared.b)]
        return [*said, *pairs, *duplicates, *self._missing_sentence(), *self.crossovers]

    @property
    def headline(self) -> str:
        """Which model is more accurate under corruption, and by how much; without a full stop."""
        overall, averaged = self.comparison.overall, format_count(len(self.comparison.averaged), "corruption")
        value, low, high = overall.estimate
        size = format_points_interval(overall.estimate, signed=True)
        said = f"Whether {self.b} or {self.a} is more accurate under corruption is inconclusive: {size}"
        if not self.comparison.has_verdict:
            said = f"Accuracy of {self.b} minus {self.a}: {size}"
        elif overall.winner:
            word, ends = ("more", (value, low, high)) if overall.winner == "b" else ("less", (-value, -high, -low))
            said = f"{self.b} is {word} accurate than {self.a} under corruption: by {format_points_interval(ends)}"
        return f"{said} on average over {averaged}"

    @property
    def margin(self) -> str:
        """The margin in points, without digits that say nothing: 1 point, 0.5 points."""
        points = f"{100 * self.comparison.margin:.6g}"
        return f"{points}{NO_BREAK}{'point' if points == '1' else 'points'}"

    @property
    def cell_test(self) -> str:
        """The test that decides each cell."""
        is_exact = all(cell.only_a is not None for cell in self.comparison.cells)
        return "exact McNemar tests" if is_exact else "tests of the difference"

    @property
    def cells_sentence(self) -> str:
        """In how many cells which model is more accurate, and how that was tested; nothing without verdict."""
        if not self.comparison.has_verdict:
            return ""
        winners = [cell.winner for cell in self.comparison.cells]
        won = {side: winners.count(side) for side in ("a", "b", "")}
        return (
            f"Of {format_count(len(winners), 'cell')}, clean included, {self.b} is more accurate in {won['b']}, "
            f"{self.a} in {won['a']}, and {won['']} {'is' if won[''] == 1 else 'are'} inconclusive: {self.cell_test} "
            f"with Holm's correction over all cells, at {format_percent(1 - self.comparison.level, 0)}."
        )

    @property
    def crossovers(self) -> list[str]:
        """Where which curves cross, a sentence a corruption."""
        return [
            self._crossover_sentence(row.label, row.crossover)
            for row in self.comparison.corruptions
            if row.crossover is not None and self.comparison.has_verdict
        ]

    @property
    def no_images(self) -> str:
        """Why images are not compared one by one; nothing where they are."""
        if self.comparison.newly_incorrect is not None:
            return ""
        if not self.comparison.pairing.is_paired:
            return "Images are not compared one by one: the models were evaluated on different images."
        return "Images are not compared one by one: several training runs of a model make several predictions for each."

    def cell(self, corruption: str, severity: float) -> str:
        """A cell as a reader sees it: Fog 3, or clean."""
        label = next((row.label for row in self.comparison.corruptions if row.corruption == corruption), corruption)
        return "clean" if corruption == CLEAN else f"{label} {format_severity(severity)}"

    def predictions(self, image: ChangedImage) -> tuple[str, str]:
        """The classes that both predict for an image that changes sides."""
        return image.predicted_a or "another class", image.predicted_b or "another class"

    def tables(self) -> list[Table]:
        """All tables, the one by corruption first."""
        of_classes = [self.class_table()] if self.comparison.classes else []
        return [self.corruption_table(), self.metric_table(), self.cell_table(), *of_classes, *self.image_tables()]

    def corruption_table(self) -> Table:
        """Accuracy clean, on average, and under each corruption, the largest loss of the second first."""
        compared = self.comparison
        rows = [(f"Mean of {len(compared.averaged)}", compared.overall), ("Clean", compared.clean)]
        for row in compared.corruptions:
            is_extra = row.corruption not in compared.averaged
            rows.append((label_with_extra(row.label, is_extra=is_extra), row))
        note = f"Accuracy in percent, and the difference in points with its {self.level} interval."
        columns, crossed = ("Corruption", *COLUMNS), [row.crossover for _, row in rows]
        if not (any(crossed) and compared.has_verdict):
            return Table("Accuracy by corruption", note, columns, tuple(_line(name, row) for name, row in rows))
        note += (
            " Crossover: the severity at which the curves cross, between the last one at which one model is shown "
            "to be more accurate and the first one at which the other is."
        )
        texts = ["", "", *(EMPTY if one is None else crossover_text(one) for one in crossed[2:])]
        lines = ((*_line(name, row), Cell(text)) for (name, row), text in zip(rows, texts, strict=True))
        return Table("Accuracy by corruption", note, (*columns, CROSSOVER), tuple(lines), texts=(CROSSOVER,))

    def metric_table(self) -> Table:
        """The metrics beside accuracy under corruption."""
        lines = []
        for row in self.comparison.metrics:
            has_better = row.metric.better != "neither" and self.comparison.has_verdict
            better = row.reason or (WINNERS[row.winner] if has_better else "")
            unit = ", %" if row.metric.unit == "share" else ""
            lines.append((*_line(f"{capitalize_first(row.cells)}: {row.title}{unit}", row), Cell(better)))
        return Table(
            "Other metrics",
            "Corrupted: the mean over corruptions of the mean over their severities. "
            "Differences of percentages are points; "
            f"{self.level} intervals.",
            ("Metric", *COLUMNS, BETTER),
            tuple(lines),
            texts=(BETTER,),
        )

    def cell_table(self) -> Table:
        """The difference in every cell: corruptions against severities, of a dense grid the whole ones."""
        found = {(row.corruption, row.severity): self._cell(row) for row in self.comparison.cells}
        levels = sorted({severity for _, severity in found if severity})
        most = SUMMARY_LEVELS if self.is_summary else MOST_LEVELS
        shown = levels if len(levels) <= most else [severity for severity in levels if not severity % 1]
        note = "Difference of accuracy in points"
        note += f" with the {self.level} interval of each cell" if not self.is_summary else ""
        note += f"; {DECIDED}: decided. {self.cells_sentence}" if self.comparison.has_verdict else "."
        note += f" Shown are whole severities of {len(levels)}." if len(shown) < len(levels) else ""
        rows = tuple(
            (Cell(row.label), *(found.get((row.corruption, s), Cell(EMPTY)) for s in shown))
            for row in self.comparison.corruptions
        )
        return Table("Difference in every cell", note, ("Corruption", *map(format_severity, shown)), rows)

    def class_table(self) -> Table:
        """Classes by the difference, the largest loss of the second model first."""
        every = rows = self.comparison.classes
        if self.is_summary:
            losing = [row for row in every if row.estimate.value < 0][:SUMMARY_CLASSES]
            rows = (*losing, *[row for row in every if row.estimate.value > 0][-SUMMARY_CLASSES:])
        cut = f" The largest losses and gains, {len(rows)} of {len(every)}." if len(rows) < len(every) else ""
        return Table(
            "Accuracy by class",
            f"Mean accuracy under corruption in percent; intervals hold for all classes together.{cut}",
            ("Class", "Images", *COLUMNS),
            tuple((Cell(row.label), Cell(f"{row.image_count:,}"), *_line("", row)[1:]) for row in rows),
        )

    def image_tables(self) -> list[Table]:
        """Images that are newly incorrect, and newly correct, with both predictions in the mildest cell."""
        changes = (
            (self.comparison.newly_incorrect, "Newly incorrect", "The baseline is correct, the candidate is not"),
            (self.comparison.newly_correct, "Newly correct", "The candidate is correct, the baseline is not"),
        )
        found = []
        for changed, title, meaning in changes:
            if changed is None:
                continue
            images = changed.images[:SUMMARY_IMAGES] if self.is_summary else changed.images
            lines = tuple(map(self._image_line, images))
            rest = format_count(len(changed.images) - len(lines), "more image")
            note = f"{meaning}: {changed_text(changed)}. Images that change in most cells, with both predictions in "
            note += f"the mildest.{f' JSON has {rest}.' if len(lines) < len(changed.images) else ''}"
            found.append(Table(title, note, IMAGE_COLUMNS, lines, texts=IMAGE_COLUMNS))
        return found

    def _cell(self, row: Difference) -> Cell:
        text, small = _line("", row)[-1]
        mark = DECIDED if row.winner and self.comparison.has_verdict else ""
        return Cell(f"{text}{mark}", "" if self.is_summary else small)

    def _image_line(self, image: ChangedImage) -> tuple[Cell, ...]:
        where = self.cell(image.corruption, image.severity)
        texts = (f"{image.image_id}", image.label_name, f"{image.cell_count}", where)
        return tuple(map(Cell, (*texts, *self.predictions(image))))

    def _images(self) -> str:
        count = format_count(self.comparison.pairing.image_count, "image")
        of_a, of_b = (format_count(one.image_count, "image") for one in (self.comparison.a, self.comparison.b))
        return {
            "same": f"on the same {count}",
            "common": f"on the {count} that both were evaluated on",
            "different": f"on different images ({of_a} of {self.a}, {of_b} of {self.b})",
        }[self.comparison.pairing.kind]

    def _runs(self) -> str:
        """What the statement is about: checkpoints, or the training of models."""
        of_a, of_b = self.run_counts
        if self.comparison.is_about_training:
            return f"over training seeds: {of_a} of {self.a}, {of_b} of {self.b}"
        if of_a == of_b == 1:
            return "checkpoints, one training run each"
        runs_a, runs_b = (format_count(count, "training run") for count in self.run_counts)
        return f"these checkpoints only: {runs_a} of {self.a} and {runs_b} of {self.b}"

    def _margin_sentence(self) -> str:
        compared, margin = self.comparison, self.margin
        low, high = (format_points(bound, signed=True) for bound in compared.bounds)
        one_sided = f"(one-sided, {self.level})"
        needed = "no number of images would decide it if the difference is as measured"
        if compared.images_needed is not None:
            least = "at least" if max(self.run_counts) > 1 else "about"
            needed = f"{least} {format_count(round_up(compared.images_needed), 'image')} would decide it"
        not_worse = {
            "supported": f"{self.b} is shown to be at most {margin} worse: the difference is above {low} {one_sided}",
            "contradicted": (
                f"{self.b} is shown to be more than {margin} worse: the difference is below {high} {one_sided}"
            ),
            "inconclusive": f"Whether {self.b} is more than {margin} worse is inconclusive: {needed}",
        }[compared.not_worse]
        equivalent = {
            "supported": f"the two are shown to differ by less than {margin} either way",
            "contradicted": f"the two are shown to differ by more than {margin}",
            "inconclusive": f"whether the two differ by less than {margin} either way is inconclusive",
        }[compared.equivalent]
        return f"{not_worse}; {equivalent}."

    def _clean_sentence(self) -> str:
        clean, size = self.comparison.clean, format_points_interval(self.comparison.clean.estimate, signed=True)
        of_a, of_b = (format_percent(share) for share in (clean.a, clean.b) if share is not None)
        decided = {"b": "higher", "a": "lower", "": "inconclusive"}[clean.winner]
        return f"Clean accuracy: {self.b} {of_b}, {self.a} {of_a} ({size}, {decided})."

    def _missing_sentence(self) -> list[str]:
        missing = self.comparison.missing_cells
        named = [f"{corruption} {format_severity(severity)}" for corruption, severity in missing[:MOST_CELLS_NAMED]]
        rest = len(missing) - len(named)
        names = join_names([*named, f"{rest:,} more"] if rest else named)
        verb = "is" if len(missing) == 1 else "are"
        return [f"{format_count(len(missing), 'cell')} that only one model has {verb} left out: {names}."] * bool(
            missing
        )

    def _crossover_sentence(self, label: str, crossover: Crossover) -> str:
        first, then = (self.a, self.b) if crossover.ahead_first == "a" else (self.b, self.a)
        below = f"at severity {format_severity(crossover.low)}" if crossover.low else "on clean images"
        return (
            f"Under {lower_label(label)} the curves cross at severity {format_number(crossover.at)}: "
            f"{first} is more accurate {below}, {then} at severity {format_severity(crossover.high)}."
        )


def changed_text(changed: ChangedImages) -> str:
    """How many images change sides; without a full stop."""
    return f"{format_count(changed.clean_count, 'clean image')} and {format_percent(changed.share)} of corrupted images"


def crossover_text(crossover: Crossover) -> str:
    """Where two curves cross, and between which severities that is shown: 2.4 [2, 3]."""
    low, high = (format_severity(severity) for severity in (crossover.low, crossover.high))
    return f"{format_number(crossover.at)} [{low},{NO_BREAK}{high}]"


def _number(metric: Metric, value: float, *, signed: bool = False) -> str:
    digits, scale = precision(metric.unit)
    return format_number(scale * value, digits, signed=signed)


def _line(name: str, row: Difference) -> tuple[Cell, ...]:
    """The cells of a row: name, both values, and the difference with its interval."""
    values = (Cell(EMPTY if one is None else _number(row.metric, one)) for one in (row.a, row.b))
    if row.difference is None:
        return Cell(name), *values, Cell(EMPTY)
    interval = format_interval(*row.difference[1:], *precision(row.metric.unit))
    return Cell(name), *values, Cell(_number(row.metric, row.difference.value, signed=True), interval)
