"""What a reader meets first: the answer in two sentences, a ranking and a strip of pictures; topics with queries."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from failmodes.warehouse.database.connection import open_warehouse

if TYPE_CHECKING:
    from playwright.sync_api import Locator

pytestmark = pytest.mark.browser

SEVERITIES = 5
FIRST = "section.first-screen#verdict-1"


def test_the_verdict_is_on_the_first_screen(report: Path, visit: Any) -> None:
    first = visit(report, 1400).page.locator(FIRST)
    sentences = [text.strip() for text in first.locator("p.verdict").all_inner_texts()]
    assert len(sentences) == 2
    assert all(sentence.endswith(".") for sentence in sentences)
    parts = [*first.locator("p.verdict").all(), first.locator("figure.ranking"), first.locator("figure.strip")]
    assert [part.bounding_box() for part in parts if not _is_within(part, 1400, 900)] == []


def test_the_ranking_is_drawn(report: Path, visit: Any) -> None:
    ranking = visit(report, 1400).page.locator(f"{FIRST} figure.ranking")
    drawn = ranking.locator("svg").first.text_content() or ""
    assert "Alpha" in drawn
    assert "Beta" in drawn


def test_the_strip_leads_from_clean_to_the_last_severity(report: Path, visit: Any) -> None:
    frames = visit(report, 1400).page.locator(f"{FIRST} figure.strip .frame")
    assert frames.locator("b").all_inner_texts() == ["clean", *map(str, range(1, SEVERITIES + 1))]
    pictures = frames.locator(".picture").all()
    assert len({picture.screenshot() for picture in pictures}) == SEVERITIES + 1
    places = [(box["x"], box["y"]) for picture in pictures if (box := picture.bounding_box())]
    assert len({y for _, y in places}) == 1
    assert [x for x, _ in places] == sorted({x for x, _ in places})


def test_on_a_phone_it_is_the_first_thing_too(report: Path, visit: Any) -> None:
    sentence = visit(report, 400).page.locator(f"{FIRST} p.verdict").first
    assert _is_within(sentence, 400, 800)


def test_every_topic_has_charts_and_findings_with_queries_that_run(report: Path, visit: Any) -> None:
    topics = visit(report, 1400).page.locator("section.topic")
    assert topics.count() > 2
    queries = []
    for topic in topics.all():
        assert topic.get_attribute("id")
        assert topic.locator("figure .plot svg").count() > 0
        for finding in topic.locator("ol.findings > li").all():
            queries += finding.locator("details.query code").all_text_contents()
    assert len(queries) > 5
    with open_warehouse(report.parent / "warehouse.duckdb") as con:
        assert [query for query in queries if not con.sql(query).fetchall()] == []


def test_every_link_leads_somewhere(report: Path, visit: Any) -> None:
    broken = """() => [...document.querySelectorAll("a[href^='#']")].map((link) => link.getAttribute("href").slice(1))
      .filter((id) => !document.getElementById(decodeURIComponent(id)))"""
    assert visit(report, 1400).page.evaluate(broken) == []


def _is_within(part: "Locator", width: int, height: int) -> bool:
    box = part.bounding_box()
    return (
        box is not None
        and min(box["x"], box["y"]) >= 0
        and box["x"] + box["width"] <= width
        and box["y"] + box["height"] <= height
        and min(box["width"], box["height"]) > 0
    )
