"""Files that are wrong in one respect: tables of predictions, studies, rules, claims, checkpoints and images."""

import gzip
import io
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
from PIL import Image

ROOT = Path(__file__).parents[2]
CLASSES = ("ant", "bee", "cat", "dog")
MODELS = {"Birch": 0.9, "Cedar": 0.6, "Ash, seed 1": 0.8, "Ash, seed 2": 0.7}
CELLS = {"none": (0,), "fog": (1, 3, 5), "contrast": (5,)}

HEAD = "image,label,prediction,confidence,corruption,severity"
FIRST = "a.png,cat,cat,0.9,none,0 b.png,dog,dog,0.8,none,0"
LOGITS = "image,label,logit_cat,logit_dog"
PROBABILITIES = "image,label,probability_cat,probability_dog"
TABLES = {  # lines, separated by spaces
    "no-rows": HEAD,
    "no-label": "image,prediction a,cat",
    "no-prediction": "image,label a,cat",
    "missing": f"{HEAD} {FIRST} c.png,dog,,0.5,none,0",
    "twice": f"{HEAD} {FIRST} a.png,cat,cat,0.9,none,0",
    "two-labels": f"{HEAD} {FIRST} a.png,dog,cat,0.9,fog,1",
    "other-label": f"{HEAD} 000.png,dog,dog,0.9,none,0 001.png,bee,bee,0.9,none,0",
    "one-class": f"{HEAD} a.png,cat,cat,0.9,none,0",
    "unknown-class": f"{HEAD} {FIRST} c.png,dog,dgo,0.9,none,0",
    "confidence": f"{HEAD} {FIRST} c.png,dog,dog,90,none,0",
    "nan-confidence": f"{HEAD} {FIRST} c.png,dog,dog,nan,none,0",
    "severity-word": f"{HEAD} {FIRST} a.png,cat,cat,0.9,fog,high",
    "severity-below": f"{HEAD} {FIRST} a.png,cat,cat,0.9,fog,-1",
    "severity-above": f"{HEAD} {FIRST} a.png,cat,cat,0.9,fog,1000",
    "clean-severity": f"{HEAD} {FIRST} c.png,dog,dog,0.9,none,2",
    "zero-severity": f"{HEAD} {FIRST} c.png,dog,dog,0.9,fog,0",
    "column-twice": "image,label,label,prediction a,cat,cat,cat b,dog,dog,dog",
    "sum": f"{PROBABILITIES} a,cat,0.7,0.5 b,dog,0.2,0.8",
    "below-zero": f"{PROBABILITIES} a,cat,1.5,-0.5 b,dog,0.2,0.8",
    "nan": f"{LOGITS} a,cat,nan,1.5 b,dog,0.5,2",
    "infinite": f"{LOGITS} a,cat,inf,1.5 b,dog,0.5,2",
    "logit-word": f"{LOGITS} a,cat,high,1.5 b,dog,0.5,2",
    "one-logit": "image,label,logit_cat a,cat,0.5 b,dog,0.1",
    "other-class": f"{LOGITS} a,cow,0.5,1.5 b,dog,0.5,2",
    "ragged": f"{HEAD} {FIRST} b.png,dog",
    "value-word": "image,label,prediction,corruption,value a,cat,cat,contrast,50 b,dog,dog,contrast,full",
    "no-model": f"{HEAD},model a.png,cat,cat,0.9,none,0,Net b.png,dog,cat,0.9,none,0,",
    "sound": f"{HEAD} {FIRST} a.png,cat,dog,0.6,fog,1 b.png,dog,dog,0.7,fog,1",
}  # fmt: skip

TOP, DATASET, CORRUPTIONS = (
    'name = "Mistakes"\noutput = "out"',
    'kind = "digits"\nimages = 20',
    'names = ["fog"]\nseverities = [1]',
)
FOLDER = 'kind = "folder"\nimage_size = 32\npath = '
NORMALIZATION = "normalization = { mean = [0.5, 0.5, 0.5], std = [0.25, 0.25, 0.25] }"


def study(top: str = TOP, dataset: str = DATASET, corruptions: str = CORRUPTIONS, more: str = "") -> str:
    """A study of these parts."""
    return f"{top}\n[dataset]\n{dataset}\n[corruptions]\n{corruptions}\n{more}\n"


def of_model(
    *lines: str,
    dataset: str = DATASET,
    architecture: str = "resnet18",
    width: str = "width = 16",
    weights: str = "resnet.safetensors",
) -> str:
    """A study of one model, whose checkpoint is in the folder INPUTS."""
    checkpoint = weights if "=" in weights else f'checkpoint = "INPUTS/{weights}"'
    keys = ["[[models]]", 'label = "Net"', f'architecture = "{architecture}"', width, checkpoint, *lines]
    return study(dataset=dataset, more="\n".join(keys))


STUDIES = {
    "plain": study(),
    "cut": 'name = "Mistakes',
    "no-name": study(top='output = "out"'),
    "blank-name": study(top='name = " "\noutput = "out"'),
    "no-dataset": TOP,
    "unknown-key": study(dataset='kind = "digits"\nimage_number = 20'),
    "unknown-table": study(more="[corruption]"),
    "wrong-type": study(dataset='kind = "digits"\nimages = "twenty"'),
    "half-image": study(dataset='kind = "digits"\nimages = 1.5'),
    "no-images": study(dataset='kind = "digits"\nimages = 0'),
    "kind": study(dataset='kind = "digit"'),
    "no-folder": of_model(dataset=f'{FOLDER}"gone"'),
    "no-path": study(dataset='kind = "folder"\nimage_size = 32'),
    "broken-image": of_model(dataset=f'{FOLDER}"INPUTS/broken"'),
    "broken-arrays": of_model(dataset='kind = "arrays"\npath = "INPUTS/arrays"'),
    "broken-list": of_model(dataset='kind = "list"\nimage_size = 32\npath = "INPUTS/words.csv"'),
    "broken-parquet": of_model(dataset='kind = "parquet"\nimage_size = 32\npath = "INPUTS/words.parquet"'),
    "broken-tar": of_model(dataset='kind = "webdataset"\nimage_size = 32\npath = "INPUTS/words.tar"'),
    "no-masks": of_model(dataset=f'{FOLDER}"INPUTS/whole"\nmasks = "gone"'),
    "no-metadata": of_model(dataset=f'{FOLDER}"INPUTS/whole"\nmetadata = {{ path = "gone.csv" }}'),
    "corruption": study(corruptions='names = ["fogg"]'),
    "corruption-twice": study(corruptions='names = ["fog", "fog"]'),
    "no-corruptions": study(corruptions="names = []"),
    "module": study(corruptions='names = ["nowhere:blur"]'),
    "severity-above": study(corruptions='names = ["fog"]\nseverities = [6]'),
    "severity-zero": study(corruptions='names = ["fog"]\nseverities = [0]'),
    "severity-twice": study(corruptions='names = ["fog"]\nseverities = [1, 1.0]'),
    "severity-between": study(corruptions='names = ["glass_blur"]\nseverities = [1.5]'),
    "seed": study(corruptions='names = ["fog"]\nseeds = [-1]'),
    "recipe": study(corruptions='names = ["fog"]\nrecipe = "cifar"'),
    "axis": study(corruptions='names = ["fog"]\naxes = { fog = "%,1" }'),
    "published": of_model().replace(CORRUPTIONS, 'published = "gone"'),
    "claim-corruption": study(more='[[claims]]\nshape = "late"\ncorruptions = ["frog"]'),
    "shift": of_model('[[shifts]]\nlabel = "Other"\nkind = "folder"\npath = "gone"'),
    "protocol": study(more='[[protocols]]\nname = "Ours"'),
    "gate": study(more="[gate]\nlevel = 2"),
    "architecture": of_model(NORMALIZATION, architecture="resnet81", width=""),
    "architecture-module": of_model(NORMALIZATION, architecture="nowhere:net", width=""),
    "width": of_model(NORMALIZATION, width="width = 0"),
    "label-twice": of_model('[[models]]\nlabel = "Net"\narchitecture = "densenet121"\ntraining = { epochs = 1 }'),
    "no-checkpoint": of_model(weights="gone.safetensors"),
    "no-weights": of_model(weights="seeds = [0]"),
    "text-checkpoint": of_model(NORMALIZATION, weights="words.pt"),
    "text-safetensors": of_model(NORMALIZATION, weights="words.safetensors"),
    "unsafe-checkpoint": of_model(NORMALIZATION, weights="unsafe.pt"),
    "foreign-checkpoint": of_model(NORMALIZATION, weights="foreign.pt"),
    "other-architecture": of_model(architecture="densenet121"),
    "other-width": of_model(width="width = 8"),
    "other-normalization": of_model(NORMALIZATION),
    "normalization-name": of_model('normalization = "imagnet"'),
    "normalization-zero": of_model(NORMALIZATION.replace("0.25]", "0]")),
    "normalization-255": of_model("normalization = { mean = [127, 127, 127], std = [64, 64, 64] }"),
    "normalization-two": of_model(NORMALIZATION.replace("[0.5, 0.5, 0.5]", "[0.5, 0.5]")),
    "class-count": of_model('class_names = ["zero", "one"]'),
    "class-map": of_model("class_map = { zero = 99 }"),
    "epochs": of_model(weights="training = { epochs = 0 }"),
    "optimizer": of_model(weights='training = { optimizer = "adam" }'),
    "device": of_model('[evaluation]\ndevice = "tpu"'),
    "precision": of_model('[evaluation]\nprecision = "int8"'),
    "batch": of_model("[evaluation]\nbatch_size = 0"),
    "attention": of_model('[evaluation]\nattention = "gradcamm"'),
}


RULE = {"metric": "accuracy", "corruptions": ["fog"], "relation": "at_least", "limit": 0.5}
NO_METRIC = dict.fromkeys(("metric", "relation", "limit"))
MISTAKES: dict[str, dict[str, Any]] = {  # keys of a rule or claim beside those of RULE; None takes a key out
    "metric": {"metric": "acuracy"},
    "no-metric": {"metric": None},
    "metric-and-shape": {"shape": "late"},
    "shape": NO_METRIC | {"shape": "lately"},
    "shape-of-all": NO_METRIC | {"shape": "late", "corruptions": None},
    "kind": NO_METRIC | {"kind": "largest_dropp"},
    "kind-with-cells": NO_METRIC | {"kind": "early_warning"},
    "kind-with-score": NO_METRIC | {"kind": "largest_drop", "score": "margin"},
    "key": {"corruption": "fog"},
    "relation": {"relation": "atleast"},
    "no-relation": {"relation": None},
    "no-limit": {"limit": None},
    "percent": {"limit": 50},
    "text": {"limit": "half"},
    "not-a-number": {"limit": float("nan")},
    "below-zero": {"relation": "drop_at_most", "limit": -0.1},
    "corruption": {"corruptions": ["frog"]},
    "no-corruptions": {"corruptions": []},
    "corruption-twice": {"corruptions": ["fog", "fog"]},
    "corruption-text": {"corruptions": "fog"},
    "clean-drop": {"corruptions": ["none"], "relation": "drop_at_most"},
    "clean-severities": {"corruptions": ["none"], "severities": [1]},
    "severity": {"severities": [7000]},
    "severity-zero": {"severities": [0]},
    "severity-word": {"severities": "first"},
    "over": {"over": "all"},
    "score": {"metric": "auroc", "score": "certainty"},
    "score-of-accuracy": {"score": "margin"},
    "no-threshold": {"metric": "error_accepted"},
    "threshold-of-accuracy": {"threshold": 0.5},
    "filter": {"filter": "cammera = 'A'"},
    "filter-query": {"filter": "1 = 1; drop table images"},
    "no-filter": {"relation": "worse_than_rest"},
    "other-alike": {"relation": "more_than", "other": {"corruptions": ["fog"]}},
    "other-empty": {"relation": "more_than", "other": {}},
    "two-drops": {"relation": "largest_drop", "limit": None, "corruptions": ["fog", "contrast"]},
    "gap": {"relation": "gap_at_most"},
    "shift": {"shift": "Winter", "corruptions": None},
    "shift-drop": {"shift": "Winter", "corruptions": None, "relation": "drop_at_most"},
    "direction": {"relation": "at_most"},
    "no-direction": {"metric": "mean_confidence", "relation": "worse_by_at_most", "limit": 0.1},
    "refused-metric": {"metric": "aupr", "relation": "at_least"},
    "fpr95-mean": {"metric": "fpr95", "relation": "at_most"},
    "name": {"name": "x" * 201},
    "negate": {"negate": True},
}


def mistaken(name: str, **more: Any) -> dict[str, Any]:
    """A rule or claim with one mistake."""
    return {key: value for key, value in (RULE | more | MISTAKES[name]).items() if value is not None}


def write(folder: Path) -> None:
    """All files that no side makes itself."""
    predictions().write_csv(folder / "good.csv")
    for name, text in TABLES.items():
        (folder / f"{name}.csv").write_text("\n".join(text.split(" ")) + "\n")
    for suffix in ("csv", "duckdb", "jsonl", "parquet", "pt", "safetensors", "tar", "toml"):
        (folder / f"words.{suffix}").write_text("These are words.\n" * 500)
        (folder / f"empty.{suffix}").touch()
    (folder / "published.csv").write_text(",fog,fog\n,1,3\nBirch,0.8,0.7\n")
    (folder / "bytes.csv").write_bytes(f"{HEAD}\n".encode() + b"a,\xff\xfe,cat,0.5,none,0\n")
    (folder / "cut.csv.gz").write_bytes(gzip.compress((HEAD * 1000).encode(), mtime=0)[:40])
    frame = io.BytesIO()
    predictions().write_parquet(frame)
    (folder / "cut.parquet").write_bytes(frame.getvalue()[: len(frame.getvalue()) // 2])
    (folder / "other-images.csv").write_text("image,camera\nnothing.png,A\n")
    checkpoint = next((ROOT / "runs/digits/checkpoints").glob("resnet-*"))  # of `make demo`
    shutil.copyfile(checkpoint, folder / "resnet.safetensors")
    with duckdb.connect(folder / "foreign.duckdb") as con:
        con.execute("create table results as select i, hash(i) as h from range(100000) as t(i)")
    (folder / "cut.duckdb").write_bytes((folder / "foreign.duckdb").read_bytes()[:20_000])
    (folder / "unsafe.pt").write_bytes(pickle.dumps({"a": Printed()}))
    write_tensors(folder / "foreign.pt")
    write_images(folder)


class Printed:
    """What prints where it is unpickled."""

    def __reduce__(self) -> Any:
        return print, ("code ran",)


def write_tensors(path: Path) -> None:
    """Weights of another network."""
    import torch

    torch.save({"layer.weight": torch.zeros(4, 4), "layer.bias": torch.zeros(4)}, path)


def write_images(folder: Path) -> None:
    """Images of which one is broken, and arrays whose labels are too few."""
    pixels = np.arange(8 * 32 * 32 * 3, dtype=np.uint8).reshape(8, 32, 32, 3)
    for number, image in enumerate(pixels):
        for name in ("broken", "whole"):
            path = folder / name / CLASSES[number % 2] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
    path = folder / "broken/bee/7.png"
    path.write_bytes(path.read_bytes()[:60])
    (folder / "arrays").mkdir()
    np.save(folder / "arrays/images.npy", pixels)
    np.save(folder / "arrays/labels.npy", np.zeros(7, np.int64))
    (folder / "arrays/classes.json").write_text('["ant", "bee"]')


def predictions() -> pl.DataFrame:
    """Four models on 40 images with a camera each: nothing is wrong with it."""
    return pl.DataFrame(list(_rows()))


def _rows() -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(6)
    for model, ability in MODELS.items():
        for corruption, severity in ((name, s) for name, severities in CELLS.items() for s in severities):
            for number in range(40):
                is_right = rng.random() < ability - severity / 12
                yield {
                    "image": f"{number:03}.png", "label": CLASSES[number % 4], "camera": "AB"[number // 20],
                    "prediction": CLASSES[(number + (0 if is_right else 1 + int(rng.integers(3)))) % 4],
                    "confidence": round(float(rng.uniform(0.3, 0.99)), 3), "corruption": corruption,
                    "severity": severity, "model": model,
                }  # fmt: skip
