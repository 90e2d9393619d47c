"""How often `failmodes diff` names a planted cause first: `python tests/soundness/causes.py [FIRST END]`.

Twelve causes on two models, warehouse against warehouse; four against an imported table; three against a published row.
Controls change nothing, and must name nothing. A cause that happens to change no prediction is drawn again.
"""

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

sys.path[:0] = [str(Path(__file__).parents[1] / "references")]

from planted_causes import (  # noqa: E402
    CAUSES,
    CONTROLS,
    EXTRAS,
    HEADLINE,
    MCE,
    MODELS,
    SEVERITY,
    labeled,
    planted,
    write_row,
    write_table,
    write_warehouse,
)
from run_commands import run  # noqa: E402

from failmodes.analysis.judging.diff import Diff, diff_named  # noqa: E402
from failmodes.ingest.protocols.protocol import Protocol, published_protocols  # noqa: E402
from failmodes.warehouse.database.load import load  # noqa: E402

SEEDS = 8  # 192 trials between warehouses …
OF_TABLES, OF_ROWS = 3, 4  # … of eight seeds: 24 against tables, and 24 against published rows
AGAINST_TABLES = ("subset", "order of labels", "permuted classes", "names")
AGAINST_ROWS = ("subset", "names", "form of mCE")
FACTORS_OF_ROWS = {"subset": "images", "names": "severities and names", "form of mCE": "averaging"}
PROTOCOL = "digits-c"
NOISE = 1e-9


class Trial(NamedTuple):
    """One trial: where it was planted, the cause, the factor that must be named first, and the one that was."""

    against: str
    cause: str
    factor: str
    named: str

    @property
    def is_named(self) -> bool:
        return self.factor == self.named


def trial(against: str, cause: str, factor: str, found: Diff) -> Trial | None:
    """The trial of a diff, whose shares must add up; None where the cause changes nothing."""
    assert found.difference is not None, found.reason
    assert abs(sum(share.value for share in found.shares) - found.difference.value) < NOISE
    if factor and found.outcome == "equal":
        return None
    unknown = {name for name in found.unknown for cause in found.causes for one in cause.factors if one.name == name}
    assert not unknown, "an unknown factor is named"
    return Trial(against, cause, factor, found.causes[0].factors[0].name if found.causes else "")


def between_warehouses(folder: Path, cause: str, kind: str, seeds: Sequence[int]) -> Iterator[Trial | None]:
    """Both evaluations in one warehouse, a pair for each seed."""
    plants = [planted(cause, seed, kind) for seed in seeds]
    evaluations = [one for number, found in enumerate(plants) for one in labeled(number, found)]
    path = write_warehouse(folder / f"{cause} {kind}.duckdb", *evaluations)
    for number, found in enumerate(plants):
        result = diff_named(f"A{number}", f"B{number}", path, extras=cause == "names")
        yield trial("a warehouse", cause, found.factor, result)


def against_table(folder: Path, cause: str, kind: str, seed: int) -> Trial | None:
    """The second evaluation as an imported table, of images that are files."""
    found = planted(cause, seed, kind)
    path = write_warehouse(folder / f"{cause} {kind} {seed}.duckdb", found.a._replace(files=True))
    table = write_table(folder / f"{cause} {kind} {seed}.csv", found.b)
    target = folder / f"table {cause} {kind} {seed}"
    run("import", table, "--to", target, "--label", "Table", folder=folder)
    load([target], target.with_suffix(".duckdb"))
    result = diff_named(f"{path}::Net", f"{target.with_suffix('.duckdb')}::Table", extras=cause == "names")
    return trial("a table", cause, found.factor, result)


def against_row(folder: Path, cause: str, kind: str, seed: int) -> Trial | None:
    """The second number as a row of a published table of a registered protocol."""
    row = planted("rerun", seed, kind).a._replace(corruptions=HEADLINE)
    own = row._replace(protocol=PROTOCOL, averaging="mean accuracy")
    averaging = "mean accuracy"
    if cause == "subset":
        kept = row.ids[: 40 + 5 * (seed % 10)]
        own = own._replace(ids=kept, deviations=(f"images: {len(kept)} instead of {len(row.ids)}",))
    elif cause == "names":
        row = row._replace(corruptions=(*HEADLINE, *EXTRAS))
    else:
        averaging = "mCE, AlexNet on the same images"
        own = own._replace(averaging=MCE if seed % 2 else "mean accuracy")
    path = write_warehouse(folder / f"row {cause} {kind} {seed}.duckdb", own)
    alexnet = row._replace(kind="linear", fitted=9)
    file = write_row(folder / f"{PROTOCOL}.csv", Net=row, AlexNet=alexnet)
    with registered(len(planted("rerun", seed, kind).a.ids), averaging):
        result = diff_named("Net", f"{file}::Net", path)
    return trial("a published row", cause, FACTORS_OF_ROWS[cause], result)


@contextmanager
def registered(images: int, averaging: str) -> Iterator[None]:
    """A protocol of the digits here among the registered ones."""
    known = published_protocols()
    known[PROTOCOL] = Protocol.model_validate({
        "name": PROTOCOL, "title": "Digits-C", "dataset": "digits", "images": images, "classes": 10,
        "corruptions": list(HEADLINE), "severities": [SEVERITY], "pixels": "published", "averaging": averaging,
        "source": "this test",
    })  # fmt: skip
    try:
        yield
    finally:
        del known[PROTOCOL]


def every_trial(folder: Path, seeds: Sequence[int]) -> Iterator[Trial | None]:
    """All causes, on both models."""
    for kind in MODELS:
        for cause in (*CAUSES, *CONTROLS):
            yield from between_warehouses(folder, cause, kind, seeds)
        for cause in AGAINST_TABLES:
            yield from (against_table(folder, cause, kind, seed) for seed in seeds if seed % 8 < OF_TABLES)
        for cause in AGAINST_ROWS:
            yield from (against_row(folder, cause, kind, seed) for seed in seeds if seed % 8 < OF_ROWS)


def main(first: int = 0, end: int = SEEDS) -> None:
    """Print how many planted causes are named first, and each that is not."""
    with tempfile.TemporaryDirectory() as folder:
        drawn = list(every_trial(Path(folder), range(first, end)))
    trials = [one for one in drawn if one is not None]
    for one in trials:
        if not one.is_named:
            print(f"{one.cause} against {one.against}: {one.named or 'nothing'} instead of {one.factor or 'nothing'}")
    for planted_here in (True, False):
        chosen = [one for one in trials if bool(one.factor) == planted_here]
        print(f"{'planted' if planted_here else 'controls'}: {sum(one.is_named for one in chosen)} of {len(chosen)}")
    print(f"changed no prediction: {drawn.count(None)}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
