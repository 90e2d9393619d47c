"""The gallery of a report: the exemplars of all networks as strips of pictures, with answers and attention."""

import base64
import io
import json
from collections.abc import Iterable
from typing import Any, NamedTuple

import duckdb
import numpy as np
from markupsafe import Markup
from PIL import Image

from failmodes.analysis.charts.style.saving import image_url
from failmodes.analysis.formatting import REASON_NAMES, format_percent, format_severity
from failmodes.analysis.selection import Selection, corruption_labels
from failmodes.analysis.statistics.mean_accuracy import mean_accuracies
from failmodes.warehouse.schema import EXEMPLAR_REASONS

LONGEST_SIDE_PX = 96  # of a picture; larger ones are made smaller
MOST_BYTES = 4_000_000  # of all strips of a selection, a third more as text
LOSSLESS_BYTES = 800_000  # of all pictures on record, up to which they are embedded as they are
QUALITY = 80  # of the copies beyond that, WebP


class Frame(NamedTuple):
    """An image at one severity as a reader sees it: severity, answer, whether it is right, and confidence."""

    severity: str
    answer: str
    is_right: bool
    confidence: str


class PictureSeries(NamedTuple):
    """One image under one corruption, seen by one network, from clean to the last severity.

    Attributes:
        evaluation_id: of the network.
        network: its label.
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
    network: str
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
    def told(self) -> Markup:
        """What the viewer needs to know, as JSON that may stand between single quotes."""
        told = {"frames": self.frames, "maps": self.maps, "map_size": self.map_size, "size": (self.width, self.height)}
        text = json.dumps(told, separators=(",", ":"))
        return Markup(text.translate({ord(letter): f"\\u{ord(letter):04x}" for letter in "&<>'"}))

    @property
    def fate(self) -> str:
        """True class and last answer with its confidence."""
        last = self.frames[-1]
        return f"{self.true_class}: {'right' if last.is_right else last.answer} {last.confidence}".rstrip()


class Gallery(NamedTuple):
    """The picture series of a selection, as far as they fit; how many there are, and whether they are copies."""

    series: tuple[PictureSeries, ...]
    total: int
    is_lossless: bool

    def filters(self) -> dict[str, list[str]]:
        """What it can be filtered by: the values of network, corruption and reason, in order."""
        return {
            "network": _unique(one.network for one in self.series),
            "corruption": _unique(one.corruption_label for one in self.series),
            "reason": _unique(one.reason for one in self.series),
        }

    def of(self, evaluation_id: str, corruption: str) -> PictureSeries | None:
        """The first series of a network under a corruption."""
        found = (one for one in self.series if (one.evaluation_id, one.corruption) == (evaluation_id, corruption))
        return next(found, None)


def gallery(con: duckdb.DuckDBPyConnection, selection: Selection) -> Gallery:
    """The picture series of a selection: first choices first, and of these the corruptions that cost most."""
    rows = con.sql(
        "select e.*, a.class_name as label_name, coalesce(b.class_name, "
        "case when e.confidence is null then 'no answer' else 'another class' end) as predicted_name "
        "from exemplars as e "
        "left join classes as a on a.dataset_id = $3 and a.class_index = e.label "
        "left join classes as b on b.dataset_id = $3 and b.class_index = e.predicted "
        "where e.evaluation_id = any($1) and e.corruption = any($2) "
        "order by e.reason_rank, list_position($2, e.corruption), list_position($1, e.evaluation_id), "
        "list_position($4, e.reason), e.image_id, e.severity",
        params=[selection.ids, _by_accuracy(con, selection), selection.shared["dataset_id"], list(EXEMPLAR_REASONS)],
    ).pl()  # fmt: skip
    names = corruption_labels(con)
    parts = rows.partition_by("evaluation_id", "corruption", "image_id", maintain_order=True)
    is_lossless = rows["png"].bin.size().sum() <= LOSSLESS_BYTES
    found: list[PictureSeries] = []
    size = 0
    for part in parts:
        one = _series(part.rows(named=True), selection.labels, names, is_lossless=is_lossless)
        size += len(one.strip) * 3 // 4
        if size > MOST_BYTES and found:
            break
        found.append(one)
    return Gallery(tuple(found), len(parts), is_lossless)


def _by_accuracy(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[str]:
    """Corruptions from the lowest mean accuracy over networks on."""
    found = mean_accuracies(con, selection).values()
    return sorted(selection.corruptions, key=lambda c: sum(one.by_corruption[c].value for one in found))


def _series(
    rows: list[dict[str, Any]], labels: dict[str, str], names: dict[str, str], *, is_lossless: bool
) -> PictureSeries:
    first = rows[0]
    pictures = [_picture(row["png"]) for row in rows]
    maps, map_size = _maps(rows)
    return PictureSeries(
        first["evaluation_id"], labels[first["evaluation_id"]], first["corruption"], names[first["corruption"]],
        REASON_NAMES.get(first["reason"], str(first["reason"])), first["image_id"],
        first["label_name"] or str(first["label"]), tuple(_frame(row) for row in rows),
        _strip(pictures, is_lossless=is_lossless), *pictures[0].size, maps, map_size,
    )  # fmt: skip


def _frame(row: dict[str, Any]) -> Frame:
    confidence = "" if row["confidence"] is None else format_percent(row["confidence"], 0)
    return Frame(
        format_severity(float(row["severity"])), row["predicted_name"], row["predicted"] == row["label"], confidence
    )


def _picture(png: bytes) -> Image.Image:
    with Image.open(io.BytesIO(png)) as image:
        picture = image.convert("RGB")
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


def _maps(rows: list[dict[str, Any]]) -> tuple[str, tuple[int, int]]:
    """The maps of a series in base64, scaled by the largest value of all, and their columns and rows."""
    if any(row["map_f16"] is None for row in rows):
        return "", (0, 0)
    values = np.concatenate([np.frombuffer(row["map_f16"], "<f2").astype(np.float32) for row in rows])
    values = np.nan_to_num(values, posinf=0.0)
    top = float(values.max(initial=0.0))
    scaled = (255 * values / top if top > 0 else values).clip(0, 255).round().astype(np.uint8)
    return base64.b64encode(scaled.tobytes()).decode(), (rows[0]["map_width"], rows[0]["map_height"])


def _unique(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))
