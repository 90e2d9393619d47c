"""Every HTML that can be written of a warehouse whose texts are attacks: none runs, nothing is requested."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from marked_cases import quick
from synthetic_results import write_synthetic
from synthetic_shifts import write_shift
from synthetic_thumbnails import write_thumbnails
from warehouse_files import change_file

import failmodes
from failmodes.analysis.charts.registry import warehouse_charts
from failmodes.analysis.judging.derivation import DERIVATION, change_thresholds
from failmodes.warehouse.database.load import load

pytestmark = pytest.mark.test_all

HOST = "203.0.113.1"  # of the range for documentation
ATTACK = f"</script><script>alert(1)</script><!--<script><img src='http://{HOST}/x' onerror='alert(2)'>"
# Texts that whoever makes a warehouse chooses
TEXTS = """
update models set model_label = 'ATTACK' || model_label, architecture = 'ATTACK', training_recipe = 'ATTACK',
    training_data = 'ATTACK', checkpoint = 'ATTACK';
update datasets set dataset_label = 'ATTACK', note = 'ATTACK', dataset_name = 'ATTACK', split = 'ATTACK';
update classes set class_name = class_name || 'ATTACK', wordnet_id = 'ATTACK';
update corruptions set corruption_label = 'ATTACK' || corruption;
update images set file = 'http://203.0.113.1/ATTACK' || image_id;
update evaluations set study = 'ATTACK', subset = 'ATTACK', attention_note = 'ATTACK', pairing_note = 'ATTACK';
update sources set source_label = 'ATTACK' || coalesce(seed, -1);
update shifts set shift = 'ATTACK', clean = 'ATTACK', source = 'ATTACK', note = 'ATTACK';
update exemplars set reason = 'ATTACK' where reason = 'first_to_fail';
update findings set sentence = 'ATTACK' || sentence, model_label = 'ATTACK', query = 'ATTACK';
update main_findings set sentence = 'ATTACK' || sentence;
""".replace("ATTACK", ATTACK.replace("'", "''"))


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the warehouse `w.duckdb`, of two models, two corruptions and four classes."""
    folder = tmp_path_factory.mktemp("attacked")
    options = {"corruptions": ("fog", "contrast"), "classes": 4, "exemplars_per_reason": 2}
    made = write_synthetic(folder / "results", images=60, **options)
    write_shift(folder / "results", "V2", dict.fromkeys(made.evaluations, 30), images=60, clean=made.evaluations)
    write_thumbnails(folder / "results", 60)
    load([folder / "results"], folder / "w.duckdb", derivation=DERIVATION)
    half = {"target": "coverage", "target_value": 0.5}  # a threshold: 60 images are too few for one of an error
    change_thresholds(folder / "w.duckdb", list(made.evaluations.values()), half)
    change_file(folder / "w.duckdb", TEXTS)
    return folder


def chart_file(name: str) -> Callable[[Any, Path], str | None]:
    return lambda w, path: w.chart(name).save(path) and None


def text_of(make: Callable[[Any], str]) -> Callable[[Any, Path], str]:
    return lambda w, _: make(w)


def within_another(w: Any) -> str:
    import altair as alt

    charts = [w.chart(name).to_altair() for name in ("curves", "accuracy")]
    for chart in charts:
        chart.config = chart.usermeta = alt.Undefined  # which belong to a whole chart
    return alt.hconcat(*charts).to_html(inline=True)


WRITTEN: dict[str, Callable[[Any, Path], str | None]] = {
    **{name: chart_file(name) for name in warehouse_charts()},
    "dark": lambda w, path: w.chart("curves", theme="dark").save(path) and None,
    "to_html": text_of(lambda w: w.chart("curves").to_altair().to_html(inline=True)),
    "notebook": text_of(lambda w: w.chart("curves")._repr_mimebundle_()["image/svg+xml"]),
    "a changed chart": text_of(lambda w: w.chart("ranking").to_altair().properties(title="mine").to_html(inline=True)),
    "within another chart": text_of(within_another),
    "images": lambda w, path: w.images("corruption = 'fog' and severity = 3 limit 9").save(path) and None,
    "images in a notebook": text_of(lambda w: w.images("severity = 3 limit 3")._repr_html_()),
    "comparison": lambda w, path: w.compare(*w.table("models")["model_label"].sort()).chart().save(path) and None,
    "comparison in a notebook": text_of(lambda w: w.compare(*w.table("models")["model_label"].sort())._repr_html_()),
    "findings in a notebook": text_of(lambda w: w.findings()._repr_html_()),
    "warehouse in a notebook": text_of(lambda w: w._repr_html_()),
    "report": lambda w, path: w.report(path) and None,
}


OFTEN = ("curves", "notebook", "images", "findings in a notebook", "report")


@quick("name", WRITTEN, *OFTEN, others="nightly")
def test_no_text_is_code(attacked: Path, tmp_path: Path, open_page: Any, name: str) -> None:
    path = tmp_path / "written.html"
    text = WRITTEN[name](failmodes.open(attacked / "w.duckdb"), path)
    if text is not None:
        path.write_text(f"<!doctype html><meta charset=utf-8>{text}", encoding="utf-8")
    assert "alert(1)" in path.read_text(encoding="utf-8").replace("\\u0028", "(") or name == "warehouse in a notebook"
    visit = open_page(path)
    visit.page.wait_for_timeout(200)
    assert [one for one in visit.problems if "dialog" in one] == []
    assert [one for one in visit.outside if HOST in one] == []
    assert visit.page.locator(f"img[src*='{HOST}'], a[href*='{HOST}']").count() == 0
    visit.page.context.close()
