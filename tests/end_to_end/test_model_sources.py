"""docs/model-sources.md as it stands: its study with the models of each section, and its block of Python."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from onnx_graphs import Small, write_onnx, write_program
from PIL import Image
from worked_example import environment_of, run

import failmodes

PAGE = Path(__file__).parents[2] / "docs" / "model-sources.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
TEXT = PAGE.read_text(encoding="utf-8")
SECTIONS = dict(zip(*[iter(re.split(r"^## (.+)$", TEXT, flags=re.MULTILINE)[1:])] * 2, strict=True))
STUDY = BLOCK.findall(TEXT)[0][1]
WITHOUT_ATTENTION = {"ONNX", "torch.export"}
RULES = {"Binary models", "Without network"}  # tested in tests/evaluate/models: test_binary.py, test_hub.py
SAID = {
    "transformers": "by its ViTImageProcessor",
    "timm": "resized and cropped by timm to 160×160 px (bicubic, crop_pct 0.95, center crop)",
    "CLIP and SigLIP": 'zero-shot with the mean of 2 prompts, the first "a photo of a {}", for goldfish, hen, tench',
    "OpenCLIP": 'zero-shot with "a photo of a {}" for goldfish, hen, tench',
    "ONNX": "none: ONNX Runtime computes no gradients",
    "torch.export": "none: it is an exported program, which has no layers",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with photographs, and an empty hub that no download fills."""
    images = np.random.default_rng(0).integers(0, 256, (6, 50, 60, 3), dtype=np.uint8)
    for index, image in enumerate(images):
        path = tmp_path / "photographs" / ("goldfish", "hen", "tench")[index % 3] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path


def make_vit(folder: Path) -> None:
    from tiny_hub_models import save_classifier

    save_classifier(folder / "models" / "vit", "vit")


def make_clip(folder: Path) -> None:
    from tiny_hub_models import save_clip

    save_clip(folder / "models" / "clip")


def make_open_clip(folder: Path) -> None:
    from tiny_hub_models import save_open_clip

    save_open_clip(folder / "models" / "open_clip")


def fill_cache(folder: Path) -> None:
    """The model of timm in the cache of the hub, as after a download, with random weights."""
    import timm
    from safetensors.torch import save_file

    snapshot = folder / "hub" / "hub" / "models--timm--test_vit.r160_in1k" / "snapshots" / "0"
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("0")
    save_file(timm.create_model("test_vit").state_dict(), snapshot / "model.safetensors")


def make_onnx(folder: Path) -> None:
    (folder / "models").mkdir(exist_ok=True)
    write_onnx(Small(), folder / "models" / "net.onnx", side=32)


def make_program(folder: Path) -> None:
    (folder / "models").mkdir(exist_ok=True)
    write_program(Small(), folder / "models" / "net.pt2", side=32)


MAKE = {
    "transformers": make_vit, "timm": fill_cache, "CLIP and SigLIP": make_clip, "OpenCLIP": make_open_clip,
    "ONNX": make_onnx, "torch.export": make_program,
}  # fmt: skip


@pytest.mark.nightly
def test_the_study_with_the_models_of_all_sections_runs(folder: Path) -> None:
    for make in MAKE.values():
        make(folder)
    models = [content for one in MAKE for kind, content in BLOCK.findall(SECTIONS[one]) if kind == "toml"]
    (folder / "study.toml").write_text(STUDY + "".join(models))
    printed = " ".join(run("failmodes run study.toml", folder, environment_of(folder), expect=0).split())
    assert all(said in printed for said in SAID.values())
    quoted = next(content for _, content in BLOCK.findall(TEXT) if content.startswith("  input "))
    assert " ".join(quoted.split()) in printed
    assert printed.count("corrupted at 48×48 px, then resized") == len(MAKE)
    with failmodes.open(folder / "runs" / "sources") as w:
        for table, count in (("predictions", len(MAKE)), ("attention", len(MAKE) - len(WITHOUT_ATTENTION))):
            query = f"select count(distinct image_id) from {table} where severity > 0 group by evaluation_id"
            assert w.sql(query).to_series().to_list() == [6] * count


@pytest.mark.test_all
def test_a_module_in_memory_with_its_processor(folder: Path) -> None:
    make_vit(folder)
    (block,) = [content for kind, content in BLOCK.findall(SECTIONS["transformers"]) if kind == "python"]
    namespace: dict[str, Any] = {}
    exec(compile(block, PAGE.name, "exec"), namespace)
    (row,) = namespace["w"].sql("select preprocessing, interpolation, weights_id from models").rows(named=True)
    assert row["preprocessing"] is None or "ViTImageProcessor" in row["preprocessing"]
    assert row["weights_id"]


def test_every_section_has_a_test() -> None:
    assert set(SECTIONS) == set(MAKE) | RULES
