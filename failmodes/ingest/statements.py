"""Statements as TOML tables: the claims of a study, and the rules of a gate.

    [[claims]]                      # of a study, or [[gate.rules]]
    metric = "accuracy"
    corruptions = ["fog"]
    severities = [3, 4, 5]
    relation = "at_least"
    limit = 0.30

The keys of a table decide which form of statement it is; `as_statement` finds the form. Metrics, scores and kinds of
findings are defined elsewhere, and a user may add some: their names are checked where statements are judged, and so are
names of corruptions, which a results folder may hold of its own.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from failmodes.ingest.corruptions.catalog import find_corruption_name, unknown_corruption
from failmodes.ingest.specification import exact_severities, validate
from failmodes.ingest.study_types import PRINTABLE, REAL, Flag, Name, StrictModel, unique_values
from failmodes.runtime.errors import StudyError
from failmodes.runtime.storage.locations import read_toml, study_files
from failmodes.warehouse.curve_shapes import ClaimedShape
from failmodes.warehouse.database_schema import MAX_CLAIMS
from failmodes.warehouse.schema import CLEAN, MAX_SEVERITY

MAX_RULES = 1000
MAX_CORRUPTIONS = 1000
MAX_FILTER = 10_000  # characters
NAMES_OF_MANY = ("headline", "all")  # corruptions: the 15 of the headline metrics, and all
NEEDS_LIMIT = ("at_least", "at_most", "drop_at_least", "drop_at_most", "gap_at_least", "gap_at_most")
SUBJECTS = ("metric", "shape", "kind")  # keys, of which a statement has one


def _severities(severities: object) -> object:
    if severities is None or severities == "last":
        return severities
    if not isinstance(severities, list | tuple) or not severities:
        raise ValueError('expected a list of severities such as [3, 4, 5], or "last"')
    exact = exact_severities(list(severities), MAX_SEVERITY)
    if Decimal(0) in exact:
        raise ValueError('severity 0 is clean: write corruptions = ["none"] instead')
    return exact


EARLY_WARNING = "early_warning"  # the kind of finding that is about a score
GivenName = Annotated[Name, Field(min_length=1)]
UNIQUE_NAMES = AfterValidator(partial(unique_values, subject="corruption"))
Corruptions = Annotated[list[GivenName], Field(min_length=1, max_length=MAX_CORRUPTIONS), UNIQUE_NAMES]
Severities = Annotated[list[Decimal] | Literal["last"] | None, BeforeValidator(_severities)]
# Metrics are shares, or nats and severities of one or two digits
LimitValue = Annotated[float, Field(strict=True, ge=-1e6, le=1e6, allow_inf_nan=False), REAL]
# Scores are probabilities, nats, or logits
ThresholdValue = Annotated[float, Field(strict=True, ge=-1e6, le=1e6, allow_inf_nan=False), REAL]
# 0.5 is a coin toss
Level = Annotated[float, Field(strict=True, gt=0.5, lt=1, allow_inf_nan=False), REAL]


class CellsOf(StrictModel):
    """The cells that a statement's own are compared with.

    Attributes:
        corruptions: names, as those of a statement; default: those of the statement.
        severities: above 0 and up to 999, or "last"; default: those of the statement.
    """

    corruptions: Corruptions | None = None
    severities: Severities = None

    @model_validator(mode="after")
    def _clean_has_no_severity(self) -> "CellsOf":
        _refuse_clean_severities(self.corruptions, self.severities)
        if self.corruptions is None and self.severities is None:
            raise ValueError('give corruptions or severities, as in { corruptions = ["gaussian_noise"] }')
        return self


class Statement(StrictModel):
    """One statement about models, which the data support, contradict, or leave inconclusive.

    Attributes:
        name: its name in reports.
        model: label (with or without its training seed), first letters of an evaluation's identity, or architecture;
            default: every model. Claims only.
    """

    name: Annotated[str, Field(min_length=1, max_length=200), PRINTABLE] | None = None
    model: GivenName | None = None

    @property
    def is_over_each(self) -> bool:
        """Whether it is about each of its cells by itself."""
        return False

    @property
    def all_corruptions(self) -> list[str]:
        """All corruptions that it names."""
        return []


class MetricStatement(Statement):
    """A statement about a metric.

    Attributes:
        metric: the metric, such as "accuracy", "ece", "augrc" or "worst_class_accuracy".
        score: the score that predicts failures, for metrics of failure prediction: "confidence", "margin" …
        relation: the relation of the metric to its limit.
        threshold: of "accepted_share" and "error_accepted", in the unit of the score; their values are conditional
            on it.
        filter: the images that it is about, as an SQL condition on what is known of them; default: all.
    """

    metric: GivenName
    score: GivenName | None = None
    threshold: ThresholdValue | None = None
    relation: str
    filter: Annotated[str, Field(min_length=1, max_length=MAX_FILTER), PRINTABLE] | None = None

    @property
    def is_of_accuracy(self) -> bool:
        """Whether its metric is named as an accuracy, which is a share."""
        return self.metric.endswith("accuracy")


class WithLimit(MetricStatement):
    """A metric, or a difference of two, against a limit.

    Attributes:
        limit: in the unit of the metric; shares are 0-1.
    """

    takes_margin: ClassVar[bool] = False  # a limit below 0 makes no sense

    limit: LimitValue = 0.0

    @model_validator(mode="after")
    def _limit_fits(self) -> "WithLimit":
        if self.takes_margin and self.limit < 0:
            raise ValueError(f"limit: {self.relation} takes a margin of 0 or more (given: {self.limit})")
        if self.is_of_accuracy:
            check_share_limit(self)
        return self


class OfCorruptions(Statement):
    """A statement about corruptions.

    Attributes:
        corruptions: names, "headline" for the 15 of the headline metrics, "all" for all, "none" for clean images;
            default: every stored corruption.
    """

    corruptions: Corruptions | None = None

    @property
    def all_corruptions(self) -> list[str]:
        """All corruptions that it names."""
        return self.corruptions or []


class InCells(OfCorruptions):
    """A statement about cells.

    Attributes:
        severities: above 0 and up to 999, or "last"; default: the whole ones.
    """

    severities: Severities = None

    @model_validator(mode="after")
    def _clean_has_no_severity(self) -> "InCells":
        _refuse_clean_severities(self.corruptions, self.severities)
        return self


class OverCells(InCells, WithLimit):
    """A statement about the mean of a metric over cells, or about each of them.

    Attributes:
        over: "mean" of the chosen cells, each of equal weight; or "each" cell by itself.
    """

    over: Literal["mean", "each"] = "mean"

    @property
    def is_over_each(self) -> bool:
        """Whether it is about each of its cells by itself."""
        return self.over == "each"


class UnderShift(WithLimit):
    """A statement about the images of a natural shift.

    Attributes:
        shift: label of a natural shift, in place of corruptions and severities: the metric on its images.
    """

    shift: GivenName


class Value(WithLimit):
    """A metric against a limit."""

    relation: Literal["at_least", "at_most", "more_than", "less_than"]


class CellValue(Value, OverCells):
    """A metric in cells against a limit."""


class ShiftValue(Value, UnderShift):
    """A metric under a shift against a limit."""


class CellDifference(OverCells):
    """A metric in cells minus that in others, against a limit.

    Attributes:
        other: of more_than and less_than, the cells whose metric is subtracted.
    """

    relation: Literal["more_than", "less_than"]
    other: CellsOf

    @property
    def all_corruptions(self) -> list[str]:
        """All corruptions that it names, those of `other` included."""
        return [*(self.corruptions or ()), *(self.other.corruptions or ())]

    @model_validator(mode="after")
    def _cells_differ(self) -> "CellDifference":
        cells = (self.corruptions, self.severities)
        if (self.other.corruptions or cells[0], self.other.severities or cells[1]) == cells:
            raise ValueError("other names the cells of the statement itself: name others")
        return self


class Drop(OverCells):
    """How much a metric worsens from clean images to cells, against a limit."""

    takes_margin = True

    relation: Literal["drop_at_least", "drop_at_most"]

    @model_validator(mode="after")
    def _is_corrupted(self) -> "Drop":
        if CLEAN in (self.corruptions or ()):
            raise ValueError(f'{self.relation} compares with clean images: leave "none" out of corruptions')
        return self


class ModelDifference(WithLimit):
    """How much better or worse a metric of a model is than that of a baseline, against a limit.

    Attributes:
        baseline: the model to compare with, named likewise. Claims only: a gate names its own in [gate].
    """

    takes_margin = True

    relation: Literal["worse_by_at_most", "better_by_at_least", "better_by_at_most"]
    baseline: GivenName | None = None

    @model_validator(mode="after")
    def _models_differ(self) -> "ModelDifference":
        if self.baseline is not None and self.baseline == self.model:
            raise ValueError(f"model and baseline are both {self.baseline!r}: name two models")
        return self


class CellModelDifference(ModelDifference, OverCells):
    """How much better or worse a model is than a baseline in cells."""


class ShiftModelDifference(ModelDifference, UnderShift):
    """How much better or worse a model is than a baseline under a shift."""


class RestDifference(OverCells):
    """How much worse a metric is on the images of a filter than on all others, against a limit."""

    takes_margin = True

    relation: Literal["worse_than_rest"]

    @model_validator(mode="after")
    def _has_filter(self) -> "RestDifference":
        if self.filter is None:
            raise ValueError('worse_than_rest compares the images of a filter with all others: write filter = "…"')
        return self


class LargestDrop(InCells, MetricStatement):
    """That a metric worsens from clean images under one corruption, and more than under each other."""

    relation: Literal["largest_drop"]

    @model_validator(mode="after")
    def _is_of_one_curve(self) -> "LargestDrop":
        _require_one_corruption(self.relation, self.corruptions)
        if self.severities not in (None, "last"):
            raise ValueError('largest_drop is of the mean over severities, or of severities = "last"')
        return self


class Gap(UnderShift):
    """How much worse a metric is under a shift than on clean images, against a limit."""

    takes_margin = True

    relation: Literal["gap_at_least", "gap_at_most"]


class Shape(OfCorruptions):
    """The shape of an accuracy curve.

    Attributes:
        shape: in place of a metric, the shape of the accuracy curve.
    """

    shape: ClaimedShape

    @model_validator(mode="after")
    def _is_of_one_curve(self) -> "Shape":
        _require_one_corruption("a shape", self.corruptions)
        return self


class KindOfFinding(InCells):
    """A finding of a kind.

    Attributes:
        kind: in place of a metric, a kind of finding, or "attention_on_object".
        score: of "early_warning", the score that predicts failures; default: "confidence".
        negate: of a kind, that the finding does not hold.
    """

    kind: GivenName
    score: GivenName | None = None
    negate: Flag = False

    @model_validator(mode="after")
    def _early_warning_has_a_score_and_no_cells(self) -> "KindOfFinding":
        if self.score is not None and self.kind != EARLY_WARNING:
            raise ValueError(f"score is of a metric, or of kind = {EARLY_WARNING!r}, not of {self.kind!r}")
        if self.kind == EARLY_WARNING and (self.corruptions is not None or self.severities is not None):
            raise ValueError(f"{EARLY_WARNING} is about all corruptions and severities: leave out both keys")
        return self


OF_METRICS = (
    CellValue, CellDifference, Drop, CellModelDifference, RestDifference, LargestDrop,
    ShiftValue, ShiftModelDifference, Gap,
)  # fmt: skip
FORMS: tuple[type[Statement], ...] = (*OF_METRICS, Shape, KindOfFinding)
KEYS = {key: field for form in FORMS for key, field in form.model_fields.items()}
RELATIONS: tuple[str, ...] = tuple(
    dict.fromkeys(name for form in OF_METRICS for name in get_args(form.model_fields["relation"].annotation))
)


def as_statement(content: object) -> Statement:
    """The statement of a table, in the form that its keys give it.

    Args:
        content: keys and values, as TOML gives them; None is a key that is left out. Or a statement.

    Raises:
        ValidationError: of pydantic, with the key, where a key is unknown or a value is invalid.
        ValueError: the keys do not go together.
    """
    if isinstance(content, Statement):
        return content
    if not isinstance(content, Mapping):
        raise _problem("dict_type", (), content)
    keys = {key: value for key, value in content.items() if value is not None}
    for key in keys:
        if key not in KEYS:
            raise _problem("extra_forbidden", (key,), keys[key])
    form, subject = _form_of(keys)
    for key, value in keys.items():
        if key not in form.model_fields and value != KEYS[key].default:
            raise ValueError(f"{key} does not go with {subject}: leave it out")
    if keys.get("relation") in NEEDS_LIMIT and "limit" not in keys:
        raise ValueError(f"{keys['relation']} needs a limit, such as limit = 0.3")
    return form.model_validate({key: value for key, value in keys.items() if key in form.model_fields})


def _form_of(keys: Mapping[str, Any]) -> tuple[type[Statement], str]:
    """The form of a statement with these keys, and what it is about."""
    subjects = [key for key in SUBJECTS if key in keys]
    if len(subjects) != 1:
        raise ValueError(f"give exactly one of metric, shape and kind (given: {' and '.join(subjects) or 'none'})")
    if subjects != ["metric"]:
        return (Shape if subjects == ["shape"] else KindOfFinding), f"a {subjects[0]}"
    relation = keys.get("relation")
    if relation is None:
        raise ValueError(f"a metric needs a relation: one of {', '.join(RELATIONS)}")
    if relation not in RELATIONS:
        raise _problem("literal_error", ("relation",), relation, expected=" or ".join(map(repr, RELATIONS)))
    forms = [form for form in OF_METRICS if relation in get_args(form.model_fields["relation"].annotation)]
    is_shifted = "shift" in keys
    fitting = [form for form in forms if issubclass(form, UnderShift) == is_shifted]
    if not fitting and is_shifted:
        raise ValueError(f"{relation} is of corruptions: write gap_at_least or gap_at_most for a shift")
    if not fitting:
        raise ValueError(f'{relation} is of a natural shift: write shift = "LABEL", or use drop_at_most')
    has_other = "other" in keys and CellDifference in fitting
    return (CellDifference if has_other else fitting[0]), f"{relation}{' of a shift' if is_shifted else ''}"


def _problem(kind: str, location: tuple[str, ...], given: object, **context: str) -> ValidationError:
    problem: Any = {"type": kind, "loc": location, "input": given, "ctx": context}
    return ValidationError.from_exception_data("statement", [problem])


AnyStatement = Annotated[
    CellValue | CellDifference | Drop | CellModelDifference | RestDifference | LargestDrop
    | ShiftValue | ShiftModelDifference | Gap
    | Shape | KindOfFinding,
    BeforeValidator(as_statement),
]  # fmt: skip


def _refuse_clean_severities(corruptions: list[str] | None, severities: object) -> None:
    if corruptions == [CLEAN] and severities is not None:
        raise ValueError('corruptions = ["none"] is clean, which has no severities: leave them out')


def _require_one_corruption(subject: str, corruptions: list[str] | None) -> None:
    if corruptions is None or len(corruptions) != 1 or corruptions[0] in (CLEAN, *NAMES_OF_MANY):
        raise ValueError(f'{subject} is of one corruption: write corruptions = ["fog"]')


def _as_table(content: object) -> object:
    if isinstance(content, str):
        raise ValueError("a claim is a table, not a sentence: write [[claims]] with a metric, a relation and a limit")
    return content


def _as_claim(statement: Statement) -> Statement:
    if isinstance(statement, ModelDifference) and statement.baseline is None:
        raise ValueError(f'{statement.relation} compares with a model: write baseline = "LABEL"')
    return statement


def _as_rule(statement: Statement) -> Statement:
    if statement.model is not None or (isinstance(statement, ModelDifference) and statement.baseline is not None):
        raise ValueError("a gate names its models in [gate], as baseline and candidate: leave out model and baseline")
    return statement


def _of_known_corruptions(statements: list[AnyStatement]) -> list[AnyStatement]:
    for name in (name for statement in statements for name in statement.all_corruptions):
        if name not in (CLEAN, *NAMES_OF_MANY) and find_corruption_name(name) is None:
            raise ValueError(unknown_corruption(name))
    return statements


def _each_once(statements: list[AnyStatement]) -> list[AnyStatement]:
    return list({stored_form(statement): statement for statement in statements}.values())


Claims = Annotated[
    list[Annotated[AnyStatement, BeforeValidator(_as_table), AfterValidator(_as_claim)]],
    Field(max_length=MAX_CLAIMS),
    AfterValidator(_each_once),
]
# Of a study, whose own corruptions are registered by the time
StudyClaims = Annotated[Claims, AfterValidator(_of_known_corruptions)]


class GateSpec(StrictModel):
    """A gate: rules for a candidate, most of them against a baseline.

    Attributes:
        baseline: a model's label (of several training seeds, the label without its seed), an evaluation's identity,
            or a file: FILE.duckdb if it holds one model, else FILE.duckdb::LABEL; relative to the file of the
            rules.
        candidate: the same; default: the only model of the warehouse.
        level: confidence level of every statement: a false rule passes with probability at most 1 minus the level, and
            with the same bound any true rule fails.
        rules: in the order of the report.
    """

    baseline: GivenName | None = None
    candidate: GivenName | None = None
    level: Level = 0.95
    rules: Annotated[list[Annotated[AnyStatement, AfterValidator(_as_rule)]], Field(min_length=1, max_length=MAX_RULES)]


class _RulesFile(StrictModel):
    """A file of rules that is no study; its metrics are read where they are used."""

    gate: GateSpec
    metrics: Any = None


class _ClaimsFile(StrictModel):
    """A file of claims that is no study; its metrics are read where they are used."""

    claims: Claims
    metrics: Any = None


class _OwnClaims(_ClaimsFile):
    claims: StudyClaims


def check_gate(content: Mapping[str, Any], origin: str) -> GateSpec:
    """The gate of a file of rules, or of a study file, whose other keys are ignored.

    Args:
        content: keys and tables, as TOML gives them.
        origin: where they come from, for errors.

    Raises:
        StudyError: there is no table of that name, or the first problem in it.
    """
    if "gate" not in content:
        raise StudyError(f"{origin} has no [gate] table: write [gate] and a [[gate.rules]] table for each rule")
    is_study = "output" in content
    return validate(_RulesFile, {"gate": content["gate"]} if is_study else dict(content), origin).gate


def check_claims(
    content: Sequence[Mapping[str, Any] | Statement], origin: str, *, known_corruptions: bool = False
) -> list[AnyStatement]:
    """Validate claims, in their order; a repeated claim counts once.

    Args:
        content: a table each, as TOML gives them, at most MAX_CLAIMS.
        origin: where they come from, for errors.
        known_corruptions: refuse corruptions that are neither published nor registered; a warehouse may hold others.

    Raises:
        StudyError: the first problem in them.
    """
    model: type[_ClaimsFile] = _OwnClaims if known_corruptions else _ClaimsFile
    return validate(model, {"claims": content}, origin).claims


def claims_file(path: str | Path) -> list[AnyStatement]:
    """The claims of a file of [[claims]] tables, or of a study file, whose other keys are ignored.

    Raises:
        StudyError: it cannot be read, it has no claims, or the first problem in them.
    """
    content = read_toml(Path(path), "claims")
    if "claims" not in content:
        raise StudyError(f"{path} has no claims: write a [[claims]] table for each")
    is_study = "output" in content
    return validate(_ClaimsFile, {"claims": content["claims"]} if is_study else content, str(path)).claims


def claims_of_studies(locations: Iterable[str | Path | None]) -> list[AnyStatement] | None:
    """The claims of the study files among some locations; None where none of them is a study file.

    No code of a study is run: where it brings its own corruptions, or a published dataset, its claims may name any.

    Args:
        locations: as for `find_results`.

    Raises:
        StudyError: a study cannot be read, or the first problem in its claims.
    """
    studies = study_files(locations)
    return [claim for path in studies for claim in _claims_of_study(path)] if studies else None


def _claims_of_study(path: Path) -> list[AnyStatement]:
    content = read_toml(path)
    corruptions = content.get("corruptions")
    part = corruptions if isinstance(corruptions, Mapping) else {}
    names = part.get("names")
    has_own = "published" in part or any(":" in str(name) for name in (names if isinstance(names, list) else [names]))
    return check_claims(content.get("claims", []), str(path), known_corruptions=not has_own)


def as_table(statement: Statement) -> dict[str, Any]:
    """The keys that a statement gives, in the order of the fields, as TOML and JSON write them."""
    keys: dict[str, Any] = json.loads(stored_form(statement))
    return keys


def stored_form(statement: Statement) -> str:
    """A statement as JSON of the keys that it gives, in the order of the fields; equal statements give equal texts."""
    keys = statement.model_dump(exclude_defaults=True)
    if isinstance(statement, WithLimit) and statement.relation in NEEDS_LIMIT:
        keys["limit"] = statement.limit
    return json.dumps(keys, default=_number, ensure_ascii=False)


def from_stored(text: str) -> AnyStatement:
    """The claim that `stored_form` wrote.

    Raises:
        StudyError: it is not a claim.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise StudyError(f"a stored statement is not valid JSON: {error}") from error
    return check_claims([content], "a stored statement")[0]


def _number(value: Decimal) -> int | float:
    return int(value) if value == int(value) else float(value)


def check_share_limit(statement: WithLimit) -> None:
    """Refuse the limit of a share outside 0 to 1, such as a percentage.

    Raises:
        ValueError: it is outside.
    """
    if abs(statement.limit) > 1:
        hint = f"write {statement.limit / 100:g} for {statement.limit:g}%"
        raise ValueError(f"limit: {statement.metric} is a share, and shares are 0 to 1: {hint}")
