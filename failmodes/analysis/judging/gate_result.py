"""What a gate found: rules with their verdicts, in every output format."""

from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

from failmodes.analysis.judging.statement import WORDS, JudgedStatement, Verdict
from failmodes.analysis.judging.wording import (
    CASE_OUTCOMES,
    GATE_WORDS,
    MARKS,
    english,
    result_text,
    title_text,
    where_text,
)
from failmodes.analysis.render.blocks import Block, Case, Cell, Document, Sentence, Table
from failmodes.analysis.render.formatting import NO_BREAK, format_count
from failmodes.analysis.render.rendered import Rendered
from failmodes.analysis.statistics.bootstrap import Word
from failmodes.analysis.statistics.image_pairing import ImagePairing
from failmodes.analysis.statistics.opened_models import DescribedModel, duplicates_notes
from failmodes.warehouse.errors import printable
from failmodes.warehouse.runner_commands import without_commands

PASSED, FAILED, NOT_SHOWN = 0, 1, 3  # exit codes; all that keeps a gate from judging ends with 2

Inconclusive = Literal["stop", "pass"]


@dataclass(frozen=True)
class GateResult(Rendered):
    """A gate with the verdict on each rule; true where it passes.

    A failed `assert gate(…)` shows the first rule that fails; `assert result, str(result)` shows every rule.

    Attributes:
        origin: where the rules come from.
        candidate: the model that they are about.
        baseline: the model that it is compared with; None where no baseline is named.
        pairing: which images are compared; None without a baseline.
        is_about_training: whether bounds are over training seeds too. Else the statements are about these checkpoints.
        level: of every statement.
        inconclusive: whether an inconclusive rule stops the pipeline, or lets it pass.
        rules: in the order of the file.
    """

    origin: str
    candidate: DescribedModel
    baseline: DescribedModel | None
    pairing: ImagePairing | None
    is_about_training: bool
    level: float
    inconclusive: Inconclusive
    rules: tuple[JudgedStatement, ...]

    @property
    def counts(self) -> Counter[Word]:
        """How many rules have each verdict."""
        return Counter(rule.verdict for rule in self.rules)

    @property
    def passed(self) -> bool:
        """Whether the pipeline may go on."""
        return self.exit_code == PASSED

    @property
    def exit_code(self) -> int:
        """0 passed, 1 a rule fails, 3 a rule is inconclusive or not measurable."""
        counts = self.counts
        if counts["contradicted"]:
            return FAILED
        if counts["not_measurable"] or (counts["inconclusive"] and self.inconclusive == "stop"):
            return NOT_SHOWN
        return PASSED

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        return f"<{_summary(self)}>"

    @property
    def document(self) -> Document:
        """Whether the gate passes and what that rests on, a row a rule, and what to do next.

        Its data have every rule and decision; a test case is a rule over the mean, or a cell of a rule over each.
        """
        rows = tuple(
            tuple(map(Cell, (f"{MARKS[rule.verdict]} {_word(rule)}", title_text(rule), result_text(rule))))
            for rule in self.rules
        )
        columns = ("Verdict", "Rule", "Result")
        blocks: tuple[Block, ...] = (
            Sentence(f"Gate {_ending(self)}: {_title(self)}", "lead"),
            Sentence(f"{_counts(self)} (exit code {self.exit_code}). Rules: {self.origin}. {_basis(self)}."),
            Table("Rules", "", columns, rows, texts=columns),
            *(Sentence(f"Next: {step}.", "item") for step in _next_steps(self)),
        )
        cases = tuple(_case(self, rule, one) for rule in self.rules for one in rule.verdicts)
        return Document(f"failmodes gate: {_title(self)}", blocks, _data(self), cases)


def _summary(gate: GateResult) -> str:
    """One line that begins with the rules that do not pass: a failed test shows only some 200 letters of it."""
    statements = [
        f"{_word(rule)}: {_first_decision(rule)} ({_name(rule)})"
        for word in WORDS
        for rule in gate.rules
        if rule.verdict == word != "supported"
    ]
    line = f"gate {_ending(gate)}: {'; '.join(statements or [_counts(gate)])}"
    return without_commands(printable(line, len(line)).replace(NO_BREAK, " "))


def _data(gate: GateResult) -> dict[str, Any]:
    """Metrics are as in the warehouse (shares 0-1), and differences candidate minus baseline."""
    return {
        "passed": gate.passed,
        "exit_code": gate.exit_code,
        "inconclusive": gate.inconclusive,
        "rules_from": gate.origin,
        "level": gate.level,
        "candidate": _model(gate.candidate),
        "baseline": None if gate.baseline is None else _model(gate.baseline),
        "images": _images(gate),
        "images_paired": None if gate.pairing is None else gate.pairing.is_paired,
        "about": "training" if gate.is_about_training else "checkpoints",
        "rules": [_rule(rule) for rule in gate.rules],
    }


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
    return {
        "name": judged.statement.name,
        "statement": english(judged),
        "verdict": GATE_WORDS[judged.verdict],
        "shown": result_text(judged),
        "metric": None if plan is None else plan.metric.name,
        "score": None if plan is None else plan.score,
        "better": None if plan is None else plan.metric.better,
        "unit": None if plan is None else plan.metric.unit,
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


def _case(gate: GateResult, rule: JudgedStatement, one: Verdict) -> Case:
    """A decision: one that fails is a failure, one that cannot be made an error.

    An inconclusive one is a failure where it stops the pipeline, else it is skipped.
    """
    alone = JudgedStatement(rule.statement, (one,), rule.plan)
    stops = one.verdict == "inconclusive" and gate.inconclusive == "stop"
    return Case(
        name=where_text(one) if rule.statement.over == "each" or len(rule.verdicts) > 1 else "mean",
        group=f"failmodes.gate.{_name(rule)}",
        outcome="failure" if stops else CASE_OUTCOMES[one.verdict],
        message=f"{english(rule)}: {result_text(alone)}",
        kind=GATE_WORDS[one.verdict],
    )


def _word(rule: JudgedStatement) -> str:
    return GATE_WORDS[rule.verdict].replace("_", " ")


def _title(gate: GateResult) -> str:
    """Which model is judged, and against which."""
    return gate.candidate.label + (f" against {gate.baseline.label}" if gate.baseline else "")


def _ending(gate: GateResult) -> str:
    return "passes" if gate.passed else "stops"


def _basis(gate: GateResult) -> str:
    """What the verdicts rest on: level, images, checkpoints or training seeds."""
    about = "about these checkpoints, not about retraining"
    if gate.is_about_training:
        counts = [len(model.evaluation_ids) for model in (gate.candidate, gate.baseline) if model is not None]
        about = f"over {' and '.join(map(str, counts))} training seeds"
    notes = duplicates_notes(gate.candidate, gate.baseline)
    return "; ".join([f"Level {100 * gate.level:.10g}%", _images(gate), about, *notes])


def _images(gate: GateResult) -> str:
    """Which images were compared."""
    pairing = gate.pairing
    if pairing is None:
        return format_count(gate.candidate.image_count, "image")
    images, note = format_count(pairing.image_count, "image"), pairing.note
    if pairing.kind == "same":
        return f"the same {images}" + (f" ({note})" if note else "")
    kind = "shared by both" if pairing.kind == "common" else "different ones, compared as independent samples"
    if pairing.kind == "different" and gate.baseline is not None:
        images = f"{format_count(gate.candidate.image_count, 'image')} and {gate.baseline.image_count:,}"
    return f"{images} ({kind}; {note})" if note else f"{images} ({kind})"


def _counts(gate: GateResult) -> str:
    """How many rules have which verdict: 2 of 4 rules pass, 1 fails, 1 is inconclusive."""
    counts = gate.counts
    verb = "passes" if 1 in (counts["supported"], len(gate.rules)) else "pass"
    parts = [f"{counts['supported']} of {format_count(len(gate.rules), 'rule')} {verb}"]
    said: dict[Word, tuple[str, str]] = {
        "contradicted": ("fails", "fail"),
        "inconclusive": ("is inconclusive", "are inconclusive"),
        "not_measurable": ("is not measurable", "are not measurable"),
    }
    parts += [f"{counts[word]} {verbs[counts[word] > 1]}" for word, verbs in said.items() if counts[word]]
    return ", ".join(parts)


def _next_steps(gate: GateResult) -> list[str]:
    """What to do about rules that do not pass."""
    counts, steps = gate.counts, []
    if counts["contradicted"] and gate.baseline is not None:
        steps.append("`failmodes compare` of the two shows where they differ")
    if counts["not_measurable"]:
        steps.append("evaluate the missing cells, or leave them out of the rule")
    if counts["inconclusive"]:
        more = "more images, or training seeds" if gate.is_about_training else "more images"
        stop = ", allow more, or let inconclusive rules pass with `--inconclusive pass`"
        steps.append(f"evaluate on {more}{stop if gate.inconclusive == 'stop' else ', or allow more'}")
    return steps


def _first_decision(judged: JudgedStatement) -> str:
    """The worst decision, and the limit."""
    worst = JudgedStatement(judged.statement, (judged.deciding[0],), judged.plan)
    is_one = judged.plan is None or (judged.statement.over == "mean" and len(judged.verdicts) == 1)
    where = "" if is_one else f"{where_text(judged.deciding[0])}: "
    return f"{where}{result_text(worst)}"


def _name(judged: JudgedStatement) -> str:
    """The statement's own name, else its English."""
    return judged.statement.name or english(judged)
