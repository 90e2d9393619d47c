"""The answers about simulated reports: derived tables, claims of every form, a comparison, pages."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa
from side import Side
from simulated import CORRUPTIONS, Report

SHAPES = (
    "flat", "rise", "recovers", "up_and_down", "near_linear", "two_steps", "abrupt", "late", "early", "middle",
)  # fmt: skip
NOISE, FOG, LAST = {"corruptions": ["gaussian_noise"]}, {"corruptions": ["fog"]}, {"severities": "last"}
CLEAN, PAIR = {"corruptions": ["none"]}, {"model": "Birch", "baseline": "Alder"}


def metric(of: str, relation: str, limit: float | None = None, **more: Any) -> dict[str, Any]:
    """A claim or rule about a metric."""
    return {"metric": of, "relation": relation} | ({} if limit is None else {"limit": limit}) | more


CLAIMS = [
    metric("accuracy", "at_least", 0.6, **FOG),
    metric("accuracy", "at_least", 0.75, **CLEAN, name="clean images are recognized"),
    metric("accuracy", "at_least", 0.3, over="each"),
    metric("accuracy", "at_least", 0.5, corruptions=["headline"], severities=[1, 2]),
    metric("accuracy", "at_least", 0.5, corruptions=["contrast"], model="Birch"),
    metric("error", "at_most", 0.35, **NOISE),
    metric("balanced_accuracy", "at_least", 0.6, severities=[3]),
    metric("worst_class_accuracy", "at_least", 0.3),
    metric("top5_accuracy", "at_least", 0.9),
    metric("top_prediction_share", "at_most", 0.5, over="each", **NOISE),
    metric("mean_confidence", "more_than", 0.6),
    metric("mean_confidence", "less_than", other=NOISE, **CLEAN),
    metric("overconfidence", "less_than", 0.05),
    metric("ece", "at_most", 0.1, **CLEAN),
    metric("ece", "more_than", other=CLEAN, **FOG),
    metric("brier", "drop_at_most", 0.4),
    metric("nll_nats", "drop_at_least", 0.1, **FOG),
    metric("auroc", "at_least", 0.6, **FOG),
    metric("auroc", "at_least", 0.7, score="margin", over="each", **NOISE, severities=[4, 5]),
    metric("augrc", "at_most", 0.2, score="entropy"),
    metric("aurc", "at_most", 0.3, **LAST),
    metric("fpr95", "at_most", 0.9, over="each", severities=[5]),
    metric("accepted_share", "at_least", 0.4, threshold=0.7),
    metric("error_accepted", "at_most", 0.2, threshold=0.8, **FOG),
    metric("became_incorrect_share", "at_most", 0.3),
    metric("onset_severity", "at_least", 3, **FOG),
    metric("accuracy", "less_than", other={"corruptions": ["contrast"]}, **FOG),
    metric("accuracy", "more_than", other={"severities": [5]}, severities=[1], **NOISE),
    metric("accuracy", "drop_at_most", 0.3, severities=[5], **NOISE),
    metric("accuracy", "drop_at_least", 0.2, **FOG, **LAST),
    metric("accuracy", "worse_by_at_most", 0.02, **PAIR),
    metric("accuracy", "better_by_at_least", **PAIR),
    metric("accuracy", "better_by_at_most", 0.05, **PAIR, **CLEAN),
    metric("ece", "worse_by_at_most", 0.05, **PAIR),
    metric("accuracy", "worse_than_rest", 0.05, filter="camera = 'B'"),
    metric("accuracy", "at_least", 0.5, filter="camera = 'A' and class_name <> 'bee'", **NOISE),
    metric("accuracy", "largest_drop", **NOISE),
    metric("accuracy", "largest_drop", corruptions=["contrast"], **LAST),
    metric("ece", "largest_drop", **FOG),
    {"shape": "late", **NOISE},
    {"shape": "early", **FOG},
    {"shape": "near_linear", "corruptions": ["contrast"], "model": "Birch"},
    *({"kind": kind} for kind in ("few_images", "at_chance", "calibration_error")),
    {"kind": "largest_drop", **NOISE},
    {"kind": "prediction_collapse", **NOISE},
    {"kind": "class_failure", **FOG},
    {"kind": "class_failure", **FOG, "negate": True},
    {"kind": "overconfidence", **CLEAN},
    {"kind": "confidence_below_chance", **FOG},
    {"kind": "errors_accepted", **NOISE},
    *({"kind": "early_warning", "score": score} for score in ("confidence", "margin", "entropy")),
    {"kind": "attention_drift", **FOG},
]  # fmt: skip
OF_SHAPES = [{"shape": shape, "corruptions": [name]} for shape in SHAPES for name in CORRUPTIONS]
DERIVED = (
    "cell_metrics", "change_points", "claims", "class_ranks", "corruption_ranks", "curve_fits", "early_warning",
    "evaluation_labels", "findings", "main_findings", "pair_cells", "selective_risks", "shape_sweep", "shapes",
    "shapes_over_distortion", "steps", "thresholds",
)  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """Names of reports.

    Attributes:
        written: those whose page is read.
        claimed: those that store their claims.
        shaped: those about whose shapes more is claimed.
        thresholds: those whose threshold of confidence is chosen anew, for this error.
    """

    written: Collection[str]
    claimed: Collection[str]
    shaped: Collection[str]
    thresholds: Mapping[str, float]


def judge(side: Side, reports: Mapping[str, Report], asked: Asked) -> None:
    """Load each report's table, and ask about it."""
    import failmodes

    derived: dict[str, list[pa.Table]] = {name: [] for name in DERIVED}
    for name, report in reports.items():
        more = {"axes": {"contrast": report.axis}} if report.axis else {}
        more |= {"missing": ["refused"]} if report.missing else {}
        table = side.inputs / f"{name}.parquet"
        w = failmodes.import_predictions(table, to=name, dataset=name, progress=False, **more)
        if name in asked.claimed:
            failmodes.run(study(name), progress=False)
        if name in asked.thresholds:
            side.command(f"{name}.threshold", "threshold", name, "--error", asked.thresholds[name])
        collect(derived, f"{name}/warehouse.duckdb", name)
        claims = CLAIMS + OF_SHAPES * (name in asked.shaped)
        side.python(f"{name}.claims", lambda w=w, c=claims: json.loads(w.claims(c).to_json()))
        side.python(f"{name}.compare", lambda w=w: json.loads(w.compare("Alder", "Birch").to_json()))
        if name in asked.written:
            side.python(f"{name}.report", lambda w=w, n=name: w.report(f"{n}.html").name)
            side.file(f"{name}.page", f"{name}.html")
    for name, tables in derived.items():
        side.rows(name, pa.concat_tables(tables))


def study(name: str) -> dict[str, Any]:
    """A study that states claims about imported predictions."""
    cells = {"names": ["fog"]}
    return {"name": name, "output": name, "dataset": {"kind": "digits"}, "corruptions": cells, "claims": CLAIMS}


def collect(derived: dict[str, list[pa.Table]], file: str, case: str) -> None:
    """The derived tables of a warehouse, with a column that names the report."""
    with duckdb.connect(file, read_only=True) as con:
        con.execute("set threads = 1")
        for name, tables in derived.items():
            tables.append(con.execute(f"select '{case}' as \"case\", * from {name}").to_arrow_table())
