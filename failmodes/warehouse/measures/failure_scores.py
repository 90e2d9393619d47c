"""The rows of failure_scores and selective_risks: each cell of an evaluation, and pools of its corrupted cells."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from failmodes.warehouse.measures.columns import Row
from failmodes.warehouse.measures.curves import CellKey
from failmodes.warehouse.measures.ranking import COVERAGE_PERCENT, Keys, measure_ranking, selective_risks, ties_of
from failmodes.warehouse.measures.tables import FAILURE_SCORES, SELECTIVE_RISKS
from failmodes.warehouse.schema import CLEAN

NO_SCORE = "score not on record"
PoolKey = tuple[str | None, Decimal | None]  # corruption and severity; None: of all corruptions, of all severities


class FailureScores:
    """The rows of failure_scores and selective_risks of one evaluation, as its cells are given one by one."""

    def __init__(self) -> None:
        self._keys: dict[str, dict[CellKey, Keys]] = defaultdict(dict)
        self._rows: list[Row] = []
        self._risks: list[tuple[PoolKey, str, NDArray[np.float64]]] = []

    def add(self, cell: CellKey, rankings: Mapping[str, Keys]) -> None:
        """Take the rankings of one cell, by score; a score that is not on record may be missing."""
        for score, keys in rankings.items():
            if len(keys):
                self._keys[score][cell] = keys

    def finish(self, scores: Iterable[str], cells: Iterable[CellKey]) -> None:
        """Measure these scores in all cells and pools, and let go of their rankings."""
        cells = sorted(cells)
        for score in scores:
            keys = self._keys.pop(score, {})
            for pool, of_pool in _pools(cells, keys):
                key = {"corruption": pool[0], "severity": pool[1], "score": score}
                if of_pool is None:
                    self._rows.append(key | {"n": 0, "failures": 0, "reason": NO_SCORE})
                    continue
                ties = ties_of(of_pool)
                self._rows.append(key | measure_ranking(ties, with_error=None not in pool))
                self._risks.append((pool, score, selective_risks(ties)))

    def failure_scores(self, evaluation_id: str) -> pa.Table:
        """The rows of failure_scores."""
        rows = [{"evaluation_id": evaluation_id} | row for row in self._rows]
        return pa.Table.from_pylist(rows, schema=FAILURE_SCORES.arrow())

    def selective_risks(self, evaluation_id: str) -> pa.Table:
        """The rows of selective_risks."""
        schema, count = SELECTIVE_RISKS.arrow(), len(COVERAGE_PERCENT)
        places = pa.array(np.repeat(np.arange(len(self._risks)), count))
        keys = {
            "corruption": [pool[0] for pool, _, _ in self._risks],
            "severity": [pool[1] for pool, _, _ in self._risks],
            "score": [score for _, score, _ in self._risks],
        }
        columns = {name: pa.array(values, schema.field(name).type).take(places) for name, values in keys.items()}
        return pa.table(
            {
                "evaluation_id": pa.repeat(evaluation_id, len(places)),
                **columns,
                "coverage_percent": np.tile(COVERAGE_PERCENT, len(self._risks)),
                "selective_risk": np.concatenate([np.empty(0), *(risks for _, _, risks in self._risks)]),
            }
        ).cast(schema)


def _pools(cells: list[CellKey], keys: Mapping[CellKey, Keys]) -> Iterator[tuple[PoolKey, Keys | None]]:
    """Each cell, then the corrupted ones by corruption, by severity, and all; None where no image has the score."""
    yield from ((cell, keys.get(cell)) for cell in cells)
    corrupted = [cell for cell in cells if cell[0] != CLEAN]
    by_corruption = [
        ((name, None), _pooled([keys[cell] for cell in corrupted if cell[0] == name and cell in keys]))
        for name in sorted({name for name, _ in corrupted})
    ]
    yield from by_corruption
    by_severity = [
        ((None, level), _pooled([keys[cell] for cell in corrupted if cell[1] == level and cell in keys]))
        for level in sorted({level for _, level in corrupted})
    ]
    yield from by_severity
    if corrupted:
        fewer: Sequence[tuple[PoolKey, Keys | None]] = min(by_corruption, by_severity, key=len)  # less is to be merged
        yield (None, None), _pooled([of_one for _, of_one in fewer if of_one is not None])


def _pooled(parts: Sequence[Keys]) -> Keys | None:
    """The images of several rankings in one."""
    if not parts:
        return None
    keys = np.concatenate(parts)
    keys.sort(kind="stable")  # merges what is sorted
    return keys
