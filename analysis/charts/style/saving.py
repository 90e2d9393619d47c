"""Charts as files: SVG, PNG, PDF, offline HTML or JSON, by suffix, each appearing whole or not at all."""

from pathlib import Path
from typing import Literal

import altair as alt
from PIL import Image

from failmodes.analysis.charts.style.theme import THEMES, with_dark_colours
from failmodes.warehouse.errors import StudyError
from failmodes.warehouse.storage.files import atomic_write

Format = Literal["svg", "png", "pdf", "html", "json"]

FORMATS: dict[str, Format] = {".svg": "svg", ".png": "png", ".pdf": "pdf", ".html": "html", ".json": "json"}

PNG_SCALE = 2


def save_chart(chart: alt.VConcatChart, path: Path, *, theme: str = "light") -> Path:
    """Write a chart to `path` in the format that its suffix names.

    Args:
        chart: a chart as `dress` makes it.
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
        drawn = type(chart).from_json(with_dark_colours(chart.to_json())) if theme == "dark" else chart
        drawn.save(str(temporary), format=kind, scale_factor=scale, inline=kind == "html")
        if kind == "png":
            _compress(temporary)
    return path


def _compress(png: Path) -> None:
    """Write a PNG anew with the same pixels: what the renderer writes is up to six times as large."""
    with Image.open(png) as image:
        image.load()
        image.convert("RGB").save(png, "PNG", optimize=True, dpi=image.info.get("dpi"))
