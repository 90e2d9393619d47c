"""Training: resumed exactly, stopped where it diverges, any classifier, and what the checkpoint says of it."""

import itertools
import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from failmodes.evaluate.devices import runs_bfloat16
from failmodes.evaluate.models.load import load_model
from failmodes.evaluate.study.study_schema import ModelSpec, Normalization, TrainingSpec
from failmodes.evaluate.training import (
    build_optimizer,
    channel_mean_std,
    clip_gradients,
    measure_accuracy,
    train_model,
)
from failmodes.evaluate.training_images import random_crop_and_flip
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.opening import open_dataset
from failmodes.ingest.specification import DatasetSpec
from failmodes.warehouse.errors import ModelError, StudyError

CPU = torch.device("cpu")
SIDE = 8
HALF = Normalization(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def small_digits(split: str, images: int, cache) -> Dataset:
    """The digits at 8 px, their own size."""
    digits = open_dataset(DatasetSpec(kind="digits"), cache, split)
    pixels = digits.images[:images].reshape(-1, SIDE, 4, SIDE, 4, 3).mean(axis=(2, 4)).astype(np.uint8)
    return Dataset("digits", "Small digits", split, pixels, digits.labels[:images], digits.class_names)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    return small_digits("train", 1200, cache), small_digits("test", 200, cache)


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


@pytest.mark.parametrize(("augmentation", "optimizer"), [("augmix", "adamw"), ("trivialaugment", "sgd")])
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


def test_other_recipes_give_other_weights(learn) -> None:
    found = [
        learn(plain, TrainingSpec(epochs=1, batch_size=16, images=32, **given), name=f"net{number}")
        for number, given in enumerate(
            [
                {},
                {"augmentation": "augmix"},
                {"augmentation": "trivialaugment"},
                {"optimizer": "adamw"},
                {"optimizer": "adamw", "momentum": 0.5},
            ]
        )
    ]
    assert not any(same(one, other) for one, other in itertools.combinations(found, 2))


class _Poisoned(nn.Module):
    """Gives, or learns, infinity from its fourth training batch on."""

    def __init__(self, classes: int, what: str) -> None:
        super().__init__()
        self.layer, self.batches, self.what = with_dropout(classes), 0, what
        if what == "weights":
            self.layer[2].bias.register_hook(lambda gradient: gradient * (1 if self.batches < 4 else torch.inf))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        self.batches += self.training
        return self.layer(inputs) * (torch.inf if self.what == "loss" and self.batches >= 4 else 1)


@pytest.mark.parametrize("what", ["loss", "weights"])
def test_divergence_stops_with_the_fix_and_leaves_the_last_good_state(learn, tmp_path, what: str) -> None:
    recipe = TrainingSpec(epochs=2, batch_size=16, images=32, peak_learning_rate=0.2)
    with pytest.raises(
        ModelError, match=r"'Net', seed 3: .* epoch 2 of 2 .* peak_learning_rate 0.2: lower it"
    ) as error:
        learn(lambda classes: _Poisoned(classes, what), recipe)
    assert "\n" not in str(error.value)
    (left,) = tmp_path.iterdir()
    state = torch.load(left, weights_only=True)
    assert state["epochs_done"] == 1
    assert all(value.isfinite().all() for value in state["module"].values())


class _Twofold(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.layer = with_dropout(classes)

    def forward(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.layer(inputs), self.layer(inputs)


@pytest.mark.parametrize(
    ("build", "given"),
    [
        pytest.param(_Twofold, "a tuple", id="tuple"),
        pytest.param(lambda classes: with_dropout(classes + 1), r"\(16, 11\)", id="classes"),
        pytest.param(lambda _classes: nn.Conv2d(3, 10, 1), r"\(16, 10, 8, 8\)", id="map"),
    ],
)
def test_a_model_without_logits_is_refused(learn, build, given: str) -> None:
    with pytest.raises(StudyError, match=rf"'Net': resnet18 gives {given} where .* logits \(16, 10\)"):
        learn(build, TrainingSpec(epochs=1, batch_size=16, images=32))


@pytest.mark.slow
def test_a_vision_transformer_learns_by_adamw(learn, digits) -> None:
    timm = pytest.importorskip("timm")

    def vit(classes: int) -> nn.Module:
        return timm.create_model(
            "vit_tiny_patch16_224", img_size=SIDE, patch_size=2, num_classes=classes, embed_dim=32, depth=2, num_heads=4
        )

    recipe = TrainingSpec(
        epochs=12, batch_size=32, optimizer="adamw", peak_learning_rate=0.003, crop_padding_px=0, flip=False
    )
    weights = learn(vit, recipe)
    module = vit(10).eval()
    module.load_state_dict(weights)
    images = torch.from_numpy(digits[1].images).permute(0, 3, 1, 2)
    with torch.inference_mode():
        predicted = module((images / 255 - 0.5) / 0.5).argmax(1).numpy()
    assert (predicted == digits[1].labels).mean() > 0.8


class _Tokens(nn.Module):
    """Parameters of every kind that a transformer has."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.norm, self.head = nn.Conv2d(3, 4, 2), nn.LayerNorm(4), nn.Linear(4, 2)
        for name in ("cls_token", "pos_embed", "other_token", "mixing"):
            self.register_parameter(name, nn.Parameter(torch.zeros(1, 2, 4)))

    def no_weight_decay(self) -> set[str]:
        return {"other_token"}


def test_adamw_decays_neither_norms_nor_biases_nor_positions() -> None:
    module = _Tokens()
    optimizer = build_optimizer(module, TrainingSpec(optimizer="adamw", momentum=0.8, weight_decay=0.3))
    assert isinstance(optimizer, torch.optim.AdamW)
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


@pytest.fixture(scope="module")
def large_digits(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    return tuple(open_dataset(DatasetSpec(kind="digits"), cache, split) for split in ("train", "test"))


def test_normalization_is_that_of_the_training_pixels(large_digits) -> None:
    train_set, _ = large_digits
    ids = np.arange(1100)
    found = channel_mean_std(train_set, ids)
    pixels = np.asarray(train_set.images[ids]).reshape(-1, 3) / 255
    np.testing.assert_allclose(found.mean, pixels.mean(0), atol=1e-4)
    np.testing.assert_allclose(found.std, pixels.std(0), atol=1e-4)


@pytest.mark.slow
def test_a_recipe_learns_and_its_checkpoint_says_how(large_digits, tmp_path) -> None:
    train_set, test_set = large_digits
    recipe = TrainingSpec(epochs=3, batch_size=64, crop_padding_px=2, flip=False)
    spec = ModelSpec(label="Small", architecture="resnet18", width=8, training=recipe, seeds=[3])
    epochs = []
    path = train_model(
        spec, 3, train_set=train_set, test_set=test_set, path=tmp_path / "small.safetensors", device=CPU,
        on_epoch=epochs.append,
    )  # fmt: skip
    assert [e.number for e in epochs] == [1, 2, 3]
    assert epochs[-1].loss_nats < epochs[0].loss_nats
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    assert TrainingSpec.model_validate_json(metadata["recipe"]) == recipe
    assert metadata["seed"] == "3"
    checkpoint = load_model(spec, test_set, path)
    measured = measure_accuracy(checkpoint.to(CPU), test_set)
    assert measured > 0.6
    assert float(metadata["clean_accuracy"]) == pytest.approx(measured, abs=1e-4)
    assert json.loads(metadata["class_names"]) == list(test_set.class_names)
    assert [p.name for p in tmp_path.iterdir()] == ["small.safetensors"]
