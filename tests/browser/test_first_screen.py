"""What a reader meets first: the verdict in two sentences, a ranking and an image strip; sections and links to them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from report_pages import wait_without_scrolling

from failmodes.warehouse.database.connection import open_warehouse

if TYPE_CHECKING:
    from playwright.sync_api import Locator

pytestmark = pytest.mark.browser

SEVERITIES = 5
FIRST = "section.first-screen#verdict-1"
VERDICT = ".verdict > p > b"
SECTIONS = "main > section:not(.first-screen), main > details"
MOST_HEIGHT = 5500  # of the page at 1,400 px, folded


def test_the_verdict_is_on_the_first_screen(report: Path, visit: Any) -> None:
    first = visit(report, 1400).page.locator(FIRST)
    sentences = [text.strip() for text in first.locator(VERDICT).all_inner_texts()]
    assert len(sentences) == 2
    assert all(sentence.endswith(".") for sentence in sentences)
    parts = [*first.locator(VERDICT).all(), first.locator("figure.chart"), first.locator("figure.strip")]
    assert [part.bounding_box() for part in parts if not _is_within(part, 1400, 900)] == []


def test_the_ranking_is_drawn(report: Path, visit: Any) -> None:
    ranking = visit(report, 1400).page.locator(f"{FIRST} figure.chart")
    drawn = ranking.locator("svg").first.text_content() or ""
    assert "Alpha" in drawn
    assert "Beta" in drawn


def test_the_strip_leads_from_clean_to_the_last_severity(report: Path, visit: Any) -> None:
    strip = visit(report, 1400).page.locator(f"{FIRST} figure.strip")
    assert strip.locator("li b").all_inner_texts() == ["clean", *map(str, range(1, SEVERITIES + 1))]
    assert strip.locator("img").evaluate("one => one.naturalWidth / one.naturalHeight") == SEVERITIES + 1


def test_on_a_phone_it_is_the_first_thing_too(report: Path, visit: Any) -> None:
    sentence = visit(report, 400).page.locator(f"{FIRST} {VERDICT}").first
    assert _is_within(sentence, 400, 800)


def test_every_section_has_a_chart_and_few_statements(report: Path, visit: Any) -> None:
    sections = visit(report, 1400).page.locator("main > section:not(.first-screen)")
    assert sections.count() == 4  # accuracy, predictions, confidence, comparison: the study claims nothing
    for section in sections.all():
        assert section.locator("h2").is_visible()
        assert section.locator("figure.chart .plot svg").count() > 0
        assert section.locator("> p").count() <= 2


def test_details_have_the_queries_of_all_findings(report: Path, visit: Any) -> None:
    queries = visit(report, 1400).page.locator("#findings-1 details.query code").all_text_contents()
    assert len(queries) > 5
    with open_warehouse(report.parent / "warehouse.duckdb") as con:
        assert [query for query in queries if not con.sql(query).fetchall()] == []


def test_links_lead_to_every_section_in_their_order(report: Path, visit: Any) -> None:
    page = visit(report, 1400).page
    links = page.locator("nav a").evaluate_all("all => all.map((link) => link.hash.slice(1))")
    assert links == page.locator(SECTIONS).evaluate_all("all => all.map((section) => section.id)")
    assert "" not in links


def test_the_page_is_short_until_details_are_unfolded(report: Path, open_page: Any) -> None:
    page = open_page(report).page
    wait_without_scrolling(page)
    assert page.evaluate("document.documentElement.scrollHeight") <= MOST_HEIGHT
    assert not page.locator("#findings-1").is_visible()
    page.locator("nav a[href='#details-1']").click()
    assert page.locator("#findings-1").is_visible()
    page.context.close()


def test_a_link_unfolds_what_it_leads_to(report: Path, open_page: Any) -> None:
    page = open_page(report).page
    page.evaluate("location.hash = '#making-1'")
    page.locator("#making-1 summary + *").first.wait_for()
    assert page.locator("#making-1").evaluate("each => each.open && each.closest('#details-1').open")
    page.context.close()


def _is_within(part: "Locator", width: int, height: int) -> bool:
    box = part.bounding_box()
    return (
        box is not None
        and min(box["x"], box["y"]) >= 0
        and box["x"] + box["width"] <= width
        and box["y"] + box["height"] <= height
        and min(box["width"], box["height"]) > 0
    )
