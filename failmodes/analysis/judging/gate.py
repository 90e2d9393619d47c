"""A gate: the rules of a file judged for a candidate, the exit code for a pipeline, and the output."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from shlex import quote
from typing import Any, Literal

from threadpoolctl import threadpool_limits

from failmodes.analysis.judging.claims import judge_kind
from failmodes.analysis.judging.shifted import Runs, plan_with_models
from failmodes.analysis.judging.statement import (
    NOT_EVALUATED,
    WORDS,
    Family,
    JudgedStatement,
    Plan,
    Verdict,
    judge_plan,
)
from failmodes.analysis.judging.wording import (
    CASE_OUTCOMES,
    GATE_WORDS,
    MARKS,
    about_text,
    english,
    gate_word,
    images_text,
    result_text,
    tally_verdicts,
    title_text,
    where_text,
)
from failmodes.analysis.render.blocks import Block, Case, Document, Sentence, text_table
from failmodes.analysis.render.documents import Rendered
from failmodes.analysis.render.formatting import NO_BREAK, format_count
from failmodes.analysis.statistics.difference import ModelMetrics
from failmodes.analysis.statistics.opened_models import (
    SEPARATOR,
    SUFFIX,
    DescribedModel,
    OpenedModel,
    duplicates_notes,
    open_models,
)
from failmodes.analysis.statistics.run_rows import ImagePairing
from failmodes.analysis.statistics.shape_tables import open_current
from failmodes.ingest.statements import GateSpec, check_gate
from failmodes.runtime.errors import StudyError, printable
from failmodes.runtime.storage.locations import find_warehouse, read_toml, user_path
from failmodes.runtime.terminal import named, without_commands
from failmodes.warehouse.metrics.custom import KEY, read_metrics, user_metrics
from failmodes.warehouse.metrics.metric import known_metrics

FROM_PROGRAM = "failmodes.gate"  # the origin of rules that are a mapping
PASSED, FAILED, NOT_SHOWN = 0, 1, 3  # exit codes; an error is 2

Inconclusive = Literal["stop", "pass"]


@dataclass(frozen=True)
class GateResult(Rendered):
    """The result of a gate: the verdict on each rule; true if the gate passes.

    A failed `assert gate(…)` shows the first rule that fails; `assert result, str(result)` shows every rule.

    Attributes:
        origin: of the rules.
        candidate: the model that they are about.
        baseline: the model that it is compared with; None without a baseline.
        pairing: the images on which they are compared; None without a baseline.
        is_about_training: whether bounds cover training seeds too. Otherwise they are about these checkpoints.
        level: of every rule.
        inconclusive: whether an inconclusive rule stops the pipeline, or lets it pass.
        rules: in the order of the file.
        next_command: a shell command that shows more.
    """

    origin: str
    candidate: DescribedModel
    baseline: DescribedModel | None
    pairing: ImagePairing | None
    is_about_training: bool
    level: float
    inconclusive: Inconclusive
    rules: tuple[JudgedStatement, ...]
    next_command: str

    @property
    def passed(self) -> bool:
        """Whether the pipeline may continue."""
        return self.exit_code == PASSED

    @property
    def exit_code(self) -> int:
        """0 passed, 1 a rule fails, 3 a rule is inconclusive or not measurable."""
        verdicts = {rule.verdict for rule in self.rules}
        if "contradicted" in verdicts:
            return FAILED
        keeps = {"not_measurable", "inconclusive"} if self.inconclusive == "stop" else {"not_measurable"}
        return NOT_SHOWN if verdicts & keeps else PASSED

    def __bool__(self) -> bool:
        return self.passed

    @property
    def document(self) -> Document:
        """The verdict, a row for each rule, and what to do next.

        Its data contain every rule and decision; a test case is a rule over the mean, or a cell of a rule over each.
        """
        rows = (
            (f"{MARKS[rule.verdict]} {gate_word(rule.verdict)}", title_text(rule), result_text(rule))
            for rule in self.rules
        )
        images = images_text(self.pairing, *self._models)
        basis = (f"Level {100 * self.level:.10g}%", images, about_text(self.is_about_training, *self._models))
        blocks: tuple[Block, ...] = (
            Sentence(f"Gate {self._outcome}: {self._title}", "lead"),
            Sentence(
                f"{self._counts} (exit code {self.exit_code}). Rules: {self.origin}. "
                f"{'; '.join((*basis, *duplicates_notes(*self._models)))}."
            ),
            text_table("Rules", ("Verdict", "Rule", "Result"), rows),
            *(Sentence(f"Next: {step}.", "item") for step in self._next_steps()),
        )
        cases = tuple(self._case(rule, one) for rule in self.rules for one in rule.verdicts)
        return Document(f"failmodes gate: {self._title}", blocks, self._data(images), cases)

    @property
    def _models(self) -> list[DescribedModel]:
        return [model for model in (self.candidate, self.baseline) if model is not None]

    @property
    def _title(self) -> str:
        """The candidate, and the baseline if there is one."""
        return " against ".join(model.label for model in self._models)

    @property
    def _outcome(self) -> str:
        return "passes" if self.passed else "stops"

    @property
    def _counts(self) -> str:
        """How many rules have each verdict."""
        tally = tally_verdicts([rule.verdict for rule in self.rules], gate_word)
        return f"{format_count(len(self.rules), 'rule')}: {tally}"

    def __repr__(self) -> str:
        """One line, first the rules that do not pass: a failed test shows only about 200 characters of it."""
        said = (
            f"{gate_word(word)}: {_first_decision(rule)} ({_name(rule)})"
            for word in WORDS  # the worst first
            for rule in self.rules
            if rule.verdict == word != "supported"
        )
        line = f"gate {self._outcome}: {'; '.join(said) or self._counts}"
        return f"<{without_commands(printable(line, len(line)).replace(NO_BREAK, ' '))}>"

    def _next_steps(self) -> list[str]:
        """What to do about rules that neither pass nor fail."""
        verdicts, steps = {rule.verdict for rule in self.rules}, []
        reasons = {one.reason for rule in self.rules for one in rule.verdicts if one.verdict == "not_measurable"}
        if NOT_EVALUATED in reasons:
            steps.append("evaluate the missing cells, or exclude them from the rule")
        if reasons - {NOT_EVALUATED}:
            steps.append("evaluate on more images, or use another metric for what is not measurable")
        if "inconclusive" in verdicts:
            more = "more images, or training seeds" if self.is_about_training else "more images"
            stop = ", relax the limit, or let inconclusive rules pass with `--inconclusive pass`"
            steps.append(f"evaluate on {more}{stop if self.inconclusive == 'stop' else ', or relax the limit'}")
        return steps

    def _case(self, rule: JudgedStatement, one: Verdict) -> Case:
        """A decision as a test case: a failure if it fails, an error if it is not measurable.

        An inconclusive one is a failure if it stops the pipeline, otherwise it is skipped.
        """
        stops = one.verdict == "inconclusive" and self.inconclusive == "stop"
        return Case(
            name=where_text(one) if rule.statement.over == "each" or len(rule.verdicts) > 1 else "mean",
            group=f"failmodes.gate.{_name(rule)}",
            outcome="failure" if stops else CASE_OUTCOMES[one.verdict],
            message=f"{english(rule)}: {result_text(replace(rule, verdicts=(one,)))}",
            kind=GATE_WORDS[one.verdict],
        )

    def _data(self, images: str) -> dict[str, Any]:
        """Values as in the warehouse (shares are 0-1); differences are candidate minus baseline."""
        return {
            "passed": self.passed,
            "exit_code": self.exit_code,
            "inconclusive": self.inconclusive,
            "rules_from": self.origin,
            "level": self.level,
            "candidate": _model(self.candidate),
            "baseline": self.baseline and _model(self.baseline),
            "images": images,
            "images_paired": self.pairing and self.pairing.is_paired,
            "about": "training" if self.is_about_training else "checkpoints",
            "rules": [_rule(rule) for rule in self.rules],
        }


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
        where: study file, output folder or .duckdb file of models without a file name; by default the study that
            contains the rules, else the current folder.
        candidate: overrides the candidate of the rules; a file in it is relative to the current folder.
        baseline: likewise.
        inconclusive: whether an inconclusive rule stops the pipeline, or lets it pass.
        metrics: functions that rules may use, in addition to those of the files of the rules or the study.

    Raises:
        StudyError: the file does not exist, the rules or another argument are invalid, or a warehouse has no such
            model, or several.
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
            judge_rules(gate, models, opened[0], origin, opened[1] if against else None),
            _next_command(judged, against, named(path)),
        )


def judge_rules(
    gate: GateSpec,
    models: ModelMetrics,
    candidate: OpenedModel | None,
    origin: str,
    baseline: OpenedModel | None = None,
) -> tuple[JudgedStatement, ...]:
    """Judge each rule of a gate.

    Args:
        gate: its rules.
        models: the candidate, and the baseline if there is one.
        candidate: the warehouse of its shapes, findings and shifts, for rules about these.
        origin: of the rules, for errors.
        baseline: likewise, for rules about shifts.

    Raises:
        StudyError: a rule has an unknown metric, corruption or kind, or a relation that does not fit its metric.
    """
    extras = () if candidate is None else candidate.selection.extras
    sides = [None if one is None else Runs(one.con, one.model.runs) for one in (candidate, baseline)]
    plans: list[tuple[Plan, ModelMetrics] | None] = []  # None of a rule about a shape or a kind of finding
    for number, rule in enumerate(gate.rules):
        if rule.metric is None:
            plans.append(None)
            continue
        plan, measured = plan_with_models(rule, models, sides[0], sides[1], extras, _place(origin, number))
        better = {"higher": "at_least", "lower": "at_most"}.get(plan.metric.better)
        if better and rule.relation in ("at_least", "at_most") and rule.relation != better:
            raise StudyError(  # the worst model would pass
                f"{_place(origin, number)}: {plan.metric.name} is better if {plan.metric.better}: use relation "
                f"{better} (given: {rule.relation})"
            )
        plans.append((plan, measured))
    family, found = Family(gate.level, sum(planned[0].decision_count if planned else 1 for planned in plans)), []
    with threadpool_limits(1):  # many small products: more threads mostly wait
        for number, (rule, planned) in enumerate(zip(gate.rules, plans, strict=True)):
            if planned is not None:
                found.append(judge_plan(*planned, family))
                continue
            assert candidate is not None, "a rule about a shape or a finding requires a warehouse"
            with open_current(candidate.path) as con:
                found.append(judge_kind(con, candidate.selection, rule, _place(origin, number)))
    return tuple(found)


def _place(origin: str, number: int) -> str:
    return f"{origin}: gate.rules.{number}"


def _next_command(candidate: str, baseline: str | None, where: str) -> str:
    """The shell command that compares the two models; without a baseline, the one that writes the report."""
    if baseline is None:
        return f"failmodes report{where}"
    is_elsewhere = all(name.partition(SEPARATOR)[0].endswith(SUFFIX) for name in (candidate, baseline))
    return f"failmodes compare {quote(baseline)} {quote(candidate)}{'' if is_elsewhere else where}"


def _content(rules: "str | PathLike[str] | Mapping[str, Any]") -> tuple[Mapping[str, Any], Path, str, Path | None]:
    """Keys and tables, the folder that files in them are relative to, their origin, and the file."""
    if isinstance(rules, Mapping):
        return rules, Path(), FROM_PROGRAM, None
    path = user_path(rules)
    if not path.exists():
        raise StudyError(f"no rules at {path}: expected a file of rules, or a study file with a [gate] table")
    return read_toml(path), path.parent, path.name, path


def _anchored(name: str | None, folder: Path) -> str | None:
    """A model's name, with its file, if it has one, relative to the folder of the rules."""
    if name is None:
        return None
    file, separator, label = name.partition(SEPARATOR)
    return f"{folder / file}{separator}{label}" if file.endswith(SUFFIX) else name


def _model(model: DescribedModel) -> dict[str, Any]:
    return {
        "label": model.label,
        "evaluations": list(model.evaluation_ids),
        "training_seeds": list(model.seeds),
        "images": model.image_count,
        "distinct_images": model.distinct_count,
        "source": model.source_line,
    }


def _rule(judged: JudgedStatement) -> dict[str, Any]:
    plan, statement = judged.plan, judged.statement
    metric = plan and plan.metric
    return {
        "name": statement.name,
        "statement": english(judged),
        "verdict": GATE_WORDS[judged.verdict],
        "shown": result_text(judged),
        "metric": metric and metric.name,
        "score": plan and plan.score,
        "better": metric and metric.better,
        "unit": metric and metric.unit,
        "shift": statement.shift,
        "shape": statement.shape,
        "kind": statement.kind,
        "over": statement.over,
        "relation": statement.relation,
        "limit": statement.limit,
        "images_needed": judged.images_needed,
        "decisions": [_decision(one) for one in judged.verdicts],
    }


def _decision(one: Verdict) -> dict[str, Any]:
    value, low, high = one.estimate or (None, None, None)
    return {
        "verdict": GATE_WORDS[one.verdict],
        "cells": [{"corruption": cell[0], "severity": cell[1]} for cell in one.cells],
        "value": value,
        "low": low,
        "high": high,
        "images": one.n,
        "images_needed": one.images_needed,
        "reason": one.reason,
    }


def _first_decision(judged: JudgedStatement) -> str:
    """The worst decision, and the limit."""
    first = judged.deciding[0]
    is_one = judged.plan is None or (judged.statement.over == "mean" and len(judged.verdicts) == 1)
    return f"{'' if is_one else f'{where_text(first)}: '}{result_text(replace(judged, verdicts=(first,)))}"


def _name(judged: JudgedStatement) -> str:
    """The statement's own name, else its English."""
    return judged.statement.name or english(judged)
