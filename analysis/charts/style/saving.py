"""Charts as files: SVG, PNG, PDF, offline HTML or JSON, by suffix, written atomically; and what goes inside a chart."""

import base64
import io
import json
from pathlib import Path
from typing import Any, Literal

import altair as alt
import numpy as np
from altair.utils.mimebundle import spec_to_mimebundle
from numpy.typing import NDArray
from PIL import Image

from failmodes.analysis.charts.style.theme import DARK_COLOURS, THEMES, vega_config
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
    themed = with_theme(chart, theme)
    with alt.theme.enable("none"), atomic_write(path) as temporary:
        if kind == "html":
            themed.save(str(temporary), format=kind, inline=True)
        else:
            temporary.write_bytes(_rendered(specification_of(themed), kind))
    return path


def specification_of(chart: alt.VConcatChart) -> dict[str, Any]:
    """The Vega-Lite specification of a chart with its data, whatever the session does with data.

    It is not validated, which would be a sixth of a report's time: tests validate every chart.
    """
    with alt.data_transformers.enable("default"), alt.data_transformers.disable_max_rows():
        specification: dict[str, Any] = chart.to_dict(validate=False)
    return specification


def _rendered(specification: dict[str, Any], kind: Literal["svg", "png", "pdf", "json"]) -> bytes:
    if kind == "json":
        return json.dumps(specification).encode()
    scale = PNG_SCALE if kind == "png" else 1
    made = spec_to_mimebundle(specification, kind, mode="vega-lite", scale_factor=scale)
    bundle = made[0] if isinstance(made, tuple) else made
    (content,) = bundle.values()
    if kind == "png":
        return _compressed(content)
    return content.encode() if isinstance(content, str) else bytes(content)


def with_theme(chart: alt.VConcatChart, theme: str = "light") -> alt.VConcatChart:
    """A copy of a chart that carries a theme in itself, and so looks the same wherever it is shown.

    Args:
        chart: a chart as `add_text` makes it.
        theme: 'light' or 'dark'.

    Raises:
        StudyError: another theme.
    """
    if theme not in THEMES:
        raise StudyError(f"no theme {theme!r}: choose {' or '.join(THEMES)}")
    themed = chart.copy(deep=False)
    if theme == "dark":
        specification = json.dumps(specification_of(chart))  # with its data: these colours are in it too
        for light_colour, dark_colour in DARK_COLOURS.items():
            specification = specification.replace(light_colour, dark_colour)
        themed = alt.VConcatChart.from_dict(json.loads(specification), validate=False)
    themed.config = alt.Config(**vega_config(THEMES[theme]))
    return themed


def image_url(pixels: NDArray[np.uint8]) -> str:
    """An image (H, W, 3) uint8 as a PNG inside a URL, which an image mark shows."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")  # optimised it takes four times as long and is hardly smaller
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _compressed(png: bytes) -> bytes:
    """A PNG with the same pixels: what the renderer writes is up to six times as large."""
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        image.convert("RGB").save(buffer, "PNG", optimize=True, dpi=image.info.get("dpi"))
    return buffer.getvalue()
