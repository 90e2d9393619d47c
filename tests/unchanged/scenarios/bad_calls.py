"""Bad arguments of public Python names: statements, names, tables of predictions, studies, rules, claims, images."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bad_files
import numpy as np
import polars as pl
from side import Side, frames

COUNTED = {"values": 109, "sentences": 424, "files": 435, "exits": 420}

SQL = {
    "syntax": "selec 1",
    "empty": " ",
    "two": "select 1; select 2",
    "table": "from accuracy_by_severty",
    "column": "select acuracy from accuracy_by_severity",
    "function": "select mean_of(accuracy) from accuracy_by_severity",
    "type": "select 'a'::int from accuracy_by_severity",
    "saved": "@worst",
    "no-value": "from models where model_label = $name",
    "insert": "insert into models from models",
    "update": "update models set model_label = 'x'",
    "delete": "delete from models",
    "drop": "drop view predictions",
    "create": "create table t as select 1",
    "view": "create temp view v as select 1",
    "alter": "alter table models add column a int",
    "setting": "set threads = 1",
    "pragma": "pragma enable_external_access = true",
    "copy": "copy (select 1) to 'copied.csv'",
    "export": "export database 'exported'",
    "attach": "attach 'bad/foreign.duckdb' as f",
    "install": "install httpfs",
    "load": "load httpfs",
    "checkpoint": "checkpoint",
    "transaction": "begin transaction",
    "prepare": "prepare p as select 1",
    "file": "from 'bad/sound.csv'",
    "text": "from read_text('bad/*')",
    "parquet": "from read_parquet('bad/cut.parquet')",
    "warehouse": "from read_duckdb('w/warehouse.duckdb', table_name = 'models')",
    "stdin": "from read_csv('/dev/stdin')",
    "folder": "from glob('*')",
    "address": "from read_csv('https://example.org/a.csv')",
    "environment": "select getenv('HOME')",
    "subquery": "select (select content from read_text('bad/sound.csv'))",
    "nested": "from query('from read_text(''bad/sound.csv'')')",
}
CALLS: dict[str, Callable[[Any], Any]] = {  # of an opened warehouse
    "sql.parameter": lambda w: w.sql("@worst_cells", row=3),
    "sql.parameter-type": lambda w: w.sql("@worst_cells", rows="many"),
    "sql.more-values": lambda w: w.sql("select 1", name="x"),
    "sql.timeout": lambda w: w.sql("select count(*) from range(1000000000) a, range(1000000000) b", timeout_s=0.3),
    "table.name": lambda w: w.table("accuracy_by_severty"),
    "table.column": lambda w: w.table("accuracy_by_severity", corruptoin="fog"),
    "table.value": lambda w: w.table("accuracy_by_severity", corruption="fogg"),
    "table.type": lambda w: w.table("accuracy_by_severity", severity="high"),
    "table.by": lambda w: w.table("accuracy_by_severity", by="cammera"),
    "table.by-none": lambda w: w.table("findings", by="camera"),
    "table.filter": lambda w: w.table("accuracy_by_severity", filter="cammera = 'A'"),
    "table.no-image": lambda w: w.table("accuracy_by_severity", filter="camera = 'C'"),
    "schema.name": lambda w: w.schema("predictons"),
    "chart.name": lambda w: w.chart("curvs"),
    "chart.model": lambda w: w.chart("curves", model="BIRCH"),
    "chart.corruption": lambda w: w.chart("curves", corruption="frog"),
    "chart.by": lambda w: w.chart("curves", by="corruptoin"),
    "chart.by-none": lambda w: w.chart("confusion", by="camera"),
    "chart.filter": lambda w: w.chart("curves", filter="camera ="),
    "chart.axis": lambda w: w.chart("curves", axis="value"),
    "chart.layout": lambda w: w.chart("curves", layout="poster"),
    "chart.theme": lambda w: w.chart("curves", theme="drak"),
    "chart.width": lambda w: w.chart("curves", width="9mm"),
    "chart.width-unit": lambda w: w.chart("curves", width="85"),
    "chart.one": lambda w: w.chart("differences", model="Birch"),
    "chart.attention": lambda w: w.chart("attention"),
    "chart.shifts": lambda w: w.chart("shifts"),
    "chart.suffix": lambda w: w.chart("curves").save("curves.gif"),
    "chart.to-folder": lambda w: w.chart("curves").save("w"),
    "images.filter": lambda w: w.images("corruptoin = 'fog'"),
    "images.none": lambda w: w.images("confidence > 2"),
    "images.pixels": lambda w: w.images("not correct limit 2"),
    "claims.word": lambda w: w.claims("accuracy is high"),
    "claims.empty": lambda w: w.claims([]),
    "slices.column": lambda w: w.slices(by=["cammera"]),
    "slices.model": lambda w: w.slices(model="Brich"),
    "slices.corruption": lambda w: w.slices(corruption="frog"),
    "slices.severity": lambda w: w.slices(severity=2),
    "slices.depth": lambda w: w.slices(depth=7),
    "slices.images": lambda w: w.slices(min_images=0),
    "slices.filter": lambda w: w.slices(filter="camera = 'C'"),
    "slices.prediction": lambda w: w.slices(clean_prediction="cow"),
    "compare.model": lambda w: w.compare("Brich", "Cedar"),
    "compare.same": lambda w: w.compare("Birch", "Birch"),
    "compare.margin": lambda w: w.compare("Birch", "Cedar", margin=-1),
    "compare.level": lambda w: w.compare("Birch", "Cedar", level=0.4),
    "compare.corruption": lambda w: w.compare("Birch", "Cedar", corruption="frog"),
    "compare.metric": lambda w: w.compare("Birch", "Cedar", metrics=["acuracy"]),
    "compare.filter": lambda w: w.compare("Birch", "Cedar", filter="age = 3"),
    "compare.filter-query": lambda w: w.compare("Birch", "Cedar", filter="true; drop table models"),
    "compare.suffix": lambda w: w.compare("Birch", "Cedar").save("compared.pdf"),
    "diff.model": lambda w: w.diff("Birch", "Ceder"),
    "check.file": lambda w: w.check("gone.csv"),
    "check.text": lambda w: w.check("bad/words.csv"),
    "check.row": lambda w: w.check("bad/published.csv", row="Brich"),
    "check.model": lambda w: w.check("bad/published.csv", model="Brich"),
    "report.suffix": lambda w: w.report("report.pdf"),
    "report.pair": lambda w: w.report("report.html", pairs=[("Birch", "Brich")]),
    "report.to-warehouse": lambda w: w.report("w/warehouse.duckdb"),
    "export.model": lambda w: w.export("new.duckdb", evaluation="Brich"),
    "export.itself": lambda w: w.export("w/warehouse.duckdb", evaluation="Birch", force=True),
    "publish.format": lambda w: w.publish("papers"),
    "publish.suffix": lambda w: w.publish("croissant", "a.csv"),
    "publish.model": lambda w: w.publish("latex", "a.tex", model="Brich"),
    "publish.query": lambda w: w.publish("latex", "a.tex", query="selec 1"),
    "publish.option": lambda w: w.publish("timm", "a.csv", intervals=True),
}  # fmt: skip
IMAGES = np.arange(2 * 32 * 32 * 3, dtype=np.uint8).reshape(2, 32, 32, 3)
NAMES: dict[str, Callable[[Any], Any]] = {  # of the module
    "open.missing": lambda f: f.open("gone"),
    "open.text": lambda f: f.open("bad/words.duckdb"),
    "open.empty": lambda f: f.open("bad/empty.duckdb"),
    "open.foreign": lambda f: f.open("bad/foreign.duckdb"),
    "open.suffix": lambda f: f.open("bad/words.csv"),
    "open.study": lambda f: f.open("bad/words.toml"),
    "open.number": lambda f: f.open(3),
    "warehouse.missing": lambda f: f.Warehouse("gone.duckdb"),
    "name": lambda f: f.benchmrak,
    "run.missing": lambda f: f.run("gone.toml"),
    "run.empty": lambda f: f.run({}),
    "run.type": lambda f: f.run(3),
    "gate.missing": lambda f: f.gate("gone.toml", "w"),
    "gate.empty": lambda f: f.gate({}, "w"),
    "gate.no-rules": lambda f: f.gate({"gate": {"candidate": "Birch", "rules": []}}, "w"),
    "gate.candidate": lambda f: f.gate(gate(bad_files.RULE), "w", candidate="Brich"),
    "gate.baseline": lambda f: f.gate(gate(bad_files.RULE | {"relation": "worse_by_at_most"}), "w"),
    "gate.level": lambda f: f.gate({"gate": {"level": 2, "candidate": "Birch", "rules": [bad_files.RULE]}}, "w"),
    "gate.model-in-rule": lambda f: f.gate(gate(bad_files.RULE | {"model": "Birch"}), "w"),
    "gate.unknown-key": lambda f: f.gate({"gate": {"cadidate": "Birch", "rules": [bad_files.RULE]}}, "w"),
    "gate.inconclusive": lambda f: f.gate(gate(bad_files.RULE), "w", inconclusive="maybe"),
    "gate.warehouse": lambda f: f.gate(gate(bad_files.RULE), "gone"),
    "gate.metrics": lambda f: f.gate(gate(bad_files.RULE), "w", metrics=[3]),
    "corrupt.name": lambda f: f.corrupt(IMAGES, "fogg", 3),
    "corrupt.severity": lambda f: f.corrupt(IMAGES, "fog", 6),
    "corrupt.severity-below": lambda f: f.corrupt(IMAGES, "fog", -1),
    "corrupt.severity-word": lambda f: f.corrupt(IMAGES, "fog", "high"),
    "corrupt.switch": lambda f: f.corrupt(IMAGES, "glass_blur", 1.5),
    "corrupt.recipe": lambda f: f.corrupt(IMAGES, "fog", 3, recipe="cifar"),
    "corrupt.noise": lambda f: f.corrupt(IMAGES, "fog", 3, noise="other"),
    "corrupt.floats": lambda f: f.corrupt(IMAGES / 255, "fog", 3),
    "corrupt.shape": lambda f: f.corrupt(IMAGES[0], "fog", 3),
    "corrupt.channels": lambda f: f.corrupt(IMAGES[..., :2], "fog", 3),
    "corrupt.small": lambda f: f.corrupt(IMAGES[:, :4, :4], "fog", 3),
    "corrupt.words": lambda f: f.corrupt("images", "fog", 3),
    "corrupt.image-ids": lambda f: f.corrupt(IMAGES, "fog", 3, image_ids=[1]),
    "image.name": lambda f: f.CorruptImage("fogg", 3),
    "image.severity": lambda f: f.CorruptImage("fog", 9),
    "image.input": lambda f: f.CorruptImage("fog", 3)(image=IMAGES[0] / 255),
    "transform.name": lambda f: f.CorruptTransform("fogg", 3),
    "transform.input": lambda f: f.CorruptTransform("fog", 3)("image"),
    "custom.name": lambda f: f.CustomCorruption("Two Words", lambda images, parameters: images),
    "custom.taken": lambda f: f.CustomCorruption("fog", lambda images, parameters: images),
    "custom.levels": lambda f: f.CustomCorruption("mine", lambda images, parameters: images, levels=((1,), (2,))),
    "custom.group": lambda f: f.CustomCorruption("mine", lambda images, parameters: images, group="heat"),
    "custom.shape": lambda f: f.corrupt(IMAGES, f.CustomCorruption("mine", cropped), 3),
    "custom.raises": lambda f: f.corrupt(IMAGES, f.CustomCorruption("other", divided), 3),
    "metric.number": lambda f: f.metric(3),
    "metric.name": lambda f: f.metric(lambda preds, target: 0.5),
    "metric.preds": lambda f: f.metric(preds="logits")(half),
    "metric.range": lambda f: f.metric(range=(1, 0))(half),
    "metric.taken": lambda f: f.metric(name="accuracy")(half),
    "options.name": lambda f: f.Options(sedes=[0]),
    "package.severity": lambda f: imagecorruptions().corrupt(IMAGES[0], 6, "fog"),
    "package.name": lambda f: imagecorruptions().corrupt(IMAGES[0], 1, "fogg"),
    "package.number": lambda f: imagecorruptions().corrupt(IMAGES[0], 1, corruption_number=99),
    "package.neither": lambda f: imagecorruptions().corrupt(IMAGES[0]),
    "package.floats": lambda f: imagecorruptions().corrupt(IMAGES[0] / 255, 1, "fog"),
    "package.small": lambda f: imagecorruptions().corrupt(IMAGES[0, :8], 1, "fog"),
    "package.subset": lambda f: imagecorruptions().get_corruption_names("noises"),
}  # fmt: skip
MANY = np.random.default_rng(4).integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
LABELS, CALLED = np.arange(20) % 2, itertools.count()
BENCHMARKS: dict[str, dict[str, Any]] = {  # arguments that replace those of a sound call
    "sound": {},
    "no-labels": {"labels": None},
    "label-count": {"labels": LABELS[:-1]},
    "label-floats": {"labels": LABELS / 2},
    "label-below": {"labels": LABELS - 1},
    "label-above": {"labels": LABELS * 7},
    "floats": {"images": MANY / 255},
    "shape": {"images": MANY[0]},
    "no-images": {"images": MANY[:0], "labels": LABELS[:0]},
    "path": {"images": "gone", "labels": None},
    "broken": {"images": "bad/broken", "labels": None, "image_size": 32},
    "no-model": {"model": 3},
    "no-models": {"model": {}},
    "two-labels": {"model": {"A": lambda batch: outputs(batch)}, "label": "B"},
    "raises": {"model": lambda batch: divided(batch, None)},
    "nan": {"model": lambda batch: outputs(batch) * np.nan},
    "one-row": {"model": lambda batch: outputs(batch)[:1]},
    "random": {"model": lambda batch: outputs(batch) + next(CALLED)},
    "class-names": {"class_names": ["ant", "bee", "cat"]},
    "class-twice": {"class_names": ["ant", "ant"]},
    "corruption": {"corruptions": ["fogg"]},
    "no-corruptions": {"corruptions": []},
    "severity": {"severities": [6]},
    "severity-word": {"severities": ["high"]},
    "normalization": {"normalization": "imagnet"},
    "normalization-zero": {"normalization": ((0.5, 0.5, 0.5), (0.2, 0.2, 0))},
    "normalization-form": {"normalization": (0.5, 0.2)},
    "preprocess": {"preprocess": "resize"},
    "both": {"normalization": "imagenet", "preprocess": lambda batch: batch},
    "masks": {"masks": np.ones((3, 32, 32), bool)},
    "no-masks": {"masks": "gone"},
    "metadata": {"metadata": {"camera": ["A", "B"]}},
    "metadata-name": {"metadata": {"label": ["A"] * 20}},
    "shift": {"shifts": {"Winter": "gone"}},
    "shift-labels": {"shifts": {"Winter": (MANY[:2], LABELS[:3])}},
    "image-count": {"image_count": 0},
    "image-size": {"image_size": 0},
    "metrics": {"metrics": ["accuracy"]},
    "options": {"options": {"seeds": [0]}},
    "to": {"to": "bad/words.csv"},
    "option-recipe": {"of_options": {"recipe": "cifar"}},
    "option-seeds": {"of_options": {"seeds": [-1]}},
    "option-precision": {"of_options": {"precision": "int8"}},
    "option-device": {"of_options": {"device": "tpu"}},
    "option-batch": {"of_options": {"batch_size": 0}},
    "option-attention": {"of_options": {"attention": "gradcamm"}},
    "option-classes": {"of_options": {"classes": "some"}},
    "option-architecture": {"of_options": {"architecture": "resnet81"}},
    "option-strict": {"of_options": {"strict": True}},
}  # fmt: skip
IMPORTS: dict[str, tuple[Any, dict[str, Any]]] = {  # a table and other arguments
    "frame": (pl.DataFrame({"image": ["a"], "label": ["cat"]}), {}),
    "number": (3, {}),
    "missing": ("gone.csv", {}),
    "role": ("bad/sound.csv", {"columns": {"picture": "image"}}),
    "column": ("bad/sound.csv", {"columns": {"image": "file"}}),
    "axis": ("bad/sound.csv", {"axes": {"contrast": "%"}}),
    "axis-range": ("bad/sound.csv", {"axes": {"fog": "%,100..100"}}),
    "axis-scale": ("bad/sound.csv", {"axes": {"fog": "%,100..1,cubic"}}),
    "axis-name": ("bad/sound.csv", {"axes": {"frog": "%,100..1"}}),
    "pattern": ("bad/value-word.csv", {"level_pattern": "c("}),
    "image-pattern": ("bad/sound.csv", {"image_pattern": "(x)"}),
    "reference": ("bad/sound.csv", {"reference": "color"}),
    "metadata": ("bad/sound.csv", {"metadata": "bad/other-images.csv"}),
    "no-metadata": ("bad/sound.csv", {"metadata": "gone.csv"}),
    "no-images": ("bad/sound.csv", {"images": "gone"}),
    "other-images": ("bad/sound.csv", {"images": "bad/whole"}),
    "label": ("bad/sound.csv", {"label": "a\nb"}),
    "dataset": ("bad/sound.csv", {"dataset": "x" * 99}),
    "renormalized": ("bad/sum.csv", {"renormalize": True}),
    "more-classes": ("bad/unknown-class.csv", {"more_classes": True}),
    "missing-text": ("bad/missing.csv", {"missing": ["na"]}),
    "other-label": ("bad/other-label.csv", {"to": "w"}),
    "to-file": ("bad/sound.csv", {"to": "bad/words.csv"}),
    **{name: (f"bad/{name}.csv", {}) for name in bad_files.TABLES if name not in ("sound", "other-label", "missing")},
    **{f"file.{name}": (f"bad/{name}", {}) for name in (
        "words.csv", "words.jsonl", "words.parquet", "words.pt", "empty.csv", "empty.jsonl", "empty.parquet",
        "bytes.csv", "cut.csv.gz", "cut.parquet",
    )},
}  # fmt: skip
ERRORS: dict[str | None, tuple[str, ...]] = {  # the groups and calls that raise it; None: BASE accepts the input
    "AttributeError": ("name",),
    "DataError": (
        "import", "check.text", "corrupt.floats", "corrupt.shape", "corrupt.channels", "corrupt.small",
        "corrupt.words", "corrupt.image-ids", "image.input", "transform.input", "package.floats", "package.small",
        "study.broken-image", "study.broken-arrays", "study.broken-list", "study.broken-parquet", "study.broken-tar",
        "benchmark.no-labels", "benchmark.label-count", "benchmark.label-floats", "benchmark.label-below",
        "benchmark.label-above", "benchmark.floats", "benchmark.shape", "benchmark.no-images", "benchmark.broken",
        "benchmark.masks", "benchmark.metadata", "benchmark.metadata-name", "benchmark.shift-labels",
    ),
    "IncompleteRunError": ("benchmark.option-strict",),
    "LimitError": ("sql.timeout",),
    "MissingValueError": ("query.no-value",),
    "ModelError": (
        "study.text-checkpoint", "study.text-safetensors", "study.unsafe-checkpoint", "study.foreign-checkpoint",
        "study.other-architecture", "study.other-width", "benchmark.no-model", "benchmark.no-models",
        "benchmark.raises", "benchmark.one-row", "benchmark.random", "benchmark.preprocess", "benchmark.both",
    ),
    None: (
        "query.checkpoint", "table.value", "claims.empty", "rule.fpr95-mean", "claim.direction", "claim.fpr95-mean",
        "study.other-normalization", "import.renormalized", "import.more-classes", "import.zero-severity",
        "import.nan", "import.infinite", "benchmark.sound", "benchmark.nan",
    ),
    "QueryError": (
        "query", "sql", "table", "schema", "chart.filter", "images.filter", "compare.filter", "compare.filter-query",
        "publish.query",
    ),
    "StorageError": ("benchmark.to",),
    "StudyError": (
        "chart", "images", "claims", "slices", "compare", "check", "report", "publish", "open", "run", "gate",
        "corrupt", "image", "transform", "custom", "metric", "package", "rule", "claim", "study", "benchmark",
        "table.by", "table.no-image", "export.itself", "import.number", "import.missing", "import.role",
        "import.axis", "import.axis-range", "import.axis-scale", "import.axis-name", "import.pattern",
        "import.reference", "import.no-metadata", "import.no-images", "import.label", "import.dataset",
        "import.to-file", "import.file.words.pt",
    ),
    "TypeError": ("options", "open.number", "run.type"),
    "UnknownModelError": ("diff", "export", "compare.model", "report.pair", "gate.candidate"),
    "WarehouseError": (
        "warehouse", "chart.axis", "chart.attention", "chart.shifts", "open.text", "open.empty", "open.foreign",
        "study.plain",
    ),
}  # fmt: skip
RAISES = {name: error for error, names in ERRORS.items() for name in names}


def inputs(folder: Path) -> None:
    bad_files.write(folder)


def run(side: Side) -> None:
    import failmodes

    (side.work / "bad").symlink_to(side.inputs)
    w = failmodes.import_predictions("bad/good.csv", to="w", progress=False)
    for name, text in bad_files.STUDIES.items():
        (side.work / f"{name}.toml").write_text(text.replace("INPUTS", str(side.inputs)))
    there = sorted(side.work.iterdir())
    for name, call in cases(failmodes, w):
        raises = RAISES[name] if name in RAISES else RAISES[name.split(".")[0]]
        side.python(name, lambda c=call: said(c()), raises=raises)
    side.json("made", [path.name for path in sorted(side.work.iterdir()) if path not in there])


def cases(failmodes: Any, w: Any) -> Iterator[tuple[str, Callable[[], Any]]]:
    """All calls by name."""
    for name, statement in SQL.items():
        yield f"query.{name}", lambda s=statement: w.sql(s)
    for name, call in CALLS.items():
        yield name, lambda c=call: c(w)
    for name, call in NAMES.items():
        yield name, lambda c=call: c(failmodes)
    for name in bad_files.MISTAKES:
        yield f"rule.{name}", lambda n=name: failmodes.gate(gate(bad_files.mistaken(n)), w)
        yield f"claim.{name}", lambda n=name: w.claims(bad_files.mistaken(n, model="Birch"))
    for name in bad_files.STUDIES:
        yield f"study.{name}", lambda n=name: failmodes.run(f"{n}.toml", progress=False)
    for name, (table, arguments) in IMPORTS.items():
        given = {"to": f"imported-{name}", "progress": False} | arguments
        yield f"import.{name}", lambda t=table, g=given: failmodes.import_predictions(t, **g)
    for name, arguments in BENCHMARKS.items():
        yield f"benchmark.{name}", lambda n=name, a=arguments: benchmark(failmodes, n, a)


def said(value: Any) -> Any:
    """What is returned, where BASE accepts the input."""
    return frames(value) if hasattr(value, "to_dicts") else str(value).splitlines()


def gate(rule: dict[str, Any]) -> dict[str, Any]:
    """Rules with one rule."""
    return {"gate": {"candidate": "Birch", "rules": [rule]}}


def benchmark(failmodes: Any, name: str, arguments: dict[str, Any]) -> Any:
    """A sound call but for these arguments."""
    sound = {
        "model": outputs, "images": MANY, "labels": LABELS, "to": f"benchmark-{name}", "corruptions": ["contrast"],
        "severities": [1], "progress": False,
    }  # fmt: skip
    options = {"attention": False} | arguments.get("of_options", {})
    given = {key: value for key, value in arguments.items() if key != "of_options"}
    return failmodes.benchmark(**{**sound, "options": failmodes.Options(**options), **given})


def outputs(batch: np.ndarray) -> np.ndarray:
    """Logits of two classes."""
    return batch.mean((1, 2))[:, :2] / 16.0


def divided(images: Any, parameters: Any) -> Any:
    """What fails on every batch."""
    return 1 / 0


def cropped(images: Any, parameters: Any) -> Any:
    """Images of another size."""
    return images[:, 1:]


def half(preds: Any, target: Any) -> float:
    """A metric."""
    return 0.5


def imagecorruptions() -> Any:
    """The module that stands for the package of that name."""
    from failmodes import imagecorruptions

    return imagecorruptions
