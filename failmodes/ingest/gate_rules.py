"""The rules of a gate, as a table of TOML: what a candidate must be shown to keep before a pipeline goes on.

    [gate]
    baseline = "Net A"
    candidate = "Net B"
    [[gate.rules]]
    metric = "accuracy"
    corruptions = ["fog"]
    severities = [3, 4, 5]
    worse_by_at_most = 0.01

Which metrics there are is known where they are computed: names of metrics, scores and corruptions are checked there.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from failmodes.ingest.specification import StrictModel, exact_severities, unique_values, validate
from failmodes.ingest.study_types import PRINTABLE, REAL, Name
from failmodes.warehouse.errors import StudyError

LIMIT_KEYS = ("worse_by_at_most", "at_least", "at_most")
MOST_RULES = 1000
MOST_CORRUPTIONS = 1000

GivenName = Annotated[Name, Field(min_length=1)]
# Measures are shares, or nats and severities of one or two digits
LimitValue = Annotated[float, Field(strict=True, ge=-1e6, le=1e6, allow_inf_nan=False), REAL]
MarginValue = Annotated[float, Field(strict=True, ge=0, le=1e6, allow_inf_nan=False), REAL]
# Half is what a coin shows
Level = Annotated[float, Field(strict=True, gt=0.5, lt=1, allow_inf_nan=False), REAL]


class GateRule(StrictModel):
    """One rule: a metric of some cells, and its limit.

    Attributes:
        metric: what is measured, such as "accuracy", "ece", "augrc" or "worst_class_accuracy".
        score: what failures are predicted by, for metrics of failure prediction: "confidence", "margin" …
        corruptions: names, "headline" for the 15 of the headline metrics, "none" for clean; every corruption on record
            if not given.
        severities: above 0 and up to 5; every severity on record if not given.
        over: "mean" of the chosen cells, each of equal weight; or "each" cell by itself.
        worse_by_at_most: how much worse than the baseline it may be, in the unit of the metric.
        at_least: the least that a metric which is better the higher may be.
        at_most: the most that a metric which is better the lower may be.
        name: what the rule is called where it is told of.
    """

    metric: GivenName
    score: GivenName | None = None
    corruptions: Annotated[list[GivenName], Field(min_length=1, max_length=MOST_CORRUPTIONS)] | None = None
    severities: Annotated[list[Decimal], Field(min_length=1)] | None = None
    over: Literal["mean", "each"] = "mean"
    worse_by_at_most: MarginValue | None = None
    at_least: LimitValue | None = None
    at_most: LimitValue | None = None
    name: Annotated[str, Field(min_length=1, max_length=200), PRINTABLE] | None = None

    @property
    def limit_key(self) -> str:
        """The one limit that it gives: its key."""
        return next(key for key in LIMIT_KEYS if getattr(self, key) is not None)

    @property
    def limit(self) -> float:
        """The value under that key."""
        return float(getattr(self, self.limit_key))

    @property
    def is_relative(self) -> bool:
        """Whether it compares with the baseline."""
        return self.worse_by_at_most is not None

    @field_validator("corruptions")
    @classmethod
    def _distinct(cls, names: list[str] | None) -> list[str] | None:
        return None if names is None else unique_values(names, "corruption")

    @field_validator("severities", mode="before")
    @classmethod
    def _levels(cls, severities: object) -> object:
        if not isinstance(severities, list):
            return severities
        exact = exact_severities(severities)
        if Decimal(0) in exact:
            raise ValueError('severity 0 is clean: write corruptions = ["none"] instead')
        return exact

    @model_validator(mode="after")
    def _one_limit(self) -> "GateRule":
        given = [key for key in LIMIT_KEYS if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(
                f"a rule needs exactly one of {', '.join(LIMIT_KEYS[:-1])} and {LIMIT_KEYS[-1]} "
                f"(given: {' and '.join(given) or 'none'})"
            )
        if self.corruptions == ["none"] and self.severities is not None:
            raise ValueError('corruptions = ["none"] is clean, which has no severities: leave them out')
        return self


class GateSpec(StrictModel):
    """A gate: rules about a candidate, most of them against a baseline.

    Attributes:
        baseline: a model's label (of several training seeds, the label without its seed), an evaluation's identity,
            or a file: FILE.duckdb where it holds one model, else FILE.duckdb::LABEL; relative to the file of the
            rules.
        candidate: the same; if not given, the one model of the warehouse.
        level: of every statement: the chance that a rule is said to hold that does not is at most 1 minus it, and so is
            the chance that any rule is said to fail that does not.
        rules: in the order in which they are told of.
    """

    baseline: GivenName | None = None
    candidate: GivenName | None = None
    level: Level = 0.95
    rules: Annotated[list[GateRule], Field(min_length=1, max_length=MOST_RULES)]


class _RulesFile(StrictModel):
    """A file of rules that is no study; its metrics are read where they are used."""

    gate: GateSpec
    metrics: Any = None


def check_gate(content: Mapping[str, Any], origin: str) -> GateSpec:
    """The gate of a file of rules, or of a study file, whose other keys are not looked at.

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
