"""A figure: a chart with title, caption and theme, displayed in notebooks offline and saved as a file."""

import io
import json
import re
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import altair as alt
import vl_convert
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from failmodes.analysis.charts.style.frame import MM, PADDING_PX, Frame, drawable, wrapped
from failmodes.analysis.charts.style.theme import (
    DARK_COLORS,
    FONT,
    LABEL_PX,
    SOURCE_PX,
    THEMES,
    TITLE_PX,
    named_theme,
    vega_config,
)
from failmodes.analysis.render.formatting import valid_in_xml
from failmodes.warehouse.output_files import atomic_output

FORMATS = {".svg": "svg", ".png": "png", ".pdf": "pdf", ".html": "html", ".json": "json"}
PNG_DPI = 300
VEGA_LITE = f"application/vnd.vegalite.{alt.SCHEMA_VERSION.split('.')[0]}+json"  # MIME type in notebooks
NO_STYLE = {"class", "role", "aria-roledescription", "aria-label", "aria-hidden", "pointer-events"}  # attributes of SVG
_SVG_SIZE = re.compile(r'<svg [^>]*?width="([\d.]+)" height="([\d.]+)"')


@dataclass(frozen=True, repr=False)
class Figure:
    """A chart with its texts and theme.

    Attributes:
        plot: the Altair chart, without texts and theme.
        title: the result, in a sentence.
        subtitle: what is plotted, with unit and number of images.
        source: dataset, subset, corruptions, seeds and date.
        frame: width and scale; SVG, PDF and PNG have exactly its `width_mm`.
        note: a line below the plot, such as what is not drawn.
        theme: 'light' or 'dark'.
        has_caption: draw title, subtitle and source; None: unless the frame is of a paper.
    """

    plot: Any
    title: str
    subtitle: str
    source: str
    frame: Frame
    note: str = ""
    theme: str = "light"
    has_caption: bool | None = None

    def __post_init__(self) -> None:
        for name in ("title", "subtitle", "source", "note"):
            object.__setattr__(self, name, valid_in_xml(getattr(self, name)))
        if self.has_caption is None:
            object.__setattr__(self, "has_caption", not self.frame.is_paper)

    @property
    def caption(self) -> str:
        """Subtitle and source as one text."""
        return f"{self.subtitle} {self.source}"

    def with_theme(self, theme: str) -> "Figure":
        """The same figure, light or dark.

        Raises:
            StudyError: unknown theme.
        """
        named_theme(theme)
        return replace(self, theme=theme)

    def to_dict(self, *, has_theme: bool = True, has_datasets: bool = True) -> dict[str, Any]:
        """The Vega-Lite specification with its data; texts are safe in HTML.

        Args:
            has_theme: include the theme; the report sets its own.
            has_datasets: keep all rows in `datasets`, else where they are drawn.
        """
        data = alt.data_transformers.enable("default", max_rows=None, consolidate_datasets=has_datasets)
        with alt.theme.enable("none"), data:
            plot = self.plot.to_dict(validate=False)
        specification = self._with_texts(plot)
        if has_theme:
            specification["config"] = vega_config(THEMES[self.theme])
        _make_drawable(specification)
        if self.theme == "dark":
            text = json.dumps({key: part for key, part in specification.items() if key != "config"})
            for light_color, dark_color in DARK_COLORS.items():
                text = text.replace(light_color, dark_color)
            specification |= json.loads(text)
        return specification

    def _with_texts(self, plot: dict[str, Any]) -> dict[str, Any]:
        """The specification of the plot with title and caption, as `alt.vconcat` makes it, which copies all parts."""
        width = self.frame.width_px - 2 * PADDING_PX
        of_all: dict[str, Any] = {
            key: plot.pop(key) for key in ("$schema", "data", "datasets", "params") if key in plot
        }
        below = [self.note, *([self.source] if self.has_caption else [])]
        lines = [line for text in below if text for line in wrapped(text, width, SOURCE_PX)]
        if lines:  # below the legends
            source: dict[str, Any] = {"text": lines, "orient": "bottom", "anchor": "start", "offset": 10,
                                      "fontSize": SOURCE_PX, "fontWeight": "normal", "style": "source"}  # fmt: skip
            plot = {"vconcat": [plot], "title": source}
        texts = {"title": self.title, "subtitle": self.subtitle, "source": self.source}
        specification: dict[str, Any] = {**of_all, "vconcat": [plot], "usermeta": texts}
        if self.has_caption:
            specification["title"] = {
                "text": wrapped(self.title, width, TITLE_PX * 1.1), "subtitle": wrapped(self.subtitle, width, LABEL_PX),
                "anchor": "start", "fontSize": TITLE_PX, "subtitleFontSize": LABEL_PX, "subtitlePadding": 5,
                "offset": 10,
            }  # fmt: skip
        return specification

    def to_altair(self) -> alt.VConcatChart:
        """The figure as an Altair chart that you can modify."""
        specification = self.to_dict(has_datasets=False)
        del specification["$schema"]  # Altair adds it and does not allow it in a part of a chart
        made: alt.VConcatChart = alt.VConcatChart.from_dict(specification, validate=False)
        return made

    def to_svg(self, unit: str = "px") -> str:
        """The figure as SVG of exactly its width, in px, mm or pt."""
        text = json.dumps(self.to_dict(), ensure_ascii=False)
        to_unit, from_unit = _single_units(text)
        drawn = vl_convert.vegalite_to_svg(text.translate(to_unit)).translate(from_unit)
        size = _SVG_SIZE.match(drawn)
        assert size, "the renderer states a size"
        width = self.frame.width_mm / MM[unit]
        height = width * float(size[2]) / float(size[1])
        suffix = "" if unit == "pt" else unit  # the PDF writer reads plain numbers as points
        head = drawn[: size.end()].replace(f'width="{size[1]}"', f'width="{width:.4f}{suffix}"', 1)
        head = head.replace(f'height="{size[2]}"', f'height="{height:.4f}{suffix}"', 1)
        rest, body = drawn[size.end() :].split(">", 1)
        texts = f"<title>{escape(self.title)}</title><desc>{escape(self.caption)}</desc>"
        return f'{head}{rest} font-family="{FONT}">{texts}{body}'

    def save(self, file: str | Path, *, force: bool = False) -> Path:
        """Write the figure in the format of the suffix, with title and data source as metadata.

        Args:
            file: .svg, .png (300 dpi), .pdf, .html (self-contained, interactive) or .json (Vega-Lite).
            force: replace even a warehouse, study or results file with this suffix.

        Raises:
            StudyError: an unknown suffix, or a file that must not be replaced.
            StorageError: the file cannot be written.
        """
        path = Path(file)
        with atomic_output(path, FORMATS, force=force) as temporary:
            match FORMATS[path.suffix.lower()]:
                case "html":
                    self.to_altair().save(str(temporary), format="html", inline=True)
                case "json":
                    temporary.write_text(json.dumps(self.to_dict()), encoding="utf-8")
                case "svg":
                    temporary.write_text(self.to_svg("mm"), encoding="utf-8")
                case "pdf":
                    temporary.write_bytes(bytes(vl_convert.svg_to_pdf(_flat(self.to_svg("pt")))))
                case _:
                    temporary.write_bytes(self._png())
        return path

    def _png(self) -> bytes:
        """PNG at 300 dpi; recompressed, since the renderer's file is up to six times as large."""
        scale = PNG_DPI / 96
        texts = PngInfo()
        buffer = io.BytesIO()
        for key, text in (("Title", self.title), ("Description", self.subtitle), ("Source", self.source)):
            texts.add_itxt(key, text)
        with Image.open(io.BytesIO(vl_convert.svg_to_png(self.to_svg(), scale=scale))) as image:
            image.convert("RGB").save(buffer, "PNG", dpi=(PNG_DPI, PNG_DPI), pnginfo=texts)
        return buffer.getvalue()

    def __repr__(self) -> str:
        return f"Figure: {self.title}\n  {self.caption}"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """An interactive chart if the notebook supports Vega-Lite, else an SVG; both work offline."""
        svg = self.to_svg()
        return {VEGA_LITE: self.to_dict(), "image/svg+xml": svg, "text/plain": repr(self)}


def _flat(svg: str) -> str:
    """An SVG without groups that neither move nor style, since the PDF writer allows only 24 levels of nesting."""
    root = ElementTree.fromstring(svg)
    for prefix, space in (("", "http://www.w3.org/2000/svg"), ("xlink", "http://www.w3.org/1999/xlink")):
        ElementTree.register_namespace(prefix, space)

    def dissolve(node: ElementTree.Element) -> None:
        kept: list[ElementTree.Element] = []
        for child in node:
            dissolve(child)
            is_bare = child.tag.endswith("}g") and set(child.attrib) <= NO_STYLE
            kept += list(child) if is_bare else [child]
        node[:] = kept

    dissolve(root)
    return ElementTree.tostring(root, encoding="unicode")


def _make_drawable(node: Any) -> None:
    """Make the texts of a specification `drawable`, in place."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        if isinstance(value, dict | list):
            _make_drawable(value)
        elif isinstance(value, str) and ("<" in value or not value.isascii() or not value.isprintable()):
            node[key] = drawable(value)


def _single_units(text: str) -> tuple[dict[int, int], dict[int, int]]:
    """Mappings from characters of two UTF-16 units, such as emoji, to private-use characters, and back.

    Vega truncates long texts between any two units, and the renderer cannot read half a character.
    """
    pairs = sorted({letter for letter in text if letter > "\uffff"})
    free = (code for code in range(0xE000, 0xF900) if chr(code) not in text)  # private use area
    to_unit = {ord(letter): code for letter, code in zip(pairs, free, strict=False)}
    return to_unit, {code: letter for letter, code in to_unit.items()}
