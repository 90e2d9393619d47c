"""The gallery of a report: the exemplars of all models as strips of pictures, with answers and attention."""

import base64
import io
import json
from collections.abc import Iterable
from typing import NamedTuple

import duckdb
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from failmodes.analysis.charts.style.saving import image_url
from failmodes.analysis.images.exemplars import SERIES, ExemplarImage, exemplar_images, exemplar_rows, size_of
from failmodes.analysis.render.formatting import REASON_MEANINGS, format_percent, format_severity
from failmodes.analysis.selection import Selection, corruption_labels
from failmodes.analysis.statistics.model_accuracy import lowest_first, run_accuracies

LONGEST_SIDE_PX = 96  # of a picture; larger ones are made smaller
MOST_BYTES = 4_000_000  # of all strips of a selection, a third more as text
MOST_PIXELS = 2**29  # that are decoded for them, some 10 s
LOSSLESS_BYTES = 800_000  # of all pictures on record, up to which they are embedded as they are
QUALITY = 80  # of the copies beyond that, WebP


class Frame(NamedTuple):
    """An image at one severity as a reader sees it: severity, answer, whether it is right, and confidence."""

    severity: str
    prediction: str
    is_correct: bool
    confidence: str


class PictureSeries(NamedTuple):
    """One image under one corruption, seen by one model, from clean to the last severity.

    Attributes:
        evaluation_id: of the model.
        model: its label.
        corruption: name of the corruption.
        corruption_label: the same for readers.
        reason: why it was chosen, in words.
        image_id: which image it is.
        true_class: name of its class.
        frames: what is told of each severity.
        strip: the pictures side by side, as a URL.
        width: of one picture, pixels.
        height: of one picture, pixels.
        maps: attention of each picture as 8-bit values, row by row, scaled by their largest, in base64; "" without.
        map_size: columns and rows of a map.
    """

    evaluation_id: str
    model: str
    corruption: str
    corruption_label: str
    reason: str
    image_id: int
    true_class: str
    frames: tuple[Frame, ...]
    strip: str
    width: int
    height: int
    maps: str
    map_size: tuple[int, int]

    @property
    def viewer_data(self) -> Markup:
        """What the viewer needs to know, as JSON that may stand between single quotes."""
        content = {
            "frames": self.frames,
            "maps": self.maps,
            "map_size": self.map_size,
            "size": (self.width, self.height),
        }
        text = json.dumps(content, separators=(",", ":"))
        return Markup(text.translate({ord(letter): f"\\u{ord(letter):04x}" for letter in "&<>'"}))

    @property
    def choice(self) -> str:
        """Why it was chosen, and what that means."""
        meaning = REASON_MEANINGS.get(self.reason)
        return f"{self.reason} ({meaning})" if meaning else self.reason

    @property
    def fate(self) -> str:
        """True class and last answer with its confidence."""
        last = self.frames[-1]
        return f"{self.true_class}: {'right' if last.is_correct else last.prediction} {last.confidence}".rstrip()


class Gallery(NamedTuple):
    """The picture series of a selection, as far as they fit; how many there are, and whether they are copies."""

    series: tuple[PictureSeries, ...]
    total: int
    is_lossless: bool

    def filters(self) -> dict[str, list[str]]:
        """What it can be filtered by: the values of model, corruption and reason, in order."""
        return {
            "model": _unique(one.model for one in self.series),
            "corruption": _unique(one.corruption_label for one in self.series),
            "reason": _unique(one.reason for one in self.series),
        }

    def of(self, evaluation_id: str, corruption: str) -> PictureSeries | None:
        """The first series of a model under a corruption."""
        found = (one for one in self.series if (one.evaluation_id, one.corruption) == (evaluation_id, corruption))
        return next(found, None)


def gallery(con: duckdb.DuckDBPyConnection, selection: Selection) -> Gallery:
    """The picture series of a selection: first choices first, and of these the corruptions that cost most."""
    order = lowest_first(run_accuracies(con, selection).values())
    rows = exemplar_rows(con, selection.ids, order, selection.shared["dataset_id"])
    parts = sorted(
        rows.partition_by(*SERIES, maintain_order=True),
        key=lambda part: (
            part["reason_rank"][0], order.index(part["corruption"][0]), selection.ids.index(part["evaluation_id"][0])
        ),
    )  # fmt: skip
    names = corruption_labels(con)
    is_lossless = sum(map(len, rows["png"])) <= LOSSLESS_BYTES
    found: list[PictureSeries] = []
    size = pixels = 0
    for part in parts:
        height, width = size_of(part)
        pixels += part.height * height * width
        if pixels > MOST_PIXELS and found:
            break
        one = _series(exemplar_images(part), selection.labels, names, is_lossless=is_lossless)
        size += len(one.strip) * 3 // 4
        if size > MOST_BYTES and found:
            break
        found.append(one)
    return Gallery(tuple(found), len(parts), is_lossless)


def _series(
    images: list[ExemplarImage], labels: dict[str, str], names: dict[str, str], *, is_lossless: bool
) -> PictureSeries:
    first, pictures = images[0], [small_picture(image.pixels) for image in images]
    maps, map_size = _maps(images)
    return PictureSeries(
        first.evaluation_id, labels[first.evaluation_id], first.corruption, names[first.corruption],
        first.reason_name, first.image_id, first.label_name, tuple(_frame(image) for image in images),
        _strip(pictures, is_lossless=is_lossless), *pictures[0].size, maps, map_size,
    )  # fmt: skip


def _frame(image: ExemplarImage) -> Frame:
    confidence = "" if image.confidence is None else format_percent(image.confidence, 0)
    return Frame(format_severity(image.severity), image.predicted_name, image.is_correct, confidence)


def small_picture(pixels: NDArray[np.uint8]) -> Image.Image:
    """A picture (H, W, 3), made smaller where it is large."""
    picture = Image.fromarray(pixels)
    longest = max(picture.size)
    if longest <= LONGEST_SIDE_PX:
        return picture
    width, height = (max(1, round(side * LONGEST_SIDE_PX / longest)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def _strip(pictures: list[Image.Image], *, is_lossless: bool) -> str:
    """Pictures of one size side by side, as a URL."""
    width, height = pictures[0].size
    strip = Image.new("RGB", (width * len(pictures), height))
    for place, picture in enumerate(pictures):
        strip.paste(picture, (place * width, 0))
    if is_lossless:
        return image_url(np.asarray(strip))
    buffer = io.BytesIO()
    strip.save(buffer, "WEBP", quality=QUALITY, method=2)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def _maps(images: list[ExemplarImage]) -> tuple[str, tuple[int, int]]:
    """The maps of a series in base64, scaled by the largest value of all, and their columns and rows."""
    maps = [image.attention for image in images if image.attention is not None]
    if len(maps) < len(images) or len({one.shape for one in maps}) > 1:
        return "", (0, 0)
    values = np.stack(maps)
    top = float(values.max())
    scaled = (255 * values / top if top > 0 else values).round().astype(np.uint8)
    return base64.b64encode(scaled.tobytes()).decode(), (values.shape[2], values.shape[1])


def _unique(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))
