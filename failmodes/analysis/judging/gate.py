"""A gate: the rules of a file judged for a candidate, the exit code for a pipeline, and the output."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path
from shlex import quote
from typing import Any, Literal

from threadpoolctl import threadpool_limits

from failmodes.analysis.evaluations.comparability import IMAGES
from failmodes.analysis.judging.cells import Runs
from failmodes.analysis.judging.claims import judge_kind
from failmodes.analysis.judging.judge import NOT_EVALUATED, WORDS, Decision, Question, Verdict, ask, judge
from failmodes.analysis.judging.seal import SealCheck, checked_seals, gate_lines, seal_blocks
from failmodes.analysis.judging.stored import open_current
from failmodes.analysis.judging.wording import (
    CASE_OUTCOMES,
    GATE_WORDS,
    MARKS,
    about_text,
    english,
    gate_word,
    images_text,
    json_head,
    json_verdict,
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
    differing_models,
    duplicates_notes,
    open_models,
)
from failmodes.analysis.statistics.run_rows import ImagePairing
from failmodes.ingest.statements import GateSpec, MetricStatement, check_gate
from failmodes.runtime.errors import StudyError, printable
from failmodes.runtime.storage.locations import find_results, find_warehouse, read_toml, user_path
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
        seals: of the rules, each beside them; see `failmodes seal`.
    """

    origin: str
    candidate: DescribedModel
    baseline: DescribedModel | None
    pairing: ImagePairing | None
    is_about_training: bool
    level: float
    inconclusive: Inconclusive
    rules: tuple[Verdict, ...]
    next_command: str
    seals: Sequence[SealCheck] = ()

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
        level = f"One-sided {100 * self.level:.10g}% bounds"
        basis = (level, images, about_text(self.is_about_training, *self._models))
        blocks: tuple[Block, ...] = (
            Sentence(f"Gate {self._outcome}: {self._title}", "lead"),
            Sentence(
                f"{self._counts} (exit code {self.exit_code}). Rules: {self.origin}. "
                f"{'; '.join((*basis, *duplicates_notes(*self._models)))}."
            ),
            text_table("Rules", ("Verdict", "Rule", "Result"), rows),
            *seal_blocks(self.seals),
            *(Sentence(f"Next: {step}.", "item") for step in self._next_steps()),
        )
        cases = tuple(self._case(rule, decision) for rule in self.rules for decision in rule.decisions)
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
        verdicts = {rule.verdict for rule in self.rules}
        steps = []
        reasons = {one.reason for rule in self.rules for one in rule.decisions if one.verdict == "not_measurable"}
        if NOT_EVALUATED in reasons:
            steps.append("evaluate the missing cells, or exclude them from the rule")
        if reasons - {NOT_EVALUATED}:
            steps.append("evaluate on more images, or use another metric for what is not measurable")
        if "inconclusive" in verdicts:
            more = "more images, or training seeds" if self.is_about_training else "more images"
            stop = ", relax the limit, or let inconclusive rules pass with `--inconclusive pass`"
            steps.append(f"evaluate on {more}{stop if self.inconclusive == 'stop' else ', or relax the limit'}")
        return steps

    def _case(self, rule: Verdict, decision: Decision) -> Case:
        """A decision as a test case: a failure if it fails, an error if it is not measurable.

        An inconclusive one is a failure if it stops the pipeline, otherwise it is skipped.
        """
        stops = decision.verdict == "inconclusive" and self.inconclusive == "stop"
        return Case(
            name=where_text(decision) if rule.statement.is_over_each or len(rule.decisions) > 1 else "mean",
            group=f"failmodes.gate.{_name(rule)}",
            outcome="failure" if stops else CASE_OUTCOMES[decision.verdict],
            message=f"{english(rule)}: {result_text(replace(rule, decisions=(decision,)))}",
            kind=GATE_WORDS[decision.verdict],
        )

    def _data(self, images: str) -> dict[str, Any]:
        """What docs/gate.md lists; differences are candidate minus baseline."""
        return {
            **json_head("gate", self.level),
            "passed": self.passed,
            "exit_code": self.exit_code,
            "inconclusive": self.inconclusive,
            "rules_from": self.origin,
            "candidate": asdict(self.candidate),
            "baseline": self.baseline and asdict(self.baseline),
            "images": images,
            "pairing": self.pairing and asdict(self.pairing),
            "is_about_training": self.is_about_training,
            "verdicts": [json_verdict(rule) for rule in self.rules],
            "seals": [seal.data() for seal in self.seals],
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
        StudyError: the file does not exist, the rules or another argument are invalid, candidate and baseline are not
            comparable, or a warehouse has no such model, or several.
        WarehouseError: a warehouse cannot be read.
    """
    if inconclusive not in ("stop", "pass"):
        raise StudyError(f"inconclusive is {inconclusive!r}: expected 'stop' or 'pass'")
    content, folder, origin, study = _content(rules)
    gate = check_gate(content, origin)
    chosen = {"candidate": candidate, "baseline": baseline}
    effective = gate.model_copy(update={name: model for name, model in chosen.items() if model})
    path = user_path(where) if where is not None else study if "output" in content else None
    user_defined = user_metrics([*read_metrics(content.get(KEY) or [], folder, origin), *metrics])
    judged = candidate or _anchored(gate.candidate, folder) or str(find_warehouse(path).absolute())  # its one model
    against = baseline or _anchored(gate.baseline, folder)
    with open_models([judged, *filter(None, [against])], path) as opened:
        models = ModelMetrics(*(model.rows() for model in opened), metrics=known_metrics(user_defined))
        differ = differing_models(opened[1], opened[0], models.pairing) if against else {}
        differ.pop(IMAGES, None)  # other images are independent samples
        if differ:
            raise StudyError(
                f"{opened[0].label} is not comparable with the baseline {opened[1].label}: they differ in "
                f"{'; '.join(differ.values())}: evaluate both alike"
            )
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
            checked_seals(find_results(path) if path else opened[0].path.parent, "gate", gate_lines(effective), origin),
        )


def judge_rules(
    gate: GateSpec,
    models: ModelMetrics,
    candidate: OpenedModel | None,
    origin: str,
    baseline: OpenedModel | None = None,
) -> tuple[Verdict, ...]:
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
    sides = [None if side is None else Runs(side.con, side.model.runs) for side in (candidate, baseline)]
    asked: list[Question | Verdict] = []
    with threadpool_limits(1):  # many small products: more threads mostly wait
        for number, rule in enumerate(gate.rules):
            place = f"{origin}: gate.rules.{number}"
            if isinstance(rule, MetricStatement):
                question, _ = ask(rule, models, place, candidate=sides[0], baseline=sides[1], extras=extras)
                _refuse_wrong_side(question, place)
                asked.append(question)
                continue
            assert candidate is not None, "a rule about a shape or a finding requires a warehouse"
            with open_current(candidate.path) as con:
                asked.append(judge_kind(con, candidate.selection, rule, place))
        return tuple(judge(asked, gate.level))


def _refuse_wrong_side(question: Question, place: str) -> None:
    """Refuse a limit on the side that the worst model would pass."""
    metric, relation = question.metric, question.statement.relation
    better = {"higher": "at_least", "lower": "at_most"}.get(metric.better)
    if better and relation in ("at_least", "at_most") and relation != better:
        raise StudyError(
            f"{place}: {metric.name} is better if {metric.better}: use relation {better} (given: {relation})"
        )


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
    return read_toml(path, "gate"), path.parent, path.name, path


def _anchored(name: str | None, folder: Path) -> str | None:
    """A model's name, with its file, if it has one, relative to the folder of the rules."""
    if name is None:
        return None
    file, separator, label = name.partition(SEPARATOR)
    return f"{folder / file}{separator}{label}" if file.endswith(SUFFIX) else name


def _first_decision(judged: Verdict) -> str:
    """The worst decision, and the limit."""
    first = judged.deciding[0]
    is_one = judged.question is None or (len(judged.decisions) == 1 and not judged.statement.is_over_each)
    return f"{'' if is_one else f'{where_text(first)}: '}{result_text(replace(judged, decisions=(first,)))}"


def _name(judged: Verdict) -> str:
    """The statement's own name, else its English."""
    return judged.statement.name or english(judged)
