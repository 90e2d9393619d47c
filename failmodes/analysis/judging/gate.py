"""A gate: rules of a file judged on a candidate, and what that means to a pipeline."""

from collections.abc import Mapping, Sequence
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
from failmodes.ingest.statements import GateSpec, check_gate
from failmodes.warehouse.errors import StudyError
from failmodes.warehouse.metrics.custom import KEY, read_metrics, user_metrics
from failmodes.warehouse.metrics.metric import known_metrics
from failmodes.warehouse.storage.locations import find_warehouse, read_toml, user_path
from failmodes.warehouse.terminal import named

FROM_PROGRAM = "failmodes.gate"  # where rules come from that are a mapping


def run_gate(
    rules: "str | PathLike[str] | Mapping[str, Any]",
    where: "str | PathLike[str] | None" = None,
    *,
    candidate: str | None = None,
    baseline: str | None = None,
    inconclusive: Inconclusive = "stop",
    metrics: Sequence[Any] = (),
) -> GateResult:
    """Judge the rules of a gate.

    Args:
        rules: a file of rules, a study file with a `gate` table, or their content.
        where: study file, output folder or .duckdb file of models that name no file; by default the study, where the
            rules stand in one, else what is in the current folder.
        candidate: in place of the one that the rules name; a file in it is relative to the current folder.
        baseline: the same.
        inconclusive: whether an inconclusive rule stops the pipeline, or lets it pass.
        metrics: functions that rules may name, beside those of the files that the rules, or the study, name.

    Raises:
        StudyError: there is no such file; the rules or another argument are not what they should be; or a warehouse has
            no such model, or several.
        WarehouseError: a warehouse cannot be read.
    """
    if inconclusive not in ("stop", "pass"):
        raise StudyError(f"inconclusive is {inconclusive!r}: expected 'stop' or 'pass'")
    content, folder, origin, study = _content(rules)
    gate = check_gate(content, origin)
    path = user_path(where) if where is not None else study if "output" in content else None
    own = user_metrics([*read_metrics(content.get(KEY) or [], folder, origin), *metrics])
    judged = candidate or _anchored(gate.candidate, folder) or str(find_warehouse(path).absolute())  # its one model
    against = baseline or _anchored(gate.baseline, folder)
    with open_models([judged, *filter(None, [against])], path) as opened:
        models = ModelMetrics(*(one.rows() for one in opened), metrics=known_metrics(own))
        return GateResult(
            origin,
            opened[0].described,
            opened[1].described if against else None,
            models.pairing if against else None,
            models.is_about_training,
            gate.level,
            inconclusive,
            judge_rules(gate, models, opened[0], origin),
            _next_command(judged, against, named(path)),
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
    plans: list[Plan | None] = []  # None of a rule about a shape or a kind of finding
    for number, rule in enumerate(gate.rules):
        plan = None if rule.metric is None else plan_statement(rule, record, models.metrics, _place(origin, number))
        better = plan and {"higher": "at_least", "lower": "at_most"}.get(plan.metric.better)
        if plan and better and rule.relation in ("at_least", "at_most") and rule.relation != better:
            raise StudyError(  # it would pass the worst model
                f"{_place(origin, number)}: {plan.metric.name} is better the {plan.metric.better}, so its relation is "
                f"{better} (given: {rule.relation})"
            )
        plans.append(plan)
    family, found = Family(gate.level, sum(plan.decision_count if plan else 1 for plan in plans)), []
    with threadpool_limits(1):  # of many small products, for which more threads mostly wait
        for number, (rule, plan) in enumerate(zip(gate.rules, plans, strict=True)):
            if plan is None:
                assert candidate is not None, "a rule about a shape or a finding needs what is on record"
                with open_current(candidate.path) as con:
                    found.append(judge_kind(con, candidate.selection, rule, _place(origin, number)))
            else:
                found.append(judge_plan(plan, models, family))
    return tuple(found)


def _place(origin: str, number: int) -> str:
    return f"{origin}: gate.rules.{number}"


def _next_command(candidate: str, baseline: str | None, where: str) -> str:
    """The command that shows where two models differ, as it is typed into a shell; without a baseline the report."""
    if baseline is None:
        return f"failmodes report{where}"
    is_elsewhere = all(name.partition(SEPARATOR)[0].endswith(SUFFIX) for name in (candidate, baseline))
    return f"failmodes compare {quote(baseline)} {quote(candidate)}{'' if is_elsewhere else where}"


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
