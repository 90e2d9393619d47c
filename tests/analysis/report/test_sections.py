"""Pairs in a report, with changed images and no table twice; the gallery, its budget of bytes and its texts."""

import base64
import io
import re
import shutil
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest
from PIL import Image
from report_blocks import blocks_of
from run_commands import run
from synthetic_results import Synthetic

import failmodes
from failmodes.analysis.evaluations.selection import Selection
from failmodes.analysis.render.blocks import Gallery, ImageStrip, Sentence
from failmodes.analysis.report import sections as module
from failmodes.analysis.report.rendering import write_report
from failmodes.analysis.report.sections import comparison_sections, gallery, pairs_by_selection
from failmodes.runtime.errors import StudyError


@pytest.fixture(scope="module")
def many_warehouse(many_results: Synthetic, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copy(many_results.output / "w.duckdb", tmp_path_factory.mktemp("many-pairs")))


def titles(page: str) -> list[str]:
    return re.findall(r'<section id="comparison-[^>]*>\s*<h2><bdi>(.*?)</bdi>', page)


def test_the_only_two_models_are_compared(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    ((pair,),) = pairs_by_selection(con, Path("w.duckdb"), [selection])
    section, details = comparison_sections(con, selection, pair)
    chart, *strongest = section.blocks
    everything = list(blocks_of(details.blocks))
    sentences = [one.text for one in everything if isinstance(one, Sentence)]
    assert sentences[0].startswith(chart.finding)
    assert {one.text for one in strongest} < set(sentences)
    strips = [strip for one in everything if isinstance(one, Gallery) for strip in one.strips]
    assert not any(frame.is_correct for strip in strips for frame in strip.frames)


def test_of_many_models_those_that_are_named(many_con: duckdb.DuckDBPyConnection, many_selection: Selection) -> None:
    assert pairs_by_selection(many_con, Path("w.duckdb"), [many_selection]) == [[]]
    (((a, b),),) = pairs_by_selection(many_con, Path("w.duckdb"), [many_selection], [("Fir", "Aspen")])
    assert (a.label, b.label) == ("Fir", "Aspen")
    with pytest.raises(StudyError, match="did you mean 'Aspen'"):
        pairs_by_selection(many_con, Path("w.duckdb"), [many_selection], [("Fir", "Aspin")])
    with pytest.raises(StudyError, match="expected a pair of two model names"):
        pairs_by_selection(many_con, Path("w.duckdb"), [many_selection], [("Fir",)])


@pytest.mark.test_all
def test_the_command_names_pairs(many_warehouse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("failmodes.analysis.report.rendering.draw_charts", lambda *_: ([], []))  # drawn elsewhere
    pairs = ("--pair", "Fir", "Aspen", "--pair", "Elm", "Birch")
    run("report", many_warehouse, *pairs, folder=many_warehouse.parent)
    page = many_warehouse.with_name("report.html").read_text()
    assert titles(page) == ["Comparison: Aspen with Fir", "Comparison: Birch with Elm"]


@pytest.mark.test_all
def test_a_pair_that_cannot_be_compared_is_said_and_nothing_is_written(many_warehouse: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="name two different models"):
        write_report(many_warehouse, tmp_path / "r.html", pairs=[("Fir", "Fir")])
    assert not list(tmp_path.iterdir())


def pixels_of(url: str) -> np.ndarray:
    head, content = url.split(",", 1)
    assert head in ("data:image/png;base64", "data:image/webp;base64")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB"))


def rows_of(con: duckdb.DuckDBPyConnection, model: str, corruption: str, one: ImageStrip) -> pl.DataFrame:
    return con.sql(
        "select exemplars.* from exemplars join evaluations using (evaluation_id) join models using (model_id) "
        "join corruptions using (corruption) where model_label = ? and corruption_label = ? and image_id = ? "
        "order by severity",
        params=[model, corruption, int(re.search(r"image (\d+)", one.title)[1])],
    ).pl()


def test_strips_hold_the_pictures_of_all_severities(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    found = gallery(con, selection)
    distinct = "select count(distinct (evaluation_id, corruption, image_id)) from exemplars"
    ((count,),) = con.execute(distinct).fetchall()
    assert len(found.strips) == count
    assert {len(values) for values in found.labels.values()} == {count}
    models, corruptions, _ = found.labels.values()
    for one, model, corruption in list(zip(found.strips, models, corruptions, strict=True))[:6]:
        rows = rows_of(con, model, corruption, one)
        pictures = [np.asarray(Image.open(io.BytesIO(png)).convert("RGB")) for png in rows["png"]]
        np.testing.assert_array_equal(pixels_of(one.url), np.concatenate(pictures, axis=1))
        assert (one.height, one.width) == pictures[0].shape[:2]
        assert [frame.severity for frame in one.frames] == ["clean", "1", "2", "3", "4", "5"]
        assert [frame.is_correct for frame in one.frames] == (rows["predicted"] == rows["label"]).to_list()
        columns, height = one.map_size
        maps = np.frombuffer(base64.b64decode(one.maps), np.uint8).reshape(-1, height, columns)
        stored = np.stack([np.frombuffer(flat, "<f2").astype(float) for flat in rows["map_f16"]])
        np.testing.assert_allclose(maps.reshape(len(maps), -1) / 255, stored / stored.max(), atol=0.003)


def test_what_does_not_fit_is_left_out_and_counted(
    con: duckdb.DuckDBPyConnection, selection: Selection, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = gallery(con, selection)
    monkeypatch.setattr(module, "MAX_BYTES", sum(len(one.url) for one in whole.strips[:7]) * 3 // 4)
    cut = gallery(con, selection)
    assert cut.strips == whole.strips[:7]
    assert f"7 of {len(whole.strips)} stored" in cut.note


@pytest.mark.test_all
def test_a_report_of_one_image_has_no_slices(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    images = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)

    def predict(pixels: np.ndarray) -> np.ndarray:
        mean = pixels.mean(axis=(1, 2, 3)) - 127.5
        return np.stack([mean, -mean], axis=1).astype(np.float32)

    cells = {"corruptions": ["contrast"], "severities": [1]}
    w = failmodes.benchmark(
        predict, images, [0, 1] * 10, label="A", to=tmp_path, image_count=1, progress=False, **cells
    )
    assert 'id="slices' not in w.report().read_text()
