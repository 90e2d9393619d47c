"""Pictures made again: byte for byte those of an evaluation, and said to differ where they do."""

import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictured_results import LEVELS, Pictured, pictured
from warehouse_files import change_file

from failmodes.analysis.images.collection import find_pictures
from failmodes.ingest.corruptions.catalog import CORRUPTIONS
from failmodes.ingest.corruptions.custom import CustomCorruption, register
from failmodes.ingest.sources import GeneratedSource
from failmodes.runtime.errors import FailmodesError, StudyError

SOURCES = {
    "paired": {},
    "independent": {"noise": "independent", "seed": 3},
    "gray": {"gray": True},
    "cross-fade": {"across_switches": True},
}


@pytest.fixture
def one(made: Pictured, tmp_path: Path) -> Pictured:
    """One whose warehouse a test may change."""
    return made._replace(warehouse=Path(shutil.copy(made.warehouse, tmp_path)))


@pytest.mark.nightly
@pytest.mark.parametrize("kind", SOURCES)
def test_every_corruption_is_reproduced_byte_for_byte(tmp_path: Path, kind: str) -> None:
    options: dict[str, Any] = SOURCES[kind]
    names = tuple(CORRUPTIONS) if kind in ("paired", "cross-fade") else ("fog", "gaussian_noise", "frost", "spatter")
    for level in LEVELS if kind != "cross-fade" else LEVELS[1:]:
        chosen = tuple(n for n in names if level == int(level) or kind == "cross-fade" or CORRUPTIONS[n].interpolable)
        made = pictured(tmp_path / str(level), GeneratedSource(**options), chosen, levels=(level,), models=("Alpha",))
        for name in chosen:  # in another order and company than they were evaluated in
            sheet = find_pictures(
                made.warehouse, f"corruption = '{name}' and image_id in (5, 1) order by image_id desc"
            )
            assert [picture.row.image_id for picture in sheet.all] == [5, 1]
            for picture in sheet.all:
                np.testing.assert_array_equal(picture.pixels, made.corrupted[name, level][picture.row.image_id])
                np.testing.assert_array_equal(picture.clean, made.dataset.images[picture.row.image_id])
                assert picture.differs is False
            assert sheet.notes == []


@pytest.mark.test_all
def test_a_stored_distance_that_was_changed_is_said_with_a_count(one: Pictured) -> None:
    change_file(
        one.warehouse, "update prediction_facts set rmse = rmse * 1.00001 where image_id = 2 and corruption = 'fog'"
    )
    sheet = find_pictures(one.warehouse, "corruption = 'fog' and severity = 1 and model_label = 'Alpha'")
    assert sheet.notes == [
        "1 of 6 images differs from those evaluated: no version changed, so the images or the warehouse did"
    ]
    assert sheet.notes[0] in sheet.details
    assert [picture.differs for picture in sheet.all] == [False, False, True, False, False, False]


@pytest.mark.parametrize(
    ("statement", "line"),
    [
        ("update thumbnails set png = 'no picture'::blob", "the stored thumbnail of image 0 is not a PNG"),
        ("update thumbnails set width_px = 9999", "has 32×32 pixels, expected 9,999×32"),
        ("delete from sources", "of corrupted images: evaluate and load again"),
        ("update sources set versions = '[1'", "the versions of a source of corrupted images are not valid JSON"),
        ("update sources set noise = 'none'", "unknown noise 'none'"),
        ("update sources set source_kind = 'published'", "are in a published corrupted dataset"),
    ],
)
@pytest.mark.test_all
def test_a_warehouse_that_was_changed_is_one_line(one: Pictured, statement: str, line: str) -> None:
    change_file(one.warehouse, statement)
    with pytest.raises(FailmodesError) as raised:
        find_pictures(one.warehouse, "corruption = 'fog' and severity = 1")
    assert line in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.test_all
def test_no_name_in_a_warehouse_is_imported(one: Pictured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "trap.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    change_file(one.warehouse, "update prediction_facts set corruption = 'trap:attack' where corruption = 'fog'")
    with pytest.raises(StudyError, match="'trap:attack' is code of a study"):
        find_pictures(one.warehouse, "corruption = 'trap:attack'")


@pytest.mark.test_all
def test_a_custom_corruption_is_reproduced_once_it_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registered: dict[str, Any] = {}
    monkeypatch.setattr("failmodes.ingest.corruptions.catalog._registered", registered)
    register(
        CustomCorruption("darker", lambda images, parameters: (images * (1 - parameters[0] / 10)).astype(np.uint8))
    )
    known = dict(registered)
    made = pictured(tmp_path, GeneratedSource(), ("darker",))
    registered.clear()

    def open_study() -> None:
        registered.update(known)

    with pytest.raises(StudyError, match="'darker' is code of a study, which the warehouse lacks: name the study"):
        find_pictures(made.warehouse, "corruption = 'darker'")
    with pytest.raises(StudyError):
        find_pictures(made.warehouse, "corruption = 'darker'", open_study=open_study)  # no study after all
    sheet = find_pictures(made.warehouse, "corruption = 'darker' and severity = 1")
    np.testing.assert_array_equal(sheet.all[0].pixels, made.corrupted["darker", Decimal(1)][0])


@pytest.mark.test_all
def test_of_a_data_set_that_is_kept_in_part_the_rest_is_left_out_and_said(one: Pictured) -> None:
    change_file(one.warehouse, "delete from thumbnails where image_id > 1")
    sheet = find_pictures(
        one.warehouse, "corruption = 'fog' and severity = 1 and model_label = 'Alpha' order by image_id"
    )
    assert [picture.row.image_id for picture in sheet.all] == [0, 1]
    assert sheet.notes == ["4\xa0images not shown: the warehouse has no clean pixels of 4\xa0images, such as image 2"]
