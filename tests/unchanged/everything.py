"""Every command, chart, saved query and view of one warehouse; what is written, in every format."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from side import Side, frames

CHARTS = (
    "abstention", "accuracy", "attention", "calibration", "confusion", "curves", "differences", "distortion",
    "distortion-shapes", "early-warning", "exemplars", "failure-prediction", "object-attention", "onset", "predictions",
    "ranking", "shapes", "shifts",
)  # fmt: skip
QUERIES = (
    "attention_beyond_confidence", "attention_where_incorrect", "attention_where_prediction_changes",
    "calibration_with_temperature", "classes_that_fail_first", "classes_with_largest_drop", "common_confusions",
    "confidence_before_failure", "confidence_worse_than_chance", "confident_failures_by_class",
    "failures_no_score_predicts", "images_every_model_fails", "least_calibrated", "models_disagree",
    "most_confident_failures", "overpredicted_classes", "prediction_collapse", "provenance", "which_fails_first",
    "worst_cells",
)  # fmt: skip
CLAIMS = """[[claims]]
name = "holds in its last severity"
metric = "accuracy"
corruptions = ["{corruption}"]
severities = "last"
relation = "drop_at_most"
limit = 0.05
[[claims]]
metric = "accuracy"
corruptions = ["none"]
relation = "at_least"
limit = 0.5
[[claims]]
metric = "accuracy"
corruptions = ["{corruption}"]
relation = "largest_drop"
[[claims]]
metric = "accuracy"
model = "{b}"
baseline = "{a}"
relation = "better_by_at_least"
[[claims]]
metric = "accuracy"
filter = "{condition}"
relation = "worse_than_rest"
[[claims]]
metric = "ece"
corruptions = ["{corruption}"]
relation = "more_than"
other = {{ corruptions = ["none"] }}
[[claims]]
metric = "augrc"
score = "confidence"
relation = "at_most"
limit = 0.3
over = "each"
[[claims]]
shape = "near_linear"
corruptions = ["{corruption}"]
[[claims]]
kind = "early_warning"
score = "confidence"
[[claims]]
kind = "attention_off_object"
corruptions = ["{corruption}"]
"""
CHANGED_CLAIM = '[[claims]]\nshape = "early"\ncorruptions = ["{corruption}"]\n'
GATE = '[gate]\nbaseline = "{a}"\ncandidate = "{b}"\n'
RULES = {
    "passes": GATE
    + """[[gate.rules]]
name = "better than nothing"
metric = "accuracy"
corruptions = ["none"]
relation = "at_least"
limit = 0.05
[[gate.rules]]
metric = "accuracy"
corruptions = ["{corruption}"]
relation = "worse_by_at_most"
limit = 0.99
""",
    "fails": GATE
    + """level = 0.9
[[gate.rules]]
metric = "accuracy"
corruptions = ["none", "{corruption}"]
over = "each"
relation = "at_least"
limit = 0.995
[[gate.rules]]
metric = "accuracy"
filter = "{condition}"
relation = "drop_at_most"
limit = 0.9
[[gate.rules]]
shape = "flat"
corruptions = ["{corruption}"]
""",
    "open": GATE
    + """[[gate.rules]]
metric = "accuracy"
corruptions = ["{corruption}"]
relation = "at_least"
limit = {near}
[[gate.rules]]
metric = "accuracy"
corruptions = ["spatter"]
relation = "worse_by_at_most"
""",
}
CHART_OPTIONS: dict[str, dict[str, Any]] = {
    "accuracy.condition": {"filter": "{condition}", "caption": False},
    "calibration.corruption": {"corruption": "{corruption}", "theme": "dark"},
    "calibration.group": {"by": "corruption_group"},
    "confusion.width": {"model": "{b}", "width": "85mm", "letters": True},
    "curves.by": {"by": "{by}", "model": "{a}"},
    "curves.value": {"axis": "value"},
    "curves.paper": {"layout": "paper", "model": ["{a}", "{b}"]},
    "differences.pair": {"model": ["{a}", "{b}"]},
    "onset.value": {"axis": "value", "model": "{a}"},
    "predictions.by": {"by": "{by}", "model": "{a}"},
    "ranking.by": {"by": "{by}"},
    "ranking.mixed": {"mixed_protocols": True, "theme": "dark"},
    "shapes.model": {"model": "{a}"},
}
TABLES: dict[str, dict[str, Any]] = {
    "accuracy_by_severity": {"corruption": ["none", "{corruption}"]},
    "accuracy_by_severity.by": {"by": "{by}", "model_label": "{a}"},
    "accuracy_by_severity.condition": {"filter": "{condition}"},
    "calibration_by_severity.by": {"by": "class_name", "corruption": "{corruption}", "model_label": "{b}"},
    "accuracy_by_class": {"model_label": "{a}", "corruption": "{corruption}"},
    "confusion_by_severity": {"by": "{by}", "corruption": "{corruption}", "model_label": "{a}"},
    "predictions": {"model_label": "{b}", "corruption": "{corruption}", "image_id": [0, 3, 7]},
}
SQL = "select corruption, severity, avg(accuracy) as mean, count(*) from accuracy_by_severity group by all order by all"
# Commands by the name of their answers; {where} and others are those of `Subject`
COMMANDS = {
    "threshold": "threshold {where} --error {error}",
    "status.full": "status {where} --full",
    "status.json": "status {where} --json",
    "load.json": "load {where} --json",
    "schema.all": "schema --format json",
    "schema.view": "schema accuracy_by_severity {where} --format csv",
    "schema.metric": "schema auroc {where}",
    "query.list": "query --list",
    "query.text": "query @worst_cells {where}",
    "query.parameters": "query @confident_failures_by_class {where} --model {a} --param confidence=0.5 --vertical",
    "query.json": "query {sql} {where} --format json",
    "query.csv": "query {sql} {where} --output -",
    "query.markdown": "query {sql} {where} --format markdown --limit 9",
    "query.latex": "query {sql} {where} --output rows.tex",
    "shapes": "shapes {where}",
    "claims": "claims {where} --claims claims.toml --json claims.json --markdown claims.md",
    "slices": "slices {where} --corruption {corruption} --min-images 20",
    "slices.csv": "slices {where} --by {by},class_name --depth 2 --min-images 10 --model {a} --format csv",
    "slices.pictures": "slices {where} --model {b} --corruption {corruption} --pictures p.json --output slices.html",
    "compare": "compare {a} {b} {where} --metric nll_nats",
    "compare.html": "compare {a} {b} {where} --corruption {corruption} --output compare.html",
    "compare.junit": "compare {a} {b} {where} --margin 0.05 --level 0.9 --format junit",
    "compare.condition": "compare {a} {b} {where} --filter {condition} --format markdown",
    "diff": "diff {a} {b} {where}",
    "diff.html": "diff {a} {b} {where} --output diff.html",
    "seal": "seal claims.toml {where}",
    "seal.rules": "seal fails.toml {where}",
    "claims.sealed": "claims {where} --claims claims.toml",
    "gate.passes": "gate passes.toml {where} --json passes.json --junit passes.xml --markdown passes.md",
    "gate.fails": "gate fails.toml {where} --json fails.json --junit fails.xml --markdown fails.md",
    "gate.open": "gate open.toml {where} --json open.json --junit open.xml --markdown open.md",
    "gate.open.pass": "gate open.toml {where} --inconclusive pass --junit -",
    "publish.robustbench": "publish {where} --output robustbench/table_unaggregated.csv",
    "publish.timm": "publish {where} --format timm --output timm/results.csv",
    "publish.model-card": "publish {where} --format model-card --model {a} --output card.md",
    "publish.croissant": "publish {where} --format croissant --output croissant.json",
    "publish.latex": "publish {where} --format latex --intervals --output table.tex",
    "publish.latex.query": "publish {where} --format latex --query {sql} --output -",
    "publish.every-eval-ever": "publish {where} --format every-eval-ever --organization Lab --output records",
    "check": "check {where} --published robustbench/table_unaggregated.csv",
    "check.junit": "check {where} --published robustbench/table_unaggregated.csv --format junit",
    "images": "images {where} --filter {shown} --output images.json",
    "images.curve": "images {where} --image 3 --corruption {corruption} --model {a} --output curve.html",
    "images.picture": "images {where} --image 5 --corruption {corruption} --theme dark --output curve.png",
    "chart.svg": "chart curves {where} --corruption {corruption} --output curves.svg",
    "chart.png": "chart accuracy {where} --layout paper --theme dark --output accuracy.png",
    "appendix": "report {where} --pair {a} {b} --appendix --output appendix.html",
    "export": "export baseline.duckdb {where} --evaluation {a}",
    "compare.exported": "compare baseline.duckdb {b} {where}",
    "load.published": "load {where} --published robustbench/table_unaggregated.csv --published-of {dataset} --json",
}
WRITTEN: dict[str, str | tuple[str, ...]] = {
    "query.latex": "rows.tex",
    "claims": ("claims.json", "claims.md"),
    "slices.pictures": ("p.json", "slices.html"),
    "compare.html": "compare.html",
    "diff.html": "diff.html",
    **{f"gate.{name}": (f"{name}.json", f"{name}.xml", f"{name}.md") for name in RULES},
    "publish.robustbench": "robustbench",
    "publish.timm": "timm",
    "publish.model-card": "card.md",
    "publish.croissant": "croissant.json",
    "publish.latex": "table.tex",
    "images": "images.json",
    "images.curve": "curve.html",
    "images.picture": "curve.png",
    "chart.svg": "curves.svg",
    "chart.png": "accuracy.png",
    "appendix": "appendix.html",
}
EXITS = {
    "diff": 1, "diff.html": 1, "gate.fails": 1, "gate.open": 3, "gate.open.pass": 3, "check": 3, "check.junit": 2,
}  # fmt: skip
# What all warehouses answer alike, so that one is asked
OF_TEXT = (
    "schema", "query.list", "query.text", "query.parameters", "query.json", "query.csv", "query.markdown",
    "query.latex", "compare.junit", "diff.html", "publish.latex.query", "check.junit", "export", "compare.exported",
)  # fmt: skip
# What any warehouse of predictions answers alike, so that those of tables are asked
OF_PREDICTIONS = (
    *(
        f"chart.{name}"
        for name in (
            "abstention", "accuracy", "calibration", "confusion", "curves", "failure-prediction", "onset",
            "predictions", "ranking",
        )
    ),
    "appendix", "check", "diff", "gate.open.pass", "load.published", "publish", "slices.csv", "threshold",
)  # fmt: skip
DRAWN = ("chart.svg", "chart.png", "compare.html")
# What only images that are stored or made again can answer
OF_IMAGES = ("images", "images.curve", "images.picture", "slices.pictures")
NO_PIXELS = (
    "chart.attention", "chart.distortion", "chart.distortion-shapes", "chart.exemplars", "chart.object-attention",
    "chart.shifts",
)  # fmt: skip
# Rows that tie stand in the order of identities
TIED = (
    "appendix", "publish.timm", "query.models_disagree", "query.most_confident_failures", "query.worst_cells",
    "table.predictions",
)  # fmt: skip
OF_EXPORT = ("cell_metrics", "evaluation_labels", "images", "prediction_facts")
OF_PUBLISHED = ("published_accuracy", "published_shapes")
OF_REMOVAL = ("accuracy_by_severity", "evaluation_labels", "findings", "shapes")


@dataclass(frozen=True)
class Subject:
    """A warehouse, and what its answers are about.

    Attributes:
        where: its folder.
        a: label of the baseline.
        b: label of the candidate.
        corruption: one that both have.
        dataset: a word of the dataset's label.
        by: a column of `images`.
        condition: an SQL condition on `images`.
        error: largest error on accepted images, such that there is a threshold.
        near: the accuracy of the candidate under the corruption, about, so that no gate decides.
        refused: the class of the error where data are lacking.
        exits: exit codes other than those of `EXITS`.
        skipped: what is not asked: names, or their beginnings.
        evaluated: whether models computed its rows on this side.
    """

    where: str
    a: str
    b: str
    corruption: str
    dataset: str
    by: str = "image_luminance"
    condition: str = "image_luminance < 0.3"
    error: float = 0.1
    near: float = 0.5
    refused: Mapping[str, str] = field(default_factory=dict)
    exits: Mapping[str, int] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()
    evaluated: bool = False

    def filled(self, template: Any) -> Any:
        """A template, or those within a list or mapping, with what the answers are about."""
        if isinstance(template, str):
            shown = f"corruption = '{self.corruption}' and not correct order by model_label, severity, image_id limit 6"
            return template.format(**vars(self), sql=SQL, shown=shown)
        if isinstance(template, dict):
            return {key: self.filled(value) for key, value in template.items()}
        return [self.filled(value) for value in template] if isinstance(template, list) else template

    def asks(self, name: str) -> bool:
        """Whether an answer is not skipped."""
        return not any(name == one or name.startswith(f"{one}.") for one in self.skipped)


def lacking(error: str, *names: str) -> dict[str, str]:
    """The same error for each of these answers."""
    return dict.fromkeys(names, error)


def everything(side: Side, about: Subject) -> None:
    """All answers of a loaded warehouse; at the end the model of the baseline is removed."""
    for name, text in {"claims": CLAIMS, **RULES}.items():
        (side.work / f"{name}.toml").write_text(about.filled(text))
    warehouse = f"{about.where}/warehouse.duckdb"
    command(side, about, "threshold")
    side.tables("w", warehouse, evaluated=about.evaluated)
    read(side, about)
    for name in COMMANDS:
        if name != "threshold":
            command(side, about, name)
    if about.asks("publish.every-eval-ever"):
        read_records(side)
    if about.asks("export"):
        side.tables("exported", "baseline.duckdb", only=OF_EXPORT, evaluated=about.evaluated)
    if about.asks("load.published"):
        side.tables("published", warehouse, only=OF_PUBLISHED, evaluated=about.evaluated)
    if about.asks("seal"):
        (side.work / "claims.toml").write_text(about.filled(CLAIMS[CLAIMS.index("[[", 2) :] + CHANGED_CLAIM))
        side.command("claims.changed", "claims", about.where, "--claims", "claims.toml", "--json", "-")
    side.command("remove", "remove", about.a, about.where, "--yes")
    side.tables("removed", warehouse, only=OF_REMOVAL, evaluated=about.evaluated)
    side.command("load.after", "load", about.where, "--json")


def command(side: Side, about: Subject, name: str) -> None:
    """One of the commands, unless it is skipped."""
    if about.asks(name):
        exits = about.exits.get(name, EXITS.get(name, 0))
        words = [about.filled(word) for word in COMMANDS[name].split()]
        out = () if exits == 2 else WRITTEN.get(name, ())
        side.command(name, *words, exits=exits, out=out, unordered=name in TIED)


def read_records(side: Side) -> None:
    """The files of Every Eval Ever, whose names are random, by model."""
    records = [json.loads(path.read_text()) for path in (side.work / "records").rglob("*.json")]
    side.json("publish.records", {record["model_info"]["name"]: record for record in records})


def read(side: Side, about: Subject) -> None:
    """What public names of Python answer."""
    import failmodes

    w = failmodes.open(side.work / about.where)

    def asked(name: str, answer: Callable[[], Any]) -> None:
        if about.asks(name):
            side.python(name, answer, raises=about.refused.get(name), unordered=name in TIED)

    asked("warehouse", lambda: repr(w).splitlines())
    asked("tables", lambda: frames(w.tables()))
    asked("schema", lambda: frames(w.schema()))
    for name, options in TABLES.items():
        asked(f"table.{name}", lambda n=name, o=options: frames(w.table(n.split(".")[0], **about.filled(o))))
    for name in QUERIES:
        asked(f"query.{name}", lambda n=name: frames(w.sql(f"@{n}")))
    for name, options in {**dict.fromkeys(CHARTS, {}), **CHART_OPTIONS}.items():
        asked(f"chart.{name}", lambda n=name, o=options: specification(w, n, about.filled(o)))
    in_memory = {
        "findings": (w.findings, "json md txt html"),
        "claims": (lambda: w.claims({"metric": "accuracy", "relation": "at_least", "limit": 0.6}), "json txt html xml"),
        "slices": (lambda: w.slices(by=[about.by, "class_name"], depth=2, min_images=10), "json md txt"),
        "compare": (lambda: w.compare(about.a, about.b), "json md"),
        "diff": (lambda: w.diff(about.a, about.b, extras=True), "json md xml"),
    }
    for name, (make, suffixes) in in_memory.items():
        files = [f"{name}-in-memory.{suffix}" for suffix in suffixes.split()]
        asked(f"{name}.in-memory", lambda m=make, f=files: written(m(), f))
        for file in files if about.asks(f"{name}.in-memory") else ():
            side.file("python", file)
    asked("images.in-memory", lambda: pictures(w.images(about.filled("{shown}"))))


def specification(w: Any, name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """A chart as Vega-Lite; the name of its kind is the first part."""
    made: dict[str, Any] = w.chart(name.split(".")[0], **options).to_altair().to_dict()
    return made


def pictures(sheet: Any) -> dict[str, Any]:
    """The rows of images with their pixels."""
    pixels = [sha256(image.tobytes()).hexdigest() for image in sheet.pixels]
    return {"rows": frames(sheet.rows), "notes": sheet.notes, "pixels": pixels}


def written(result: Any, files: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of a result, which is written in all formats that it has."""
    for file in files:
        result.save(file)
    return frames(result.to_frame())
