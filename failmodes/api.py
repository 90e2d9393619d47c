"""The public functions: open a warehouse, benchmark live models, run a study, judge a model by rules."""

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from failmodes.analysis.opened_warehouse import Warehouse
from failmodes.warehouse.errors import StudyError
from failmodes.warehouse.extras import require
from failmodes.warehouse.storage.locations import STUDY_FILE, WAREHOUSE_FILE, find_warehouse, user_path
from failmodes.warehouse.terminal import note

if TYPE_CHECKING:
    from decimal import Decimal

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from failmodes.analysis.judging.gate import GateResult
    from failmodes.evaluate.options import Options
    from failmodes.evaluate.study.study_schema import Study
    from failmodes.evaluate.study_images import StudyImages
    from failmodes.ingest.corruptions.custom import CustomCorruption
    from failmodes.ingest.datasets.dataset import Dataset
    from failmodes.ingest.statements import Statement
    from failmodes.warehouse.metrics.metric import Metric
    from failmodes.warehouse.storage.files import StorePath

    Model = torch.nn.Module | Callable[[NDArray[np.uint8]], Any]
    Normalization = (
        Literal["imagenet", "cifar10", "cifar100", "clip", "inception", "none"]
        | tuple[Sequence[float], Sequence[float]]
        | Mapping[str, Sequence[float]]
    )
    Corruption = str | CustomCorruption | Callable[..., NDArray[np.uint8]]


def open(location: "str | PathLike[str] | None" = None) -> Warehouse:  # as PIL's and h5py's
    """Open a warehouse for reading; needs neither images nor models nor PyTorch.

        w = failmodes.open("warehouse.duckdb")
        w.tables()
        w.table("accuracy_by_severity", model_label="ResNet-18", corruption="fog")
        w.chart("curves").save("curves.pdf")

    Args:
        location: a `.duckdb` file, the folder that holds `warehouse.duckdb`, or a study file (`.toml`); if not given,
            study.toml or warehouse.duckdb in the current folder.

    Raises:
        StudyError: it is none of these.
        WarehouseError: there is no warehouse, or one of another schema version.
    """
    given = None if location is None else user_path(location)
    return _opened(find_warehouse(given), given)


def run(study: "str | PathLike[str] | Mapping[str, Any]", *, strict: bool = False, progress: bool = True) -> Warehouse:
    """Do all that a study still needs: train, evaluate, load; interrupted, the same call goes on where it was.

        w = failmodes.run("study.toml")
        w = failmodes.run({
            "name": "Digits", "output": "runs/digits", "dataset": {"kind": "digits"},
            "corruptions": {"names": ["fog", "contrast"], "severities": [1, 3, 5]},
            "models": [{"label": "Small", "architecture": "resnet18", "width": 16, "training": {"epochs": 5}}],
        })

    Args:
        study: the path of a study file or of the folder that holds `study.toml`, or its content: the keys and tables
            that `failmodes init` writes and explains. Relative paths in a content are relative to the current folder.
        strict: take warnings about images and models for errors, before corrupted images are evaluated.
        progress: whether to show on stderr, or in the notebook, what is done; if not, warnings are issued as
            `failmodes.EvaluationWarning`.

    Returns:
        The study's warehouse, open for reading.

    Raises:
        MissingExtraError: PyTorch is not installed.
        IncompleteRunError: a model raised; the others are in the warehouse (`failmodes.open` it). Or it is strict, and
            there are warnings.
        FailmodesError: the study, its images or models are not what they should be: one line says what and how to
            mend it.
    """
    from failmodes.evaluate.study.study_file import check_study, read_study
    from failmodes.ingest.datasets.opening import open_dataset
    from failmodes.warehouse.metrics.custom import read_metrics

    if isinstance(study, Mapping):
        folder, origin = Path.cwd(), "study"
        read = check_study(study, folder, "failmodes.run", require_models=False)
    else:
        path = user_path(study)
        path = path / STUDY_FILE if path.is_dir() else path
        read, folder, origin = read_study(path, require_models=False), path.parent, str(path)
    metrics = read_metrics(read.metrics, folder, origin)
    if not read.models:  # its predictions are imported: there is nothing to evaluate
        path = _load(read, read.claims, metrics)
        return _opened(path, path)
    require("evaluate", "failmodes.run")
    return _run(read, open_dataset(read.dataset, read.cache), read.claims, metrics, strict=strict, show=progress)


def gate(
    rules: "str | PathLike[str] | Mapping[str, Any]",
    warehouse: "str | PathLike[str] | Warehouse | None" = None,
    *,
    candidate: str | None = None,
    baseline: str | None = None,
    inconclusive: Literal["stop", "pass"] = "stop",
    metrics: "Sequence[Callable[..., Any]]" = (),
) -> "GateResult":
    """Judge a model by rules: whether it is shown to be no worse than a baseline, or within limits.

        assert failmodes.gate("gate.toml", "runs/mine")     # in a test: pytest shows what does not hold
        print(failmodes.gate({"gate": {
            "baseline": "Net A", "candidate": "Net B",
            "rules": [{"metric": "accuracy", "corruptions": ["fog"], "relation": "worse_by_at_most", "limit": 0.01}],
        }}, "runs/mine"))

    A rule is one metric, the cells that it is about (`corruptions` and `severities`, all on record if left out; "none"
    is clean), whether it holds `over` their "mean" or "each" of them, and a `relation` to a `limit`, such as
    "worse_by_at_most" (than the baseline), "at_least" or "drop_at_most". It passes where its one-sided bound at the
    level (0.95) lies within the limit, and fails where the other bound, corrected for all that may stop the gate, lies
    beyond it; else it is inconclusive.

    Args:
        rules: a file of rules (TOML), a study file with a `gate` table, or their content.
        warehouse: of models that name no file: an opened warehouse, or a location as `open` takes it; that of the
            study where the rules stand in one.
        candidate: the model to judge, instead of the one that the rules name: a label, an evaluation's identity,
            FILE.duckdb or FILE.duckdb::LABEL.
        baseline: the model to compare with, the same.
        inconclusive: "pass" lets rules pass that the images are too few to decide.
        metrics: functions of your own that rules may name (see `failmodes.metric`), beside those of the files that the
            rules, or the study, name.

    Returns:
        What is shown of each rule: true where the gate passes; its text is what the command prints.

    Raises:
        StudyError: the rules or another argument are not what they should be, or a model is unknown.
        WarehouseError: there is no warehouse, or one of another schema version.
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
    options: "Options | None" = None,
    replace: bool = False,
    claims: Sequence[Mapping[str, Any]] | None = None,
    metrics: "Sequence[Callable[..., Any]] | None" = None,
    progress: bool = True,
) -> Warehouse:
    """Evaluate models of this program on images under graded corruption; no study file is needed.

        w = failmodes.benchmark(model, images, labels, to="runs/mine", normalization="imagenet")
        w.chart("curves")

    Rows are made by the same engine as a study's and are as safe: interrupted, the same call goes on where it was, and
    once all is there it returns at once. Other images, weights or settings are another evaluation beside the first, in
    the same folder and warehouse. Models that need different preparation are benchmarked one after the other into
    one folder.

    Args:
        model: a torch module, a function from uint8 images (N, H, W, 3) to logits (N, C), or a dict of several by
            label ("Net, seed 0" and "Net, seed 1": training runs of one). A module is copied: yours stays as it is.
        images: uint8 (N, H, W, 3), RGB, or a uint8 tensor (N, 3, H, W); a sequence of such images or PIL images; a
            torch Dataset, or a DataLoader that does not shuffle, of (image, label) or of mappings; a Hugging Face
            Dataset; or the path of a folder of class folders. Pixels are uint8: corruptions come before normalization.
        labels: (N,) whole numbers, class indices, where the images do not bring their own.
        to: the folder that holds the result: results, warehouse, and `study.toml`, which says what the last call ran.
        corruptions: "headline" (the 15 of the published metrics), "all" (19), a name, or a list of names, functions of
            (images, parameters) and `CustomCorruption`s. `failmodes.corruptions()` lists the names.
        severities: levels above 0, up to 5; clean is always evaluated.
        label: the model's name on charts; its class's name if not given. Other weights or settings under a label that
            is there already are another evaluation, shown beside the first with what differs; see `replace`.
        class_names: names of the model's outputs, in order; "imagenet-1k" for the 1,000 of ImageNet.
        normalization: what the model's input was normalized by in training: "imagenet", "cifar10", "cifar100", "clip",
            "inception", or (mean, std) of values / 255, three channels each, or a mapping of both; "none" for values in
            [0, 1], which models get if it is not given, with a warning.
        preprocess: instead of it, your own function from pixels to the model's input: it gets uint8 tensors
            (N, 3, H, W) or, where it does not take these, one PIL image at a time.
        image_size: side of the square, in pixels, that a folder's or a data set's images are cropped to.
        image_count: only so many images, the first of each class; all if not given. Another number is another
            evaluation: to try something out, take another folder as `to`.
        masks: where the object is: bool (N, H, W), a .npy of it, or of a folder the folder of masks by the same names.
        options: all that is said less often: seeds, recipe, device, precision, attention, class map … in one object,
            `failmodes.Options(seeds=[0, 1], device="cuda")`.
        replace: remove earlier evaluations of the same label on the same images from the folder, its warehouse and all
            that is derived from them, once the new ones are evaluated and loaded. `failmodes remove` removes others.
        claims: what is claimed of the models, a table each, such as {"metric": "accuracy", "corruptions": ["fog"],
            "relation": "at_least", "limit": 0.3}: the report and `Warehouse.claims` judge them. docs/claims.md has all
            keys. If not given, those of the last call stay.
        metrics: functions of your own, as `f(preds, target)` of torchmetrics (see `failmodes.metric`): they are in the
            table `cell_metrics` beside all others. If not given, the values of the last call stay for what has not
            changed since.
        progress: whether to show on stderr, or in the notebook, what is done; if not, warnings are issued as
            `failmodes.EvaluationWarning`.

    Returns:
        The folder's warehouse, open for reading.

    Raises:
        MissingExtraError: PyTorch is not installed.
        DataError: images or labels are of another type or shape, or are missing.
        ModelError: a model does not take the images, or its code cannot be identified and no `version` is given.
        StudyError: another argument is not what it should be, or a model's outputs do not fit the labels.
        IncompleteRunError: a model raised in mid-run; the others are in the warehouse (`failmodes.open` it). Or
            `Options(strict=True)` was given, and there are warnings.
    """
    require("evaluate", "failmodes.benchmark")
    from failmodes.evaluate.benchmark import Benchmark, label_of, study_of
    from failmodes.evaluate.options import Options
    from failmodes.warehouse.metrics.custom import user_metrics

    if isinstance(model, Mapping) and label is not None:
        raise StudyError("benchmark: label= names one model: the keys of a dict are the labels of its models")
    if not isinstance(options, Options | None):
        found = type(options).__name__
        raise StudyError(f"benchmark: options is a {found}: expected failmodes.Options(seeds=…, device=…)")
    own_metrics = None if metrics is None else user_metrics(list(metrics))
    asked = Benchmark(
        models=model if isinstance(model, Mapping) else {label or label_of(model): model},
        images=images, labels=labels, to=user_path(to).absolute(), corruptions=corruptions, severities=severities,
        class_names=class_names, normalization=normalization, preprocess=preprocess, image_size=image_size,
        image_count=image_count, masks=masks, claims=claims, options=options or Options(),
    )  # fmt: skip
    study, dataset = study_of(asked)
    stated = None if claims is None else study.claims
    return _run(study, dataset, stated, own_metrics, replace=replace, strict=asked.options.strict, show=progress)


def _run(
    study: "Study",
    dataset: "Dataset",
    claims: "Sequence[Statement] | None",
    metrics: "Sequence[Metric] | None",
    *,
    replace: bool = False,
    strict: bool = False,
    show: bool,
) -> Warehouse:
    """Do all stages of a study that names models.

    Raises:
        IncompleteRunError: a model raised, or it is strict and there are warnings.
    """
    from failmodes.evaluate.stages import evaluate, train

    try:
        train(study, dataset, show=show)
        report = evaluate(study, dataset, strict=strict, show=show)
        for line in report.describe() if show else ():
            note(line)
        path = _load(study, claims, metrics)
        report.raise_if_incomplete(f"what the others gave: failmodes.open({str(study.output)!r})")
        if replace:
            _remove_superseded(report.evaluation_ids, study.results_folder, study.output, metrics, show=show)
    except KeyboardInterrupt:
        if show:
            note("interrupted: what is finished is kept, and the same call goes on from there")
        raise
    return _opened(path, path)


def _remove_superseded(
    evaluations: Sequence[str],
    results: "StorePath",
    output: Path,
    metrics: "Sequence[Metric] | None",
    *,
    show: bool,
) -> None:
    """Remove other evaluations of the labels and images of these."""
    from failmodes.analysis.judging.stored import DERIVATION
    from failmodes.analysis.same_labels import differences
    from failmodes.warehouse.database.removal import Place, remove_evaluations, stored_evaluations

    place = Place(results, output / WAREHOUSE_FILE, output)
    stored = stored_evaluations(place)
    new = {(one.label, one.images): one for one in stored if one.evaluation_id in evaluations}
    former = [one for one in stored if one.evaluation_id not in evaluations and (one.label, one.images) in new]
    if former:
        remove_evaluations(place, [one.evaluation_id for one in former], DERIVATION, metrics or ())
    for one in former if show else ():
        facts = new[one.label, one.images].facts, one.facts
        note(f"{one.label}: replaced the former evaluation, which differs in {differences(facts)}")


def _load(study: "Study", claims: "Sequence[Statement] | None", metrics: "Sequence[Metric] | None") -> Path:
    """Load the results of a study into its warehouse; None for claims or metrics keeps those that are there."""
    from failmodes.analysis.judging.stored import DERIVATION
    from failmodes.ingest.statements import stored_rows
    from failmodes.warehouse.database.load import load as load_results

    path = study.output / WAREHOUSE_FILE
    stated = None if claims is None else stored_rows(claims)
    load_results([study.results_folder], path, claims=stated, metrics=metrics, derivation=DERIVATION)
    return path


def _opened(path: Path, location: Path | None) -> Warehouse:
    """The warehouse, with how to open the images of its study, which is mostly not needed."""

    def open_study() -> "StudyImages | None":
        from failmodes.evaluate.study_images import open_study_images

        return open_study_images(location, path)

    return Warehouse(path, open_study=open_study)
