"""Training: exact resuming, divergence, any classifier, and the metadata of checkpoints."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn
from torchvision.transforms import v2

from failmodes.evaluate.devices import runs_bfloat16
from failmodes.evaluate.models.load import load_model
from failmodes.evaluate.study.study_schema import ModelSpec, Normalization, TrainingSpec
from failmodes.evaluate.training import (
    build_optimizer,
    channel_mean_std,
    clip_gradients,
    image_seed,
    measure_accuracy,
    random_crop_and_flip,
    train_model,
    training_batches,
)
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.layouts.digits import open_digits
from failmodes.runtime.errors import ModelError

CPU = torch.device("cpu")
SIDE = 8
HALF = Normalization(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def small_digits(split: str, images: int) -> Dataset:
    """The digits at 8 px, their own size."""
    digits = open_digits(split)
    pixels = digits.images[:images].reshape(-1, SIDE, 4, SIDE, 4, 3).mean(axis=(2, 4)).astype(np.uint8)
    return Dataset("digits", "Small digits", split, pixels, digits.labels[:images], digits.class_names)


@pytest.fixture(scope="module")
def digits():
    return small_digits("train", 1200), small_digits("test", 200)


def plain(classes: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, classes))


def with_dropout(classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Dropout(0.3), nn.Linear(SIDE * SIDE * 3, classes))


@pytest.fixture
def learn(digits, monkeypatch, tmp_path):
    """Train a model by a recipe; gives its weights."""

    def run(build, recipe: TrainingSpec, *, name: str = "net", **options) -> dict[str, torch.Tensor]:
        monkeypatch.setattr("failmodes.evaluate.training.build_module", lambda _spec, classes: build(classes))
        spec = ModelSpec(label="Net", architecture="resnet18", training=recipe, normalization=HALF)
        train_set, test_set = digits
        path = tmp_path / f"{name}.safetensors"
        options = {"workers": 0, **options}
        return load_file(train_model(spec, 3, train_set=train_set, test_set=test_set, path=path, device=CPU, **options))

    return run


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_the_standard_recipe_is_a_plain_loop_of_sgd(learn, digits) -> None:
    recipe = TrainingSpec(epochs=2, batch_size=32, images=100, crop_padding_px=1)
    found = learn(plain, recipe)
    images, labels = (torch.from_numpy(values) for values in (digits[0].images, digits[0].labels))
    ids = np.sort(np.concatenate([np.flatnonzero(digits[0].labels == c)[:10] for c in range(10)]))
    torch.manual_seed(3)
    module = plain(10).to(memory_format=torch.channels_last)
    sgd = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(sgd, max_lr=0.1, total_steps=2 * 3)
    for epoch in range(2):
        generator = torch.Generator().manual_seed(3 * 1_000_003 + epoch)
        order = ids[torch.randperm(100, generator=generator).numpy()]
        for start in (0, 32, 64):
            chosen = order[start : start + 32]
            inputs = random_crop_and_flip((images[chosen].permute(0, 3, 1, 2) / 255 - 0.5) / 0.5, recipe, generator)
            with torch.autocast("cpu", torch.bfloat16, enabled=runs_bfloat16(CPU)):
                logits = module(inputs.contiguous(memory_format=torch.channels_last))
                loss = nn.functional.cross_entropy(logits, labels[chosen])
            sgd.zero_grad()
            loss.backward()
            sgd.step()
            schedule.step()
    assert same(found, module.state_dict())


@pytest.mark.parametrize(
    ("augmentation", "optimizer"),
    [("augmix", "adamw"), pytest.param("trivialaugment", "sgd", marks=pytest.mark.test_all)],
)
def test_a_resumed_run_and_another_number_of_workers_end_in_the_same_weights(learn, augmentation, optimizer) -> None:
    recipe = TrainingSpec(epochs=3, batch_size=16, images=64, augmentation=augmentation, optimizer=optimizer)
    undisturbed = learn(with_dropout, recipe, name="undisturbed")
    assert same(undisturbed, learn(with_dropout, recipe, name="workers", workers=2))

    def stop(epoch) -> None:
        if epoch.number == 2:  # before the second epoch is saved
            raise InterruptedError

    with pytest.raises(InterruptedError):
        learn(with_dropout, recipe, name="resumed", on_epoch=stop)
    numbers: list[int] = []
    resumed = learn(with_dropout, recipe, name="resumed", on_epoch=lambda epoch: numbers.append(epoch.number))
    assert numbers == [2, 3]
    assert same(undisturbed, resumed)


def diverging(classes: int) -> nn.Module:
    """Learns infinity from its fourth training batch on."""
    module, seen = with_dropout(classes), []
    module.register_forward_hook(lambda part, *_: seen.append(1) if part.training else None)
    module[2].bias.register_hook(lambda gradient: gradient * (1 if len(seen) < 4 else torch.inf))
    return module


def test_divergence_stops_and_leaves_the_last_good_state(learn, tmp_path) -> None:
    with pytest.raises(ModelError, match="'Net', seed 3: .* epoch 2 of 2 .* peak_learning_rate"):
        learn(diverging, TrainingSpec(epochs=2, batch_size=16, images=32))
    (left,) = tmp_path.iterdir()
    state = torch.load(left, weights_only=True)
    assert state["epochs_done"] == 1
    assert all(value.isfinite().all() for value in state["module"].values())


def test_adamw_decays_neither_norms_nor_biases_nor_positions() -> None:
    module = nn.ModuleDict({"patch": nn.Conv2d(3, 4, 2), "norm": nn.LayerNorm(4), "head": nn.Linear(4, 2)})
    for name in ("pos_embed", "other_token", "mixing"):
        module.register_parameter(name, nn.Parameter(torch.zeros(1, 2, 4)))
    module.no_weight_decay = lambda: {"other_token"}
    optimizer = build_optimizer(module, TrainingSpec(optimizer="adamw", momentum=0.8, weight_decay=0.3))
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    decay = {names[id(p)]: group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    decayed = {"patch.weight", "head.weight", "mixing"}
    assert decay == {name: 0.3 if name in decayed else 0 for name in names.values()}
    assert {group["betas"] for group in optimizer.param_groups} == {(0.8, 0.999)}


@pytest.mark.parametrize(("optimizer", "expected"), [("adamw", [0.6, 0.8]), ("sgd", [3.0, 4.0])])
def test_gradients_are_clipped_for_adamw(optimizer: str, expected: list[float]) -> None:
    module = nn.Linear(2, 1, bias=False)
    module.weight.grad = torch.tensor([[3.0, 4.0]])  # of norm 5
    clip_gradients(module, TrainingSpec(optimizer=optimizer))
    np.testing.assert_allclose(module.weight.grad[0], expected, rtol=1e-5)


@pytest.mark.test_all
def test_normalization_is_that_of_the_training_pixels() -> None:
    train_set = open_digits("train")
    ids = np.arange(1100)
    found = channel_mean_std(train_set, ids)
    pixels = np.asarray(train_set.images[ids]).reshape(-1, 3) / 255
    np.testing.assert_allclose(found.mean, pixels.mean(0), atol=1e-4)
    np.testing.assert_allclose(found.std, pixels.std(0), atol=1e-4)


@pytest.mark.test_all
def test_a_recipe_learns_and_its_checkpoint_states_the_recipe(tmp_path) -> None:
    train_set, test_set = (open_digits(split) for split in ("train", "test"))
    recipe = TrainingSpec(epochs=3, batch_size=64, crop_padding_px=2, flip=False)
    spec = ModelSpec(label="Small", architecture="resnet18", width=8, training=recipe, seeds=[3])
    path = train_model(spec, 3, train_set=train_set, test_set=test_set, path=tmp_path / "a.safetensors", device=CPU)
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    assert TrainingSpec.model_validate_json(metadata["recipe"]) == recipe
    measured = measure_accuracy(load_model(spec, test_set, path).to(CPU), test_set)
    assert measured > 0.6
    assert float(metadata["clean_accuracy"]) == pytest.approx(measured, abs=1e-4)
    assert json.loads(metadata["class_names"]) == list(test_set.class_names)


CLASSES = ("one", "two")


def dataset_of(images) -> Dataset:
    labels = np.arange(len(images)) % 2
    return Dataset("folder", "Noise", "train", images, labels, CLASSES)


def augmented(images: np.ndarray, augmentation: str, seed: int, epoch: int, image_ids: np.ndarray) -> np.ndarray:
    """Those of the images (N, H, W, 3) in one batch of a single process: (M, 3, H, W)."""
    ((found, _),) = training_batches(dataset_of(images), augmentation, seed, [(epoch, image_ids)], 0)
    return found


def test_augmentation_shifts_and_flips_each_image_and_nothing_else() -> None:
    images = torch.rand(64, 3, 8, 8) + 1
    recipe = TrainingSpec(crop_padding_px=2, flip=True)
    found = random_crop_and_flip(images, recipe, torch.Generator().manual_seed(0))
    flipped = shifted = 0
    for before, after in zip(images, found, strict=True):
        padded = torch.nn.functional.pad(before, (2, 2, 2, 2))
        crops = [padded[:, y : y + 8, x : x + 8] for y in range(5) for x in range(5)]
        matches = [
            (i, f) for i, crop in enumerate(crops) for f in (0, 1) if torch.equal(after, crop.flip(2) if f else crop)
        ]
        assert len(matches) == 1
        flipped += matches[0][1]
        shifted += matches[0][0] != 12
    assert 16 < flipped < 48
    assert shifted > 40
    plain = TrainingSpec(crop_padding_px=0, flip=False)
    assert torch.equal(random_crop_and_flip(images, plain, torch.Generator()), images)


PER_IMAGE = {"augmix": v2.AugMix, "trivialaugment": v2.TrivialAugmentWide}


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (12, SIDE, SIDE, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", PER_IMAGE)
def test_each_image_is_what_torchvision_gives_for_its_seed(images, name: str) -> None:
    found = augmented(images, name, 5, 3, np.arange(12))
    assert (found.dtype, found.shape) == (np.uint8, (12, 3, SIDE, SIDE))
    before = images.transpose(0, 3, 1, 2)
    for image_id, result in enumerate(found):
        torch.manual_seed(image_seed(5, 3, image_id))
        assert torch.equal(torch.from_numpy(result), PER_IMAGE[name]()(torch.from_numpy(before[image_id].copy())))
    assert (found != before).any(axis=(1, 2, 3)).sum() > 8


@pytest.mark.parametrize("name", PER_IMAGE)
def test_augmentation_depends_only_on_seed_epoch_and_image_and_keeps_the_random_state(images, name: str) -> None:
    state = torch.get_rng_state()
    same = np.repeat(images[:1], 12, axis=0)
    ids = np.arange(12)
    found = augmented(same, name, 1, 3, ids)
    assert len({image.tobytes() for image in found}) > 6
    backwards = augmented(same, name, 1, 3, ids[4::-1])
    np.testing.assert_array_equal(backwards, found[4::-1])
    for seed, epoch in ((1, 4), (2, 3)):
        other = augmented(same, name, seed, epoch, ids)
        assert (other != found).any(axis=(1, 2, 3)).sum() > 6
    assert torch.equal(torch.get_rng_state(), state)
