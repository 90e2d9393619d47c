"""The grammar of claims: a line such as `fog costs more than gaussian_noise` becomes data, or one line says why not.

docs/claims.md has the forms, what each of their words means, and how each is judged.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from failmodes.ingest.claim_corruptions import find_corruption, names_by_spelling
from failmodes.ingest.claim_forms import (
    AVERAGE,
    LAST,
    AccuracyLimit,
    At,
    AttentionClaim,
    AttentionKind,
    BetterModel,
    Claim,
    DropComparison,
    DropLimit,
    LargestDrop,
    Relation,
    Shape,
    ShapeClaim,
    quote_names,
)
from failmodes.warehouse.database.claim_tables import MOST_CLAIMS
from failmodes.warehouse.errors import StudyError, did_you_mean, printable, shown
from failmodes.warehouse.schema import CLEAN

MOST_LETTERS = 200  # of a claim
LAST_SEVERITY = 5
FORMS = (  # what can be said, as examples: an error lists them
    "fog costs more than gaussian_noise",
    "fog costs at most 10 points at 5",
    "fog costs most",
    "fog is near-linear",
    "fog collapses late",
    "fog falls early",
    "fog is flat",
    "fog collapses in one step",
    "densenet121 better than resnet18 on average",
    "accuracy is at least 90 % when clean",
    "attention is on the object when clean",
    "attention leaves the object under fog",
    "attention loses its place under fog",
)

_RELATIONS: dict[str, Relation] = {
    "less than": "less than", "below": "less than", "under": "less than",
    "at most": "at most", "up to": "at most",
    "more than": "more than", "above": "more than", "over": "more than",
    "at least": "at least",
}  # fmt: skip
_SHAPES: dict[str, Shape] = {
    r"(?:is|falls) near-?\s?linear(?:ly)?|is linear|falls linearly": "near_linear",
    r"collapses late|falls late|is (?:a )?late collapse|collapses at (?:the )?(?:high|higher|last) severities": (
        "late_collapse"
    ),
    r"falls early(?: and levels off)?|drops early|is (?:an )?early drop|levels off": "early_drop",
    r"is non-?\s?monotone|falls and rises(?: again)?": "non_monotone",
    r"is flat|stays flat|costs nothing": "flat",
    r"rises|gains accuracy": "rise",
    r"collapses in one step": "abrupt_drop",
}
_ATTENTION: dict[str, AttentionKind] = {
    r"is on the object|stays on the object": "on_object",
    r"leaves the object|drifts to the background": "leaves_object",
    r"keeps its place": "keeps_place",
    r"loses its place|loses its localization": "loses_place",
}

_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_HELD = "\0%d\0"  # stands for a name in quotation marks; no text that is read holds its controls
_NAME = r"(?:[^\s\0]+|\0\d+\0)"
_CORRUPTION = rf"{_NAME}(?: {_NAME}){{0,3}}?"
_NUMBER = r"\d{1,3}(?:\.\d{1,3})?"
_AT = rf"on average|at (?:the )?last(?: severity)?|at (?:severity )?{_NUMBER}"
_UNDER = rf"under (?P<place>{_CORRUPTION})(?: (?P<at>{_AT}))?"
_WHERE = rf"(?:{_UNDER}|when (?P<clean>clean)|(?P<average>on average|overall))"
_FOR = rf"(?: for (?P<model>{_NAME}))?"
_LIMIT = "|".join(_RELATIONS)


class ClaimText(NamedTuple):
    """A claim with the text that states it, in single spaces."""

    text: str
    claim: Claim


class _Sentence(NamedTuple):
    """What is being read: the matched words by their group, names in quotation marks, known corruptions by spelling."""

    words: dict[str, str | None]
    names: list[str]
    corruptions: dict[str, str]
    shown: str

    def given(self, group: str) -> str | None:
        """A name, without the quotation marks that it stood in; None where there is none."""
        word = self.words.get(group)
        held = {_HELD % place: name for place, name in enumerate(self.names)}
        return word if word is None else held.get(word, word)

    def corruption(self, group: str) -> str:
        """A known corruption.

        Raises:
            UnknownCorruptionError: it is none.
        """
        return find_corruption(self.given(group) or "", self.corruptions, f"claim {self.shown}")

    def at(self) -> At:
        """The severity that it names.

        Raises:
            StudyError: it is not above 0, or above the last.
        """
        text = (self.words.get("at") or "on average").lower()
        if not text[-1].isdigit():
            return AVERAGE if text == "on average" else LAST
        severity = float(text.split(" ")[-1])
        if not 0 < severity <= LAST_SEVERITY:
            raise StudyError(
                f"claim {self.shown}: severity {severity:g}: expected one above 0 and up to {LAST_SEVERITY}"
            )
        return severity

    def where(self) -> tuple[str | None, At]:
        """The corruption, 'none' of clean images and None of all, and the severity."""
        if self.words.get("clean"):
            return CLEAN, AVERAGE
        if not self.words.get("place"):
            return None, AVERAGE
        return self.corruption("place"), self.at()

    def number(self) -> float:
        """A limit in points or per cent.

        Raises:
            StudyError: it is above 100.
        """
        number = float(self.words["number"] or 0)
        if number > 100:
            raise StudyError(f"claim {self.shown}: {number:g} is too large: points and per cent are from 0 to 100")
        return number


def read_claims(
    texts: Iterable[str], known: Iterable[tuple[str, str]] = (), models: Iterable[str] = ()
) -> list[ClaimText]:
    """Claims in their order; one that stands twice counts once.

    Args:
        texts: a claim each.
        known: corruptions beside the published and registered ones, as name and label.
        models: labels that there are, for the error where one stands without quotation marks.

    Raises:
        StudyError: one is not understood, or there are too many.
    """
    given = list(texts)
    if len(given) > MOST_CLAIMS:
        raise StudyError(f"{len(given):,} claims are given: expected at most {MOST_CLAIMS}")
    others, labels = list(known), list(models)
    found = {" ".join(text.split()): text for text in given if isinstance(text, str)}
    if len(found) < len(given) and (wrong := [text for text in given if not isinstance(text, str)]):
        raise StudyError(f"a claim is a text, not {shown(wrong[0])}")
    return [ClaimText(line, parse_claim(text, others, labels)) for line, text in found.items()]


def parse_claim(text: str, known: Sequence[tuple[str, str]] = (), models: Iterable[str] = ()) -> Claim:
    """The claim that a line states.

    Args:
        text: one line, in any case; models whose name is not one word stand in quotation marks.
        known: corruptions beside the published and registered ones, as name and label.
        models: labels that there are, for the error where one stands without quotation marks.

    Raises:
        StudyError: it is not understood; the line says what can be said.
    """
    try:
        return _parsed(text, known)
    except StudyError:
        quoted = quote_names(text, models)
        try:
            _parsed(quoted, known)
        except StudyError:
            quoted = ""
        if not quoted:
            raise
    hint = f"did you mean {quoted!r}? Names of several words stand in quotation marks"
    raise StudyError(f"claim {shown(text)} is not understood: {hint}")


def _parsed(text: str, known: Iterable[tuple[str, str]]) -> Claim:
    """The claim that a line states.

    Raises:
        StudyError: it is not understood.
    """
    if len(text) > MOST_LETTERS:
        raise StudyError(f"claim {shown(text)} has {len(text):,} letters: expected at most {MOST_LETTERS}")
    line = " ".join(text.split())
    if printable(line) != line:
        raise StudyError(f"claim {shown(text)} holds letters that cannot be printed: leave them out")
    names: list[str] = []

    def hold(match: re.Match[str]) -> str:
        names.append(re.sub(r"\\(.)", r"\1", match[1]))
        return _HELD % (len(names) - 1)

    held = _QUOTED.sub(hold, line).removesuffix(".")
    for pattern, make in _PATTERNS:
        if match := re.fullmatch(pattern, held, re.IGNORECASE):
            return make(_Sentence(match.groupdict(), names, names_by_spelling(known), shown(text)))
    hint = did_you_mean(line, FORMS, "claims are such as", cutoff=0.7)
    near = f"{hint} others are such as" if hint.startswith("did") else hint
    raise StudyError(
        f"claim {shown(text)} is not understood: {near} {'; '.join(FORMS)} "
        '(names of several words in "quotation marks"); see docs/claims.md'
    )


def _relation(sentence: _Sentence) -> Relation:
    return _RELATIONS[(sentence.words["relation"] or "").lower()]


def _drop_limit(sentence: _Sentence) -> Claim:
    return DropLimit(
        sentence.corruption("corruption"), _relation(sentence), sentence.number(), sentence.at(),
        sentence.given("model"),
    )  # fmt: skip


def _drop_comparison(sentence: _Sentence) -> Claim:
    corruption, other = sentence.corruption("corruption"), sentence.corruption("other")
    if corruption == other:
        raise StudyError(f"claim {sentence.shown} compares {corruption} with itself: name two corruptions")
    is_more = (sentence.words["more"] or "").lower() == "more"
    return DropComparison(corruption, other, is_more, sentence.at(), sentence.given("model"))


def _largest_drop(sentence: _Sentence) -> Claim:
    at = sentence.at()
    if isinstance(at, float | int):
        raise StudyError(
            f"claim {sentence.shown}: what costs most is judged on average or at the last severity: leave out at {at:g}"
        )
    return LargestDrop(sentence.corruption("corruption"), at, sentence.given("model"))


def _better(sentence: _Sentence) -> Claim:
    model, other = sentence.given("model") or "", sentence.given("other") or ""
    if model == other:
        raise StudyError(f"claim {sentence.shown} compares {model} with itself: name two models")
    if (sentence.words["better"] or "").lower() == "worse":
        model, other = other, model
    return BetterModel(model, other, *sentence.where())


def _accuracy(sentence: _Sentence) -> Claim:
    return AccuracyLimit(_relation(sentence), sentence.number(), *sentence.where(), sentence.given("model"))


def _shape(shape: Shape) -> Callable[[_Sentence], Claim]:
    return lambda sentence: ShapeClaim(sentence.corruption("corruption"), shape, sentence.given("model"))


def _attention(kind: AttentionKind) -> Callable[[_Sentence], Claim]:
    def make(sentence: _Sentence) -> Claim:
        corruption, _ = sentence.where()
        if corruption is None or (corruption == CLEAN and kind != "on_object"):
            raise StudyError(
                f"claim {sentence.shown}: say under which corruption, as in: attention leaves the object under fog"
            )
        if sentence.words.get("at") and sentence.at() != LAST:
            raise StudyError(
                f"claim {sentence.shown}: attention is judged at the last severity: leave out the severity"
            )
        return AttentionClaim(kind, corruption, sentence.given("model"))

    return make


_BETTER = r"(?:is )?(?P<better>better|worse|more often right) than"
_PATTERNS: list[tuple[str, Callable[[_Sentence], Claim]]] = [
    (rf"(?P<corruption>{_CORRUPTION}) costs? (?P<relation>{_LIMIT}) (?P<number>{_NUMBER}) points?"
     rf"(?: (?P<at>{_AT}))?{_FOR}", _drop_limit),
    (rf"(?P<corruption>{_CORRUPTION}) costs? (?:the )?most(?: (?P<at>{_AT}))?{_FOR}", _largest_drop),
    (rf"(?P<corruption>{_CORRUPTION}) costs? (?P<more>more|less) than (?P<other>{_CORRUPTION})"
     rf"(?: (?P<at>{_AT}))?{_FOR}", _drop_comparison),
    (rf"accuracy is (?P<relation>{_LIMIT}) (?P<number>{_NUMBER}) ?(?:%|per ?cent) {_WHERE}{_FOR}", _accuracy),
    *((rf"attention (?:{words}) {_WHERE}{_FOR}", _attention(kind)) for words, kind in _ATTENTION.items()),
    *((rf"(?P<corruption>{_CORRUPTION}) (?:{words}){_FOR}", _shape(shape)) for words, shape in _SHAPES.items()),
    (rf"(?P<model>{_NAME}) {_BETTER} (?P<other>{_NAME})(?: {_WHERE})?", _better),
]  # fmt: skip
