"""Training and evaluation on an unlucky day: damaged states, a lock that is held, signals to all their processes.

Full disks, limits, read-only folders and two at once are of `make soak`.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch
from fault_trials import WITH_TORCH_S, attempt, attempt_here, check_refusal, half_written, outliving, refused, stop
from marked_cases import quick
from tiny_study import hashes, write_tiny_study

from failmodes.evaluate.study.study_file import read_study
from failmodes.evaluate.study_models import study_models, train_missing
from failmodes.evaluate.training import STATE_SUFFIX, Trainer
from failmodes.ingest.datasets.layout import open_dataset
from failmodes.runtime.errors import ModelError, StorageError, WarehouseError
from failmodes.runtime.storage.locks import RUN_LOCK, file_lock

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc, as Linux alone has it")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that was trained and evaluated."""
    folder = tmp_path_factory.mktemp("undisturbed")
    write_tiny_study(folder)
    for command in ("train", "evaluate"):
        trial = attempt_here(command, folder=folder)
        assert trial.code == 0, trial
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "study"
    made.mkdir()
    return write_tiny_study(made).parent


def state_path(folder: Path) -> Path:
    study = read_study(folder / "study.toml")
    (model,) = study_models(study, open_dataset(study.dataset, study.cache))
    assert model.path is not None
    model.path.parent.mkdir(parents=True, exist_ok=True)
    return model.path.with_name(model.path.name + STATE_SUFFIX)


def train_here(folder: Path) -> list[Path]:
    study = read_study(folder / "study.toml")
    return train_missing(study, open_dataset(study.dataset, study.cache))


def one_epoch(path: Path, **changes: object) -> None:
    """The state after an epoch, with other values."""

    save = Trainer.save

    def once(self: Trainer, at: Path, epochs_done: int) -> None:
        save(self, at, epochs_done)
        raise KeyError("stopped")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "save", once)
        with pytest.raises(KeyError, match="stopped"):
            train_here(path.parents[2])
    torch.save(torch.load(path, weights_only=True) | changes, path)


DAMAGED: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "a text": lambda path: path.write_bytes(b"hello"),
    "a number": lambda path: torch.save(3, path),
    "no recipe": lambda path: torch.save({"seed": 0}, path),
    "half": lambda path: (one_epoch(path), path.write_bytes(path.read_bytes()[:5000])),
    "another model": lambda path: one_epoch(path, module={"a": torch.zeros(1)}),
    "no optimizer": lambda path: one_epoch(path, optimizer=None),
    "another schedule": lambda path: one_epoch(path, schedule=[1]),
    "too many epochs": lambda path: one_epoch(path, epochs_done=1_000_000),
    "epochs before the first": lambda path: one_epoch(path, epochs_done=-5),
    "epochs in words": lambda path: one_epoch(path, epochs_done="two"),
}


@quick("name", DAMAGED, "a text")
def test_a_damaged_state_is_named_with_its_fix(name: str, folder: Path) -> None:
    path = state_path(folder)
    DAMAGED[name](path)
    with pytest.raises(ModelError, match=r"resume\.pt is not a valid training state .*: remove it") as caught:
        train_here(folder)
    assert "\n" not in str(caught.value)


def test_a_state_that_is_no_file_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(state_path(folder))
    with pytest.raises(StorageError, match="it is a named pipe"):
        train_here(folder)


@pytest.mark.test_all
def test_who_trains_holds_the_lock_of_a_run(folder: Path) -> None:
    study = read_study(folder / "study.toml")
    with (
        file_lock(study.output / RUN_LOCK, "{process}"),
        pytest.raises(WarehouseError, match=rf"another run \(process {os.getpid()}\) is training or evaluating into"),
    ):
        train_here(folder)
    assert len(train_here(folder)) == 1
    with file_lock(study.output / RUN_LOCK, "{process}"):
        assert train_here(folder) == []  # nothing to do: no lock is asked for


WAYS = {
    "here": "",
    "with workers": "[evaluation]\nworkers = 2\n",
    "with processes": '[evaluation]\nexecutor = "processes"\nprocesses = 2\n',
    "with both": '[evaluation]\nexecutor = "processes"\nprocesses = 2\nworkers = 1\n',
}


@linux_only
@pytest.mark.test_all
@quick("way", WAYS, "with both", others="nightly")
@quick("sign", CODES, signal.SIGTERM, others="nightly")
@pytest.mark.parametrize("group", [False, True], ids=["alone", "all"])
@quick("after_s", [3, 7], 3, others="nightly")
def test_a_stopped_evaluation_is_one_line_leaves_no_process_and_goes_on(
    way: str, sign, group: bool, after_s: float, tmp_path: Path, undisturbed: Path
) -> None:
    shutil.copytree(undisturbed / "out" / "checkpoints", tmp_path / "out" / "checkpoints")
    folder = write_tiny_study(tmp_path, extra=WAYS[way]).parent
    numbers = []

    def meanwhile(process: int) -> None:
        numbers.append(process)
        stop(process, sign, after_s, group=group)

    trial = attempt("evaluate", folder=folder, meanwhile=meanwhile, start_new_session=True)
    if trial.code:
        check_refusal(trial, "stopped", CODES[sign])
    assert "Error" not in trial.stderr, trial
    assert "Exception" not in trial.stderr, trial
    assert outliving(numbers[0], 10) == []
    assert attempt("evaluate", folder=folder).code == 0
    assert hashes(folder / "out") == hashes(undisturbed / "out")
    assert not half_written(folder)


AUGMENTED = """
import sys
import failmodes.evaluate.training as training
training.default_workers = lambda _device: 2
sys.argv = ["failmodes", "train"]
from failmodes.__main__ import main
main()
"""


@linux_only
@pytest.mark.test_all
@pytest.mark.parametrize("sign", CODES)
@pytest.mark.parametrize("group", [pytest.param(False, marks=pytest.mark.nightly), True], ids=["alone", "all"])
@quick("after_s", [0, 1.3], 1.3, others="nightly")
def test_a_stopped_training_with_workers_is_one_line(sign, group: bool, after_s: float, folder: Path) -> None:
    path = folder / "study.toml"
    path.write_text(path.read_text().replace("epochs = 2", 'epochs = 500, augmentation = "augmix"'))
    process = subprocess.Popen(
        [sys.executable, "-c", AUGMENTED], cwd=folder, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 60
    while not list(folder.glob(f"out/checkpoints/*{STATE_SUFFIX}*")) and time.monotonic() < deadline:
        time.sleep(0.05)  # until the first epoch is kept, whatever else the machine does
    time.sleep(after_s)
    (os.killpg if group else os.kill)(process.pid, sign)
    error = process.communicate(timeout=30)[1]
    assert process.returncode == CODES[sign], error
    assert error.endswith("failmodes: stopped; finished epochs are kept: run the same command to continue\n"), error
    assert "Traceback" not in error
    assert outliving(process.pid, 10) == []


@pytest.mark.test_all
@pytest.mark.parametrize(("command", "output"), [("train", "/proc/nowhere/out"), ("evaluate", "study.toml/out")])
def test_an_output_that_cannot_be_written_is_one_line(command: str, output: str, folder: Path) -> None:
    path = folder / "study.toml"
    path.write_text(path.read_text().replace('output = "out"', f'output = "{output}"'))
    refused(command, folder=folder, says="cannot write", most_s=WITH_TORCH_S)
