"""The schema of JSON of `gate`, `claims` and `compare`, as docs/gate.md describes it; further keys are errors."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Word = Literal["supported", "contradicted", "inconclusive", "not_measurable"]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CellJson(Strict):
    corruption: str
    severity: float | None


class DecisionJson(Strict):
    verdict: Word
    cells: list[CellJson]
    value: float | None
    low: float | None
    high: float | None
    level: float | None
    n: int | None
    unit: str | None
    p_value: float | None
    seeds: int | None
    method: str | None
    images_needed: int | None
    reason: str | None


class VerdictJson(Strict):
    name: str | None
    statement: str
    keys: dict[str, Any] | None
    verdict: Word
    result: str
    score: str | None
    better: Literal["higher", "lower", "neither"] | None
    images_needed: int | None
    decisions: list[DecisionJson]


class ClaimJson(VerdictJson):
    claim_number: int
    model_label: str | None
    evaluation_id: str | None
    other_evaluation_id: str | None
    query: str


class DifferenceJson(VerdictJson):
    scope: Literal["clean", "corrupted", "corruption", "cell", "class"]
    label: str | None
    class_index: int | None
    a: float | None
    b: float | None
    winner: Literal["a", "b", ""]
    only_a: int | None
    only_b: int | None
    crossover: dict[str, Any] | None


class ModelJson(Strict):
    label: str
    evaluation_ids: list[str]
    seeds: list[int]
    image_count: int
    source_line: str
    distinct_count: int | None
    seeds_are_runs: bool


class PairingJson(Strict):
    kind: Literal["same", "common", "different"]
    image_count: int
    note: str
    shares_images: bool


class HeadJson(Strict):
    version: Literal[1]
    level: float | None


class SealJson(Strict):
    sha256: str
    subject: Literal["claims", "gate"]
    origin: str
    sealed_at: str
    cell_count: int
    seen: list[str]
    statements: list[str]
    failmodes_version: str
    added: list[str]
    removed: list[str]


class ClaimsJson(HeadJson):
    command: Literal["claims"]
    verdicts: list[ClaimJson]
    seals: list[SealJson]


class GateJson(HeadJson):
    command: Literal["gate"]
    verdicts: list[VerdictJson]
    passed: bool
    exit_code: Literal[0, 1, 3]
    inconclusive: Literal["stop", "pass"]
    rules_from: str
    candidate: ModelJson
    baseline: ModelJson | None
    images: str
    pairing: PairingJson | None
    is_about_training: bool
    seals: list[SealJson]


class CompareJson(HeadJson):
    command: Literal["compare"]
    verdicts: list[DifferenceJson]
    sentences: list[str]
    not_worse: Word
    equivalent: Word
    margin: float
    a: ModelJson
    b: ModelJson
    pairing: PairingJson
    averaged: list[str]
    missing_cells: list[CellJson]
    filter: dict[str, Any] | None
    mixed: list[str]
    is_about_training: bool
    distinct_count: int
    has_verdict: bool
    newly_incorrect: dict[str, Any] | None
    newly_correct: dict[str, Any] | None
