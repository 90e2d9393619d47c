"""What a study may claim, as data: each form is a frozen dataclass, whose text is read back as the same claim."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

AVERAGE: Literal["average"] = "average"  # over the whole severities
LAST: Literal["last"] = "last"  # the last severity
At = float | Literal["average", "last"]

Relation = Literal["less than", "at most", "more than", "at least"]
Shape = Literal["near_linear", "late_collapse", "early_drop", "non_monotone", "flat", "rise", "abrupt_drop"]
AttentionKind = Literal["on_object", "leaves_object", "keeps_place", "loses_place"]

SHAPE_WORDS: dict[Shape, str] = {
    "near_linear": "is near-linear",
    "late_collapse": "collapses late",
    "early_drop": "falls early",
    "non_monotone": "is non-monotone",
    "flat": "is flat",
    "rise": "rises",
    "abrupt_drop": "collapses in one step",
}
ATTENTION_WORDS: dict[AttentionKind, str] = {
    "on_object": "is on the object",
    "leaves_object": "leaves the object",
    "keeps_place": "keeps its place",
    "loses_place": "loses its place",
}
_WORD = re.compile(r"[\w.:-]*\w")


@dataclass(frozen=True)
class DropComparison:
    """A corruption costs more accuracy, or less, than another one, as `fog costs more than contrast at 5`.

    Attributes:
        corruption: its name.
        other: name of the other one.
        is_more: whether it costs more.
        at: the severity, the last one, or the average over the whole ones.
        model: the one that it is about; each where it is None.
    """

    corruption: str
    other: str
    is_more: bool
    at: At = AVERAGE
    model: str | None = None

    def __str__(self) -> str:
        more = "more" if self.is_more else "less"
        return f"{self.corruption} costs {more} than {self.other} {_at(self.at)}{_for(self.model)}"


@dataclass(frozen=True)
class DropLimit:
    """What a corruption costs is within a limit, as `fog costs at most 10 points at 5`.

    Attributes:
        corruption: its name.
        relation: how the cost lies to the limit.
        points: the limit, 0 to 100 percentage points.
        at: the severity, the last one, or the average over the whole ones.
        model: the one that it is about; each where it is None.
    """

    corruption: str
    relation: Relation
    points: float
    at: At = AVERAGE
    model: str | None = None

    def __str__(self) -> str:
        return f"{self.corruption} costs {self.relation} {self.points:g} points {_at(self.at)}{_for(self.model)}"


@dataclass(frozen=True)
class LargestDrop:
    """No other corruption costs as much, as `fog costs most`.

    Attributes:
        corruption: its name.
        at: the last severity, or the average over the whole ones.
        model: the one that it is about; each where it is None.
    """

    corruption: str
    at: Literal["average", "last"] = AVERAGE
    model: str | None = None

    def __str__(self) -> str:
        return f"{self.corruption} costs most {_at(self.at)}{_for(self.model)}"


@dataclass(frozen=True)
class ShapeClaim:
    """The curve of a corruption has a shape, as `fog is near-linear`; the shapes are those of the table `shapes`.

    Attributes:
        corruption: its name.
        shape: a class of shapes, or 'abrupt_drop'.
        model: the one that it is about; each where it is None.
    """

    corruption: str
    shape: Shape
    model: str | None = None

    def __str__(self) -> str:
        return f"{self.corruption} {SHAPE_WORDS[self.shape]}{_for(self.model)}"


@dataclass(frozen=True)
class BetterModel:
    """A model is right more often than another one, as `densenet121 better than resnet18 on average`.

    Attributes:
        model: its name.
        other: name of the other one.
        corruption: under which; None for all of them, 'none' for clean images.
        at: the severity, the last one, or the average over the whole ones.
    """

    model: str
    other: str
    corruption: str | None = None
    at: At = AVERAGE

    def __str__(self) -> str:
        place = _place(self.corruption, self.at)
        return f"{_name(self.model)} better than {_name(self.other)} {place}"


@dataclass(frozen=True)
class AccuracyLimit:
    """Accuracy is within a limit, as `accuracy is at least 90 % when clean`.

    Attributes:
        relation: how accuracy lies to the limit.
        percent: the limit, 0 to 100 per cent.
        corruption: under which; None for all of them, 'none' for clean images.
        at: the severity, the last one, or the average over the whole ones.
        model: the one that it is about; each where it is None.
    """

    relation: Relation
    percent: float
    corruption: str | None = None
    at: At = AVERAGE
    model: str | None = None

    def __str__(self) -> str:
        place = _place(self.corruption, self.at)
        return f"accuracy is {self.relation} {self.percent:g} % {place}{_for(self.model)}"


@dataclass(frozen=True)
class AttentionClaim:
    """Where attention lies, as `attention leaves the object under fog`: at the last severity, or when clean.

    Attributes:
        kind: what is claimed.
        corruption: under which; 'none' for clean images.
        model: the one that it is about; each where it is None.
    """

    kind: AttentionKind
    corruption: str
    model: str | None = None

    def __str__(self) -> str:
        place = _place(self.corruption, AVERAGE)
        return f"attention {ATTENTION_WORDS[self.kind]} {place}{_for(self.model)}"


Claim = DropComparison | DropLimit | LargestDrop | ShapeClaim | BetterModel | AccuracyLimit | AttentionClaim


def quote_names(text: str, models: Iterable[str]) -> str:
    """A claim in single spaces; names of models of several words that stand there unquoted, in quotation marks.

    Args:
        text: one line, in any case.
        models: the names, of which the longest that fits counts.
    """
    known = {name.lower(): name for name in models if " " in name}
    names = "|".join(map(re.escape, sorted(known, key=len, reverse=True)))
    pattern = r'"(?:[^"\\]|\\.)*"' + (rf"|(?<!\S)(?:{names})(?=\s|\.?$)" if names else "")
    return re.sub(
        pattern,
        lambda match: _name(known[match[0].lower()]) if match[0].lower() in known else match[0],
        " ".join(text.split()),
        flags=re.IGNORECASE,
    )


def corruptions_of(claim: Claim) -> set[str]:
    """Names of the corruptions that a claim is about; none of clean images, or of all corruptions."""
    other = {claim.other} if isinstance(claim, DropComparison) else set()
    return {claim.corruption or "none", *other} - {"none"}


def _at(at: At) -> str:
    if isinstance(at, float):
        return f"at {at:g}"
    return "on average" if at == AVERAGE else "at the last severity"


def _place(corruption: str | None, at: At) -> str:
    if corruption is None:
        return "on average"
    if corruption == "none":
        return "when clean"
    return f"under {corruption}" if at == AVERAGE else f"under {corruption} {_at(at)}"


def _for(model: str | None) -> str:
    return "" if model is None else f" for {_name(model)}"


def _name(model: str) -> str:
    """A model's name as a claim writes it: in quotation marks unless it is one plain word."""
    if _WORD.fullmatch(model):
        return model
    escaped = model.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
