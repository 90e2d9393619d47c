"""Charts as files: SVG, PNG, PDF, offline HTML or JSON, by suffix, written atomically; and images inside charts."""

import base64
import io
from pathlib import Path
from typing import Literal

import altair as alt
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from failmodes.analysis.charts.style.theme import DARK_COLOURS, THEMES
from failmodes.warehouse.errors import StudyError
from failmodes.warehouse.storage.files import atomic_write

Format = Literal["svg", "png", "pdf", "html", "json"]
FORMATS: dict[str, Format] = {".svg": "svg", ".png": "png", ".pdf": "pdf", ".html": "html", ".json": "json"}
PNG_SCALE = 2


def save_chart(chart: alt.VConcatChart, path: Path, *, theme: str = "light") -> Path:
    """Write a chart to `path` in the format that its suffix names.

    Args:
        chart: a chart as `add_text` makes it.
        path: .svg, .png (twice the pixels), .pdf, .html (offline, everything inside) or .json (Vega-Lite).
        theme: 'light' or 'dark'.

    Raises:
        StudyError: another suffix or theme.
        StorageError: the file could not be written.
    """
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise StudyError(f"cannot save a chart as {path.name!r}: name it with one of {', '.join(FORMATS)}")
    if theme not in THEMES:
        raise StudyError(f"no theme {theme!r}: choose {' or '.join(THEMES)}")
    scale = PNG_SCALE if kind == "png" else 1
    with alt.theme.enable(THEMES[theme]), atomic_write(path) as temporary:
        drawn: alt.TopLevelMixin = chart
        if theme == "dark":
            specification = chart.to_json()
            for light_colour, dark_colour in DARK_COLOURS.items():
                specification = specification.replace(light_colour, dark_colour)
            drawn = alt.VConcatChart.from_json(specification)
        drawn.save(str(temporary), format=kind, scale_factor=scale, inline=kind == "html")
        if kind == "png":
            _compress(temporary)
    return path


def image_url(pixels: NDArray[np.uint8]) -> str:
    """An image (H, W, 3) uint8 as a PNG inside a URL, which an image mark shows."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _compress(png: Path) -> None:
    """Rewrite a PNG with the same pixels: what the renderer writes is up to six times as large."""
    with Image.open(png) as image:
        image.load()
        image.convert("RGB").save(png, "PNG", optimize=True, dpi=image.info.get("dpi"))
