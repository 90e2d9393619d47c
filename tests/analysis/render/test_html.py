"""Blocks as HTML: well nested, lists of items, and no text that ends an element, an attribute or a script."""

import json
import re

from page_elements import Elements

from failmodes.analysis.render.blocks import Cell, Chart, Gallery, ImageStrip, Section, Sentence, StripFrame, Table
from failmodes.analysis.render.formats.html import render_blocks

ATTACK = "'\"></script><img src=x onerror=alert(1)>&amp;"


def strip(text: str) -> ImageStrip:
    return ImageStrip(
        text, text, "data:,", 8, 8, (StripFrame("clean", text, text, True), StripFrame("1", text, text, False))
    )


def test_elements_are_well_nested_and_no_text_is_markup() -> None:
    blocks = (
        Sentence(ATTACK, "item", ATTACK), Sentence(ATTACK, "item"), Sentence(ATTACK, "note"), Sentence(ATTACK, "lead"),
        Table(ATTACK, ATTACK, (ATTACK,), ((Cell(ATTACK, ATTACK),),)),
        Chart(ATTACK, ATTACK, ATTACK, {ATTACK: [{ATTACK: ATTACK}]}, {"page": {"mark": ATTACK}}),
        Gallery((strip(ATTACK),), ATTACK, {ATTACK: (ATTACK,)}), strip(ATTACK),
        Section(ATTACK, (Sentence(ATTACK, "item"),), is_folded=True),
    )  # fmt: skip
    page = render_blocks([*blocks, Section(ATTACK, blocks)])
    elements = Elements(page)
    assert elements.stack == []
    assert {attributes.get("src") for tag, attributes, _ in elements.found if tag == "img"} == {"data:,"}
    assert {within for tag, _, within in elements.found if tag == "li"} == {"ul", "ol"}
    stored = [attributes["data-strip"] for _, attributes, _ in elements.found if "data-strip" in attributes]
    assert {json.loads(text or "")["frames"][0][1] for text in stored} == {ATTACK}
    datasets = re.findall(r'<script type="application/json" class="data">(.*?)</script>', page)
    assert [json.loads(text) for text in datasets] == [{ATTACK: [{ATTACK: ATTACK}]}] * 2
