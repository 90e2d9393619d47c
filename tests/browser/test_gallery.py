"""The gallery: filters, a picture opened large with its severities and attention, by mouse and by keyboard alone."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from report_pages import barriers

from failmodes.warehouse.database.connection import open_warehouse

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.test_all

FILTERS = ("Model", "Corruption", "Chosen as")
CARDS, SHOWN = "button.card", "button.card:not([hidden])"
LAST = 5


class Gallery:
    """A gallery in an open report, and what its tests ask of it."""

    def __init__(self, page: "Page") -> None:
        self.page = page
        self.section = page.locator("#predictions-1 .gallery")
        self.viewer = page.locator("dialog.viewer[open]")

    def select(self, name: str) -> "Locator":
        return self.section.locator(f"select[name='{name}']")

    def values(self, name: str) -> list[str]:
        """Values of a filter other than all."""
        values = self.select(name).locator("option").evaluate_all("all => all.map((one) => one.value)")
        assert values[0] == ""
        return values[1:]

    def counts(self) -> tuple[int, int]:
        """How many cards the count says are shown, and of how many."""
        shown, fitting = map(int, re.findall(r"\d+", self.section.locator("output.count").inner_text()))
        return shown, fitting

    def fitting(self) -> int:
        """How many cards fit the filters: each can be seen once more was asked for, and the count says so."""
        more = self.section.locator("button.show-more")
        while more.is_visible():
            assert self._seen() == self.counts()[0] < self.counts()[1]
            more.click()
        assert self.counts() == (self._seen(), self._seen())
        return self._seen()

    def _seen(self) -> int:
        visible = "all => all.filter((card) => card.checkVisibility()).length"
        return int(self.section.locator(CARDS).evaluate_all(visible))

    def open_first(self) -> None:
        self.section.locator(SHOWN).first.click()
        self.viewer.wait_for()

    def prediction(self) -> str:
        return self.viewer.locator(".prediction").inner_text().strip()

    def picture(self) -> bytes:
        """What the picture looks like."""
        return self.viewer.locator("canvas, img.picture").first.screenshot()

    def severities(self) -> "Locator":
        return self.viewer.locator("input[type=radio][name=severity]")

    def severity(self) -> int:
        return int(self.viewer.locator("input[name=severity]:checked").input_value())

    def move_to(self, severity: int) -> None:
        self.viewer.locator(".steps label").nth(severity).click()

    def number(self) -> tuple[int, int]:
        """Which image is shown, of how many."""
        place, count = map(int, re.findall(r"\d+", self.viewer.locator(".number").inner_text()))
        return place, count


@pytest.fixture
def gallery(report: Path, open_page: Any) -> Iterator[Gallery]:
    visit = open_page(report)
    yield Gallery(visit.page)
    assert visit.problems == []
    assert visit.outside == []
    visit.page.context.close()


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_parts_the_cards(gallery: Gallery, name: str) -> None:
    total, parts = gallery.fitting(), []
    assert total == gallery.section.locator(CARDS).count() > 10
    for value in gallery.values(name):
        gallery.select(name).select_option(value)
        parts.append(gallery.fitting())
    assert min(parts) > 0
    assert sum(parts) == total > max(parts)


def test_a_picture_tells_each_severity_as_it_is_stored(gallery: Gallery, report: Path) -> None:
    gallery.select("Model").select_option(label="Beta")
    gallery.select("Corruption").select_option(label="Fog")
    gallery.select("Chosen as").select_option(index=1)
    with open_warehouse(report.parent / "warehouse.duckdb") as con:
        rows = con.sql(
            "select severity::int, class_name, confidence from exemplars join evaluations using (evaluation_id) "
            "join models using (model_id) join classes using (dataset_id) where class_index = predicted "
            "and model_label = 'Beta' and corruption = 'fog' and reason = 'first_to_fail'"
        ).fetchall()
    assert gallery.fitting() == len(rows) / (LAST + 1)
    gallery.open_first()
    for severity in range(LAST + 1):
        gallery.move_to(severity)
        stored = [(name, confidence) for level, name, confidence in rows if level == severity]
        assert any(_tells(gallery.prediction(), name, confidence) for name, confidence in stored), gallery.prediction()


def _tells(prediction: str, name: str, confidence: float) -> bool:
    numbers = (f"{100 * confidence:.0f}", f"{100 * confidence:.1f}", f"{confidence:.2f}")
    return name in prediction and any(number in prediction for number in numbers)


def test_the_strip_and_the_attention_switch_change_the_picture_and_back(gallery: Gallery) -> None:
    gallery.open_first()
    assert gallery.severities().count() == LAST + 1
    gallery.move_to(0)
    first = gallery.picture(), gallery.prediction()
    gallery.move_to(LAST)
    assert gallery.picture() != first[0]
    assert gallery.prediction() != first[1]
    gallery.move_to(0)
    switch = gallery.viewer.locator("input[type=checkbox][name=attention]")
    was_on = switch.is_checked()
    switch.set_checked(not was_on)
    assert gallery.picture() != first[0]
    switch.set_checked(was_on)
    assert (gallery.picture(), gallery.prediction()) == first


def test_everything_goes_by_keyboard_alone(gallery: Gallery) -> None:
    press = gallery.page.keyboard.press
    gallery.select("Chosen as").focus()
    assert _tab_until(gallery.page, CARDS)
    card = gallery.page.evaluate_handle("document.activeElement")
    press("Enter")
    gallery.viewer.wait_for()
    assert gallery.page.evaluate("document.querySelector('dialog.viewer').matches(':modal')"), "Tab does not leave it"
    for _ in range(LAST):
        press("ArrowLeft")
    seen = [(gallery.prediction(), gallery.picture())]
    for _ in range(LAST):
        press("ArrowRight")
        seen.append((gallery.prediction(), gallery.picture()))
    assert gallery.severity() == LAST
    assert len({picture for _, picture in seen}) == LAST + 1
    assert len({prediction for prediction, _ in seen}) > 1
    switch = gallery.viewer.locator("input[name=attention]")
    assert not switch.is_checked(), "the image comes first without the map"
    press("a")
    assert switch.is_checked()
    assert gallery.picture() != seen[-1][1]
    press("a")
    assert gallery.picture() == seen[-1][1]
    press("Escape")
    gallery.viewer.wait_for(state="detached")
    assert gallery.page.evaluate("card => document.activeElement === card", card)


def test_buttons_of_severity_do_what_their_keys_do(gallery: Gallery) -> None:
    gallery.open_first()
    gallery.viewer.locator("button.lower").click()
    assert gallery.severity() == LAST - 1
    gallery.page.keyboard.press("ArrowLeft")
    assert gallery.severity() == LAST - 2
    gallery.viewer.locator("button.higher").click()
    assert gallery.severity() == LAST - 1


def test_a_cell_of_the_heat_map_opens_its_images_or_shows_the_command(gallery: Gallery) -> None:
    plot = gallery.page.locator(".plot[data-name=accuracy]")
    plot.scroll_into_view_if_needed()
    cell = plot.locator(".mark-rect path").last  # of the last severity
    cell.click(force=True)
    gallery.viewer.wait_for()
    name = gallery.viewer.locator(".name").inner_text()
    assert gallery.severity() == LAST
    gallery.page.keyboard.press("Escape")
    gallery.page.evaluate(
        'document.querySelectorAll(\'.card\').forEach((card) => { card.dataset.labels = \'["", "", ""]\' })'
    )
    cell.click(force=True)
    command = gallery.page.locator(".command code").inner_text()
    assert command.startswith("failmodes images --filter \"evaluation_id = '")
    assert "severity = 5" in command
    assert name.split(",")[0].lower().replace(" ", "_") in command


def test_buttons_and_keys_lead_to_the_previous_and_next_image(gallery: Gallery) -> None:
    gallery.select("Model").select_option(label="Beta")
    count = gallery.counts()[1]
    gallery.open_first()
    first = gallery.viewer.locator(".name").inner_text()
    assert gallery.number() == (1, count)
    assert gallery.viewer.locator("button.previous").is_disabled()
    gallery.viewer.locator("button.next").click()
    gallery.viewer.locator(".number", has_text=re.compile(f"^2 of {count}")).wait_for()
    assert gallery.viewer.locator(".name").inner_text() != first
    for key, place in (("ArrowDown", 3), ("ArrowUp", 2), ("ArrowUp", 1)):
        gallery.page.keyboard.press(key)
        gallery.viewer.locator(".number", has_text=re.compile(f"^{place} of {count}")).wait_for()
    assert gallery.viewer.locator(".name").inner_text() == first


def test_the_image_of_the_first_screen_opens_where_it_is_clicked(gallery: Gallery) -> None:
    strip = gallery.page.locator(".first-screen figure.strip button")
    box = strip.bounding_box()
    assert box is not None
    strip.click(position={"x": box["width"] * 2.5 / (LAST + 1), "y": box["height"] / 2})
    gallery.viewer.wait_for()
    assert gallery.severity() == 2


@pytest.mark.parametrize("width", [1400, 400])
def test_everybody_can_use_the_open_picture(report: Path, open_page: Any, width: int) -> None:
    gallery = Gallery(open_page(report, width).page)
    gallery.open_first()
    assert barriers(gallery.page, "dialog.viewer") == []
    box = gallery.viewer.bounding_box()
    assert box is not None
    assert 0 <= box["x"] <= width - box["width"]
    assert gallery.viewer.evaluate("each => each.scrollWidth <= each.clientWidth")
    gallery.page.context.close()


def _tab_until(page: "Page", selector: str, most: int = 10) -> bool:
    """Whether Tab, pressed at most so often, reaches an element."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return True
    return False
