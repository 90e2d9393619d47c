"""The stages of `make gpu`: on a GPU where there is one; on a CPU, a quick one and the carried wheels."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

ROOT = Path(__file__).parents[2]
STAGES = ("numbers", "attention", "speed", "study", "memory", "overlap", "processes", "resume", "compile")


def measured(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.gpu", str(folder), *options]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.mark.gpu
@pytest.mark.parametrize("stage", STAGES)
def test_a_gpu_keeps_every_limit(tmp_path: Path, stage: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    done = measured(tmp_path, "--device", "cuda", "--small", "--only", stage)
    log = tmp_path / f"{stage}.log"
    assert done.returncode == 0, done.stdout + log.read_text()


@pytest.mark.nightly
def test_a_stage_ends_on_a_cpu_and_is_not_repeated(tmp_path: Path) -> None:
    done = measured(tmp_path, "--device", "cpu", "--only", "resume")
    assert done.returncode == 0, done.stdout + done.stderr
    path = tmp_path / "resume.json"
    figures = {figure["name"]: figure["value"] for figure in json.loads(path.read_text())["figures"]}
    assert 0 < figures["cells stored when it was killed"] < 11
    assert figures["resumed: changed predictions"] == 0
    written = path.stat().st_mtime_ns
    assert measured(tmp_path, "--device", "cpu", "--only", "resume").returncode == 0
    assert path.stat().st_mtime_ns == written


@pytest.mark.nightly
def test_every_stage_ends_on_a_cpu(tmp_path: Path) -> None:
    done = measured(tmp_path, "--device", "cpu")
    assert done.returncode == 0, done.stdout


def test_a_stage_that_fails_leaves_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [str(ROOT / "tests" / name) for name in ("gpu", "benchmarks")]
    monkeypatch.setattr(sys, "path", [*paths, *sys.path])
    stages = pytest.importorskip("stages")

    def broken(*_: object):
        yield stages.Figure("first", 1.0, "s")
        raise RuntimeError("the device fails")

    monkeypatch.setitem(stages.STAGES, "broken", broken)
    with pytest.raises(SystemExit):
        stages.run_stage("broken", torch.device("cpu"), stages.Sizes.small(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_carried_wheels_are_joined_and_unpacked_only_if_they_are_whole(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(sys, "path", [str(ROOT / "tests" / "gpu"), *sys.path])
    carried = pytest.importorskip("carried_wheels")
    monkeypatch.setattr(carried, "PART_BYTES", 4096)
    monkeypatch.setattr(carried, "_download", written_wheel)
    parts = carried.pack(tmp_path / "parts", ["numpy"], "3.12")
    assert len(parts) > 2
    carried.unpack(tmp_path / "parts", tmp_path / "site")
    assert (tmp_path / "site" / "carried.py").read_text() == "value = 3\n"
    content = parts[0].read_bytes()
    parts[0].write_bytes(content[:-1] + b"?")
    with pytest.raises(ValueError, match="damaged"):
        carried.unpack(tmp_path / "parts", tmp_path / "other")
    parts[0].unlink()
    with pytest.raises(FileNotFoundError, match=f"{len(parts) - 1} of {len(parts)} parts"):
        carried.unpack(tmp_path / "parts", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def written_wheel(requirement: str, folder: Path, _python: str) -> None:
    import zipfile

    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{requirement.partition('==')[0]}-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("carried.py", "value = 3\n")
        wheel.writestr("padding", os.urandom(9000))
