"""The public functions: open a warehouse, benchmark models in memory, run a study, check a model against gate rules."""

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from failmodes.analysis.results.opened_warehouse import Warehouse
from failmodes.runtime.errors import StudyError
from failmodes.runtime.packages import require
from failmodes.runtime.storage.locations import STUDY_FILE, default_location, find_warehouse, user_path
from failmodes.runtime.terminal import note

if TYPE_CHECKING:
    from decimal import Decimal

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from failmodes.analysis.images.stored_images import AttentionOf
    from failmodes.analysis.judging.gate import GateResult
    from failmodes.evaluate.options import Options
    from failmodes.evaluate.study.study_schema import Study
    from failmodes.evaluate.study_images import StudyImages
    from failmodes.ingest.corruptions.custom import CustomCorruption
    from failmodes.ingest.datasets.dataset import Dataset
    from failmodes.ingest.statements import AnyStatement
    from failmodes.warehouse.metrics.metric import Metric

    Model = torch.nn.Module | Callable[[NDArray[np.uint8]], Any]
    Normalization = (
        Literal["imagenet", "cifar10", "cifar100", "clip", "inception", "none"]
        | tuple[Sequence[float], Sequence[float]]
        | Mapping[str, Sequence[float]]
    )
    Corruption = str | CustomCorruption | Callable[..., NDArray[np.uint8]]


def open(location: "str | PathLike[str] | None" = None) -> Warehouse:  # named like PIL's and h5py's
    """Open a warehouse for reading. Needs no images, models or PyTorch.

        w = failmodes.open("warehouse.duckdb")
        w.tables()
        w.table("accuracy_by_severity", model_label="ResNet-18", corruption="fog")
        w.chart("curves").save("curves.pdf")

    Args:
        location: a `.duckdb` file, a folder with a `warehouse.duckdb`, or a study file (`.toml`). Default: study.toml
            or warehouse.duckdb in the current folder.

    Raises:
        StudyError: `location` is none of these.
        WarehouseError: the warehouse is missing or has another schema version.
    """
    given = None if location is None else user_path(location)
    return _opened(find_warehouse(given), given)


def run(study: "str | PathLike[str] | Mapping[str, Any]", *, strict: bool = False, progress: bool = True) -> Warehouse:
    """Run a whole study (train, evaluate, load), skipping steps already done. An interrupted call resumes.

        w = failmodes.run("study.toml")
        w = failmodes.run({
            "name": "Digits", "output": "runs/digits", "dataset": {"kind": "digits"},
            "corruptions": {"names": ["fog", "contrast"], "severities": [1, 3, 5]},
            "models": [{"label": "Small", "architecture": "resnet18", "width": 16, "training": {"epochs": 5}}],
        })

    Args:
        study: path of a study file, of a folder with a `study.toml`, or the content as a dict with the keys that
            `failmodes init` writes and explains. Relative paths in a dict are relative to the current folder.
        strict: treat warnings about images and models as errors, before corrupted images are evaluated.
        progress: show progress on stderr or in the notebook. If False, warnings are issued as
            `failmodes.EvaluationWarning`.

    Returns:
        The study's warehouse, open for reading.

    Raises:
        MissingExtraError: PyTorch is not installed.
        IncompleteRunError: a model raised; the results of the other models are in the warehouse (`failmodes.open` it).
            Or `strict` is set and there are warnings.
        FailmodesError: the study, its images or its models are invalid; the message says what is wrong and how to fix
            it.
    """
    from failmodes.evaluate.study.study_file import check_study, read_study
    from failmodes.ingest.datasets.layout import open_dataset
    from failmodes.warehouse.metrics.custom import read_metrics

    if isinstance(study, Mapping):
        checked = check_study(study, Path.cwd(), "failmodes.run", require_models=False)
        metrics = read_metrics(checked.metrics, Path.cwd(), "study")
    else:
        path = user_path(study)
        path = path / STUDY_FILE if path.is_dir() else path
        checked = read_study(path, require_models=False)
        metrics = read_metrics(checked.metrics, path.parent, str(path))
    if not checked.models:  # its predictions are imported: nothing to evaluate
        _load(checked, checked.claims, metrics)
        return _opened(checked.warehouse, checked.warehouse)
    require("evaluate", "failmodes.run")
    dataset = open_dataset(checked.dataset, checked.cache)
    return _run(checked, dataset, checked.claims, metrics, strict=strict, show=progress)


def gate(
    rules: "str | PathLike[str] | Mapping[str, Any]",
    warehouse: "str | PathLike[str] | Warehouse | None" = None,
    *,
    candidate: str | None = None,
    baseline: str | None = None,
    inconclusive: Literal["stop", "pass"] = "stop",
    metrics: "Sequence[Callable[..., Any]]" = (),
) -> "GateResult":
    """Check a model against gate rules: no worse than a baseline, or within limits.

        assert failmodes.gate("gate.toml", "runs/mine")     # in a test: pytest shows the rules that fail
        print(failmodes.gate({"gate": {
            "baseline": "Net A", "candidate": "Net B",
            "rules": [{"metric": "accuracy", "corruptions": ["fog"], "relation": "worse_by_at_most", "limit": 0.01}],
        }}, "runs/mine"))

    A rule has a metric, cells (`corruptions` and `severities`, default all in the results; "none" is clean), `over`
    ("mean" or "each" cell), and a `relation` to a `limit`, such as "worse_by_at_most" (than the baseline), "at_least"
    or "drop_at_most". It passes if its one-sided bound at the level (0.95) is within the limit, fails if the opposite
    bound, corrected for the number of tests, is beyond it, and is inconclusive otherwise.

    Args:
        rules: a rules file (TOML), a study file with a `gate` table, or the content of either as a dict.
        warehouse: an opened warehouse or a location as for `open`, for models given without a file. Default: the
            study's warehouse if the rules are in a study.
        candidate: the model to check, instead of the one in the rules: a label, an evaluation id, FILE.duckdb or
            FILE.duckdb::LABEL.
        baseline: the model to compare with, named the same way.
        inconclusive: "pass" lets inconclusive rules pass.
        metrics: custom metric functions that rules may use (see `failmodes.metric`), in addition to the metric files
            that the rules or the study list.

    Returns:
        The result of each rule; truthy if the gate passes. Its string is what the command prints.

    Raises:
        StudyError: the rules or another argument are invalid, or a model is unknown.
        WarehouseError: the warehouse is missing or has another schema version.
    """
    from failmodes.analysis.judging.gate import run_gate

    where = warehouse.path if isinstance(warehouse, Warehouse) else warehouse
    return run_gate(rules, where, candidate=candidate, baseline=baseline, inconclusive=inconclusive, metrics=metrics)


def benchmark(
    model: "Model | Mapping[str, Model]",
    images: Any,
    labels: Any = None,
    *,
    to: "str | PathLike[str]",
    corruptions: "Corruption | Sequence[Corruption]" = "headline",
    severities: "Sequence[int | float | Decimal]" = (1, 2, 3, 4, 5),
    label: str | None = None,
    class_names: 'Sequence[str] | Literal["imagenet-1k"] | None' = None,
    normalization: "Normalization | None" = None,
    preprocess: Callable[..., Any] | None = None,
    image_size: int | None = None,
    image_count: int | None = None,
    masks: Any = None,
    metadata: Any = None,
    shifts: "Mapping[str, Any] | Sequence[Mapping[str, Any]] | None" = None,
    options: "Options | None" = None,
    replace: bool = False,
    claims: Sequence[Mapping[str, Any]] | None = None,
    metrics: "Sequence[Callable[..., Any]] | None" = None,
    progress: bool = True,
) -> Warehouse:
    """Evaluate models in memory on images under graded corruption, without a study file.

        w = failmodes.benchmark(model, images, labels, to="runs/mine", normalization="imagenet")
        w.chart("curves")

    It uses the same engine as a study: an interrupted call resumes, and a call whose results are complete returns at
    once. Different images, weights or settings make a separate evaluation in the same folder and warehouse. Benchmark
    models that need different preprocessing one after the other into one folder.

    Args:
        model: a torch module, a function from uint8 images (N, H, W, 3) to logits (N, C), or a dict of these by label
            ("Net, seed 0" and "Net, seed 1" are training runs of one model). Modules are copied, never modified.
        images: uint8 (N, H, W, 3), RGB, or a uint8 tensor (N, 3, H, W); a sequence of such images or PIL images; a
            torch Dataset or non-shuffling DataLoader of (image, label) or of mappings; a Hugging Face Dataset; any
            iterable of such items, in its order; or a path: of a folder with one folder per class, of a list (.csv or
            .parquet with path and label), of Parquet files with images, of tar shards (WebDataset), or of a folder that
            `save_to_disk` of Hugging Face's `datasets` wrote. Pixels are uint8: corruptions are applied before
            normalization.
        labels: (N,) integer class indices, if the images come without labels.
        to: output folder for results, warehouse and `study.toml`, which describes the last call.
        corruptions: "headline" (the 15 of the published metrics), "all" (19), a name, or a list of names, functions of
            (images, parameters) and `CustomCorruption`s. `failmodes.corruptions()` lists the names.
        severities: severity levels above 0, up to 5; clean images are always evaluated.
        label: the model's name in charts. Default: its class name. Different weights or settings under an existing
            label make a second evaluation, shown beside the first with the differences; see `replace`.
        class_names: names of the model's outputs, in order; "imagenet-1k" for the 1,000 ImageNet classes.
        normalization: input normalization used in training: "imagenet", "cifar10", "cifar100", "clip", "inception",
            (mean, std) of values / 255 with three channels each, or a mapping of both. "none" keeps values in [0, 1],
            which is also the default, with a warning.
        preprocess: a function from pixels to model input, instead of `normalization`: your own, or an image processor
            of transformers. It receives uint8 tensors (N, 3, H, W) or, if it does not accept these, one PIL image at a
            time.
        image_size: side of the square in pixels that images of a folder or dataset are cropped to.
        image_count: evaluate only this many images, the first of each class. Default: all. A different number makes a
            different evaluation: for trials, use another folder as `to`.
        masks: object masks: bool (N, H, W), a .npy file, or for a folder of images a folder of masks with the same
            names.
        metadata: what is known of the images, such as their camera: the path of a .csv or .parquet with the paths of
            the images or their numbers from 0 in a column, a data frame, or a dict of columns, one row per image in
            order. Its columns become columns of `images` and `predictions`.
        shifts: natural shifts by label, evaluated beside the clean images: a path, (images, labels) or a dataset, with
            labels of the same classes; or a list of tables as in a study, such as {"label": "CIFAR-10.1", "kind":
            "cifar10.1", "path": "data/cifar10.1"}.
        options: less common arguments (seeds, recipe, device, precision, attention, class map …) in one object:
            `failmodes.Options(seeds=[0, 1], device="cuda")`.
        replace: after the new evaluations are loaded, remove earlier evaluations of the same label on the same images
            from the folder and its warehouse. `failmodes remove` removes others.
        claims: claims about the models, one dict each, such as {"metric": "accuracy", "corruptions": ["fog"],
            "relation": "at_least", "limit": 0.3}. The report and `Warehouse.claims` evaluate them; docs/claims.md lists
            all keys. Default: keep those of the last call.
        metrics: custom metric functions, such as `f(preds, target)` of torchmetrics (see `failmodes.metric`), stored in
            the table `cell_metrics`. Default: keep the values of the last call for unchanged cells.
        progress: show progress on stderr or in the notebook. If False, warnings are issued as
            `failmodes.EvaluationWarning`.

    Returns:
        The folder's warehouse, open for reading.

    Raises:
        MissingExtraError: PyTorch is not installed.
        DataError: images or labels are missing or have the wrong type or shape.
        ModelError: a model does not accept the images, or its code cannot be identified and no `version` is given.
        StudyError: another argument is invalid, or a model's outputs do not match the labels.
        IncompleteRunError: a model raised during the run; the results of the other models are in the warehouse
            (`failmodes.open` it). Or `Options(strict=True)` is set and there are warnings.
    """
    require("evaluate", "failmodes.benchmark")
    from failmodes.evaluate.benchmark import Benchmark, label_of, study_of
    from failmodes.evaluate.options import Options
    from failmodes.warehouse.metrics.custom import user_metrics

    if isinstance(model, Mapping) and label is not None:
        raise StudyError("benchmark: label= names one model; the keys of a dict already label its models")
    if not isinstance(options, Options | None):
        found = type(options).__name__
        raise StudyError(f"benchmark: options is a {found}: expected failmodes.Options(seeds=…, device=…)")
    own_metrics = None if metrics is None else user_metrics(list(metrics))
    asked = Benchmark(
        models=model if isinstance(model, Mapping) else {label or label_of(model): model},
        images=images, labels=labels, to=user_path(to).absolute(), corruptions=corruptions, severities=severities,
        class_names=class_names, normalization=normalization, preprocess=preprocess, image_size=image_size,
        image_count=image_count, masks=masks, metadata=metadata, shifts=shifts, claims=claims,
        options=options or Options(),
    )  # fmt: skip
    study, dataset = study_of(asked)
    stated = None if claims is None else study.claims
    return _run(
        study, dataset, stated, own_metrics, replace=replace, adds_models=True, strict=asked.options.strict,
        show=progress,
    )  # fmt: skip


def import_predictions(
    table: Any,
    *,
    to: "str | PathLike[str]",
    label: str | None = None,
    columns: Mapping[str, str] | None = None,
    dataset: str | None = None,
    images: "str | PathLike[str] | None" = None,
    metadata: "str | PathLike[str] | None" = None,
    image_pattern: str | None = None,
    axes: Mapping[str, str] | None = None,
    level_pattern: str | None = None,
    reference: str | None = None,
    missing: Sequence[str] = (),
    more_classes: bool = False,
    architecture: str = "imported",
    renormalize: bool = False,
    strict: bool = False,
    progress: bool = True,
) -> Warehouse:
    """Import predictions made elsewhere, by other frameworks, an API or people, and load them. Needs no PyTorch.

        w = failmodes.import_predictions(predictions, to="runs/mine", label="Net")       # a Polars or pandas frame
        w = failmodes.import_predictions("people.csv", to="runs/people", label="People", missing=["na"],
                                         axes={"contrast": "%,100..1,log"}, level_pattern="c([0-9]+)")
        w.table("accuracy_by_severity")

    Columns of a table, by role: `image` and `label`; `prediction` (a class, by name or number), or logits or
    probabilities of every class (a list column `logits`, or columns `logit_0` …); optional `confidence` (0-1),
    `corruption`, `severity` or `value` of the level, `model`, and `run` (training seed, observer, trial). Common names
    are recognized. Other columns are metadata of images where they are constant by image. Tables imported into one
    folder share one dataset, by the names of images.

    Args:
        table: path of a CSV, Parquet or JSON lines file, a data frame of Polars, pandas or Arrow, or a list of these.
        to: output folder for results and warehouse.
        label: the model's name in charts, if no column names it. Default: the name of the file, or "model".
        columns: column of a role, where its name is not a common one: {"image": "stimulus"}.
        dataset: name of the dataset in charts. Default: that of the folder.
        images: folder with the images, by their names in the table: thumbnails, duplicates and measured
            properties are then known.
        metadata: table of metadata of the images, .csv or .parquet, with their names in a column such as `file_name`.
        image_pattern: regular expression of the part of an image's name to keep.
        axes: axis of the levels of a corruption, from the reference level: {"contrast": "%,100..1,log"}.
        level_pattern: regular expression of the level in a text such as c30.
        reference: condition that is the reference level, which is stored as corruption `none`.
        missing: texts that mean that there is no prediction, which counts as incorrect; "" for an empty text.
        more_classes: predicted classes that no image has are classes of the dataset.
        architecture: architecture of the model, stored in the results.
        renormalize: accept rounded probabilities, which sum to 1 only approximately.
        strict: treat warnings as errors and store nothing.
        progress: show progress and the role of each column.

    Raises:
        StudyError: an argument is invalid or does not fit the table.
        DataError: the table lacks a column, or a row is invalid; nothing is stored.
        IncompleteRunError: `strict` is set and there are warnings.
    """
    from failmodes.analysis.judging.derivation import DERIVATION
    from failmodes.evaluate.tables.importing import check_tables, import_table
    from failmodes.evaluate.tables.options import table_options
    from failmodes.warehouse.database.load import load

    tables = table if isinstance(table, list | tuple) else [table]
    output = user_path(to).absolute()
    file_name = next((Path(one).name.partition(".")[0] for one in tables if isinstance(one, str | Path)), "model")
    options = table_options(
        output, columns=(columns or {}).items(), label=label or file_name, dataset=dataset, architecture=architecture,
        images=None if images is None else user_path(images),
        metadata=None if metadata is None else user_path(metadata), image_pattern=image_pattern,
        level_pattern=level_pattern,
        reference=reference, axes=(axes or {}).items(),
        missing=missing, more_classes=more_classes, renormalize=renormalize, strict=strict,
    )  # fmt: skip
    checked = check_tables(tables, output, options)
    for line in checked.describe() if progress else ():
        note(line)
    report = import_table(checked, output, options)
    for line in report.describe() if progress else ():
        note(line)
    warehouse = find_warehouse(output)
    load([output], warehouse, derivation=DERIVATION)
    return _opened(warehouse, warehouse)


def _run(
    study: "Study",
    dataset: "Dataset",
    claims: "Sequence[AnyStatement] | None",
    metrics: "Sequence[Metric] | None",
    *,
    replace: bool = False,
    adds_models: bool = False,
    strict: bool = False,
    show: bool,
) -> Warehouse:
    """Train, evaluate and load a study with models; `adds_models` puts these behind earlier ones.

    Raises:
        IncompleteRunError: a model raised, or `strict` is set and there are warnings.
    """
    from failmodes.evaluate.stages import evaluate, train

    try:
        train(study, dataset, show=show)
        report = evaluate(study, dataset, strict=strict, show=show)
        for line in report.describe() if show else ():
            note(line)
        _load(study, claims, metrics, adds_models=adds_models)
        report.raise_if_incomplete(f"results of the other models: failmodes.open({str(study.output)!r})")
        if replace:
            _remove_superseded(report.evaluation_ids, study, metrics, show=show)
    except KeyboardInterrupt:
        if show:
            note("interrupted: finished cells are kept; repeat the call to resume")
        raise
    return _opened(study.warehouse, study.warehouse)


def _remove_superseded(
    evaluation_ids: Sequence[str], study: "Study", metrics: "Sequence[Metric] | None", *, show: bool
) -> None:
    """Remove earlier evaluations of the same labels and images."""
    from failmodes.analysis.evaluations.same_labels import differences
    from failmodes.analysis.judging.derivation import DERIVATION
    from failmodes.warehouse.database.removal import Place, remove_evaluations, stored_evaluations

    place = Place(study.results_folder, study.warehouse, study.output)
    stored = stored_evaluations(place)
    new = {(row.label, row.images): row for row in stored if row.evaluation_id in evaluation_ids}
    former = [row for row in stored if row.evaluation_id not in evaluation_ids and (row.label, row.images) in new]
    if former:
        remove_evaluations(place, [row.evaluation_id for row in former], DERIVATION, metrics or ())
    for row in former if show else ():
        facts = new[row.label, row.images].facts, row.facts
        note(f"{row.label}: replaced the earlier evaluation, which differs in {differences(facts)}")


def _load(
    study: "Study",
    claims: "Sequence[AnyStatement] | None",
    metrics: "Sequence[Metric] | None",
    *,
    adds_models: bool = False,
) -> None:
    """Load the results of a study into its warehouse; claims or metrics of None keep the stored ones."""
    from failmodes.analysis.judging.derivation import DERIVATION
    from failmodes.analysis.judging.statement import stored_rows
    from failmodes.warehouse.database.load import load

    stated = None if claims is None else stored_rows(claims)
    load(
        [study.results_folder], study.warehouse, claims=stated, models=study.stated_models, adds_models=adds_models,
        metrics=metrics, derivation=DERIVATION,
    )  # fmt: skip


def _opened(path: Path, location: Path | None) -> Warehouse:
    """The warehouse; the images of its study are opened only when needed."""

    def open_study() -> "StudyImages | None":
        from failmodes.evaluate.study_images import open_study_images

        return open_study_images(location, path)

    study_file = location or default_location()
    if study_file.suffix != ".toml":
        return Warehouse(path, open_study=open_study)

    def load_models() -> "AttentionOf":
        require("evaluate", "attention=True")
        from failmodes.evaluate.stages import attention_of_study

        return attention_of_study(study_file)

    return Warehouse(path, open_study=open_study, load_models=load_models)
