"""The page of a study, static and from a server: its numbers, what a click does, what it saves, who can use it."""

import ast
import http.server
import json
import re
import shlex
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import quote, urlencode

import polars as pl
import pytest
from built_once import built_once
from chromium import Theme
from explorer_process import explorer
from malicious_names import MALICIOUS
from page_bundle import built_page
from report_pages import HEIGHTS, Visit, barriers, screens
from synthetic_results import Texts, write_synthetic
from synthetic_thumbnails import write_thumbnails
from warehouse_files import change_file

from failmodes.analysis.images.rows import matching_rows
from failmodes.analysis.judging.derivation import DERIVATION
from failmodes.analysis.site.writing import write_site
from failmodes.warehouse.database.load import load
from failmodes.warehouse.database.query import run_query
from failmodes.warehouse.database.saved_queries import saved_queries
from failmodes.warehouse.metrics.intervals import exact_interval

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

RANGE = re.compile(r"bytes=(\d+)-(\d*)")


class RangeHandler(http.server.SimpleHTTPRequestHandler):
    """Files of a folder by ranges, as static hosts serve them."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def send_head(self) -> IO[bytes] | None:
        path = Path(self.translate_path(self.path))
        asked = RANGE.match(self.headers.get("Range", ""))
        if asked is None or not path.is_file():
            return super().send_head()  # type: ignore[return-value]
        size = path.stat().st_size
        first, last = int(asked[1]), min(int(asked[2] or size), size - 1)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        with path.open("rb") as file:
            file.seek(first)
            if self.command == "GET":
                self.wfile.write(file.read(last - first + 1))
        return None


@contextmanager
def hosted(folder: Path) -> Iterator[str]:
    """The address of a folder on a static host, while the context lasts."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(RangeHandler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


def visit_page(browser: "Browser", address: str, width: int = 1400, theme: Theme = "light") -> Visit:
    """Go to an address in a context of its own; requests to other hosts are refused, and noted."""
    size = {"width": width, "height": HEIGHTS[width]}
    context = browser.new_context(viewport=size, color_scheme=theme, reduced_motion="reduce", accept_downloads=True)  # type: ignore[arg-type]
    context.set_default_timeout(20_000)
    visit = Visit(context.new_page(), [], [])
    own = (address.split("?")[0].split("#")[0], "data:", "blob:", "about:", "file:")
    context.route(lambda url: not url.startswith(own), lambda route: route.abort())
    context.on("request", lambda asked: None if asked.url.startswith(own) else visit.outside.append(asked.url))
    context.on("console", lambda said: visit.problems.append(said.text) if said.type == "error" else None)
    context.on("dialog", lambda dialog: (visit.problems.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    context.on("weberror", lambda failed: visit.problems.append(str(failed.error)))
    visit.page.goto(address)
    return visit


def open_study(browser: "Browser", address: str, width: int = 1400, theme: Theme = "light") -> Visit:
    """Open the page of a study and wait for its panels."""
    visit = visit_page(browser, address, width, theme)
    wait_until_shown(visit.page)
    return visit


def wait_until_shown(page: "Page") -> None:
    """Wait until the panels show the predictions."""
    page.locator("main[data-ready=all]").wait_for()
    page.locator(".histogram svg").nth(1).wait_for()
    page.locator(".card").first.wait_for()
    page.locator(".confusion svg").wait_for()


def wait_for_count(page: "Page", count: int) -> None:
    """Wait until this number of predictions is selected, and their images are shown."""
    noun = "prediction" if count == 1 else "predictions"
    page.locator(".summary b", has_text=re.compile(f"^{count:,} {noun}$")).wait_for()
    page.locator("ul.images[aria-busy=false]").wait_for(state="attached")


def points(page: "Page") -> "Locator":
    """The points of the curves; their labels have model, corruption, severity, accuracy, interval and n."""
    return page.locator(".curves circle.target")


def viewer(page: "Page") -> "Locator":
    """The dialog that shows an image over severities, while it is open."""
    return page.locator("dialog.viewer[open]")


if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.test_all
WIDEST = "() => document.documentElement.scrollWidth"
CONFUSED = "label_name = 'class 3' and predicted_name <> 'class 3'"


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models, five corruptions, five severities and 200 images of ten classes, dark and bright ones."""

    def build(folder: Path) -> None:
        write_synthetic(folder, images=200, classes=10, falls={"Beta": 0.5}, exemplars_per_reason=1)
        write_thumbnails(folder, 200)
        load([folder], folder / "warehouse.duckdb", derivation=DERIVATION)
        luminance = (
            "update images set image_luminance = case when image_id % 3 = 0 then 0.15 else 0.6 end + image_id / 2e3"
        )
        change_file(folder / "warehouse.duckdb", luminance)

    return built_once(tmp_path_factory, "page", build)[0] / "warehouse.duckdb"


@pytest.fixture(scope="module")
def site(warehouse: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `failmodes site` writes of it."""
    built_page()
    folder = tmp_path_factory.mktemp("site") / "site"
    write_site(warehouse, folder, lambda: None, images=40)
    return folder


@pytest.fixture(scope="module")
def static(site: Path) -> Iterator[str]:
    with hosted(site) as address:
        yield address


@pytest.fixture(scope="module")
def served(warehouse: Path) -> Iterator[str]:
    built_page()
    with explorer(warehouse) as running:
        yield running.address


CONNECTIONS = ["static", pytest.param("served", marks=pytest.mark.nightly)]


@pytest.fixture(params=CONNECTIONS)
def page(request: pytest.FixtureRequest, browser: "Browser") -> Iterator["Page"]:
    """The page by each of its two connections."""
    visit = open_study(browser, request.getfixturevalue(request.param))
    yield visit.page
    assert visit.problems == []
    assert visit.outside == []
    visit.page.context.close()


@pytest.fixture
def static_page(browser: "Browser", static: str) -> Iterator["Page"]:
    visit = open_study(browser, static)
    yield visit.page
    assert visit.problems == []
    assert visit.outside == []
    visit.page.context.close()


def counted(warehouse: Path, condition: str) -> int:
    return int(run_query(warehouse, f"select count(*) from predictions where {condition}").item())


@screens((1400, "dark"), (1280, "light"), (768, "light"), (400, "light"))
def test_everybody_can_read_it(browser: "Browser", static: str, width: int, theme: Theme) -> None:
    visit = open_study(browser, static, width, theme)
    for name in ("SQL", "Comparison with a baseline"):
        visit.page.locator("summary", has_text=name).click()
    visit.page.get_by_role("button", name="Run").click()
    visit.page.get_by_text("20 rows").wait_for()
    visit.page.get_by_label("Baseline", exact=True).select_option("Alpha")
    visit.page.get_by_role("button", name="Beta: both correct").wait_for()
    assert visit.page.evaluate(WIDEST) <= width
    assert barriers(visit.page) == []
    assert visit.problems == []
    assert visit.outside == []
    visit.page.context.close()


def label_of(
    model_label: str, corruption_label: str, severity: float, accuracy: float, accuracy_low: float,
    accuracy_high: float, image_count: int, **_: object,
) -> str:  # fmt: skip
    """The label of a point of the curves."""
    low, high = 100 * accuracy_low, 100 * accuracy_high
    name = f"{severity:g}" if severity else "clean"
    numbers = f"{100 * accuracy:.1f}% [{low:.1f}, {high:.1f}], n = {image_count}"
    return f"{model_label}, {corruption_label}, severity {name}: {numbers}"


def test_its_numbers_are_those_of_the_warehouse(page: "Page", warehouse: Path) -> None:
    rows = run_query(warehouse, "from accuracy_by_severity")
    expected = {label_of(**row) for row in rows.to_dicts()}
    labels = points(page).evaluate_all("all => all.map(each => each.getAttribute('aria-label'))")
    assert set(labels) == expected
    wait_for_count(page, counted(warehouse, "true"))
    cells = page.locator(".confusion rect.target").evaluate_all(
        "all => all.map(each => each.getAttribute('aria-label'))"
    )
    confusions = run_query(
        warehouse, "select label_name, predicted_name, count(*) as n from predictions group by all"
    ).to_dicts()
    assert {label.split(" (")[0] for label in cells} == {
        f"{row['label_name']} predicted as {row['predicted_name']}: {row['n']}" for row in confusions
    }


def test_accuracy_within_a_selection_has_the_exact_interval(page: "Page", warehouse: Path) -> None:
    low = page.get_by_label("Confidence: lowest")
    low.fill("0.6")
    low.press("Tab")
    n = counted(warehouse, "confidence between 0.6 and 1")
    wait_for_count(page, n)
    correct = counted(warehouse, "confidence between 0.6 and 1 and correct")
    first, last = exact_interval(correct, n)
    text = page.locator(".summary").inner_text()
    assert f"accuracy {100 * correct / n:.1f}% [{100 * first:.1f}, {100 * last:.1f}]" in text
    where = "confidence between 0.6 and 1 and corruption = 'fog' and severity = 5 and model_label = 'Beta'"
    n, correct = counted(warehouse, where), counted(warehouse, f"{where} and correct")
    first, last = exact_interval(correct, n)
    label = f"Beta, Fog, severity 5: {100 * correct / n:.1f}% [{100 * first:.1f}, {100 * last:.1f}], n = {n}"
    page.locator(f'.curves circle[aria-label="{label}"]').wait_for()


def test_a_click_on_a_point_selects_its_images_and_a_second_one_all(page: "Page", warehouse: Path) -> None:
    for label, condition, card in (
        ("Beta, Fog, severity 3", "corruption = 'fog' and severity = 3", "Fog 3;"),
        ("Alpha, Contrast, severity clean", "corruption = 'none'", "Clean;"),
    ):
        point = page.locator(f'.curves circle[aria-label^="{label}:"]')
        point.click(force=True)
        wait_for_count(page, counted(warehouse, condition))
        page.locator(".card", has_text=card).first.wait_for()
        page.locator(".risk svg circle").first.wait_for()
    point.click(force=True)
    wait_for_count(page, counted(warehouse, "true"))


def test_a_brush_selects_a_range_and_all_panels_follow(page: "Page", warehouse: Path) -> None:
    box = page.locator(".histogram").first.locator("svg").bounding_box()
    assert box
    page.mouse.move(box["x"] + 120, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 180, box["y"] + 20, steps=4)
    page.mouse.move(box["x"] + 230, box["y"] + 20, steps=4)
    page.mouse.up()
    from playwright.sync_api import expect

    expect(page.get_by_label("Confidence: highest")).to_have_value(re.compile(r"^0\.6"))  # when the last move arrived
    first, last = (float(page.get_by_label(f"Confidence: {end}").input_value()) for end in ("lowest", "highest"))
    assert 0 < first < last < 1
    page.locator(".copy").get_by_role("button", name="SQL", exact=True).click()
    statement = page.get_by_label("Copied text").input_value()
    wait_for_count(page, run_query(warehouse, statement).height)  # to the last image, not to a pixel
    page.get_by_role("button", name="Clear all").click()
    wait_for_count(page, counted(warehouse, "true"))
    for end, value, condition in (("lowest", first, f">= {first}"), ("highest", last, f"between {first} and {last}")):
        page.get_by_label(f"Confidence: {end}").fill(str(value))  # which moves the brush
        page.get_by_label(f"Confidence: {end}").press("Tab")
        wait_for_count(page, counted(warehouse, f"confidence {condition}"))
    brush = page.locator(".histogram").first.locator("rect.selection")
    assert abs(float(brush.get_attribute("width") or 0) - 110) < 3


def test_a_click_on_a_confusion_selects_both_classes(page: "Page", warehouse: Path) -> None:
    where = run_query(warehouse, f"select predicted_name from predictions where {CONFUSED} limit 1").item()
    page.locator(f'.confusion rect[aria-label^="class 3 predicted as {where}:"]').click(force=True)
    wait_for_count(page, counted(warehouse, f"label_name = 'class 3' and predicted_name = '{where}'"))
    assert page.get_by_label("True class").input_value() == "class 3"
    page.get_by_label("Predicted class").select_option("")
    wait_for_count(page, counted(warehouse, "label_name = 'class 3'"))
    assert "all others under the same conditions" in page.locator(".summary").inner_text()


def test_which_fog_images_only_beta_misses_are_they_dark_show_them(page: "Page", warehouse: Path) -> None:
    page.locator(".curves text.target", has_text="Fog").click()
    wait_for_count(page, counted(warehouse, "corruption = 'fog'"))
    page.get_by_label("Baseline", exact=True).select_option("Alpha")
    missed = """corruption = 'fog' and model_label = 'Beta' and not correct and (corruption, severity, image_id) in
        (select (corruption, severity, image_id) from predictions where model_label = 'Alpha' and correct)"""
    count = counted(warehouse, missed)
    assert count > 0
    page.get_by_role("button", name=f"Beta: only baseline correct, {count} predictions").click()
    wait_for_count(page, count)
    page.get_by_label("Image metadata").select_option("image_luminance")
    here, others = run_query(
        warehouse,
        f"""select avg(image_luminance) filter (where {missed}), avg(image_luminance) filter (where not ({missed}))
        from predictions where corruption = 'fog'""",
    ).row(0)
    mean = page.locator(".histogram", has=page.get_by_label("Image metadata")).locator("small")
    assert mean.inner_text() == f"mean {float(f'{here:.3g}'):g} (others {float(f'{others:.3g}'):g})"
    page.locator(".card", has_text=re.compile("Alpha: ✓")).first.wait_for()
    assert page.locator(".card").count() == min(24, count)
    for name, parse in (("images filter", lambda text: shlex.split(text)[-1]), ("Python", condition_in)):
        page.locator(".copy").get_by_role("button", name=name).click()
        condition = parse(page.get_by_label("Copied text").input_value())
        assert matching_rows(warehouse, condition).matching == count


def condition_in(code: str) -> str:
    """The text that the copied Python gives to `images`."""
    call = ast.parse(code).body[-1].value  # type: ignore[attr-defined]
    return str(ast.literal_eval(call.args[0]))


def test_an_image_opens_over_severities_and_keys_go_on(page: "Page") -> None:
    page.get_by_label("Corruption", exact=True).select_option("contrast")
    page.get_by_label("Severity", exact=True).select_option("4")
    page.locator(".card", has_text="Contrast 4").first.wait_for()
    page.locator(".card").nth(1).click()
    viewer(page).wait_for()
    name, prediction = viewer(page).locator(".name"), viewer(page).locator(".prediction")
    first = name.inner_text()
    assert viewer(page).locator("[name=severity]").count() == 6
    page.keyboard.press("ArrowRight")
    before = prediction.inner_text()
    page.keyboard.press("ArrowLeft")
    assert prediction.inner_text() != before
    page.keyboard.press("ArrowDown")
    viewer(page).locator(".number", has_text="3 of").wait_for()
    assert name.inner_text() != first
    page.keyboard.press("Escape")
    assert viewer(page).count() == 0
    page.get_by_label("Image number").fill("17")
    page.get_by_label("Image number").press("Enter")
    wait_for_count(page, 2)  # of two models
    page.locator(".card", has_text="image 17").first.press("Enter")
    viewer(page).locator(".name", has_text="image 17,").wait_for()


def test_a_link_reproduces_what_is_shown(browser: "Browser", page: "Page", warehouse: Path) -> None:
    page.get_by_label("Corruption", exact=True).select_option("fog")
    page.get_by_role("button", name="Alpha", exact=True).click()  # only Beta is left
    highest = page.get_by_label("Confidence: highest")
    highest.fill("0.9")
    highest.press("Tab")
    page.get_by_label("Condition in SQL").fill("entropy_nats < 1 and image_id < 60")
    page.get_by_label("Condition in SQL").press("Enter")
    unconditional = "corruption = 'fog' and model_label = 'Beta' and confidence <= 0.9"
    where = f"{unconditional} and entropy_nats < 1 and image_id < 60"
    count = counted(warehouse, where)
    wait_for_count(page, count)
    order = "order by correct, confidence desc limit 1"
    first = run_query(warehouse, f"select image_id from predictions where {where} {order}").item()
    page.locator(".card", has_text=re.compile(rf"image {first}$")).first.click()
    viewer(page).wait_for()
    page.wait_for_timeout(400)  # until the address is kept
    visit = open_study(browser, page.url)
    wait_for_count(visit.page, counted(warehouse, unconditional))
    viewer(visit.page).wait_for()
    assert viewer(visit.page).locator(".name").inner_text() == viewer(page).locator(".name").inner_text()
    visit.page.keyboard.press("Escape")
    visit.page.get_by_role("button", name="Apply").click()
    wait_for_count(visit.page, count)
    visit.page.locator(".chip", has_text="confidence 0").click()
    wait_for_count(visit.page, counted(warehouse, where.replace("confidence <= 0.9", "true")))
    assert visit.problems == []
    visit.page.context.close()


def test_an_invalid_condition_is_named_in_one_line(browser: "Browser", static: str, served: str) -> None:
    for address in (static, served):
        visit = open_study(browser, address)
        visit.page.get_by_label("Condition in SQL").fill("confidence >")
        visit.page.get_by_label("Condition in SQL").press("Enter")
        visit.page.locator(".problem", has_text=re.compile("syntax error", re.I)).wait_for()
        visit.page.get_by_label("Condition in SQL").fill("image_id < 30")
        visit.page.get_by_label("Condition in SQL").press("Enter")
        visit.page.locator(".chip", has_text="image_id < 30").wait_for()
        assert visit.page.locator(".problem:visible").count() == 0
        visit.page.context.close()


def test_saved_queries_give_what_the_command_gives(page: "Page", warehouse: Path, tmp_path: Path) -> None:
    page.locator("summary", has_text="SQL").click()
    for name, query in saved_queries().items():
        page.get_by_label("Saved query").select_option(name)
        expected = run_query(warehouse, query.sql)
        page.locator(".sql p", has_text=re.compile(f"^{expected.height:,} rows?$")).wait_for()
        if not expected.height:
            continue
        with page.expect_download() as download:
            page.get_by_role("button", name="Save query result as Parquet").click()
        path = tmp_path / f"{name}.parquet"
        download.value.save_as(path)
        found = pl.read_parquet(path)
        assert found.columns == expected.columns, name
        for column in expected.drop(
            "most_common_corruption", strict=False
        ).columns:  # one of several, if equally common
            ours, theirs = found[column], expected[column]
            if theirs.dtype.is_numeric() or theirs.dtype.is_decimal():
                assert ours.is_null().equals(theirs.is_null()), (name, column)
                same = pytest.approx(theirs.cast(pl.Float64).drop_nulls().to_list(), rel=1e-5, nan_ok=True)
                assert ours.cast(pl.Float64).drop_nulls().to_list() == same, (name, column)
            elif theirs.dtype == pl.String:
                assert ours.to_list() == theirs.to_list(), (name, column)


def test_statements_that_fail_are_one_message(browser: "Browser", static: str, served: str) -> None:
    for address, statements in (
        (served, {"drop table prediction_facts": "refused", "select": "SELECT clause"}),
        (static, {"select '{\"a\": 1}'::json ->> 'a'": "failmodes query", "selec 1": "yntax"}),
    ):
        visit = open_study(browser, address)
        visit.page.locator("summary", has_text="SQL").click()
        for statement, said in statements.items():
            visit.page.get_by_label("Statement").fill(statement)
            visit.page.get_by_role("button", name="Run").click()
            problem = visit.page.locator(".sql .problem", has_text=said)
            problem.wait_for()
            assert "\n" not in problem.inner_text()
        visit.page.get_by_label("Statement").fill("select count(*) as images_in_all from prediction_facts")
        visit.page.get_by_label("Statement").press("Control+Enter")
        visit.page.locator(".sql th", has_text="images_in_all").wait_for()
        visit.page.context.close()


def test_two_models_are_compared_as_by_the_command(page: "Page") -> None:
    page.locator("summary", has_text="Comparison").click()
    page.get_by_label("Baseline model").select_option("Alpha")
    page.get_by_label("Candidate").select_option("Beta")
    page.locator(".comparison table").first.wait_for()
    assert "Beta" in page.locator(".comparison").inner_text()


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("Save curves as SVG", b"<svg"),
        ("Save confusion matrix as PNG", b"\x89PNG"),
        ("Save images as PNG", b"\x89PNG"),
        ("Save images as SVG", b"<svg"),
    ],
)
def test_figures_and_images_are_saved(static_page: "Page", name: str, start: bytes) -> None:
    with static_page.expect_download() as download:
        static_page.get_by_role("button", name=name).click()
    content = Path(download.value.path()).read_bytes()
    assert content.startswith(start)
    assert len(content) > 5_000


def test_a_figure_is_printed_alone(static_page: "Page", tmp_path: Path) -> None:
    static_page.evaluate("() => { window.print = () => { window.printed = true; }; }")
    static_page.get_by_role("button", name="Save curves as PDF").click()
    static_page.locator("body.printing").wait_for(state="attached")
    assert static_page.evaluate("() => window.printed")
    static_page.emulate_media(media="print")
    assert static_page.locator(".paper svg").is_visible()
    assert not static_page.locator("main").is_visible()
    assert static_page.pdf(prefer_css_page_size=True).startswith(b"%PDF")


def test_the_selection_is_saved_as_a_table(page: "Page", warehouse: Path, tmp_path: Path) -> None:
    page.get_by_label("Corruption", exact=True).select_option("fog")
    count = counted(warehouse, "corruption = 'fog'")
    wait_for_count(page, count)
    for kind, read in (("CSV", pl.read_csv), ("Parquet", pl.read_parquet)):
        with page.expect_download() as download:
            page.get_by_role("button", name=f"Save selection as {kind}").click()
        download.value.save_as(tmp_path / kind)
        table = read(tmp_path / kind)
        assert table.height == count
        assert {"image_id", "label_name", "predicted_name", "confidence"} <= set(table.columns)
        assert table["correct"].sum() == counted(warehouse, "corruption = 'fog' and correct")


def test_names_of_whoever_means_harm_are_text(browser: "Browser", tmp_path: Path) -> None:
    built_page()
    host = "203.0.113.1"  # of the range for documentation
    names = (f"http://{host}/a.png", f"<img src=//{host}/d>", "data:image/svg+xml,<svg/>", "javascript:alert(3)",
             "'); drop table rows; --")  # fmt: skip
    texts = Texts(study=MALICIOUS[0], dataset=" ".join(MALICIOUS[1:7]), note="\n".join(MALICIOUS),
                  classes=(*names, *MALICIOUS))  # fmt: skip
    models = (" ".join(MALICIOUS[:4]), "".join(MALICIOUS[8:]))
    write_synthetic(tmp_path, images=100, models=models, classes=len(texts.classes), corruptions=("fog",), texts=texts)
    write_thumbnails(tmp_path, 100)
    load([tmp_path], tmp_path / "warehouse.duckdb", derivation=DERIVATION)
    change_file(tmp_path / "warehouse.duckdb", f"""
        update images set file = 'http://{host}/' || image_id || '.jpg';
        update corruptions set corruption_label = '<img src=x onerror=alert(4)>' where corruption = 'fog'
    """)  # fmt: skip
    write_site(tmp_path / "warehouse.duckdb", tmp_path / "site", lambda: None, images=10)
    with explorer(tmp_path / "warehouse.duckdb") as running, hosted(tmp_path / "site") as static:
        for address in (running.address, static):
            visit = open_study(browser, address)
            page = visit.page
            for label in (*names, *MALICIOUS):
                page.get_by_label("True class").select_option(value=label)
                page.locator(".chip", has_text="true:").wait_for()
            page.locator(".summary b", has_text=re.compile(r"\d+ predictions?")).wait_for()
            page.get_by_role("button", name="Clear all").click()
            page.get_by_label("Baseline", exact=True).select_option(index=1)
            page.locator(".pairs button").first.click()
            page.locator(".card").first.click()
            viewer(page).wait_for()
            page.keyboard.press("Escape")
            page.locator("summary", has_text="SQL").click()
            page.get_by_label("Statement").fill("select class_name, [class_name] as listed, file from classes, images")
            page.get_by_role("button", name="Run").click()
            page.locator(".sql td", has_text=f"{host}/0.jpg").first.wait_for()
            links = "all => all.map(each => each.src || each.href).filter(each => `${each}`.includes('203.0.113.1'))"
            assert page.locator("a, img, iframe, link").evaluate_all(links) == []
            assert visit.problems == []
            assert visit.outside == []
            page.context.close()


@pytest.mark.parametrize("connection", CONNECTIONS)
def test_unknown_and_invalid_parts_of_a_link_are_ignored_and_listed(
    browser: "Browser", warehouse: Path, request: pytest.FixtureRequest, connection: str
) -> None:
    invalid = {
        "confidence": [0, "1 or 1=1"], "margin": [0.9, 0.1], "rmse": [0], "corruption": ["'; drop table rows;--"],
        "label_name": ["<img src=x onerror=alert(1)>"], "predicted_name": [], "correct": "true", "image_id": ["1 or 1"],
        "evaluation_id": ["Gamma"], "outcome": {"model": "Beta", "correct": True, "baselineCorrect": True},
        "image": "x", "a": "Gamma", "baseline": 1, "measure": "constructor", "sql": ["drop"],
        "condition": {"text": "true"}, "image_luminance": [0, None], "__proto__": [1], "tables": ["rows"],
    }  # fmt: skip
    state = urlencode({name: json.dumps(value) for name, value in {"severity": [3], **invalid}.items()})
    visit = open_study(browser, f"{request.getfixturevalue(connection)}#{state}&group=[")
    wait_for_count(visit.page, counted(warehouse, "severity = 3"))
    listed = visit.page.locator(".problem:visible").inner_text()
    assert [name for name in (*invalid, "group") if name not in listed] == []
    assert visit.page.locator(".chip").count() == 1
    assert visit.problems == []
    visit.page.context.close()


@pytest.mark.parametrize("connection", CONNECTIONS)
def test_a_condition_of_a_link_is_one_expression_that_its_reader_applies(
    browser: "Browser", warehouse: Path, request: pytest.FixtureRequest, connection: str
) -> None:
    forged = "create or replace table rows as select * replace (true as correct) from rows"
    statements = f"true) limit 0; {forged}; select (true"
    visit = open_study(browser, f"{request.getfixturevalue(connection)}#condition={quote(json.dumps(statements))}")
    page = visit.page
    wait_for_count(page, counted(warehouse, "true"))
    page.get_by_role("button", name="Apply").click()
    for text in (
        "",
        "true) union all from rows where (true",
        "true] = [true",
        "true) or (image_id < 3",
        "true, true",
        "$1",
    ):
        if text:
            page.get_by_label("Condition in SQL").fill(text)
            page.get_by_label("Condition in SQL").press("Enter")
        page.locator(".problem[role=alert]:visible").wait_for()
        assert page.locator(".chip").count() == 0
        page.get_by_label("Corruption", exact=True).select_option("fog")
        assert_shown(page, warehouse, "corruption = 'fog'")
        page.get_by_role("button", name="Clear all").click()
    page.context.close()


def assert_shown(page: "Page", warehouse: Path, condition: str) -> None:
    """The page shows the number and accuracy of the predictions that meet a condition."""
    n, correct = counted(warehouse, condition), counted(warehouse, f"{condition} and correct")
    wait_for_count(page, n)
    assert f"accuracy {100 * correct / n:.1f}%" in page.locator(".summary").inner_text()


def run_in_box(page: "Page", statement: str) -> "Locator":
    """Run a statement in the SQL box and wait for its rows or its error; the message of an error."""
    if not page.get_by_label("Statement").is_visible():
        page.locator("summary", has_text="SQL").click()
    page.get_by_label("Statement").fill(statement)
    page.get_by_role("button", name="Run", exact=True).click()
    page.locator(".sql table, .sql .problem").first.wait_for()
    return page.locator(".sql .problem")


def test_no_statement_of_the_sql_box_changes_what_the_page_shows(
    browser: "Browser", static: str, warehouse: Path
) -> None:
    visit = open_study(browser, static)
    forged = "table rows as select * replace (true as correct) from memory.main.rows"
    for statement in (
        f"create or replace {forged}", f"create temp {forged}", "explain analyze install json",
        "explain (analyze) commit", "update memory.main.rows set correct = true", "drop table memory.main.rows",
        "create temp macro count() as 1", "install json", "/* /* */ select */ install json", "load json",
        "detach warehouse", "attach ':memory:' as other", "use memory", "set search_path = 'memory.main'", "commit",
        "checkpoint", "select 1; select 2", "copy (select 1) to 'file.csv'",
    ):  # fmt: skip
        assert run_in_box(visit.page, statement).count() == 1, statement
    for statement in (
        "show tables", "describe predictions", "summarize models", "explain select 1", "explain analyze select 1",
        "/* all */ (select 1)", "pragma database_list", "table models", "select 'a'::enum('a', 'b')",
        "pivot outcomes on severity in (1, 2) using avg(confidence)",
    ):  # fmt: skip
        assert run_in_box(visit.page, statement).all_inner_texts() == [], statement
    visit.page.get_by_label("Corruption", exact=True).select_option("fog")
    assert_shown(visit.page, warehouse, "corruption = 'fog'")
    visit.page.context.close()


def test_of_many_rows_ten_thousand_are_shown_and_files_have_all(page: "Page", tmp_path: Path) -> None:
    run_in_box(page, "select range as n, repeat('x', 400) as text from range(100000)")
    rows = page.locator(".sql tbody tr")
    while (shown := rows.count()) < 10_000:
        rows.last.scroll_into_view_if_needed()
        page.wait_for_function("shown => document.querySelectorAll('.sql tbody tr').length > shown", arg=shown)
    rows.last.scroll_into_view_if_needed()
    page.wait_for_timeout(200)
    assert rows.count() == 10_000
    assert rows.last.locator("td").first.inner_text() == "9999"
    for kind, read in (("CSV", pl.read_csv), ("Parquet", pl.read_parquet)):
        with page.expect_download() as download:
            page.get_by_role("button", name=f"Save query result as {kind}").click()
        download.value.save_as(tmp_path / kind)
        assert read(tmp_path / kind)["n"].to_list() == list(range(100_000))


def test_a_statement_that_takes_long_is_canceled(page: "Page") -> None:
    page.locator("summary", has_text="SQL").click()
    page.get_by_label("Statement").fill("select count(*) from range(1000000000000)")
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("button", name="Cancel").click()
    assert run_in_box(page, "select 42 as answer").count() == 0
    assert page.locator(".sql td").inner_text() == "42"


def test_a_spreadsheet_runs_no_cell_of_a_saved_table(page: "Page", tmp_path: Path) -> None:
    formulas = ["=1+1", "+1+1", "-1+1", "@SUM(1)"]
    run_in_box(page, f"""select unnest({formulas}) as "=text", -0.5 as number, 'a=1' as plain""")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save query result as CSV").click()
    download.value.save_as(tmp_path / "rows.csv")
    table = pl.read_csv(tmp_path / "rows.csv")
    assert table["'=text"].to_list() == [f"'{formula}" for formula in formulas]
    assert table.select("number", "plain").unique().rows() == [(-0.5, "a=1")]


def test_a_figure_can_be_saved_once_there_is_one(static_page: "Page") -> None:
    button = static_page.get_by_role("button", name="Save error rate by coverage as SVG")
    assert button.count() == 0
    static_page.locator('.curves circle[aria-label^="Beta, Fog, severity 3:"]').click(force=True)
    with static_page.expect_download() as download:
        button.click()
    assert Path(download.value.path()).read_bytes().startswith(b"<svg")


@pytest.mark.parametrize("content", [b"", b"not a database" * 1000, None])
def test_a_damaged_site_is_one_message(browser: "Browser", site: Path, tmp_path: Path, content: bytes | None) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    for path in site.iterdir():
        if path.is_file():
            (folder / path.name).symlink_to(path)
    (folder / "warehouse.duckdb").unlink()
    if content is not None:
        (folder / "warehouse.duckdb").write_bytes(content)
    with hosted(folder) as address:
        visit = visit_page(browser, address)
        problem = visit.page.locator("main > .problem:only-child", has_text="cannot be read")
        problem.wait_for()
        assert "\n" not in problem.inner_text()
        visit.page.context.close()


def test_a_page_opened_as_a_file_says_how_to_serve_it(browser: "Browser", site: Path) -> None:
    visit = visit_page(browser, (site / "index.html").as_uri())
    visit.page.locator("code", has_text="python -m http.server").wait_for()
    visit.page.context.close()


def test_a_host_without_ranges_serves_it_too(browser: "Browser", site: Path) -> None:
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        visit = visit_page(browser, f"http://127.0.0.1:{server.server_address[1]}/")
        wait_until_shown(visit.page)
        visit.page.context.close()
        server.shutdown()
