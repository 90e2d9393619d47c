"""A gate: rules of a file judged on a candidate, and what that means to a pipeline."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from shlex import quote
from typing import Any

from threadpoolctl import threadpool_limits

from failmodes.analysis.judging.cells import OnRecord
from failmodes.analysis.judging.claims import judge_kind
from failmodes.analysis.judging.gate_result import GateResult, Inconclusive
from failmodes.analysis.judging.statement import Family, JudgedStatement, Plan, judge_plan, plan_statement
from failmodes.analysis.statistics.difference import ModelMetrics
from failmodes.analysis.statistics.opened_models import SEPARATOR, SUFFIX, OpenedModel, open_models
from failmodes.analysis.statistics.shape_tables import open_current
from failmodes.ingest.statements import GateSpec, Statement, check_gate
from failmodes.warehouse.errors import StudyError
from failmodes.warehouse.metrics.custom import KEY, read_metrics, user_metrics
from failmodes.warehouse.metrics.metric import Metric
from failmodes.warehouse.metrics.registry import known_metrics
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
        models = ModelMetrics(*(one.rows() for one in opened), metrics=known_metrics(request.metrics))
        rules = judge_rules(gate, models, opened[0], request.origin)
        described = [one.described for one in opened]
        has_baseline = len(opened) > 1
        return GateResult(
            request.origin,
            described[0],
            described[1] if has_baseline else None,
            models.pairing if has_baseline else None,
            models.is_about_training,
            gate.level,
            request.inconclusive,
            rules,
        )


def judge_rules(
    gate: GateSpec, models: ModelMetrics, candidate: OpenedModel | None, origin: str
) -> tuple[JudgedStatement, ...]:
    """What is shown of each rule of a gate.

    Args:
        gate: its rules.
        models: the candidate, and the baseline where there is one.
        candidate: where its shapes and findings are on record, for rules about these.
        origin: where the rules come from, for errors.

    Raises:
        StudyError: a rule names what there is not.
    """
    extras = () if candidate is None else candidate.selection.extras
    record = OnRecord(models.candidate.cells, models.baseline and models.baseline.cells, extras)
    plans: list[Plan | Statement] = []
    places = [f"{origin}: gate.rules.{number}" for number in range(len(gate.rules))]
    for rule, place in zip(gate.rules, places, strict=True):
        plan = rule if rule.metric is None else plan_statement(rule, record, models.metrics, place)
        if isinstance(plan, Plan):
            _refuse_wrong_side(plan, place)
        plans.append(plan)
    family = Family(gate.level, sum(plan.decision_count if isinstance(plan, Plan) else 1 for plan in plans))
    with threadpool_limits(1):  # of many small products, for which more threads mostly wait
        return tuple(
            judge_plan(plan, models, family) if isinstance(plan, Plan) else _judged_kind(plan, candidate, place)
            for plan, place in zip(plans, places, strict=True)
        )


def _judged_kind(rule: Statement, candidate: OpenedModel | None, place: str) -> JudgedStatement:
    assert candidate is not None
    with open_current(candidate.path) as con:
        return judge_kind(con, candidate.selection, rule, place)


def _refuse_wrong_side(plan: Plan, place: str) -> None:
    """A limit on the side on which the metric is better: it would pass the worst model."""
    metric, relation = plan.metric, plan.statement.relation
    expected = {"higher": "at_least", "lower": "at_most"}.get(metric.better)
    if relation in ("at_least", "at_most") and expected and relation != expected:
        raise StudyError(
            f"{place}: {metric.name} is better the {metric.better}, so its relation is {expected} (given: {relation})"
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
