"""Statements as TOML tables: the claims of a study, and the rules of a gate.

    [[claims]]                      # of a study, or [[gate.rules]]
    metric = "accuracy"
    corruptions = ["fog"]
    severities = [3, 4, 5]
    relation = "at_least"
    limit = 0.30

Metrics, scores and kinds of findings are defined elsewhere, and a user may add some: their names are checked where
statements are judged, and so are names of corruptions, which a results folder may hold of its own.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from failmodes.ingest.corruptions.catalog import find_corruption_name, unknown_corruption
from failmodes.ingest.specification import StrictModel, exact_severities, validate
from failmodes.ingest.study_types import PRINTABLE, REAL, Flag, Name, unique_values
from failmodes.runtime.errors import StudyError
from failmodes.runtime.storage.locations import read_toml, study_files
from failmodes.warehouse.database_schema import MOST_CLAIMS
from failmodes.warehouse.schema import CLEAN

MOST_RULES = 1000
MOST_CORRUPTIONS = 1000
NAMES_OF_MANY = ("headline", "all")  # corruptions: the 15 of the headline metrics, and all

Relation = Literal[
    "at_least", "at_most", "more_than", "less_than", "drop_at_least", "drop_at_most",
    "worse_by_at_most", "better_by_at_least", "largest_drop", "gap_at_least", "gap_at_most",
]  # fmt: skip
Shape = Literal[
    "flat", "rise", "recovers", "up_and_down", "near_linear", "two_steps", "abrupt", "late", "early", "middle"
]  # fmt: skip
RELATIONS: tuple[Relation, ...] = get_args(Relation)
SHAPES: tuple[Shape, ...] = get_args(Shape)
NEEDS_LIMIT = ("at_least", "at_most", "drop_at_least", "drop_at_most", "gap_at_least", "gap_at_most")
DROPS = ("drop_at_least", "drop_at_most")
GAPS = ("gap_at_least", "gap_at_most")
WITH_BASELINE = ("worse_by_at_most", "better_by_at_least")
WITH_OTHER = ("more_than", "less_than")
OF_EVERY_STATEMENT = {"name", "model"}  # keys


def _severities(given: object) -> object:
    if given is None or given == "last":
        return given
    if not isinstance(given, list | tuple) or not given:
        raise ValueError('expected a list of severities such as [3, 4, 5], or "last"')
    exact = exact_severities(list(given))
    if Decimal(0) in exact:
        raise ValueError('severity 0 is clean: write corruptions = ["none"] instead')
    return exact


GivenName = Annotated[Name, Field(min_length=1)]
UNIQUE_NAMES = AfterValidator(partial(unique_values, subject="corruption"))
Corruptions = Annotated[list[GivenName], Field(min_length=1, max_length=MOST_CORRUPTIONS), UNIQUE_NAMES]
Severities = Annotated[list[Decimal] | Literal["last"] | None, BeforeValidator(_severities)]
# Metrics are shares, or nats and severities of one or two digits
LimitValue = Annotated[float, Field(strict=True, ge=-1e6, le=1e6, allow_inf_nan=False), REAL]
# 0.5 is a coin toss
Level = Annotated[float, Field(strict=True, gt=0.5, lt=1, allow_inf_nan=False), REAL]


class CellsOf(StrictModel):
    """The cells that a statement's own are compared with.

    Attributes:
        corruptions: names, as those of a statement; default: those of the statement.
        severities: above 0 and up to 5, or "last"; default: those of the statement.
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
        metric: the metric, such as "accuracy", "ece", "augrc" or "worst_class_accuracy".
        score: the score that predicts failures, for metrics of failure prediction: "confidence", "margin" …
        corruptions: names, "headline" for the 15 of the headline metrics, "all" for all, "none" for clean images;
            default: every stored corruption.
        severities: above 0 and up to 5, or "last"; default: the whole ones.
        shift: label of a natural shift, in place of corruptions and severities: the metric on its images.
        over: "mean" of the chosen cells, each of equal weight; or "each" cell by itself.
        relation: the relation of the metric to its limit.
        limit: in the unit of the metric; shares are 0-1.
        other: of more_than and less_than, the cells whose metric is subtracted.
        shape: in place of a metric, the shape of the accuracy curve.
        kind: in place of a metric, a kind of finding, or "attention_on_object".
        negate: of a kind, that the finding does not hold.
        model: label (with or without its training seed), first letters of an evaluation's identity, or architecture;
            default: every model. Claims only.
        baseline: the model to compare with, named likewise. Claims only: a gate names its own in [gate].
    """

    name: Annotated[str, Field(min_length=1, max_length=200), PRINTABLE] | None = None
    metric: GivenName | None = None
    score: GivenName | None = None
    corruptions: Corruptions | None = None
    severities: Severities = None
    shift: GivenName | None = None
    over: Literal["mean", "each"] = "mean"
    relation: Relation | None = None
    limit: LimitValue | None = None
    other: CellsOf | None = None
    shape: Shape | None = None
    kind: GivenName | None = None
    negate: Flag = False
    model: GivenName | None = None
    baseline: GivenName | None = None

    @property
    def is_relative(self) -> bool:
        """Whether it compares with a baseline."""
        return self.relation in WITH_BASELINE

    @property
    def is_drop(self) -> bool:
        """Whether its value is how much the metric worsens from clean images."""
        return self.relation in DROPS

    @property
    def is_gap(self) -> bool:
        """Whether its value is how much the metric is worse under a shift than on clean images."""
        return self.relation in GAPS

    @property
    def bound(self) -> float:
        """The limit; default: 0."""
        return self.limit or 0.0

    @property
    def title(self) -> str:
        """Its name in reports, else its English text."""
        return self.name or statement_text(self)

    @property
    def all_corruptions(self) -> list[str]:
        """All corruptions that it names, those of `other` included."""
        return [*(self.corruptions or ()), *((self.other and self.other.corruptions) or ())]

    @model_validator(mode="after")
    def _one_subject(self) -> "Statement":
        given = [key for key in ("metric", "shape", "kind") if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of metric, shape and kind (given: {' and '.join(given) or 'none'})")
        if self.metric is not None and self.relation is None:
            raise ValueError(f"a metric needs a relation: one of {', '.join(RELATIONS)}")
        if self.is_gap and self.shift is None:
            raise ValueError(f'{self.relation} is of a natural shift: write shift = "LABEL", or use drop_at_most')
        if self.shift is not None and (self.is_drop or self.relation == "largest_drop"):
            raise ValueError(f"{self.relation} is of corruptions: write gap_at_least or gap_at_most for a shift")
        subject, takes = self._takes()
        for key, field in type(self).model_fields.items():
            if key not in takes and getattr(self, key) != field.default:
                raise ValueError(f"{key} does not go with {subject}: leave it out")
        return self

    def _takes(self) -> tuple[str, set[str]]:
        """What it is about, and the keys that go with that."""
        if self.shape is not None:
            return "a shape", OF_EVERY_STATEMENT | {"shape", "corruptions"}
        if self.kind is not None:
            return "a kind", OF_EVERY_STATEMENT | {"kind", "negate", "corruptions", "severities"}
        takes = OF_EVERY_STATEMENT | {"metric", "score", "relation"}
        takes |= {"corruptions", "severities"} if self.shift is None else {"shift"}
        takes |= {"limit"} if self.relation != "largest_drop" else set()
        takes |= {"over"} if self.shift is None and self.relation != "largest_drop" else set()
        takes |= {"other"} if self.shift is None and self.relation in WITH_OTHER else set()
        takes |= {"baseline"} if self.is_relative else set()
        return f"{self.relation}{' of a shift' if self.shift is not None else ''}", takes

    @model_validator(mode="after")
    def _cells_fit(self) -> "Statement":
        _refuse_clean_severities(self.corruptions, self.severities)
        if self.shape is not None or self.relation == "largest_drop":
            subject = "a shape" if self.shape is not None else "largest_drop"
            names = self.corruptions or []
            if len(names) != 1 or names[0] in (CLEAN, *NAMES_OF_MANY):
                raise ValueError(f'{subject} is of one corruption: write corruptions = ["fog"]')
        if self.relation == "largest_drop" and self.severities not in (None, "last"):
            raise ValueError('largest_drop is of the mean over severities, or of severities = "last"')
        if self.is_drop and CLEAN in (self.corruptions or ()):
            raise ValueError(f'{self.relation} compares with clean images: leave "none" out of corruptions')
        own, other = (self.corruptions, self.severities), self.other
        if other is not None and (other.corruptions or own[0], other.severities or own[1]) == own:
            raise ValueError("other names the cells of the statement itself: name others")
        return self

    @model_validator(mode="after")
    def _limit_fits(self) -> "Statement":
        if self.relation in NEEDS_LIMIT and self.limit is None:
            raise ValueError(f"{self.relation} needs a limit, such as limit = 0.3")
        if (self.is_drop or self.is_gap or self.is_relative) and self.bound < 0:
            raise ValueError(f"limit: {self.relation} takes a margin of 0 or more (given: {self.limit})")
        if _is_share(self) and abs(self.bound) > 1:
            hint = f"write {self.bound / 100:g} for {self.bound:g}%"
            raise ValueError(f"limit: {self.metric} is a share, and shares are 0 to 1: {hint}")
        if self.baseline is not None and self.baseline == self.model:
            raise ValueError(f"model and baseline are both {self.baseline!r}: name two models")
        return self


def _refuse_clean_severities(corruptions: list[str] | None, severities: object) -> None:
    if corruptions == [CLEAN] and severities is not None:
        raise ValueError('corruptions = ["none"] is clean, which has no severities: leave them out')


def _as_table(given: object) -> object:
    if isinstance(given, str):
        raise ValueError("a claim is a table, not a sentence: write [[claims]] with a metric, a relation and a limit")
    return given


def _as_claim(statement: Statement) -> Statement:
    if statement.is_relative and statement.baseline is None:
        raise ValueError(f'{statement.relation} compares with a model: write baseline = "LABEL"')
    return statement


def _as_rule(statement: Statement) -> Statement:
    if statement.model is not None or statement.baseline is not None:
        raise ValueError("a gate names its models in [gate], as baseline and candidate: leave out model and baseline")
    return statement


def _of_known_corruptions(statements: list[Statement]) -> list[Statement]:
    for name in (name for statement in statements for name in statement.all_corruptions):
        if name not in (CLEAN, *NAMES_OF_MANY) and find_corruption_name(name) is None:
            raise ValueError(unknown_corruption(name))
    return statements


def _each_once(statements: list[Statement]) -> list[Statement]:
    return list({stored_form(statement): statement for statement in statements}.values())


Claims = Annotated[
    list[Annotated[Statement, BeforeValidator(_as_table), AfterValidator(_as_claim)]],
    Field(max_length=MOST_CLAIMS),
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
    rules: Annotated[list[Annotated[Statement, AfterValidator(_as_rule)]], Field(min_length=1, max_length=MOST_RULES)]


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
) -> list[Statement]:
    """Validate claims, in their order; a repeated claim counts once.

    Args:
        content: a table each, as TOML gives them, at most MOST_CLAIMS.
        origin: where they come from, for errors.
        known_corruptions: refuse corruptions that are neither published nor registered; a warehouse may hold others.

    Raises:
        StudyError: the first problem in them.
    """
    model: type[_ClaimsFile] = _OwnClaims if known_corruptions else _ClaimsFile
    return validate(model, {"claims": content}, origin).claims


def claims_file(path: str | Path) -> list[Statement]:
    """The claims of a file of [[claims]] tables, or of a study file, whose other keys are ignored.

    Raises:
        StudyError: it cannot be read, it has no claims, or the first problem in them.
    """
    content = read_toml(Path(path))
    if "claims" not in content:
        raise StudyError(f"{path} has no claims: write a [[claims]] table for each")
    is_study = "output" in content
    return validate(_ClaimsFile, {"claims": content["claims"]} if is_study else content, str(path)).claims


def claims_of_studies(locations: Iterable[str | Path | None]) -> list[Statement] | None:
    """The claims of the study files among some locations; None where none of them is a study file.

    No code of a study is run: where it brings its own corruptions, or a published dataset, its claims may name any.

    Args:
        locations: as for `find_results`.

    Raises:
        StudyError: a study cannot be read, or the first problem in its claims.
    """
    studies = study_files(locations)
    return [claim for path in studies for claim in _claims_of_study(path)] if studies else None


def _claims_of_study(path: Path) -> list[Statement]:
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
    return json.dumps(statement.model_dump(exclude_defaults=True), default=_number, ensure_ascii=False)


def stored_rows(claims: Iterable[Statement]) -> list[tuple[str, str]]:
    """Claims as a load stores them: what each is called, and its JSON."""
    return [(claim.title, stored_form(claim)) for claim in claims]


def from_stored(text: str) -> Statement:
    """The statement that `stored_form` wrote.

    Raises:
        StudyError: it is not a statement.
    """
    try:
        content = json.loads(text)
    except ValueError as error:
        raise StudyError(f"a stored statement is not valid JSON: {error}") from error
    return validate(Statement, content, "a stored statement")


def _number(value: Decimal) -> int | float:
    return int(value) if value == int(value) else float(value)


_SHAPE_WORDS: dict[Shape, str] = {
    "flat": "is flat",
    "rise": "rises",
    "near_linear": "is near-linear",
    "late": "drops late",
    "early": "drops early",
    "middle": "drops most steeply in the middle",
    "abrupt": "drops abruptly",
    "two_steps": "drops in two steps",
    "recovers": "drops and recovers",
    "up_and_down": "goes up and down",
}
_ATTENTION_WORDS = {  # kind: as stated, and negated
    "attention_on_object": ("is on the object", "is not on the object"),
    "attention_off_object": ("leaves the object", "does not leave the object"),
    "attention_drift": ("stays near its clean location", "loses its clean location"),
}


def statement_text(statement: Statement, title: str | None = None, *, is_share: bool | None = None) -> str:
    """A statement in English, such as "accuracy under fog at severity 5 is at least 30%"; nothing reads it back.

    Args:
        statement: the statement.
        title: title of its metric; default: its name.
        is_share: whether values of the metric are shares; default: accuracies are.
    """
    of = f' of "{statement.model}"' if statement.model else ""
    where = _where(statement, statement.over if statement.metric else None)
    if statement.shape is not None:
        return f"the accuracy curve{of} {where} {_SHAPE_WORDS[statement.shape]}"
    if statement.kind in _ATTENTION_WORDS:
        return f"attention{of} {where} {_ATTENTION_WORDS[statement.kind][statement.negate]}"
    if statement.kind is not None:
        return f"{'no ' * statement.negate}{_spaced(statement.kind)}{of} {where}"
    score = f" by {_spaced(statement.score)}" if statement.score else ""
    metric = f"{title or _spaced(str(statement.metric))}{score}{of}"
    return _of_metric(statement, metric, where, is_share=_is_share(statement) if is_share is None else is_share)


def _of_metric(statement: Statement, metric: str, where: str, *, is_share: bool) -> str:
    margin = _amount(statement.bound, is_share=is_share, is_difference=True)
    if statement.other is not None:
        return _compared(statement, metric, margin)
    words = _spaced(str(statement.relation))
    if statement.relation == "largest_drop":
        return f"{metric} drops most {where}"
    if statement.is_drop:
        verb = "drops" if _is_share(statement) else "worsens from clean images"
        return f"{metric} {verb} by {words.removeprefix('drop ')} {margin} {where}"
    if statement.is_gap:
        extent = "at most" if statement.relation == "gap_at_most" else "at least"
        return f"{metric} is {extent} {margin} worse {where} than on clean images"
    if statement.is_relative:
        named = "the baseline" if statement.baseline is None else f'"{statement.baseline}"'
        is_worse = statement.relation == "worse_by_at_most"
        if statement.bound == 0:
            return f"{metric} {where} is {'no worse' if is_worse else 'better'} than that of {named}"
        extent = "at most" if is_worse else "at least"
        return f"{metric} {where} is {extent} {margin} {'worse' if is_worse else 'better'} than that of {named}"
    return f"{metric} {where} is {words} {_amount(statement.bound, is_share=is_share)}"


def _compared(statement: Statement, metric: str, margin: str) -> str:
    """A statement that compares cells with others; severities that are those of both are said once."""
    given = statement.other or CellsOf(severities="last")
    corruptions = given.corruptions or statement.corruptions
    severities = None if corruptions == [CLEAN] else given.severities or statement.severities
    one, other = statement, statement.model_copy(update={"corruptions": corruptions, "severities": severities})
    over, at = statement.over, ""
    if CLEAN not in (one.corruptions or ())[:1] and corruptions != [CLEAN] and one.severities == other.severities:
        places = _under(one, over), _under(other, over)
        at = f" {_at(one, over)}".rstrip()
    else:
        places = _where(one, over), _where(other, over)
    if statement.bound == 0:
        word = "higher" if statement.relation == "more_than" else "lower"
        return f"{metric} is {word} {places[0]} than {places[1]}{at}"
    return f"{metric} {places[0]} minus that {places[1]} is {_spaced(str(statement.relation))} {margin}{at}"


def _where(statement: Statement, over: str | None) -> str:
    return f"{_under(statement, over)} {_at(statement, over)}".rstrip()


def _under(statement: Statement, over: str | None) -> str:
    corruptions = statement.corruptions
    if statement.shift is not None:
        return f"under the shift {statement.shift}"
    if corruptions == [CLEAN]:
        return "on clean images"
    is_many = corruptions is None or len(corruptions) > 1 or corruptions[0] in NAMES_OF_MANY
    names = "corruptions" if corruptions is None else _listed(corruptions)
    if is_many and over == "mean":
        return f"on average over {names}"
    if corruptions is None:
        return "under each corruption" if over else "under corruption"
    return f"under {'each of ' if is_many and over else ''}{names}"


def _at(statement: Statement, over: str | None) -> str:
    corruptions, severities = statement.corruptions, statement.severities
    if statement.shift is not None:
        return ""
    if severities == "last":
        return "at the last severity"
    if severities is not None:
        levels = [f"{_number(level):g}" for level in severities]
        return f"at severit{'y' if len(levels) == 1 else 'ies'} {_joined(levels)}"
    if over == "each":
        return "at each severity"
    is_one = corruptions is not None and len(corruptions) == 1 and corruptions[0] not in (CLEAN, *NAMES_OF_MANY)
    return "on average over severities" if over and is_one else ""


def _listed(corruptions: Sequence[str]) -> str:
    names = {CLEAN: "clean images", "headline": "the headline corruptions", "all": "all corruptions"}
    return _joined(
        [
            names.get(name) or _spaced(name).replace("jpeg", "JPEG").replace("gaussian", "Gaussian")
            for name in corruptions
        ]
    )


def _joined(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _is_share(statement: Statement) -> bool:
    return str(statement.metric).endswith("accuracy")


def _amount(value: float, *, is_share: bool, is_difference: bool = False) -> str:
    if not is_share:
        return f"{value:.10g}"
    amount = f"{100 * value:.10g}"
    if not is_difference:
        return f"{amount}%"
    return f"{amount} point" if amount == "1" else f"{amount} points"
