"""Charts as files: SVG, PNG, PDF, offline HTML or JSON, by suffix, written atomically; and what goes inside a chart."""

import base64
import io
import json
import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import altair as alt
import numpy as np
import vl_convert
from altair.utils.mimebundle import spec_to_mimebundle
from numpy.typing import NDArray
from PIL import Image

from failmodes.analysis.charts.style.theme import DARK_COLORS, FONT, THEMES, vega_config
from failmodes.warehouse.errors import StudyError
from failmodes.warehouse.output_files import NO_SUFFIX, atomic_output

Format = Literal["svg", "png", "pdf", "html", "json"]
FORMATS: dict[str, Format] = {".svg": "svg", ".png": "png", ".pdf": "pdf", ".html": "html", ".json": "json"}
KEPT_DRAWINGS = 3  # as many as it takes to fit a figure
PNG_SCALE = 2  # pixels of an embedded image for each that it takes on a page
PNG_DPI, MM_PER_INCH, POINTS_PER_INCH = 300, 25.4, 72
LINE_SEPARATORS = str.maketrans("\u2028\u2029", "  ")
ENDS_SCRIPT = re.compile("<(?=[/!])")
_SVG_SIZE = re.compile(r'<svg [^>]*?width="([\d.]+)" height="([\d.]+)"')


def save_chart(
    chart: alt.VConcatChart, path: Path, *, theme: str = "light", width_mm: float | None = None, force: bool = False
) -> Path:
    """Write a chart to `path` in the format that its suffix names.

    Args:
        chart: a chart as `add_text` makes it.
        path: .svg, .png (300 dots an inch), .pdf, .html (offline, everything inside) or .json (Vega-Lite).
        theme: 'light' or 'dark'.
        width_mm: width of SVG, PNG and PDF on paper; by default 96 pixels are an inch.
        force: see `check_output`.

    Raises:
        StudyError: another theme; see `check_output`.
        StorageError: the file could not be written.
    """
    return _write_themed(with_theme(chart, theme), path, width_mm, force)


def _write_themed(themed: alt.VConcatChart, path: Path, width_mm: float | None, force: bool) -> Path:
    with alt.theme.enable("none"), atomic_output(path, FORMATS, force=force) as temporary:
        kind = FORMATS[path.suffix.lower()]
        if kind == "html":
            alt.VConcatChart.from_dict(specification_of(themed), validate=False).save(
                str(temporary), format=kind, inline=True
            )
        elif kind == "json":
            temporary.write_text(json.dumps(specification_of(themed)), encoding="utf-8")
        else:
            temporary.write_bytes(_printed(drawing(themed), kind, width_mm))
    return path


def specification_of(chart: alt.VConcatChart) -> dict[str, Any]:
    """The Vega-Lite specification of a chart with its data, whatever the session does with data.

    It is not validated, which would be a sixth of a report's time: tests validate every chart.
    """
    with alt.data_transformers.enable("default"), alt.data_transformers.disable_max_rows():
        specification: dict[str, Any] = chart.to_dict(validate=False)
    _make_safe(specification)
    return specification


def _make_safe(node: Any) -> None:
    """Change texts of a specification, in place, so that they stay texts wherever Altair writes it.

    Altair puts a specification into a <script> of HTML as it is, where a label `</script>` or `<!--` would end the
    script: an invisible space (U+200B) behind such a `<` keeps it a text. Vega cannot parse separators of lines and
    paragraphs: they become spaces.
    """
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        if isinstance(value, dict | list):
            _make_safe(value)
        elif isinstance(value, str) and ("<" in value or not value.isascii()):
            node[key] = ENDS_SCRIPT.sub("<\u200b", value.translate(LINE_SEPARATORS))


class FigureChart(alt.VConcatChart):
    """A chart as users get it: no label of it is code in HTML, and `save("figure.pdf")` keeps its width on paper."""

    _width_mm: float | None = None

    def copy(self, deep: Any = True, ignore: list[str] | None = None) -> Self:
        """A copy, which has the width too: each method of Altair that changes a chart gives one."""
        made = super().copy(deep, ignore)
        object.__setattr__(made, "_width_mm", self._width_mm)
        return made

    def to_dict(
        self, validate: bool = True, *, context: dict[str, Any] | None = None, **options: Any
    ) -> dict[str, Any]:
        """The specification, which everything is made of that Altair writes or shows."""
        specification: dict[str, Any] = super().to_dict(validate, context=context, **options)
        _make_safe(specification)
        _make_safe((context or {}).get("datasets", {}))  # of a chart within another one the data stands here
        return specification

    def save(  # type: ignore[override]
        self,
        fp: Any,
        format: Any = None,  # noqa: A002
        *,
        force: bool = False,
        **options: Any,
    ) -> None:
        """Write the figure; with any option of Altair's, or to an open file, as Altair does.

        Args:
            fp: a path that ends in .svg, .png, .pdf, .html or .json, or an open file.
            format: one of Altair's; by default that of the suffix.
            force: replace even a warehouse, study or results shard that has the format's suffix.
            options: Altair's.

        Raises:
            StudyError: another suffix, or a file that must not be replaced; see `check_output`.
            StorageError: the file could not be written.
        """
        if not isinstance(fp, str | os.PathLike):
            super().save(fp, format, **options)
            return
        path = Path(fp)
        if self._width_mm is not None and not format and not options:
            _write_themed(self, path, self._width_mm, force)
            return
        suffixes = (f".{str(format).lower()}", NO_SUFFIX) if format else tuple(FORMATS)
        with atomic_output(path, suffixes, force=force) as temporary:
            super().save(temporary, format or FORMATS[path.suffix.lower()], **options)


class Drawing(NamedTuple):
    """A chart as SVG, and its size in pixels of 1/96 inch."""

    svg: str
    width_px: float
    height_px: float


def drawing(themed: alt.VConcatChart) -> Drawing:
    """Draw a chart that carries its theme."""
    with alt.theme.enable("none"):
        text = json.dumps(specification_of(themed), ensure_ascii=False)
    return _drawing(text, repr(alt.renderers.options))  # among these is how numbers are written


@lru_cache(maxsize=KEPT_DRAWINGS)
def _drawing(text: str, _options: str) -> Drawing:
    """Draw a specification; a figure that was drawn to find its size is not drawn again for its file."""
    to_unit, from_unit = _single_units(text)
    made: Any = spec_to_mimebundle(json.loads(text.translate(to_unit)), "svg", mode="vega-lite")
    bundle = made[0] if isinstance(made, tuple) else made
    (drawn,) = bundle.values()
    svg = drawn.translate(from_unit)
    found = _SVG_SIZE.match(svg)
    assert found, "the renderer states a size"
    return Drawing(svg, float(found[1]), float(found[2]))


def _single_units(text: str) -> tuple[dict[int, int], dict[int, int]]:
    """What to put for letters of two UTF-16 units, such as emoji, while a text is drawn, and for these back again.

    Vega cuts texts that are too long between any two units, and the renderer cannot read half a letter.
    """
    if max(text) <= "\uffff":
        return {}, {}
    pairs = sorted({letter for letter in text if letter > "\uffff"})
    free = (code for code in range(0xE000, 0xF900) if chr(code) not in text)  # private use: they mean nothing
    to_unit = {ord(letter): code for letter, code in zip(pairs, free, strict=False)}
    return to_unit, {code: letter for letter, code in to_unit.items()}


def _printed(drawn: Drawing, kind: Format, width_mm: float | None) -> bytes:
    """A drawing as SVG, PNG or PDF, `width_mm` wide on paper with all that belongs to it."""
    width_inches = drawn.width_px / 96 if width_mm is None else width_mm / MM_PER_INCH
    if kind == "svg":
        return _sized(drawn, width_inches * MM_PER_INCH, "mm").encode()
    if kind == "pdf":
        return bytes(vl_convert.svg_to_pdf(_sized(drawn, width_inches * POINTS_PER_INCH)))
    return _compressed(vl_convert.svg_to_png(_sized(drawn, round(width_inches * PNG_DPI))))


def _sized(drawn: Drawing, width: float, unit: str = "") -> str:
    """The SVG at another width, and with the font for viewers that do not take it from each text."""
    height = width * drawn.height_px / drawn.width_px
    head, rest = drawn.svg.split(">", 1)
    head = head.replace(f'width="{_text_of(head, "width")}"', f'width="{width:.4f}{unit}"', 1)
    head = head.replace(f'height="{_text_of(head, "height")}"', f'height="{height:.4f}{unit}"', 1)
    return f'{head} font-family="{FONT}">{rest}'


def _text_of(tag: str, attribute: str) -> str:
    return tag.split(f' {attribute}="', 1)[1].split('"', 1)[0]


def with_theme(chart: alt.VConcatChart, theme: str = "light", width_mm: float | None = None) -> FigureChart:
    """A copy of a chart that carries a theme in itself, and so looks the same wherever it is shown.

    Args:
        chart: a chart as `add_text` makes it.
        theme: 'light' or 'dark'.
        width_mm: width on paper that its `save` keeps to.

    Raises:
        StudyError: another theme.
    """
    if theme not in THEMES:
        raise StudyError(f"no theme {theme!r}: choose {' or '.join(THEMES)}")
    parts: dict[str, Any] = dict(chart._kwds)
    if theme == "dark":
        specification = json.dumps(specification_of(chart))  # with its data: these colors are in it too
        for light_color, dark_color in DARK_COLORS.items():
            specification = specification.replace(light_color, dark_color)
        parts = dict(alt.VConcatChart.from_dict(json.loads(specification), validate=False)._kwds)
    parts["config"] = alt.Config(**vega_config(THEMES[theme]))
    themed = FigureChart(**parts)
    object.__setattr__(themed, "_width_mm", width_mm)
    return themed


def image_url(pixels: NDArray[np.uint8]) -> str:
    """An image (H, W, 3) uint8 as a PNG inside a URL, which an image mark shows."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")  # optimized it takes four times as long and is hardly smaller
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _compressed(png: bytes) -> bytes:
    """A PNG with the same pixels that states its resolution: the renderer's is up to six times as large."""
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        image.convert("RGB").save(buffer, "PNG", dpi=(PNG_DPI, PNG_DPI))  # optimized: 7 times as long, 4 % smaller
    return buffer.getvalue()
