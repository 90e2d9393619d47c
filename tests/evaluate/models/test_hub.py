"""Models on a hub: caches, no network, and what commands say of a model that is not on this machine."""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest
import torch
from model_specs import model_spec
from run_commands import SCRIPT
from safetensors.torch import save_file
from synthetic_results import write_synthetic
from torchvision.models import SqueezeNet1_1_Weights

from failmodes.analysis.judging.derivation import DERIVATION
from failmodes.evaluate.models.sources import to_download
from failmodes.warehouse.database.load import load

NOBODY = "http://127.0.0.1:9"  # discard: nothing listens
COMMIT = "0" * 39 + "1"
TIMM = "timm/test_resnet.r160_in1k"
AT_MOST_S = 60  # the client's own retries take 23 seconds per file

STUDY = """
name = "hub"
output = "out"
[dataset]
kind = "digits"
images = 20
[corruptions]
names = ["contrast"]
severities = [1]
[evaluation]
attention = false
[[models]]
label = "Net"
"""
OF_TIMM = (
    STUDY
    + """
architecture = "timm:test_resnet.r160_in1k"
weights = "pretrained"
input_side_px = 32
class_map = { zero = 0, one = 1, two = 2, three = 3, four = 4, five = 5, six = 6, seven = 7, eight = 8, nine = 9 }
"""
)


def cached(home: Path, name: str) -> Path:
    """The folder of a model in a fake cache of the hub, with its usual layout."""
    repository = home / "hub" / f"models--{name.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs/main").write_text(COMMIT)
    folder = repository / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    return folder


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A command without network, whose caches are in its folder."""
    environment = os.environ | {
        "HF_HOME": str(folder / "hf"), "TORCH_HOME": str(folder / "torch"), "HF_ENDPOINT": NOBODY,
    }  # fmt: skip
    environment.pop("HF_HUB_OFFLINE", None)
    environment.pop("HF_HUB_CACHE", None)
    start = time.monotonic()
    done = subprocess.run(
        [SCRIPT, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert time.monotonic() - start < AT_MOST_S, "the hub was asked again and again"
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def of_timm(tmp_path: Path) -> Path:
    (tmp_path / "study.toml").write_text(OF_TIMM)
    return tmp_path


@pytest.mark.test_all
def test_a_model_that_is_not_there_is_one_line_with_the_command(of_timm: Path) -> None:
    done = run("evaluate", "study.toml", folder=of_timm)
    assert done.returncode != 0
    line = done.stderr.splitlines()[-1]
    assert "'Net': timm:test_resnet.r160_in1k is not on this machine and cannot be downloaded" in line
    assert f"run `hf download {TIMM}` with network access" in line
    assert not list(of_timm.glob("out/**/*.parquet"))


@pytest.mark.test_all
def test_status_names_it_and_downloads_nothing(of_timm: Path) -> None:
    done = run("status", "study.toml", folder=of_timm)
    assert f"Net is not downloaded: `hf download {TIMM}`" in done.stdout
    assert done.stderr.splitlines()[-1].startswith("failmodes: no warehouse yet at ")
    assert "1 model not downloaded yet: resume with `failmodes run study.toml`" in done.stderr
    found = json.loads(run("status", "study.toml", "--json", folder=of_timm).stdout)["study"]
    assert found["not_downloaded"] == {"Net": f"hf download {TIMM}"}
    assert not [path for path in (of_timm / "hf").rglob("*") if path.is_file()]


@pytest.mark.test_all
def test_a_cached_model_needs_no_network(of_timm: Path) -> None:
    import timm

    torch.manual_seed(0)
    module = timm.create_model("test_resnet", pretrained=False)
    save_file(module.state_dict(), cached(of_timm / "hf", TIMM) / "model.safetensors")
    done = run("evaluate", "study.toml", folder=of_timm)
    assert done.returncode == 0, done.stderr
    assert f"weights {TIMM}" in done.stderr + done.stdout
    assert "2 of 2 cells evaluated" in run("status", "study.toml", folder=of_timm).stdout


@pytest.mark.test_all
def test_a_cached_model_of_transformers_needs_no_network(tmp_path: Path) -> None:
    from tiny_hub_models import save_classifier

    save_classifier(cached(tmp_path / "hf", "owner/tiny"), "vit")
    model = 'architecture = "transformers:owner/{}"\nclass_names = [{}]\n'
    names = ", ".join(f'"{name}"' for name in ("zero", "one", "two"))
    (tmp_path / "study.toml").write_text(STUDY + model.format("tiny", names) + "class_map = { zero = 0 }\n")
    done = run("evaluate", "study.toml", folder=tmp_path)
    assert "has no output for 'three'" in done.stderr, done.stderr  # it was read, and has three classes
    (tmp_path / "study.toml").write_text(STUDY + model.format("absent", names))
    assert "run `hf download owner/absent`" in run("evaluate", "study.toml", folder=tmp_path).stderr


@pytest.mark.test_all
def test_a_gate_asks_no_hub_and_status_shows_the_warehouse(of_timm: Path) -> None:
    write_synthetic(of_timm / "out", images=40, corruptions=("fog",))
    load([of_timm / "out"], of_timm / "out/warehouse.duckdb", derivation=DERIVATION)
    rules = (
        '[gate]\nbaseline = "Alpha"\ncandidate = "Beta"\n[[gate.rules]]\nmetric = "accuracy"\n'
        'relation = "worse_by_at_most"\nlimit = 1\n'
    )
    (of_timm / "study.toml").write_text(OF_TIMM + rules)
    done = run("gate", "study.toml", folder=of_timm)
    assert done.returncode == 0, done.stderr
    assert not (of_timm / "hf").exists()
    shown = run("status", "study.toml", folder=of_timm)
    assert (shown.returncode, "Net is not downloaded" in shown.stdout, "checks pass" in shown.stdout) == (0, True, True)


def test_the_cache_of_torch_decides_whether_weights_are_downloaded(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    spec = model_spec("torchvision:squeezenet1_1", weights="DEFAULT")
    file = Path(SqueezeNet1_1_Weights.DEFAULT.url).name
    assert to_download(spec) == (
        f"curl -L --create-dirs -o {tmp_path}/hub/checkpoints/{file} {SqueezeNet1_1_Weights.DEFAULT.url}"
    )
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    (tmp_path / "hub/checkpoints" / file).touch()
    assert to_download(spec) is None


def test_other_models_have_nothing_to_download(tmp_path: Path) -> None:
    assert to_download(model_spec("some_module:function")) is None
    assert to_download(model_spec("onnx:net.onnx")) is None
