"""What a gate found: rules with their verdicts, in every output format."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from failmodes.analysis.judging.statement import WORDS, JudgedStatement, Verdict
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
from failmodes.analysis.render.blocks import Block, Case, Document, Sentence
from failmodes.analysis.render.documents import Rendered
from failmodes.analysis.render.formatting import NO_BREAK, format_count
from failmodes.analysis.render.tables import text_table
from failmodes.analysis.statistics.image_pairing import ImagePairing
from failmodes.analysis.statistics.opened_models import DescribedModel, duplicates_notes
from failmodes.warehouse.errors import printable
from failmodes.warehouse.terminal import without_commands

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
        next_command: that shows more, as it is typed into a shell.
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
        """Whether the pipeline may go on."""
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
        """Whether the gate passes and what that rests on, a row a rule, and what to do next.

        Its data have every rule and decision; a test case is a rule over the mean, or a cell of a rule over each.
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
        """Which model is judged, and against which."""
        return " against ".join(model.label for model in self._models)

    @property
    def _outcome(self) -> str:
        return "passes" if self.passed else "stops"

    @property
    def _counts(self) -> str:
        """How many rules have which verdict."""
        tally = tally_verdicts([rule.verdict for rule in self.rules], gate_word)
        return f"{format_count(len(self.rules), 'rule')}: {tally}"

    def __repr__(self) -> str:
        """One line that begins with the rules that do not pass: a failed test shows only some 200 letters of it."""
        said = (
            f"{gate_word(word)}: {_first_decision(rule)} ({_name(rule)})"
            for word in WORDS  # the worst first
            for rule in self.rules
            if rule.verdict == word != "supported"
        )
        line = f"gate {self._outcome}: {'; '.join(said) or self._counts}"
        return f"<{without_commands(printable(line, len(line)).replace(NO_BREAK, ' '))}>"

    def _next_steps(self) -> list[str]:
        """What to do about rules that are neither passed nor failed."""
        verdicts, steps = {rule.verdict for rule in self.rules}, []
        if "not_measurable" in verdicts:
            steps.append("evaluate the missing cells, or leave them out of the rule")
        if "inconclusive" in verdicts:
            more = "more images, or training seeds" if self.is_about_training else "more images"
            stop = ", allow more, or let inconclusive rules pass with `--inconclusive pass`"
            steps.append(f"evaluate on {more}{stop if self.inconclusive == 'stop' else ', or allow more'}")
        return steps

    def _case(self, rule: JudgedStatement, one: Verdict) -> Case:
        """A decision: one that fails is a failure, one that cannot be made an error.

        An inconclusive one is a failure where it stops the pipeline, else it is skipped.
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
        """Metrics are as in the warehouse (shares 0-1), and differences candidate minus baseline."""
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
