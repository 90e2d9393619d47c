"""All findings of a warehouse as one sequence, with the printed sentences and the limitations of the data."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Self

import duckdb
import polars as pl

from failmodes.analysis.evaluations.selection import RUNS_OF_TABLES, RunWords, Selection, read_metrics, words_of_runs
from failmodes.analysis.evaluations.trained_models import TrainedModel, trained_models
from failmodes.analysis.judging.findings.correction import ADDITIONS_ERROR, FALSE_DISCOVERY_RATE, MAIN_ERRORS
from failmodes.analysis.judging.findings.headlines import Headline, headlines
from failmodes.analysis.judging.findings.kind import Finding, Limitation
from failmodes.analysis.render.blocks import Document, Sentence
from failmodes.analysis.render.documents import Rendered
from failmodes.analysis.render.formatting import MAX_LISTED, capitalize_first, format_count, format_percent, join_names
from failmodes.analysis.statistics.curve_shape import stored_settings
from failmodes.analysis.statistics.shape_tables import FALSE_SHAPES
from failmodes.analysis.statistics.shares import ALPHA
from failmodes.analysis.statistics.sufficiency import NON_FINITE
from failmodes.warehouse.database.connection import fetch_first
from failmodes.warehouse.schema import IMPORTED_FAMILY, OF_TABLE


class Findings(Rendered, tuple[Finding, ...]):
    """A tuple of all judged statements, which prints as the sentences of a report.

    Attributes:
        headlines: the sentences that are printed, supported and inconclusive ones.
        limitations: of these data.
    """

    headlines: tuple[Headline, ...]
    limitations: tuple[Limitation, ...]

    def __new__(
        cls,
        stated: Iterable[Finding] = (),
        headlines: Iterable[Headline] = (),
        limitations: Iterable[Limitation] = (),
    ) -> Self:
        """The findings, each a named tuple (see `Finding`), with their sentences and limitations."""
        findings = super().__new__(cls, stated)
        findings.headlines = tuple(headlines)
        findings.limitations = tuple(limitations)
        return findings

    @property
    def document(self) -> Document:
        """The headlines as a list, and a note on limitations; its data are `findings`, `headlines`, `limitations`."""
        items = [Sentence(headline.text, "item") for headline in self.headlines]
        if self.limitations:
            count = format_count(len(self.limitations), "limitation")
            items.append(
                Sentence(f"{count} of these data: see the report, or `w.findings().limitations` in Python.", "note")
            )
        data = {
            "findings": [finding._asdict() for finding in self],
            "headlines": [headline._asdict() for headline in self.headlines],
            "limitations": [limitation._asdict() for limitation in self.limitations],
        }
        return Document("Findings", tuple(items or [Sentence("No findings.")]), data)

    def to_frame(self) -> pl.DataFrame:
        """One row a finding, with the columns of the table `findings`."""
        return pl.DataFrame(list(self), FRAME_SCHEMA, orient="row")


TEXTS = ("kind", "claim", "verdict", "evaluation_id", "model_label", "corruption", "unit", "sentence", "query",
         "other_evaluation_id", "verdict_alone")  # fmt: skip
FRAME_SCHEMA = {name: str if name in TEXTS else int if name == "n" else float for name in Finding._fields}


def collect(con: duckdb.DuckDBPyConnection, selection: Selection, findings: Sequence[Finding]) -> Findings:
    """The findings of a selection, with headlines and limitations."""
    return Findings(findings, headlines(findings), limitations(con, selection))


def _error_rates() -> str:
    """The error rates of `correction` and of the shapes, in a sentence."""
    better, largest = (format_percent(MAIN_ERRORS[kind], 2) for kind in ("better_model", "largest_drop"))
    beside, others, shapes = (format_percent(rate, 2) for rate in (ADDITIONS_ERROR, FALSE_DISCOVERY_RATE, FALSE_SHAPES))
    return (
        f"The probability of any false statement is at most {better} about which model is better, {largest} about "
        f"which corruption hurts most, and {beside} about the additions to these. At most {shapes} of the named shapes "
        f"and {others} of all other findings are expected to be false; of everything together, in simulated reports, "
        f"fewer than {format_percent(ALPHA, 0)}. These rates cover the choice of test images only."
    )


def limitations(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Limitation]:
    """Limitations, topic by topic: of the evaluations, of the predictions, and of the statements."""
    texts = (*_of_evaluations(con, selection), *_of_predictions(con, selection), *_of_statements(con))
    return [Limitation(*text) for text in texts]


def _of_evaluations(con: duckdb.DuckDBPyConnection, selection: Selection) -> Iterator[tuple[str, str, str]]:
    """Topic, headline and detail of the limitations of training runs and images."""
    shared = selection.shared
    yield "Training", *_training(selection)
    yield "Images", "Models were evaluated on one set of images.", _subset(con, selection)
    if selection.uneven:
        yield (
            "Cells",
            "Models were evaluated in different cells.",
            f"{' '.join(selection.uneven)} Shapes, and statements about cells of one model, are about its own.",
        )
    if selection.left_out:
        names = join_names(evaluation.label for evaluation in selection.left_out)
        yield (
            "Excluded",
            f"{names} {'is' if len(selection.left_out) == 1 else 'are'} excluded.",
            " ".join(evaluation.sentence for evaluation in selection.left_out),
        )
    if shared["note"]:
        yield (
            "Pixels",
            "Note on the dataset.",
            f"{shared['dataset_label']}: {shared['note'].rstrip('.')}. Comparisons with published results must state "
            "this.",
        )


def _of_predictions(con: duckdb.DuckDBPyConnection, selection: Selection) -> Iterator[tuple[str, str, str]]:
    """The same of imported, restricted, non-finite and unpaired predictions."""
    imported = [e.label for e in selection.evaluations if e.facts["family"] == IMPORTED_FAMILY]
    if imported:
        yield (
            "Imports",
            f"Predictions of {join_names(imported)} are imported.",
            "It is not verified that they belong to these images and corrupted pixels. They have no attention maps.",
        )
    yield from _protocols(selection)
    counts = _non_finite_counts(con, selection)
    listed = join_names(f"{counts[id_]:,} of {label}" for id_, label in selection.labels.items() if id_ in counts)
    if counts and selection.shared["source_kind"] == OF_TABLE:
        yield "Missing", "Some predictions are missing.", f"{listed}, over all cells. They count as incorrect."
    elif counts:
        yield (
            "Numbers",
            "Some predictions are not finite.",
            f"{listed}, over all cells. They count as incorrect and are excluded from confidence and calibration. "
            f"Shape and drop of a curve are not reported if {NON_FINITE} in one of its cells.",
        )
    if uneven := _uneven_cells(con, selection):
        yield (
            "Shapes",
            "Cells have different numbers of images.",
            f"{uneven}: shapes and ranks of corruptions, which are of one number of images, are not measured.",
        )
    if not selection.shared["paired"]:
        yield (
            "Pairing",
            "Corrupted and clean images do not pair.",
            f"{selection.shared['pairing_note']}: drift, onset and distortion are not measured, and intervals of "
            "accuracy drops are wider.",
        )


def _of_statements(con: duckdb.DuckDBPyConnection) -> Iterator[tuple[str, str, str]]:
    """The same of every statement, whatever the data are."""
    yield (
        "Severity",
        "Severity levels are ordinal, not equally spaced.",
        "A shape depends on how the recipe spaces its levels.",
    )
    yield (
        "Errors",
        "Mean corruption error is not normalized.",
        "mCE divides by a baseline's errors first: the view mce_by_baseline has it for each model of the warehouse as "
        "the baseline, and for ImageNet-C with AlexNet as published.",
    )
    yield (
        "Shapes",
        "Shapes depend on thresholds.",
        f"Stability is the share of {stored_settings(con).resamples:,} resamples of the curve with the same shape; "
        "the table of shapes shows how often other thresholds give the same shape.",
    )
    yield "Error rates", "A few statements may be false.", _error_rates()
    yield (
        "Attention",
        "Grad-CAM is not an explanation.",
        "It describes one layer, not a cause. Without object masks it shows that attention moves, not where it "
        "moves to.",
    )


def _training(selection: Selection) -> tuple[str, str]:
    """How many training runs each model or architecture has, and the scope of the intervals."""
    models = trained_models(selection.evaluations)
    several = [model for model in models if model.has_several_seeds]
    words = words_of_runs(selection.evaluations)
    seeds = f"{capitalize_first(words.seed)}s: {join_names(map(_seeds_of, models))}."
    if several and words == RUNS_OF_TABLES:
        return _single_runs(models, several, words), (
            f"Intervals of {join_names(model.label for model in several)} over runs cover runs and test images; "
            "intervals of one run, and all shapes, cover test images only. Two to four runs are a small sample. "
            f"{seeds}"
        )
    if several:
        return _single_runs(models, several, words), (
            f"Intervals of {join_names(model.label for model in several)} over seeds cover training and test images; "
            "intervals of one training run, and all shapes, cover test images only. Two to four seeds are a small "
            f"sample of training runs. {seeds}"
        )
    detail = (
        "Intervals cover the choice of test images, not training: another seed may give other results, and comparing "
        f"architectures requires several seeds of each. {seeds}"
    )
    runs = Counter((e.facts["architecture"], e.facts["training_recipe"]) for e in selection.evaluations)
    most = max(runs.values())
    if most == 1:
        return "Each architecture has one training run.", detail
    if any(not model.seeds for model in models):
        return "Training seeds are not stated.", detail
    return f"No architecture has more than {format_count(most, 'training run')}.", detail


def _single_runs(models: list[TrainedModel], several: list[TrainedModel], words: RunWords) -> str:
    """Which models have one run; if none has, the fewest runs of a model."""
    single = [model.label for model in models if not model.has_several_seeds]
    if not single:
        return f"Each model has at least {min(len(model.runs) for model in several)} {words.run}s."
    if len(single) > MAX_LISTED:
        return f"{format_count(len(single), 'model')} have one {words.run} each."
    have = f"have one {words.run} each" if len(single) > 1 else f"has one {words.run}"
    return f"{join_names(single)} {have}."


def _seeds_of(model: TrainedModel) -> str:
    return f"{model.label} {join_names(map(str, model.seeds)) if model.seeds else 'not stated'}"


def _protocols(selection: Selection) -> Iterator[tuple[str, str, str]]:
    """The classes that a model predicts among, if it has outputs outside the dataset's classes."""
    among = {
        "all": ("all outputs of the model", "a prediction outside the dataset's classes counts as incorrect"),
        "subset": ("the dataset's classes only", "other outputs are ignored, which makes the task easier"),
    }
    for protocol, (chosen, meaning) in among.items():
        labels = [e.label for e in selection.evaluations if e.facts["class_protocol"] == protocol]
        if labels:
            verb = "predicts" if len(labels) == 1 else "predict"
            yield "Classes", f"{join_names(labels)} {verb} among {chosen}.", f"Study key `classes`: {meaning}."


def _subset(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    row = fetch_first(con, "select image_count from datasets where dataset_id = ?", [selection.shared["dataset_id"]])
    images = selection.image_count
    full = row[0] if row else None
    seen = format_count(images, "image")
    if full is None or images >= full:
        return f"All {seen} of one split of one dataset: on other data, models may fail under other corruptions."
    return f"{seen} of {full:,} ({format_percent(images / full, 0)}): detecting small differences requires more images."


def _uneven_cells(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    """The numbers of images of cells, if they differ: "A has 150 to 160"; else empty."""
    rows = con.execute(
        "select evaluation_id, min(image_count), max(image_count) from cell_predictions where evaluation_id = any(?) "
        "group by evaluation_id having min(image_count) < max(image_count)",
        [selection.ids],
    ).fetchall()
    return join_names(f"{selection.labels[key]} has {least:,} to {most:,}" for key, least, most in rows) if rows else ""


def _non_finite_counts(con: duckdb.DuckDBPyConnection, selection: Selection) -> dict[str, int]:
    counts = (pl.col("value") * pl.col("n")).round().sum().cast(pl.Int64)
    rows = read_metrics(con, selection.ids, ["non_finite_share"]).group_by("evaluation_id").agg(count=counts)
    return dict(rows.filter(pl.col("count") > 0).iter_rows())
