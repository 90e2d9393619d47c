"""From a file of rules and a warehouse to what the gate found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from shlex import quote
from typing import Any

from threadpoolctl import threadpool_limits

from failmodes.analysis.gate.gate_result import GateResult
from failmodes.analysis.gate.judged_gate import Inconclusive
from failmodes.analysis.gate.judging import judge_rules
from failmodes.analysis.gate.planned_rules import plan_rules
from failmodes.analysis.statistics.measured_pair import MeasuredPair
from failmodes.analysis.statistics.opened_models import SEPARATOR, SUFFIX, OpenedModel, open_models
from failmodes.analysis.statistics.opened_models import DescribedModel as ComparedModel
from failmodes.ingest.gate_rules import GateSpec, check_gate
from failmodes.warehouse.errors import StudyError
from failmodes.warehouse.metrics.custom import KEY, read_metrics, user_metrics
from failmodes.warehouse.metrics.metric import Metric
from failmodes.warehouse.metrics.registry import all_metrics
from failmodes.warehouse.storage.locations import find_warehouse, read_toml, user_path
from failmodes.warehouse.terminal import named

FROM_PROGRAM = "failmodes.gate"  # where rules come from that are a mapping


@dataclass(frozen=True)
class GateRequest:
    """What is asked of a gate.

    Attributes:
        gate: its rules; names of files in it are whole.
        where: the warehouse of models that name no file; None where it is looked for in the current folder.
        inconclusive: whether an inconclusive rule stops the pipeline, or lets it pass.
        origin: where the rules come from.
        metrics: that rules may name, beside those of this package.
    """

    gate: GateSpec
    where: Path | None
    inconclusive: Inconclusive
    origin: str
    metrics: tuple[Metric, ...] = ()


def read_request(
    rules: "str | PathLike[str] | Mapping[str, Any]",
    where: "str | PathLike[str] | None" = None,
    *,
    candidate: str | None = None,
    baseline: str | None = None,
    inconclusive: Inconclusive = "stop",
    metrics: Sequence[Any] = (),
) -> GateRequest:
    """Read the rules of a gate.

    Args:
        rules: a file of rules, a study file with a `gate` table, or their content.
        where: study file, output folder or .duckdb file; that of the study, where the rules stand in one.
        candidate: in place of the one that the rules name; a file in it is relative to the current folder.
        baseline: the same.
        inconclusive: what an inconclusive rule does.
        metrics: functions that rules may name, beside those of the files that the rules, or the study, name.

    Raises:
        StudyError: there is no such file, or the rules or another argument are not what they should be.
    """
    if inconclusive not in ("stop", "pass"):
        raise StudyError(f"inconclusive is {inconclusive!r}: expected 'stop' or 'pass'")
    content, folder, origin, study = _content(rules)
    gate = check_gate(content, origin)
    names = {
        "candidate": _anchored(gate.candidate, folder) if candidate is None else candidate,
        "baseline": _anchored(gate.baseline, folder) if baseline is None else baseline,
    }
    given = user_path(where) if where is not None else study if "output" in content else None
    own = user_metrics([*read_metrics(content.get(KEY) or [], folder, origin), *metrics])
    return GateRequest(gate.model_copy(update=names), given, inconclusive, origin, tuple(own))


def run_gate(request: GateRequest) -> GateResult:
    """Open the models of a gate and judge its rules.

    Raises:
        StudyError: a warehouse has no such model, or several; or a rule names what there is not.
        WarehouseError: a warehouse cannot be read.
    """
    gate = request.gate
    candidate = gate.candidate or str(find_warehouse(request.where).absolute())  # the one model that is there
    names = [candidate] if gate.baseline is None else [candidate, gate.baseline]
    with open_models(names, request.where) as opened:
        models = [one.rows() for one in opened]
        known = {**all_metrics(), **{metric.name: metric for metric in request.metrics}}
        pair = MeasuredPair(*models, metrics=known)
        cells = [set(one.cells) for one in models]
        plans = plan_rules(gate, cells[0], cells[1] if len(cells) > 1 else None, request.origin, known)
        with threadpool_limits(1):  # of many small products, for which more threads mostly wait
            rules = judge_rules(plans, pair, gate.level)
        return GateResult(
            request.origin,
            _described(opened[0]),
            _described(opened[1]) if len(opened) > 1 else None,
            pair.pairing if len(opened) > 1 else None,
            pair.is_about_training,
            gate.level,
            request.inconclusive,
            rules,
        )


def compare_command(request: GateRequest) -> str:
    """The command that shows where the models of a gate differ, as it is typed into a shell; else the report."""
    gate, where = request.gate, named(request.where)
    if gate.baseline is None:
        return f"failmodes report{where}"
    names = [gate.baseline, gate.candidate or str(find_warehouse(request.where))]
    is_elsewhere = all(name.partition(SEPARATOR)[0].endswith(SUFFIX) for name in names)
    return f"failmodes compare {' '.join(map(quote, names))}{'' if is_elsewhere else where}"


def _content(rules: "str | PathLike[str] | Mapping[str, Any]") -> tuple[Mapping[str, Any], Path, str, Path | None]:
    """Keys and tables, the folder that files in them are relative to, where they come from, and the file."""
    if isinstance(rules, Mapping):
        return rules, Path(), FROM_PROGRAM, None
    path = user_path(rules)
    if not path.exists():
        raise StudyError(f"no rules at {path}: expected a file of rules, or a study file with a [gate] table")
    return read_toml(path), path.parent, path.name, path


def _anchored(name: str | None, folder: Path) -> str | None:
    """A name whose file, where it has one, lies where the rules say."""
    if name is None:
        return None
    file, separator, label = name.partition(SEPARATOR)
    return f"{folder / file}{separator}{label}" if file.endswith(SUFFIX) else name


def _described(opened: OpenedModel) -> ComparedModel:
    model, selection = opened.model, opened.selection
    ids = tuple(run.evaluation_id for run in model.runs)
    return ComparedModel(opened.label, ids, model.seeds, selection.image_count, selection.source_line)
