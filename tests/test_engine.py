"""The engine: networks that raise, memory that ends, logits that are no numbers, blocks made ahead, writing behind."""

import json
import shutil
import threading
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from failmodes.evaluate.cli import print_run
from failmodes.evaluate.engine.autobatch import BATCH_SIZES_FILE, fastest_batch_size
from failmodes.evaluate.engine.background_writer import MAX_PENDING, BackgroundWriter
from failmodes.evaluate.engine.batches import BatchSlice, BatchStream, images_per_batch, limit_workers, make_batch
from failmodes.evaluate.engine.evaluation_data import WorkerSpec, open_evaluation_data
from failmodes.evaluate.engine.executors.executor import make_worker
from failmodes.evaluate.engine.executors.scheduler import ATTEMPTS, TaskQueue
from failmodes.evaluate.engine.plan import plan_evaluations
from failmodes.evaluate.engine.run import RunReport, evaluate_study
from failmodes.evaluate.engine.tasks import Failure, RunResult, Task
from failmodes.evaluate.engine.worker import RunCallbacks
from failmodes.evaluate.models.network import Network, prepare_network
from failmodes.evaluate.study.reading import read_study
from failmodes.evaluate.study.study_schema import Normalisation
from failmodes.evaluate.study_models import train_missing
from failmodes.ingest.datasets.opening import open_dataset
from failmodes.warehouse.errors import IncompleteRunError, ModelError, StorageError
from failmodes.warehouse.schema import PREDICTIONS
from failmodes.warehouse.shards.format import CLEAN_SEVERITY, ShardKey, list_record_files, read_verified
from tests.tiny_study import CELLS, hashes, rows_of, write_tiny_study


def run(path: Path) -> RunReport:
    study = read_study(path)
    dataset = open_dataset(study.dataset, study.cache)
    train_missing(study, dataset)
    return evaluate_study(study, dataset)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, dict[str, str]]:
    """A finished study of two networks, and the hashes of all that it published."""
    path = write_tiny_study(tmp_path_factory.mktemp("two"), models=2)
    assert run(path).made == 2 * CELLS
    return path, hashes(path.parent / "out")


@pytest.fixture
def untouched(finished, tmp_path) -> tuple[Path, Path, dict[str, str]]:
    """The same study with its trained networks and nothing evaluated; its output; the hashes that are expected."""
    shutil.copytree(finished[0].parent / "out" / "checkpoints", tmp_path / "out" / "checkpoints")
    return write_tiny_study(tmp_path, models=2), tmp_path / "out", finished[1]


def patch_logits(monkeypatch, change) -> None:
    """Have `change(network, inputs, logits)` stand between every network and its logits."""
    original = Network.logits
    monkeypatch.setattr(Network, "logits", lambda self, inputs: change(self, inputs, original(self, inputs)))


@pytest.mark.parametrize("calls_before", [0, 3], ids=["in the clean cell", "later"])
def test_a_network_that_raises_is_named_and_the_others_go_on(untouched, monkeypatch, calls_before) -> None:
    path, output, expected = untouched
    calls = []

    def raise_later(network, inputs, logits):
        if network.label == "Net 1" and len(inputs) > 8:  # not while attention looks at it
            calls.append(len(inputs))
            if len(calls) > calls_before:
                raise RuntimeError("no such operator\nwith a second line")
        return logits

    patch_logits(monkeypatch, raise_later)
    report = run(path)
    (failure,) = report.failures
    assert failure.model_label == "Net 1"
    cell = (
        "clean, batch 1 (images 1 to 32 of the subset)" if not calls_before else "contrast 1, batch 2 (images 33 to 60"
    )
    assert failure.reason.startswith(cell)
    assert "RuntimeError: no such operator (test_engine.py:" in failure.reason
    assert report.made == CELLS + (1 if calls_before else 0)
    assert len(calls) == calls_before + 1  # set aside: not tried again in every cell
    found = hashes(output)
    assert found.items() <= expected.items()
    monkeypatch.undo()
    assert run(path).failures == []
    assert hashes(output) == expected


def test_a_network_that_raises_is_set_aside_in_every_source_and_the_others_go_on(untouched, monkeypatch) -> None:
    path, output, _ = untouched
    path = write_tiny_study(path.parent, models=2, corruption_seeds=[0, 1])

    def raise_it(network, inputs, logits):
        if network.label == "Net 1" and len(inputs) > 8:
            raise ValueError("no")
        return logits

    patch_logits(monkeypatch, raise_it)
    report = run(path)
    assert [failure.model_label for failure in report.failures] == ["Net 1", "Net 1"]
    assert len({failure.evaluation_id for failure in report.failures}) == 2
    assert report.made == 2 * CELLS


def test_clean_cells_that_were_split_among_processes_meet_again_as_one(untouched) -> None:
    path, output, expected = untouched
    study = read_study(path)
    dataset = open_dataset(study.dataset, study.cache)
    device = torch.device("cpu")
    groups = plan_evaluations(study, dataset, device)
    ids = tuple(evaluation.evaluation_id for evaluation in groups[0])
    worker = make_worker(study, groups, device, RunCallbacks())
    outcome = worker.do(list(Task(0, "none", CLEAN_SEVERITY, ids).split()))
    assert outcome.made == 2
    found = hashes(output)
    assert len(found) == 6
    assert found.items() <= expected.items()


def test_one_network_under_two_labels_is_refused(untouched) -> None:
    path, output, _ = untouched
    first = next(iter(sorted((output / "checkpoints").glob("*.safetensors"))))
    models = "".join(
        f'[[models]]\nlabel = "{label}"\narchitecture = "resnet18"\nwidth = 8\ncheckpoint = "{first}"\n'
        for label in ("One", "Other")
    )
    path.write_text(path.read_text().split("[[models]]")[0] + models)
    with pytest.raises(ModelError, match="models 'One' and 'Other' are one network"):
        run(path)


def test_a_failed_network_ends_the_command_with_an_error_of_one_line(capsys) -> None:
    report = RunReport(["e"], made=3, found=1, failures=[Failure("e", "Net 1", "fog 2, batch 3: ValueError: no")])
    with pytest.raises(IncompleteRunError, match="not evaluated to the end: Net 1; mend it") as caught:
        print_run(report)
    assert caught.value.exit_code != 0
    assert "Net 1 raised and was set aside: fog 2, batch 3: ValueError: no" in capsys.readouterr().err


def test_a_batch_that_memory_does_not_hold_is_halved_and_no_row_is_lost(untouched, monkeypatch) -> None:
    path, output, _ = untouched

    def end_of_memory(network, inputs, logits):
        if len(inputs) > 10:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return logits

    patch_logits(monkeypatch, end_of_memory)
    report = run(path)
    assert (report.made, report.failures) == (2 * CELLS, [])
    assert {read_verified(p).facts["batch_size"] for p in list_record_files(output, PREDICTIONS)} == {8}
    assert set(json.loads((output / "cache" / BATCH_SIZES_FILE).read_text()).values()) == {
        8
    }  # a later run begins there
    assert rows_of(output).num_rows == 2 * CELLS * 60


def test_where_one_image_does_not_fit_the_network_is_set_aside_with_the_reason(untouched, monkeypatch) -> None:
    path, _, _ = untouched

    def no_memory(network, inputs, logits):
        if network.label == "Net 0" and network.precision == "float32" and not monkeypatched_trial(inputs):
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return logits

    seen = []

    def monkeypatched_trial(inputs) -> bool:  # the first look of attention at a network
        seen.append(len(inputs))
        return len(inputs) <= 4 and max(seen) <= 4

    patch_logits(monkeypatch, no_memory)
    report = run(path)
    assert [f.model_label for f in report.failures] == ["Net 0"]
    assert "one image alone does not fit into the memory" in report.failures[0].reason
    assert report.made == CELLS


def test_logits_that_are_no_numbers_are_recorded_and_counted_not_averaged(untouched, monkeypatch) -> None:
    path, output, _ = untouched

    def break_some(network, inputs, logits):
        if network.label == "Net 1" and len(logits) > 20:
            logits = logits.clone()
            logits[3], logits[5, 2] = torch.nan, torch.inf
        return logits

    patch_logits(monkeypatch, break_some)
    report = run(path)
    assert report.not_finite == {"Net 1": 2 * 2 * CELLS}  # two batches of 32 and 28 a cell
    rows = pl.from_arrow(rows_of(output))
    broken = rows.filter(~pl.col("finite"))
    assert len(broken) == 4 * CELLS
    for column in ("predicted", "confidence", "loss_nats", "entropy_nats", "max_logit"):
        assert broken[column].null_count() == len(broken)
    assert rows.filter(pl.col("finite"))["loss_nats"].is_finite().all()
    assert broken["logits"].list.len().min() == 10
    attention = pl.from_arrow(rows_of(output, "attention"))
    assert not attention["mass"].is_infinite().any()
    assert not attention["mass"].is_nan().any()
    unknown = attention.filter(pl.col("target_class").is_null())  # both targets: the clean images break likewise
    assert len(unknown) == 2 * 4 * CELLS
    assert unknown["mass"].null_count() == unknown["cosine"].null_count() == len(unknown)


def test_a_full_disk_is_not_the_networks_fault(untouched, monkeypatch) -> None:
    path, output, expected = untouched

    def full(*_args, **_options):
        raise StorageError("cannot write rows.parquet: no space left on the disk")

    monkeypatch.setattr("failmodes.evaluate.engine.cell_evaluation.write_shard", full)
    with pytest.raises(StorageError, match="no space left"):
        run(path)
    monkeypatch.undo()
    run(path)
    assert hashes(output) == expected


def test_a_lower_precision_says_how_many_predictions_it_changes(untouched, capsys) -> None:
    path, output, _ = untouched
    path = write_tiny_study(path.parent, models=2, extra='[evaluation]\nprecision = "bfloat16"')
    report = run(path)
    assert set(report.changed) == {"Net 0", "Net 1"}
    assert all(0 <= share < 0.2 for share in report.changed.values())
    facts = [read_verified(p).facts for p in list_record_files(output, PREDICTIONS) if "corruption=none" in str(p)]
    assert [f["changed_predictions"] for f in facts if "changed_predictions" in f]
    print_run(report)
    assert "the lower precision changes" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    "extra",
    [
        "workers = 2",
        'executor = "processes"\nprocesses = 2',
        'executor = "processes"\nprocesses = 2\nworkers = 1',
    ],
    ids=["blocks made ahead", "two processes", "both"],
)
def test_whoever_does_the_work_the_rows_are_the_same(untouched, extra: str) -> None:
    path, output, expected = untouched
    path = write_tiny_study(path.parent, models=2, extra=f"[evaluation]\n{extra}")
    assert run(path).made == 2 * CELLS
    assert hashes(output) == expected


@pytest.fixture(scope="module")
def material(finished):
    study = read_study(finished[0])
    dataset = open_dataset(study.dataset, study.cache)
    return next(open_evaluation_data(study, dataset)), WorkerSpec.of(study)


def test_a_block_depends_on_its_key_alone(material) -> None:
    material, _ = material
    key = BatchSlice(0, "gaussian_noise", Decimal("2.000"), 0, 40)
    whole, threaded = make_batch(material, key), make_batch(material, key, threads=3)
    assert torch.equal(whole.images, threaded.images)
    part = make_batch(material, key._replace(start=17, stop=23))
    assert torch.equal(whole.images[17:23], part.images)
    np.testing.assert_array_equal(whole.ssim[17:23], part.ssim)
    np.testing.assert_array_equal(whole.image_ids[17:23], part.image_ids)
    assert list(part.positions) == list(range(17, 23))


@pytest.mark.slow
def test_blocks_made_in_workers_come_in_order_and_are_the_same(material) -> None:
    material, opening = material
    keys = [
        BatchSlice(0, name, Decimal(1), start, start + 10) for name in ("contrast", "none") for start in (0, 10, 20)
    ]
    here = list(BatchStream([material]).blocks(iter(keys)))
    there = list(BatchStream([material], opening, workers=2).blocks(iter(keys)))
    assert [block.key for block in there] == keys
    for one, other in zip(here, there, strict=True):
        assert torch.equal(one.images, other.images)
        np.testing.assert_array_equal(one.rmse, other.rmse)


def test_blocks_hold_whole_batches_and_fit_shared_memory(monkeypatch) -> None:
    assert images_per_batch((32, 32, 3), 32) % 32 == 0
    assert 32 * 32 * 3 * images_per_batch((32, 32, 3), 32) <= 4 << 20
    assert images_per_batch((224, 224, 3), 64) == 64
    monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(64 << 20, 0, 64 << 20))
    monkeypatch.setattr("os.path.isdir", lambda _: True)
    assert limit_workers(8, 4 << 20) == 2
    assert limit_workers(8, 40 << 20) == 0


def test_the_publisher_keeps_order_and_lets_only_so_many_wait() -> None:
    written, gate = [], threading.Event()
    with BackgroundWriter() as publisher:
        publisher.submit(lambda: gate.wait(10) and None)
        for number in range(MAX_PENDING - 1):
            publisher.submit(lambda number=number: written.append(number))
        threading.Timer(0.05, gate.set).start()
        publisher.submit(lambda: written.append("last"))  # waits for the gate
        assert gate.is_set()
    assert written == [*range(MAX_PENDING - 1), "last"]


def fail() -> None:
    raise StorageError("full")


@pytest.mark.parametrize("jobs_after", [0, MAX_PENDING + 2], ids=["at the end", "at the next job"])
def test_what_goes_wrong_while_publishing_is_raised(jobs_after: int) -> None:
    def publish_all() -> None:
        with BackgroundWriter() as publisher:
            publisher.submit(fail)
            for _ in range(jobs_after):
                publisher.submit(lambda: None)

    with pytest.raises(StorageError, match="full"):
        publish_all()


def test_the_smallest_batch_near_the_best_rate_is_taken(monkeypatch) -> None:
    seconds = {8: 8 / 50, 16: 16 / 98, 32: 32 / 100, 64: 64 / 80, 128: 128 / 70}
    tried = []

    def timed(_step, images, _device) -> float:
        tried.append(len(images))
        return seconds[len(images)]

    monkeypatch.setattr("failmodes.evaluate.engine.autobatch._seconds", timed)
    network = prepare_network(torch.nn.Identity(), "x", NEUTRAL, torch.device("cpu"), "float32")
    assert fastest_batch_size(lambda _: None, (8, 16, 32, 64, 128), (4, 4), network) == 16


def test_a_trial_ends_where_memory_does() -> None:
    def step(images) -> None:
        if len(images) > 16:
            raise torch.OutOfMemoryError("out of memory")

    network = prepare_network(torch.nn.Identity(), "x", NEUTRAL, torch.device("cpu"), "float32")
    assert fastest_batch_size(step, (8, 16, 32), (4, 4), network) in (8, 16)


@pytest.mark.parametrize("error", [ValueError("eight is bad"), torch.OutOfMemoryError("out of memory")])
def test_what_a_network_raises_in_a_trial_is_left_to_the_run(untouched, monkeypatch, error) -> None:
    path, _, _ = untouched
    monkeypatch.setattr("failmodes.evaluate.engine.autobatch.TUNING_SHARE", 1e9)

    def raise_in_small_batches(network, inputs, logits):
        if len(inputs) == 8:
            raise error
        return logits

    patch_logits(monkeypatch, raise_in_small_batches)
    report = run(path)
    assert (report.made, report.failures) == (2 * CELLS, [])


def test_a_batch_size_once_tried_is_remembered(untouched, monkeypatch) -> None:
    path, output, _ = untouched
    monkeypatch.setattr("failmodes.evaluate.engine.autobatch.TUNING_SHARE", 1e9)
    tried = []
    monkeypatch.setattr("failmodes.evaluate.engine.autobatch.fastest_batch_size", lambda *_: tried.append(1) or 16)
    run(path)
    assert len(tried) == 2
    assert set(json.loads((output / "cache" / BATCH_SIZES_FILE).read_text()).values()) == {16}
    shutil.rmtree(output / "record")
    run(path)
    assert len(tried) == 2
    (output / "cache" / BATCH_SIZES_FILE).write_text("damaged")
    shutil.rmtree(output / "record")
    run(path)
    assert len(tried) == 4
    assert {read_verified(p).facts["batch_size"] for p in list_record_files(output, PREDICTIONS)} == {16}


NEUTRAL = Normalisation(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))


def tasks(count: int) -> list[Task]:
    return [Task(0, "fog", Decimal(n), ("a", "b")) for n in range(count)]


def test_chunks_shrink_and_hold_every_task_once() -> None:
    ledger = TaskQueue(tasks(40), workers=2)
    chunks = []
    while chunk := ledger.next_chunk():
        chunks.append(chunk)
    sizes = [len(chunk.tasks) for chunk in chunks]
    assert sizes == sorted(sizes, reverse=True)
    assert (sizes[0], sizes[-1]) == (10, 1)
    assert [task for chunk in chunks for task in chunk.tasks] == tasks(40)


def test_what_a_dead_worker_had_goes_to_another_but_not_for_ever() -> None:
    ledger = TaskQueue(tasks(2), workers=1, one_by_one=True)
    chunk = ledger.next_chunk()
    for _ in range(ATTEMPTS - 1):
        ledger.give_back(chunk, "exit code -9")
        assert ledger.next_chunk() is chunk
    with pytest.raises(ModelError, match="3 processes died over fog 0 .exit code -9.*fewer processes"):
        ledger.give_back(chunk, "exit code -9")


def test_what_a_dead_worker_had_published_is_not_given_again() -> None:
    ledger = TaskQueue(tasks(6), workers=1)
    chunk = ledger.next_chunk()
    assert [task.name for task in chunk.tasks] == ["fog 0", "fog 1", "fog 2"]
    chunk.published |= {
        ShardKey("a", "fog", Decimal(0)),
        ShardKey("b", "fog", Decimal(0)),
        ShardKey("a", "fog", Decimal(1)),
    }
    ledger.give_back(chunk, "exit code -9")
    again = ledger.next_chunk()
    assert [(task.name, task.evaluation_ids) for task in again.tasks] == [("fog 1", ("b",)), ("fog 2", ("a", "b"))]
    assert ledger.outcome.made == 3


def test_a_network_that_raised_anywhere_gets_no_more_tasks() -> None:
    ledger = TaskQueue(tasks(4), workers=1, one_by_one=True)
    ledger.next_chunk()
    ledger.take(RunResult(failures=[Failure("a", "A", "fog 0: no")]))
    assert ledger.next_chunk().tasks[0].evaluation_ids == ("b",)
    ledger.take(RunResult(failures=[Failure("b", "B", "fog 1: no")]))
    assert ledger.next_chunk() is None
