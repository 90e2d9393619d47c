"""The public functions: open a warehouse, benchmark live models, run a study, judge a model by rules."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
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

    from failmodes.analysis.judging.gate_result import GateResult
    from failmodes.evaluate.engine.run import RunReport
    from failmodes.evaluate.study_images import StudyImages
    from failmodes.ingest.corruptions.custom import CustomCorruption
    from failmodes.ingest.statements import Statement
    from failmodes.warehouse.metrics.metric import Metric
    from failmodes.warehouse.storage.files import StorePath

    Model = torch.nn.Module | Callable[[NDArray[np.uint8]], Any]
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


def run(study: "str | PathLike[str] | Mapping[str, Any]", *, progress: bool = True) -> Warehouse:
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
        progress: whether to show on stderr, or in the notebook, what is done.

    Returns:
        The study's warehouse, open for reading.

    Raises:
        MissingExtraError: PyTorch is not installed.
        IncompleteRunError: a model raised; the others are in the warehouse (`failmodes.open` it).
        FailmodesError: the study, its images or models are not what they should be: one line says what and how to
            mend it.
    """
    from failmodes.evaluate.study.reading import check_study, read_study
    from failmodes.warehouse.metrics.custom import read_metrics

    if isinstance(study, Mapping):
        folder, origin = Path.cwd(), "study"
        read = check_study(study, folder, "failmodes.run", require_models=False)
    else:
        path = user_path(study)
        path = path / STUDY_FILE if path.is_dir() else path
        read, folder, origin = read_study(path, require_models=False), path.parent, str(path)
    own_metrics = read_metrics(read.metrics, folder, origin)
    if not read.models:  # its predictions are imported: there is nothing to evaluate
        return _loaded(read.results_folder, read.output, read.claims, own_metrics)
    require("evaluate", "failmodes.run")
    from failmodes.evaluate.engine.run import evaluate_study
    from failmodes.evaluate.progress import evaluation_bar, training_bar
    from failmodes.evaluate.study_models import train_missing
    from failmodes.ingest.datasets.opening import open_dataset

    dataset = open_dataset(read.dataset, read.cache)
    with _goes_on(progress), training_bar(progress) as show_epoch:
        train_missing(read, dataset, show_epoch)
    with _goes_on(progress), evaluation_bar(progress) as callbacks:
        report = evaluate_study(read, dataset, progress=callbacks)
    return _finished(report, read.results_folder, read.output, read.claims, own_metrics, show=progress)


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
    masks: Any = None,
    to: "str | PathLike[str]",
    corruptions: "Corruption | Sequence[Corruption]" = "headline",
    severities: "Sequence[int | float | Decimal]" = (1, 2, 3, 4, 5),
    recipe: 'Literal["cifar-c", "imagenet-c"] | None' = None,
    seeds: Sequence[int] = (0,),
    noise: Literal["shared", "independent"] = "shared",
    across_switches: bool = False,
    image_count: int | None = None,
    image_size: int | None = None,
    resize: int | None = None,
    background: Sequence[int] | None = None,
    gray: bool = False,
    label: str | None = None,
    dataset_label: str | None = None,
    normalization: Any = None,
    preprocess: Callable[..., Any] | None = None,
    input_side_px: int | None = None,
    class_names: 'Sequence[str] | Literal["imagenet-1k"] | None' = None,
    label_names: Sequence[str] | None = None,
    class_map: "Mapping[str, int | str] | None" = None,
    classes: 'Literal["subset", "all"] | None' = None,
    output_key: str | None = None,
    output_kind: 'Literal["logits", "probabilities"] | None' = None,
    deterministic: bool = True,
    attention: bool | str = True,
    attention_layer: str | None = None,
    logits: 'Literal["all"] | None' = None,
    thumbnails: bool = True,
    precision: Literal["float32", "bfloat16", "float16"] = "float32",
    batch_size: int | None = None,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    version: str | None = None,
    name: str | None = None,
    replace: bool = False,
    claims: Sequence[Mapping[str, Any]] | None = None,
    metrics: "Sequence[Callable[..., Any]] | None" = None,
    progress: bool = True,
) -> Warehouse:
    """Evaluate models of this program on images under graded corruption; no study file is needed.

        w = failmodes.benchmark(model, images, labels, to="runs/mine", normalization=(MEAN, STD))
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
        masks: where the object is: bool (N, H, W), a .npy of it, or of a folder the folder of masks by the same names.
        to: the folder that holds the result: results, warehouse, and `study.toml`, which says what the last call ran.
        corruptions: "headline" (the 15 of the published metrics), "all" (19), a name, or a list of names, functions of
            (images, parameters) and `CustomCorruption`s. `failmodes.corruptions()` lists the names.
        severities: levels above 0, up to 5; clean is always evaluated.
        recipe: "cifar-c" (published for 32 pixels) or "imagenet-c" (224); if not given, that of the nearest size.
        seeds: seeds of the corruptions' samples, an evaluation each; charts show one, `evaluation=`.
        noise: "shared": an image has the same samples at every severity; "independent": new ones at each.
        across_switches: cross-fade between the severities of corruptions that do not interpolate.
        image_count: only so many images, the first of each class; all if not given. Another number is another
            evaluation: to try something out, take another folder as `to`.
        image_size: side of the square, in pixels, that a folder's or a data set's images are cropped to.
        resize: what their shorter side is resized to before that, pixels.
        background: red, green and blue, 0 to 255, that transparent images are composited on; white if not given.
        gray: images are gray, and corruptions keep them so: noise is the same in the three channels.
        label: the model's name on charts; its class's name if not given. Other weights or settings under a label that
            is there already are another evaluation, shown beside the first with what differs; see `replace`.
        dataset_label: the images' name on charts.
        normalization: (mean, std) of values / 255, three channels each, or a mapping of both.
        preprocess: instead of it, your own function from pixels to the model's input: it gets uint8 tensors
            (N, 3, H, W) or, where it does not take these, one PIL image at a time. With neither, values are in [0, 1].
        input_side_px: the side that images are resized to for the model, after corruption.
        class_names: names of the model's outputs, in order; "imagenet-1k" for the 1,000 of ImageNet.
        label_names: names of the labels, where they do not number the outputs; matched with `class_names`.
        class_map: the output, by number or name, of a label whose name does not match.
        classes: where a model has outputs that are no classes of the images: "all" lets any output be the answer,
            "subset" only those of the images' classes. If not given: all where they were matched by name, subset where
            `class_map` gives them.
        output_key: which of the outputs are the logits, by name or by position from "0", where there are several and
            none is called "logits".
        output_kind: "probabilities" for a model that ends in a softmax; logits if not given.
        deterministic: False accepts a model that gives an image other outputs each time.
        attention: True, False, or a CAM method: "closed-form", "backward", or one of the grad-cam package's.
        attention_layer: the layer to look at, by its dotted name, instead of the one found.
        logits: "all" keeps every logit of a model of more than ten classes, as float16, in the results alone.
        thumbnails: False puts no picture into results and warehouse: neither clean images, which `Warehouse.images`
            needs, nor exemplars. Images given as arrays lie in the folder `to` all the same.
        precision: of the forward pass.
        batch_size: images at a time; by a memory rule if not given (at most 32 on a CPU, 512 on a GPU).
        device: where models run; auto takes cuda, then mps, then cpu.
        version: your own name for code whose source or captured values cannot be read, such as a session of another
            library, or that reads files as it runs; change it when the code changes.
        name: of the study; the folder's name if not given.
        replace: remove earlier evaluations of the same label on the same images from the folder, its warehouse and all
            that is derived from them, once the new ones are evaluated and loaded. `failmodes remove` removes others.
        claims: what is claimed of the models, a table each, such as {"metric": "accuracy", "corruptions": ["fog"],
            "relation": "at_least", "limit": 0.3}: the report and `Warehouse.claims` judge them. docs/claims.md has all
            keys. If not given, those of the last call stay.
        metrics: functions of your own, as `f(preds, target)` of torchmetrics (see `failmodes.metric`): they are in the
            table `cell_metrics` beside all others. If not given, the values of the last call stay for what has not
            changed since.
        progress: whether to show on stderr, or in the notebook, what is done.

    Returns:
        The folder's warehouse, open for reading.

    Raises:
        MissingExtraError: PyTorch is not installed.
        DataError: images or labels are of another type or shape, or are missing.
        ModelError: a model does not take the images, or its code cannot be identified and no `version` is given.
        StudyError: another argument is not what it should be, or a model's outputs do not fit the labels.
        IncompleteRunError: a model raised in mid-run; the others are in the warehouse (`failmodes.open` it).
    """
    require("evaluate", "failmodes.benchmark")
    from failmodes.evaluate.benchmark.benchmark import BenchmarkRequest, run_benchmark
    from failmodes.evaluate.benchmark.live_models import unwrapped
    from failmodes.evaluate.benchmark.model_options import make_model_options
    from failmodes.evaluate.progress import evaluation_bar
    from failmodes.warehouse.metrics.custom import user_metrics

    own_metrics = None if metrics is None else user_metrics(_listed(metrics))
    output = user_path(to).absolute()
    if isinstance(model, Mapping) and label is not None:
        raise StudyError("benchmark: label= names one model: the keys of a dict are the labels of its models")
    models = model if isinstance(model, Mapping) else {label or _name_of(unwrapped(model)): model}
    request = BenchmarkRequest(
        models=models,
        images=images,
        labels=labels, masks=masks, output=output, name=name or output.name,
        claims=_listed(claims), model_options=make_model_options(
            normalization, preprocess=preprocess, input_side_px=input_side_px, class_names=class_names,
            class_map=class_map, classes=classes, output_key=output_key, output_kind=output_kind,
            deterministic=deterministic, attention_layer=attention_layer, version=version,
        ),
        dataset={
            "images": image_count, "image_size": image_size, "resize": resize, "background": _listed(background),
            "gray": gray or None, "label": dataset_label,
        },
        label_names=label_names,
        corruptions=corruptions,
        sampling={
            "severities": _listed(severities), "recipe": recipe, "seeds": _listed(seeds), "noise": noise,
            "across_switches": across_switches,
        },
        evaluation={
            "attention": attention, "logits": logits, "thumbnails": thumbnails, "precision": precision,
            "batch_size": batch_size, "device": device,
        },
    )  # fmt: skip
    with _goes_on(progress), evaluation_bar(progress) as callbacks:
        done = run_benchmark(request, callbacks)
    stated = None if claims is None else done.study.claims
    warehouse = _finished(done.run, done.study.results_folder, output, stated, own_metrics, show=progress)
    if replace:
        with _goes_on(progress):
            _remove_superseded(done.run.evaluation_ids, done.study.results_folder, output, own_metrics, show=progress)
    return warehouse


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


def _finished(
    report: "RunReport",
    record: "StorePath",
    output: Path,
    claims: "Sequence[Statement] | None",
    metrics: "Sequence[Metric] | None",
    *,
    show: bool,
) -> Warehouse:
    """The warehouse with all that a run gave, after saying what it did.

    Raises:
        IncompleteRunError: a model raised.
    """
    for line in report.describe() if show else ():
        note(line)
    warehouse = _loaded(record, output, claims, metrics)
    report.raise_if_incomplete(f"what the others gave: failmodes.open({str(output)!r})")
    return warehouse


@contextmanager
def _goes_on(show: bool) -> Iterator[None]:
    """Say on Ctrl-C what is kept, and let it go its way."""
    try:
        yield
    except KeyboardInterrupt:
        if show:
            note("interrupted: what is finished is kept, and the same call goes on from there")
        raise


def _loaded(
    record: "StorePath", output: Path, claims: "Sequence[Statement] | None", metrics: "Sequence[Metric] | None"
) -> Warehouse:
    from failmodes.analysis.judging.stored import DERIVATION
    from failmodes.ingest.statements import stored_rows
    from failmodes.warehouse.database.load import load

    path = output / WAREHOUSE_FILE
    stated = None if claims is None else stored_rows(claims)
    load([record], path, claims=stated, metrics=metrics, derivation=DERIVATION)
    return _opened(path, path)


def _opened(path: Path, location: Path | None) -> Warehouse:
    """The warehouse, with how to open the images of its study, which is mostly not needed."""
    return Warehouse(path, open_study=partial(_open_study, location, path))


def _open_study(location: Path | None, path: Path) -> "StudyImages | None":
    from failmodes.evaluate.study_images import open_study_images

    return open_study_images(location, path)


def _listed(values: Any) -> Any:
    """Any values as a list; what is none as it is, to be refused under its argument's name."""
    return values if isinstance(values, str | Mapping) or not isinstance(values, Iterable) else list(values)


def _name_of(model: object) -> str:
    return str(getattr(model, "__name__", type(model).__name__))
