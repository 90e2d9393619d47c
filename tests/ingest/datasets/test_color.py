"""Images of any kind become RGB by stated rules, and opaque 8-bit ones keep the pixels that they always had."""

import hashlib
import io
from collections import Counter

import cv2
import numpy as np
import pytest
from encoded_files import encoded
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from failmodes.ingest.datasets.decoding import decode
from failmodes.runtime.errors import DataError

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (12, 9, 3), dtype=np.uint8)
DEEP = RNG.integers(0, 65_536, (12, 9), dtype=np.uint16)
SIDEWAYS = 6  # EXIF's orientation of an image to be turned by a quarter


def decoded(content: bytes, **options) -> tuple[np.ndarray, dict[str, int]]:
    changes: Counter[str] = Counter()
    return np.asarray(decode(content, "x", changes=changes, **options)), dict(changes)


def by_the_former_rule(content: bytes) -> np.ndarray:
    """As images were decoded before there were rules of transparency and of 16 bits."""
    with Image.open(io.BytesIO(content)) as image:
        ImageOps.exif_transpose(image, in_place=True)
        return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def opaque(mode: str) -> Image.Image:
    """Opaque pixels of a mode."""
    return Image.fromarray(PIXELS).convert(mode)


OPAQUE = {
    f"{mode} {kind}": encoded(opaque(mode), kind)
    for kind, modes in {
        "PNG": ("1", "L", "LA", "P", "RGB", "RGBA"),
        "JPEG": ("L", "RGB", "CMYK", "YCbCr"),
        "WEBP": ("RGB", "RGBA"),
        "GIF": ("L", "P", "RGB"),
        "BMP": ("1", "L", "P", "RGB"),
        "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK"),
    }.items()
    for mode in modes
} | {
    "a color that is unused and transparent": encoded(opaque("P").quantize(16), transparency=200),
    "a palette with opaque alpha": encoded(opaque("P").quantize(16), transparency=bytes([255] * 16)),
}


@pytest.mark.filterwarnings("ignore:Palette images with Transparency")
@pytest.mark.parametrize("content", OPAQUE.values(), ids=OPAQUE.keys())
def test_opaque_images_keep_their_pixels(content: bytes) -> None:
    pixels, changes = decoded(content, background=(1, 2, 3))
    former = by_the_former_rule(content)
    assert hashlib.sha256(pixels.tobytes()).digest() == hashlib.sha256(former.tobytes()).digest()
    assert pixels.shape == former.shape
    assert "transparent" not in changes


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    background=st.tuples(*[st.integers(0, 255)] * 3),
    mode=st.sampled_from(["RGBA", "LA"]),
)
def test_alpha_is_composited(seed: int, background: tuple[int, int, int], mode: str) -> None:
    rng = np.random.default_rng(seed)
    image = Image.fromarray(rng.integers(0, 256, (5, 7, 4), dtype=np.uint8), "RGBA")
    image = image if mode == "RGBA" else Image.merge("LA", (image.convert("RGB").convert("L"), image.getchannel("A")))
    pixels, changes = decoded(encoded(image), background=background)
    alpha = np.asarray(image.getchannel("A"))[..., None] / 255
    expected = np.asarray(image.convert("RGB")) * alpha + np.array(background) * (1 - alpha)
    assert np.abs(pixels - expected).max() < 1
    assert changes["transparent"] == 1


def test_a_transparent_color_is_the_background() -> None:
    color = tuple(int(value) for value in PIXELS[3, 4])
    palette = opaque("RGB").quantize(16)
    cases = {
        "of RGB": (encoded(opaque("RGB"), transparency=color), (PIXELS[3, 4] == PIXELS).all(axis=2)),
        "of a palette": (encoded(palette, transparency=3), np.asarray(palette) == 3),
        "of a GIF": (encoded(palette, "GIF", transparency=3), np.asarray(palette) == 3),
        "of gray": (
            encoded(opaque("L"), transparency=int(np.asarray(opaque("L"))[3, 4])),
            np.asarray(opaque("L")) == np.asarray(opaque("L"))[3, 4],
        ),
    }
    for name, (content, transparent) in cases.items():
        pixels, changes = decoded(content, background=(1, 2, 3))
        assert transparent.any(), name
        assert (pixels[transparent] == (1, 2, 3)).all(), name
        np.testing.assert_array_equal(pixels[~transparent], by_the_former_rule(content)[~transparent], err_msg=name)
        assert changes["transparent"] == 1, name


def test_gray_values_of_16_bits_are_divided_by_257_and_rounded() -> None:
    every = np.arange(65_536, dtype=np.uint16).reshape(256, 256)
    big_endian = Image.new("I;16B", (256, 256))
    big_endian.frombytes(every.astype(">u2").tobytes())
    for content in (
        encoded(Image.fromarray(every)),
        encoded(Image.fromarray(every), "TIFF"),
        encoded(Image.fromarray(every.astype(np.int32)), "TIFF"),
        encoded(big_endian, "TIFF"),
    ):
        pixels, changes = decoded(content)
        np.testing.assert_array_equal(pixels, np.repeat(np.rint(every / 257)[..., None], 3, axis=2))
        assert changes == {"gray": 1, "16 bits": 1}


def test_values_that_fit_neither_8_nor_16_bits_are_refused() -> None:
    cases = {
        "no value above 255, so it would become black: save it with 8 bits": DEEP // 256 % 255 + 1,
        "has values from -5 to 65,530: expected at most 16 bits": (DEEP % 2).astype(np.int32) * 65_535 - 5,
        "has values from 0 to 70,000": (DEEP % 2).astype(np.int32) * 70_000,
        "has pixels of mode F": DEEP.astype(np.float32),
    }
    for message, values in cases.items():
        content = encoded(Image.fromarray(values), "TIFF")
        with pytest.raises(DataError, match=message.replace("255", r"\d+", 1)):
            decode(content, "x")
    with pytest.raises(DataError, match="16 bits and a transparent color"):
        decode(encoded(Image.fromarray(DEEP), transparency=3), "x")
    assert not decoded(encoded(Image.fromarray(np.zeros_like(DEEP))))[0].any(), "black is black at any depth"


def test_colors_of_16_bits_keep_the_upper_8() -> None:
    deep = RNG.integers(0, 65_536, (12, 9, 3), dtype=np.uint16)
    for suffix in (".png", ".tif"):
        pixels, changes = decoded(cv2.imencode(suffix, deep)[1].tobytes())
        np.testing.assert_array_equal(pixels, deep[..., ::-1] >> 8)
        assert changes == {"16 bits per channel": 1}
    assert decoded(OPAQUE["RGB BMP"])[1] == {}


def test_images_are_turned_as_their_exif_says() -> None:
    exif = Image.Exif()
    exif[0x112] = SIDEWAYS
    for content, channels in (
        (encoded(Image.fromarray(PIXELS), exif=exif), PIXELS),
        (encoded(Image.fromarray(PIXELS), "TIFF", exif=exif), PIXELS),
        (encoded(Image.fromarray(DEEP), "TIFF", exif=exif), np.rint(np.repeat(DEEP[..., None], 3, axis=2) / 257)),
        (encoded(Image.fromarray(DEEP), exif=exif), np.rint(np.repeat(DEEP[..., None], 3, axis=2) / 257)),
    ):
        pixels, changes = decoded(content)
        np.testing.assert_array_equal(pixels, np.rot90(channels, -1))
        assert changes["turned"] == 1
