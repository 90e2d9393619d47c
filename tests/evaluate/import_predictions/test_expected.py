"""Predictions made elsewhere: the same evaluation as a direct one, or one clear line and nothing kept."""

import polars as pl
from import_files import import_into, small_frame

from failmodes.ingest.corruptions.catalog import find_corruption_name


def test_an_alias_is_the_corruption_it_stands_for(small_import, tmp_path) -> None:
    assert find_corruption_name("frosted_glass_blur") == "glass_blur"
    frame = small_frame()
    frame.write_parquet(tmp_path / "p.parquet")
    half = pl.col("corruption").replace("glass_blur", "frosted_glass_blur")
    mixed = pl.when(pl.int_range(pl.len()) % 3 == 0).then(half).otherwise("corruption")
    frame.with_columns(corruption=mixed).write_csv(tmp_path / "p.csv")
    reports = [import_into(small_import, tmp_path / name) for name in ("p.parquet", "p.csv")]
    assert reports[0].evaluation_id == reports[1].evaluation_id
