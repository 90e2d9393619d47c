"""Loading against a bare CREATE TABLE AS, resampled accuracies against SciPy's bootstrap."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
from measure import Result, in_turns
from scipy.stats import bootstrap
from synthetic_results import write_synthetic

from failmodes.analysis.statistics.curve_fits import covariance_of_means
from failmodes.analysis.statistics.curve_shape import ShapeSettings, resampled_curve
from failmodes.warehouse.database.load import load

LOAD_IMAGES = 10_000
RESAMPLES, IMAGES, CELLS = 1_000, 10_000, 62


def measure_tables() -> Iterator[Result]:
    """All lines of this file."""
    yield _load()
    yield _bootstrap()


def _load() -> Result:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_synthetic(folder, images=LOAD_IMAGES)
        ours_path, peer_path = folder / "warehouse.duckdb", folder / "bare.duckdb"
        rows = 0

        def ours() -> None:
            nonlocal rows
            ours_path.unlink(missing_ok=True)
            rows = load([folder], ours_path, rebuild=True).row_count

        def peer() -> None:
            peer_path.unlink(missing_ok=True)
            with duckdb.connect(str(peer_path)) as con:
                for table in ("prediction_facts", "attention"):
                    files = f"{folder}/results/{table}/*/*/*/*.parquet"
                    con.execute(f"create table {table} as from read_parquet('{files}', hive_partitioning = true)")

        ours_s, _, ratio = in_turns(ours, peer, rounds=3)
    against = "bare CREATE TABLE AS read_parquet, no hash checked, no view"
    return Result("load/ctas", rows / ours_s, "rows/s", ratio, against)


def _bootstrap() -> Result:
    correct = np.random.default_rng(0).random((IMAGES, CELLS)) < np.linspace(0.3, 0.95, CELLS)
    as_float = correct.astype(np.float32)

    def ours() -> None:
        resampled_curve(correct.mean(axis=0), covariance_of_means(correct), ShapeSettings(RESAMPLES))

    def peer() -> None:
        bootstrap((as_float,), np.mean, n_resamples=RESAMPLES, axis=0, method="percentile", batch=20, rng=0)

    ours_s, _, ratio = in_turns(ours, peer, rounds=3)
    size = f"{RESAMPLES:,} resamples of {IMAGES:,} images × {CELLS} cells"
    return Result("bootstrap/scipy", ours_s, f"s for {size}", ratio, "scipy.stats.bootstrap (percentile, vectorized)")
