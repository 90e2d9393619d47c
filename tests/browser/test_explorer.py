"""The explorer in a browser: no complaint, no other host asked, readable by everyone; and what a click does."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest
from chromium import Theme
from explorer_pages import (
    CUT_CHARTS,
    PICTURES,
    WIDEST,
    charts,
    curve_points,
    open_explorer,
    show_all,
    shown_images,
    viewer,
    wait_for_pictures,
)
from explorer_process import Explorer, explorer
from malicious_names import MALICIOUS
from report_pages import barriers, screens
from synthetic_results import Texts, write_synthetic
from synthetic_thumbnails import write_thumbnails
from warehouse_files import change_file

from failmodes.analysis.judging.derivation import DERIVATION
from failmodes.warehouse.database.load import load

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Explorer]:
    """The explorer of two models, five corruptions, five severities and 200 images of ten classes."""
    pytest.importorskip("marimo")
    folder = tmp_path_factory.mktemp("explorer")
    write_synthetic(folder, images=200, classes=10, falls={"Beta": 0.5})
    write_thumbnails(folder, 200)
    load([folder], folder / "warehouse.duckdb", derivation=DERIVATION)
    with explorer(folder / "warehouse.duckdb") as running:
        yield running


@pytest.fixture
def page(browser: "Browser", served: Explorer) -> Iterator["Page"]:
    visit = open_explorer(browser, served, 1400, "light")
    yield visit.page
    assert visit.problems == []
    assert visit.outside == []
    visit.page.context.close()


@screens((1400, "dark"), (1280, "light"), (768, "light"), (400, "light"))
def test_everybody_can_read_it(browser: "Browser", served: Explorer, width: int, theme: Theme) -> None:
    visit = open_explorer(browser, served, width, theme)
    assert visit.page.evaluate(WIDEST) <= width
    show_all(visit.page)
    charts(visit.page).nth(3).locator("svg").wait_for()
    assert visit.page.evaluate(CUT_CHARTS) == []
    assert barriers(visit.page) == []
    assert visit.problems == []
    assert visit.outside == []
    visit.page.context.close()


def test_a_click_on_a_point_shows_the_images_of_its_cell(page: "Page") -> None:
    points = curve_points(page)
    assert points.count() == 2 * 5 * 6
    labels = points.evaluate_all("all => all.map((each) => each.getAttribute('aria-label'))")
    for model, severity, where in (("Beta", 3, "at severity 3"), ("Alpha", 4, "at severity 4"), ("Beta", 0, "clean")):
        number = next(i for i, said in enumerate(labels) if f"severity: {severity};" in said and model in said)
        before = shown_images(page)
        points.nth(number).click(force=True)
        shown = wait_for_pictures(page, before)
        assert where in shown
        assert shown.startswith(model)
        assert page.locator("[data-role=pictures] img").count() == 12


def test_a_click_on_a_confusion_shows_its_images(page: "Page") -> None:
    confusions = charts(page).nth(1).locator(".mark-rect path")
    labels = confusions.evaluate_all("all => all.map(each => each.getAttribute('aria-label'))")
    facts = [dict(part.split(": ", 1) for part in label.split("; ")) for label in labels]
    number = next(i for i, one in enumerate(facts) if one["true class"] != one["predicted class"])
    one, before = facts[number], shown_images(page)
    confusions.nth(number).click(force=True)
    shown = wait_for_pictures(page, before)
    assert f"true class {one['true class']} and predicted {one['predicted class']}" in shown
    assert f"{one['images']}\N{NO-BREAK SPACE}image" in shown
    page.locator(".fm-blocks", has_text="in the rest of the cell").wait_for()


def test_on_a_narrow_screen_the_answer_to_a_click_is_scrolled_to(browser: "Browser", served: Explorer) -> None:
    visit = open_explorer(browser, served, 768, "light")
    before = shown_images(visit.page)
    curve_points(visit.page).nth(8).click(force=True)
    wait_for_pictures(visit.page, before)
    visit.page.wait_for_function(
        "() => { const top = document.querySelector('[data-role=cell]').getBoundingClientRect().top;"
        " return top >= -1 && top < innerHeight / 2; }"
    )
    visit.page.context.close()


def test_an_image_opens_over_severities_and_keys_go_on(page: "Page") -> None:
    page.locator(f"{PICTURES} figure").nth(1).click()
    viewer(page).wait_for()
    name, prediction = viewer(page).locator(".name"), viewer(page).locator(".prediction")
    first, cell = name.inner_text(), page.get_by_label("Severity", exact=True).input_value()
    assert viewer(page).locator("[name=severity]").count() == 6
    assert prediction.inner_text().startswith(f"severity {cell}: ")
    page.keyboard.press("Home") if cell == "clean" else page.keyboard.press("ArrowLeft")
    assert not prediction.inner_text().startswith(f"severity {cell}: ")
    page.keyboard.press("ArrowDown")
    page.wait_for_function("(first) => document.querySelector('dialog .name').innerText != first", arg=first)
    assert "image=" in page.url
    page.keyboard.press("Escape")
    page.wait_for_function("() => !location.search.includes('image=')")
    assert viewer(page).count() == 0
    page.get_by_label("Open image").select_option(index=1)  # without a pointer
    viewer(page).wait_for()


def test_a_link_reproduces_what_is_shown(browser: "Browser", served: Explorer, page: "Page") -> None:
    before = shown_images(page)
    page.get_by_label("Model", exact=True).select_option("Beta")
    before = wait_for_pictures(page, before)
    page.get_by_label("Severity", exact=True).select_option("2")
    before = wait_for_pictures(page, before)
    page.get_by_label("Condition in SQL").fill("image_id < 60")
    page.get_by_label("Condition in SQL").press("Enter")
    shown = wait_for_pictures(page, before)
    page.locator(f"{PICTURES} figure").nth(2).click()
    viewer(page).wait_for()
    name = viewer(page).locator(".name").inner_text()
    state = page.url.split("?")[1]
    visit = open_explorer(browser, served, 1400, "light", state)
    viewer(visit.page).wait_for()
    assert shown_images(visit.page) == shown
    assert viewer(visit.page).locator(".name").inner_text() == name
    assert visit.page.get_by_label("Condition in SQL").input_value() == "image_id < 60"
    visit.page.context.close()


def test_a_condition_makes_a_slice_and_its_failure_is_named_in_place(page: "Page") -> None:
    condition, before = page.get_by_label("Condition in SQL"), shown_images(page)
    condition.fill("confidence >")
    condition.press("Enter")
    page.locator(".fm-problem", has_text="syntax error").wait_for()
    condition.fill("image_id < 30")
    condition.press("Enter")
    assert "30\N{NO-BREAK SPACE}images of 200: image_id < 30" in wait_for_pictures(page, before)
    assert page.locator(".fm-problem").count() == 0


def test_the_query_panel_gives_results_and_two_models_are_compared(page: "Page") -> None:
    statement = page.get_by_label("Statement")
    statement.fill("drop table prediction_facts")
    page.get_by_role("button", name="Run").click()
    page.locator(".fm-problem", has_text="refused").wait_for()
    statement.fill("select count(*) as images_in_all from prediction_facts")
    page.get_by_role("button", name="Run").click()
    page.get_by_text("images_in_all").nth(0).wait_for()
    page.get_by_label("with the baseline").select_option(index=1)
    page.locator("[data-role=comparison] table").first.wait_for()
    show_all(page)
    assert barriers(page) == []


@pytest.mark.parametrize(
    ("name", "start"),
    [("curves as SVG", b"<svg"), ("cell as PDF", b"%PDF"), ("images as PNG", b"\x89PNG")],
)
def test_charts_and_pictures_are_saved(page: "Page", name: str, start: bytes) -> None:
    with page.expect_download() as download:
        page.get_by_text(name, exact=True).click()
    assert Path(download.value.path()).read_bytes().startswith(start)


def test_the_table_of_images_is_saved(page: "Page") -> None:
    page.get_by_text("Export").first.click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    table = pl.read_csv(download.value.path())
    assert table.height == 200
    assert {"image", "true class", "prediction", "confidence"} <= set(table.columns)


def test_names_of_whoever_means_harm_and_addresses_are_text(browser: "Browser", tmp_path: Path) -> None:
    pytest.importorskip("marimo")
    host = "203.0.113.1"  # of the range for documentation
    names = (f"http://{host}/a.png", f"https://{host}/b", f"![x](http://{host}/c.png)", f"<img src=//{host}/d>",
             "data:image/svg+xml,<svg/>")  # fmt: skip
    texts = Texts(study=MALICIOUS[0], dataset=" ".join(MALICIOUS[1:7]), note="\n".join(MALICIOUS),
                  classes=(*names, *MALICIOUS))  # fmt: skip
    models = (" ".join(MALICIOUS[:4]), "".join(MALICIOUS[8:]))
    write_synthetic(tmp_path, images=100, models=models, classes=len(texts.classes), corruptions=("fog",), texts=texts)
    write_thumbnails(tmp_path, 100)
    load([tmp_path], tmp_path / "warehouse.duckdb", derivation=DERIVATION)
    change_file(tmp_path / "warehouse.duckdb", f"update images set file = 'http://{host}/' || image_id || '.jpg'")
    with explorer(tmp_path / "warehouse.duckdb") as running:
        visit = open_explorer(browser, running, 1400, "light")
        response = visit.page.request.get(running.address)
        assert "default-src 'self'" in response.headers["content-security-policy"]
        assert MALICIOUS[1] in visit.page.locator(".fm-text").first.inner_text()
        visit.page.locator("textarea").last.fill(
            "select class_name, [class_name] as listed, file from classes, images order by image_id limit 300"
        )
        visit.page.get_by_role("button", name="Run").click()
        visit.page.get_by_text("300 rows", exact=True).wait_for()
        visit.page.get_by_text(f"{host}/0.jpg").first.wait_for()
        show_all(visit.page)
        visit.page.wait_for_timeout(500)
        links = "all => all.map(each => each.src || each.href).filter(each => each.includes('203.0.113.1'))"
        assert visit.page.locator("a, img, iframe, link").evaluate_all(links) == []
        assert visit.page.locator("img[src^='data:image/svg+xml,<svg/>']").count() == 0
        assert visit.problems == []
        assert visit.outside == []
        visit.page.context.close()
