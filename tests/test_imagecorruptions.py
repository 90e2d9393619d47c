"""The drop-in: our kernels with ImageNet-C's parameters, NumPy's global randomness, and the package's own results."""

import inspect
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

import failmodes
from failmodes.imagecorruptions import corrupt, get_corruption_names
from failmodes.ingest.corruptions.kernels.frost import frost_folder
from failmodes.ingest.corruptions.sampling import MAX_SEED
from failmodes.runtime.errors import DataError, FailmodesError, StudyError

EXACT = ("defocus_blur", "zoom_blur", "brightness", "contrast", "jpeg_compression", "gaussian_blur", "saturate")
# An interpreter that imports the package: by default that of `make bench`
PEER = Path(os.environ.get("FAILMODES_PEER_PYTHON", Path(__file__).parents[1] / ".venv-peer" / "bin" / "python"))


def photograph(height: int = 40, width: int = 56) -> np.ndarray:
    """Smooth colors with an edge, (height, width, 3) uint8."""
    rows, columns = np.mgrid[:height, :width]
    image = np.stack([4 * rows, 3 * columns, 2 * (rows + columns)], axis=-1) % 256
    image[height // 3 : height // 2] //= 2
    return image.astype(np.uint8)


def available() -> list[str]:
    names = get_corruption_names("all")
    try:
        frost_folder()
    except DataError:
        names.remove("frost")
    return names


def test_signature_and_lists_are_those_of_the_package() -> None:
    assert str(inspect.signature(corrupt)).split(" -> ")[0].count("=") == 3
    assert list(inspect.signature(corrupt).parameters) == ["image", "severity", "corruption_name", "corruption_number"]
    everything = get_corruption_names("all")
    assert everything[:3] == get_corruption_names("noise") == ["gaussian_noise", "shot_noise", "impulse_noise"]
    assert everything[3:7] == get_corruption_names("blur") == ["defocus_blur", "glass_blur", "motion_blur", "zoom_blur"]
    assert everything[7:11] == get_corruption_names("weather") == ["snow", "frost", "fog", "brightness"]
    assert everything[11:15] == get_corruption_names("digital")
    assert everything[15:] == get_corruption_names("validation")
    assert everything[:15] == get_corruption_names()


@pytest.mark.parametrize("severity", [1, 5])
def test_images_are_those_of_our_kernels_by_numpys_global_state(severity: int) -> None:
    image = photograph()
    for number, name in enumerate(get_corruption_names("all")):
        if name not in available():
            continue
        np.random.seed(7)
        made = corrupt(image, severity, corruption_number=number)
        after = np.random.random()
        np.random.seed(7)
        assert np.array_equal(made, corrupt(image, severity, name))
        np.random.seed(7)
        is_random = after != np.random.random()
        np.random.seed(7)
        seed = int(np.random.randint(MAX_SEED))
        expected = failmodes.corrupt(image[None], name, severity, recipe="imagenet-c", seed=seed)[0]
        assert np.array_equal(made, expected), name
        again = corrupt(image, severity, name)
        assert np.array_equal(again, made) != is_random, name


@pytest.mark.parametrize("shape", [(32, 32), (32, 47, 1), (61, 33, 3)])
def test_gray_and_any_size_come_back_as_rgb(shape: tuple[int, ...]) -> None:
    image = photograph(*shape[:2])[..., 0].reshape(shape[:2] + (1,))
    image = np.repeat(image, 3, -1) if shape[-1] == 3 else image.reshape(shape)
    for name in available():
        assert corrupt(image, 3, name).shape == (*shape[:2], 3)
    assert np.ptp(corrupt(image, 3, "contrast"), axis=2).max() == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((photograph(),), "corruption_name"),
        ((photograph(), 6, "fog"), "severity 6"),
        ((photograph(), 1, "fogg"), "did you mean 'fog'"),
        ((photograph(), 1, None, 19), "0 to 18"),
        ((photograph(31, 40), 1, "fog"), "at least 32"),
        ((photograph().astype(float), 1, "fog"), "uint8"),
        ((photograph()[None], 1, "fog"), "uint8 array"),
        (("image.png", 1, "fog"), "uint8 array"),
    ],
)
def test_what_it_cannot_corrupt_is_one_line(arguments: tuple, message: str) -> None:
    with pytest.raises(FailmodesError, match=message):
        corrupt(*arguments)
    with pytest.raises(StudyError, match="subset 'extra'"):
        get_corruption_names("extra")


@pytest.mark.test_all
@pytest.mark.skipif(not PEER.exists(), reason="no .venv-peer (make bench), no FAILMODES_PEER_PYTHON")
def test_the_package_makes_the_same_images(tmp_path: Path) -> None:
    """Equal but for rounding without random numbers; else as far from the clean image, over 40 images."""
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)  # a ramp would round at every pixel
    np.save(tmp_path / "image.npy", image)
    code = (
        "import numpy as np, imagecorruptions as peer\n"
        "image = np.load('image.npy'); np.random.seed(0)\n"
        "np.savez('theirs.npz', **{f'{name} {severity}': np.stack([peer.corrupt(image, severity, name) "
        "for _ in range(40 if name in ('gaussian_noise', 'impulse_noise', 'shot_noise', 'speckle_noise') else 1)]) "
        "for name in peer.get_corruption_names('all') if name not in ('glass_blur', 'frost') "
        "for severity in (1, 3, 5)})"
    )
    subprocess.run([PEER, "-W", "ignore", "-c", code], cwd=tmp_path, check=True, timeout=120)
    with np.load(tmp_path / "theirs.npz") as theirs:
        for key in theirs.files:
            name, severity = key.split()
            ours = np.stack([corrupt(image, int(severity), name) for _ in theirs[key]])
            if name in EXACT:
                apart = np.abs(ours.astype(int) - theirs[key])  # truncation of a sum in another order
                assert apart.max() <= 1, key
                assert apart.mean() < 1e-3, key
            elif name.endswith("noise"):
                rmse = [np.sqrt(np.mean((made.astype(float) - image) ** 2)) for made in (ours, theirs[key])]
                assert rmse[0] == pytest.approx(rmse[1], rel=0.01), key
