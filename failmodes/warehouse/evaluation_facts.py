"""What is recorded of an evaluation: one table of facts, which everything that names or compares them reads.

A row has the columns of `evaluation_labels`; `read_facts` adds those of the model, the dataset, the source and the run.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from failmodes.runtime.errors import counted
from failmodes.warehouse.schema import IMPORTED_FAMILY

if TYPE_CHECKING:
    import duckdb

Facts = Mapping[str, Any]
NONE, NOT_STATED, OWN = "none", "not stated", "own preprocessing"
SHORT_ID_CHARACTERS = 8  # of an ID or hash in a sentence
MAX_OUTPUTS = 4  # named outputs of a class map
PREPROCESSING = ("preprocessing", "normalization", "input size", "resize", "crop", "interpolation")
AMONG = {True: "among all outputs", False: "among the dataset's classes"}
_SELECT = """
select
    evaluations.*, models.* exclude (model_id, class_count), datasets.* exclude (dataset_id, image_count),
    datasets.image_count as dataset_image_count, sources.* exclude (source_id),
    coalesce(labels.model_name, models.model_label) as model_name, runs.* exclude (evaluation_id)
from evaluations
left join models on evaluations.model_id = models.model_id
left join datasets on evaluations.dataset_id = datasets.dataset_id
left join sources on evaluations.source_id = sources.source_id
left join evaluation_labels as labels on evaluations.evaluation_id = labels.evaluation_id
left join (
    select
        evaluation_id, list_sort(list(distinct device)) as devices, list_sort(list(distinct batch_size)) as batch_sizes,
        list_sort(list(distinct versions)) as library_versions, median(images_per_s) as images_per_s,
        max(identity_error) as identity_error, count(*) as cell_count,
        max(created_utc) as evaluated_at
    from shards where table_name = 'prediction_facts' group by evaluation_id
) as runs on evaluations.evaluation_id = runs.evaluation_id
where
    (evaluations.evaluation_id = any($1) or len($1) = 0)
    and (labels.evaluation_id is not null or evaluations.evaluation_id in (select evaluation_id from shifts))
order by models.model_label, evaluations.evaluation_id
"""
RELATIONS = ("evaluations", "evaluation_labels", "models", "datasets", "sources", "shards", "shifts")  # that it reads


def read_facts(con: "duckdb.DuckDBPyConnection", evaluation_ids: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The facts of evaluations, those of natural shifts included, by label; of all by default."""
    rows: list[dict[str, Any]] = con.sql(_SELECT, params=[list(evaluation_ids)]).pl().rows(named=True)
    return rows


class Fact(NamedTuple):
    """One respect in which evaluations may differ.

    Attributes:
        topic: its name in a sentence.
        value: what is compared; None where it is not recorded.
        words: the value as text.
        label: the same in parentheses after a label.
    """

    topic: str
    value: Callable[[Facts], object]
    words: Callable[[Facts], str]
    label: Callable[[Facts], str]


def _column(
    topic: str, name: str, template: str = "{}", missing: str = NOT_STATED, missing_word: str | None = None,
    shown: Callable[[Any], str] = str, *, is_known: bool = True,
) -> Fact:  # fmt: skip
    """The fact of a column.

    Args:
        topic: its name in a sentence.
        name: of the column.
        template: of a value in parentheses.
        missing: text for null in a sentence.
        missing_word: text for null in parentheses. Default: topic and `missing`.
        shown: converts a value to text.
        is_known: whether null is a value, such as no crop; not for models whose predictions were imported.
    """
    absent = f"{topic} {missing}" if missing_word is None else missing_word

    def value(row: Facts) -> object:
        is_own = row["preprocessing"] is not None and topic in PREPROCESSING[1:]
        if row[name] is not None or is_own or row["family"] == IMPORTED_FAMILY or not is_known:
            return row[name]
        return missing

    return Fact(
        topic, value,
        lambda row: missing if row[name] is None else shown(row[name]),
        lambda row: absent if row[name] is None else template.format(shown(row[name])),
    )  # fmt: skip


def _first_outputs(outputs: Sequence[int]) -> str:
    """The outputs of the first classes, such as 3, 0, 1, 2 …."""
    return ", ".join(map(str, outputs[:MAX_OUTPUTS])) + " …" * (len(outputs) > MAX_OUTPUTS)


def is_normalized(mean: Sequence[float] | None, std: Sequence[float] | None) -> bool:
    """Whether values are shifted or scaled: mean is not 0 or standard deviation not 1."""
    return any(mean or ()) or any(deviation != 1 for deviation in std or ())


def channels(values: Sequence[float]) -> str:
    """One number if all channels share it."""
    return ", ".join(f"{value:.4g}" for value in (values[:1] if len(set(values)) == 1 else values))


def normalization_words(mean: Sequence[float] | None, std: Sequence[float] | None) -> str:
    """Mean and standard deviation of the channels: mean 0.485, 0.456, 0.406, std 0.229, 0.224, 0.225."""
    if not is_normalized(mean, std):
        return NONE
    return f"mean {channels(mean or [0.0])}, std {channels(std or [1.0])}"


def _normalization(row: Facts) -> str:
    if row["family"] == IMPORTED_FAMILY:
        return NOT_STATED
    return OWN if row["preprocessing"] is not None else normalization_words(row["input_mean"], row["input_std"])


def _source(row: Facts) -> object:
    """The source of pixels: published files of one protocol are the same, and so is a recipe with any seed."""
    if row["source_kind"] != "published":
        return row["source_kind"], row["recipe"]
    is_original = row["protocol"] and not any(text.startswith("source of pixels") for text in row["deviations"] or ())
    return "published" if is_original else row["source_id"]


def _said(topic: str, value: Callable[[Facts], object], words: Callable[[Facts], str]) -> Fact:
    """A fact that no label names."""
    return Fact(topic, value, words, words)


def versions_of(row: Facts) -> dict[str, str]:
    """Versions of the libraries of a run by name; empty if they are not recorded, or if a table was imported."""
    try:
        found = [json.loads(text) for text in row.get("library_versions") or () if text]
    except (ValueError, RecursionError):  # a warehouse from outside may contain anything
        return {}
    is_table = row["family"] == IMPORTED_FAMILY  # whose versions are those of the import
    return {} if is_table else {str(k): str(v) for one in found if isinstance(one, dict) for k, v in one.items()}


def versions_words(versions: Mapping[str, str]) -> str:
    """Versions in one line."""
    return ", ".join(f"{name} {version}" for name, version in versions.items()) or NOT_STATED


def _weights_words(row: Facts) -> str:
    """The hash of the tensors, abbreviated, and the file that they are from."""
    file = f" ({row['checkpoint']})" if row["checkpoint"] else ""
    return f"{row['weights_id'][:SHORT_ID_CHARACTERS]}{file}" if row["weights_id"] else NOT_STATED


def _interpolation(row: Facts) -> str | None:
    """The filter of the resize; none without a resize, None if it is unknown."""
    is_resized = row["preprocessing"] or row["resize_px"] or row["input_side_px"] or row["family"] == IMPORTED_FAMILY
    return row["interpolation"] or (None if is_resized else NONE)


def _resized(row: Facts) -> int | None:
    """The length of the shorter side after the resize, pixels; None without one."""
    px: int | None = row["resize_px"] or row["input_side_px"]
    return px


PRECISION = _column("precision", "precision", is_known=False)
IMAGES = _said(
    "images",
    lambda row: (row["dataset_id"], row["subset_id"]),
    lambda row: f"{counted(row['image_count'], 'image')} of {row['dataset_label']}",
)
RESTRICTION = _said(
    "class restriction", lambda row: row["class_protocol"] == "all", lambda row: AMONG[row["class_protocol"] == "all"]
)
PIXELS = _said("source of pixels", _source, lambda row: str(row["source_label"]))
AVERAGING = _said("averaging", lambda row: row["averaging"], lambda row: str(row["averaging"] or NOT_STATED))
WEIGHTS = _said("weights", lambda row: row["weights_id"], _weights_words)
RESIZE = _said(
    "resize",
    lambda row: _resized(row) or (None if row["preprocessing"] else NONE),
    lambda row: f"{px} px" if (px := _resized(row)) else NONE,
)
BATCH = _said(
    "batch size", lambda row: row.get("batch_sizes") or None,
    lambda row: ", ".join(map(str, row.get("batch_sizes") or ())) or NOT_STATED,
)  # fmt: skip
CODE = _said("version of the code", lambda row: versions_of(row) or None, lambda row: versions_words(versions_of(row)))
# In the order in which a label names them
OF_LABELS = (
    PRECISION,
    _column("training seed", "training_seed", "seed {}", is_known=False),
    _column("preprocessing", "preprocessing", "preprocessing {}", NONE, "no own preprocessing"),
    Fact(
        "normalization",
        lambda row: None if (words := _normalization(row)) in (NOT_STATED, OWN) else words,
        _normalization,
        _normalization,
    ),
    _column("input size", "input_side_px", "{} px", "as stored"),
    _column("resize", "resize_px", "resized to {} px", "to the input size"),
    _column("crop", "crop_px", "cropped to {} px", NONE),
    _column("interpolation", "interpolation", missing=NONE)._replace(value=_interpolation),
    _column("architecture", "architecture", is_known=False),
    _column("variant", "variant", missing="as published"),
    _column("checkpoint", "checkpoint", missing=NONE),
    _column(
        "classes", "class_protocol", missing="dataset classes", missing_word="dataset classes",
        shown=lambda name: {"all": "all outputs", "subset": "dataset classes only"}.get(name, str(name)),
    ),
    _column(
        "class outputs", "class_outputs", "classes from outputs {}", "in order", "classes from outputs in order",
        _first_outputs,
    ),
    _column("attention", "attention_method", missing=NONE),
    _column("attention layer", "attention_layer", "attention at {}", missing=NONE),
)  # fmt: skip
FACTS = {
    fact.topic: fact for fact in (*OF_LABELS, IMAGES, RESTRICTION, PIXELS, AVERAGING, WEIGHTS, RESIZE, BATCH, CODE)
}
OF_MODELS = ("weights", *PREPROCESSING, "precision")


def stated(row: Facts) -> dict[str, str]:
    """What is recorded of the model of an evaluation, in words by topic, for programs: weights, input_size …."""
    return {topic.replace(" ", "_"): FACTS[topic].words(row) for topic in OF_MODELS}
