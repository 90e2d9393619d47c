"""The measures of one evaluation, table by table, as its cells are given one by one."""

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from failmodes.warehouse.measures import curves, tables
from failmodes.warehouse.measures.attention import MapMeasures, measure_maps
from failmodes.warehouse.measures.cell_texts import hash_of_ids
from failmodes.warehouse.measures.cells import CellOutcomes
from failmodes.warehouse.measures.columns import Row, Values
from failmodes.warehouse.measures.curves import CLEAN_KEY, CellKey
from failmodes.warehouse.measures.failure_scores import FailureScores
from failmodes.warehouse.measures.maps import ImageOutcomes
from failmodes.warehouse.measures.scores import OF_ATTENTION, OF_LOGITS
from failmodes.warehouse.measures.temperature import CellLogits, fit_temperatures, measure_temperature
from failmodes.warehouse.schema import ATTENTION, PREDICTION_FACTS, Table


class MeasuredEvaluation:
    """Measures of one evaluation: give the outcomes of its cells, finish the curves, give its maps, finish these.

    Attributes:
        evaluation_id: its identity.
        mask_areas: share of each image that its object mask covers, by image_id; None without masks.
        by_sql: tables that only their SQL can make, since cells hold other images than the clean one, or repeat some.
        repeating: tables of facts in which a key has several rows.
        has_same_images: whether all cells are known to hold the clean one's images, once each and with its labels.
    """

    def __init__(self, evaluation_id: str, mask_areas: Values | None = None) -> None:
        self.evaluation_id = evaluation_id
        self.mask_areas = mask_areas
        self._rows: dict[str, list[Row]] = defaultdict(list)
        self._columns: dict[str, list[tuple[CellKey | None, dict[str, pa.Array]]]] = defaultdict(list)
        self._ids = np.empty(0, np.int32), ""  # the image_ids seen last, and their hash
        self.by_sql: set[str] = set()
        self.repeating: set[str] = set()
        self.has_same_images = False
        self._cells: dict[CellKey, CellOutcomes] = {}
        self._outcomes: dict[CellKey, ImageOutcomes] = {}
        self._scores = FailureScores()
        self._temperatures: dict[bool, int] = {}

    def add_outcomes(self, cell: CellKey, outcomes: CellOutcomes) -> None:
        """Take the outcomes of one cell; those of the clean one come first, for its temperatures are all cells'."""
        if not np.array_equal(self._ids[0], outcomes.image_ids):
            self._ids = outcomes.image_ids, hash_of_ids(outcomes.image_ids)
        image_ids, ids_hash = self._ids
        self._add(tables.CELL_TEMPERATURE, cell, self._scaled(cell, outcomes.logits))
        outcomes = outcomes._replace(image_ids=image_ids, logits=None)  # once in memory, and not at all
        self._cells[cell] = outcomes
        self._outcomes[cell] = ImageOutcomes(image_ids, outcomes.correct, outcomes.tenths)
        self._add(tables.CELL_MEASURES, cell, [outcomes.measures])
        self._add(tables.CELL_CALIBRATION, cell, outcomes.calibration)
        self._add(tables.CELL_CONFIDENCE_BINS, cell, outcomes.bins)
        self._add_columns(tables.CELL_CONFUSION, cell, outcomes.confusion)
        self._add_columns(tables.CELL_PREDICTIONS, cell, outcomes.predictions(ids_hash))
        self._scores.add(cell, outcomes.rankings)
        if outcomes.has_repeats:
            self.repeating.add(PREDICTION_FACTS.name)
            self.by_sql.update(table.name for table in (*tables.OF_BOTH, tables.CELL_TEMPERATURE))

    def _scaled(self, cell: CellKey, logits: CellLogits | None) -> list[Row]:
        if logits is None:
            return []
        if cell == CLEAN_KEY:
            self._temperatures = fit_temperatures(logits)
        return measure_temperature(logits, self._temperatures)

    def finish_curves(self) -> None:
        """Measure the curves, once all cells are there, and let go of their outcomes."""
        found = curves.curves_of(self._cells)
        if found is None:
            self.by_sql.update(table.name for table in (*tables.OF_CURVES, tables.ATTENTION_BY_PREDICTION))
        elif found:  # the clean images alone are no curve
            distortion = self._cells[CLEAN_KEY].distortion | {"rmse_change": None, "rmse_change_error": None}
            self._add(tables.CELL_DISTORTION, CLEAN_KEY, [distortion])
        labels = [cell.labels for cell in self._cells.values()]
        self.has_same_images = found is not None and all(np.array_equal(own, labels[0]) for own in labels)
        for curve in found or ():
            self._add(tables.CELL_TRANSITIONS, None, curves.transitions(curve))
            self._add(tables.CELL_DISTORTION, None, curves.distortion(curve))
            self._add(tables.STEP_MARGINS, None, curves.step_margins(curve))
            self._add_columns(tables.IMAGE_ONSETS, None, curves.image_onsets(curve))
            for severity, one in zip(curve.severities[1:], curve.cells[1:], strict=True):
                cell = curve.corruption, severity
                is_changed = curve.cells[0].outputs != one.outputs
                self._outcomes[cell] = self._outcomes[cell]._replace(is_changed=is_changed)
        self._cells.clear()
        self._scores.finish(OF_LOGITS, self._outcomes)

    def measure_maps(self, cell: CellKey, rows: pa.Table) -> MapMeasures:
        """Measure the attention of one cell; in any thread."""
        outcomes = self._outcomes.get(cell)  # None of a cell whose predictions are damaged: its load will fail
        if PREDICTION_FACTS.name in self.repeating:
            outcomes = None
        return measure_maps(rows, outcomes, self.mask_areas, is_clean=cell == CLEAN_KEY)

    def add_maps(self, cell: CellKey, found: MapMeasures) -> None:
        """Take what `measure_maps` gave."""
        self._add(tables.CELL_ATTENTION, cell, found.by_target)
        self._add(tables.CELL_OBJECT_ATTENTION, cell, found.on_objects)
        self._add(tables.ATTENTION_BY_OUTCOME, cell, found.by_outcome)
        self._add(tables.ATTENTION_BY_PREDICTION, cell, found.by_prediction)
        self._add(tables.ATTENTION_BEYOND_CONFIDENCE, cell, found.beyond_confidence)
        self._scores.add(cell, found.rankings)
        if found.has_repeats:
            self.repeating.add(ATTENTION.name)

    def finish_maps(self) -> None:
        """Measure what spans cells, once all maps are there, or where there are none; and let go of the outcomes."""
        if self._outcomes:
            self._scores.finish(OF_ATTENTION, self._outcomes)
            self._outcomes = {}

    def finish(self, table: Table) -> None:
        """Finish what is measured of one of the tables of facts."""
        if table is PREDICTION_FACTS:
            self.finish_curves()
        else:
            self.finish_maps()

    def arrow(self, table: Table) -> pa.Table:
        """All rows of one of its tables."""
        if table in (tables.FAILURE_SCORES, tables.SELECTIVE_RISKS):
            self.finish_maps()
            is_scores = table is tables.FAILURE_SCORES
            return (self._scores.failure_scores if is_scores else self._scores.selective_risks)(self.evaluation_id)
        if table.name in self._columns:
            return self._with_keys(table)
        return pa.Table.from_pylist(self._rows[table.name], schema=table.arrow())

    def _key(self, cell: CellKey | None) -> Row:
        key: Row = {"evaluation_id": self.evaluation_id}
        return key if cell is None else key | {"corruption": cell[0], "severity": cell[1]}

    def _add(self, table: Table, cell: CellKey | None, rows: Iterable[Row]) -> None:
        """Take rows; those of a curve name their cells themselves."""
        self._rows[table.name] += [self._key(cell) | row for row in rows]

    def _add_columns(self, table: Table, cell: CellKey | None, columns: dict[str, pa.Array]) -> None:
        """Take rows by column: these may be many, and get their key, which takes most memory, as they are asked for."""
        self._columns[table.name].append((cell, columns))

    def _with_keys(self, table: Table) -> pa.Table:
        schema, parts = table.arrow(), self._columns[table.name]
        keys = [self._key(cell) for cell, _ in parts]
        places = pa.array(np.repeat(np.arange(len(parts)), [len(next(iter(part.values()))) for _, part in parts]))
        columns = {
            name: pa.array([key[name] for key in keys], schema.field(name).type).take(places) for name in keys[0]
        } | {name: pa.chunked_array([part[name] for _, part in parts]) for name in parts[0][1]}
        return pa.table({name: columns[name] for name in schema.names}).cast(schema)
