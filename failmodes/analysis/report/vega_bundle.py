"""The library that draws a report's charts in the browser, in one script that needs no network."""

from functools import cache
from pathlib import Path

import vl_convert


@cache
def vega_bundle() -> str:
    """Vega, Vega-Lite and vega-embed with their license, which asks to stand before them; takes more than a second."""
    text = Path(__file__).with_name("vega_license.txt").read_text(encoding="utf-8")
    return f"/*!\n{text}*/\n{vl_convert.javascript_bundle(snippet='window.vegaEmbed = vegaEmbed;')}"
