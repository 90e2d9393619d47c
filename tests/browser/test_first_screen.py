"""What a reader meets first: numbers, three sentences, a ranking and an image strip; sections and their links."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from report_pages import wait_without_scrolling

from failmodes.warehouse.database.connection import open_warehouse

if TYPE_CHECKING:
    from playwright.sync_api import Locator

pytestmark = pytest.mark.test_all

SEVERITIES = 5
FIRST = "section.first-screen#verdict-1"
VERDICT = ".verdict > p > b"
SECTIONS = "main > section:not(.first-screen), main > details"


def test_the_first_screen_has_verdict_ranking_and_strip(report: Path, visit: Any) -> None:
    first = visit(report, 1400).page.locator(FIRST)
    ranking, strip = first.locator("figure.chart"), first.locator("figure.strip")
    assert first.locator(VERDICT).count() == 3
    parts = [*first.locator(VERDICT).all(), ranking, strip]
    assert [part.bounding_box() for part in parts if not _is_within(part, 1400, 900)] == []
    assert all(model in ranking.locator("svg").first.text_content() for model in ("Alpha", "Beta"))
    assert strip.locator("li b").all_inner_texts() == ["clean", *map(str, range(1, SEVERITIES + 1))]
    assert strip.locator("img").evaluate("one => one.naturalWidth / one.naturalHeight") == SEVERITIES + 1
    assert _is_within(visit(report, 400).page.locator(f"{FIRST} {VERDICT}").first, 400, 800), "on a phone too"


def test_every_section_has_a_chart_and_a_link_in_its_order(report: Path, visit: Any) -> None:
    page = visit(report, 1400).page
    sections = page.locator("main > section:not(.first-screen)")
    assert sections.count() == 5  # accuracy, predictions, confidence, abstention, comparison: the study claims nothing
    charts = [section.locator("figure.chart .plot svg").count() > 0 for section in sections.all()]
    assert charts == [True, True, True, False, True]  # too few images for a threshold
    links = page.locator("nav a").evaluate_all("all => all.map((link) => link.hash.slice(1))")
    assert links == page.locator(SECTIONS).evaluate_all("all => all.map((section) => section.id)")


def test_details_have_the_queries_of_all_findings(report: Path, visit: Any) -> None:
    queries = visit(report, 1400).page.locator("#findings-1 details.query code").all_text_contents()
    assert len(queries) > 5
    with open_warehouse(report.parent / "warehouse.duckdb") as con:
        assert [query for query in queries if not con.sql(query).fetchall()] == []


def test_a_link_unfolds_what_it_leads_to(report: Path, open_page: Any) -> None:
    page = open_page(report).page
    wait_without_scrolling(page)
    assert not page.locator("#findings-1").is_visible()
    page.evaluate("location.hash = '#making-1'")
    page.locator("#making-1 summary + *").first.wait_for()
    assert page.locator("#making-1").evaluate("each => each.open && each.closest('#details-1').open")
    page.context.close()


def _is_within(part: "Locator", width: int, height: int) -> bool:
    box = part.bounding_box()
    assert box is not None
    is_inside = min(box["x"], box["y"]) >= 0 and box["x"] + box["width"] <= width and box["y"] + box["height"] <= height
    return is_inside and min(box["width"], box["height"]) > 0
