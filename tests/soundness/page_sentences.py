"""Read a report as its reader does: every sentence and every chart title, and what each claims about the two models.

A sentence either claims something that is true or false of a scenario, or states figures of the sample, what is
inconclusive, or how to read the page. A sentence of another form is an error, so that none is left unread.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from report_scenarios import CORRUPTIONS, MODELS, NEAR, Scenario, Statement

from failmodes.analysis.render.blocks import Block, Chart, Section, Sentence
from failmodes.analysis.report.rendering import ReportPart
from failmodes.warehouse.schema import CLEAN

LABELS = {name.replace("_", " "): name for name in CORRUPTIONS}
NUMBER = r"−?[\d,]+(?:\.\d+)?%?"
TOKENS = {
    "{M}": f"({'|'.join(name.capitalize() for name in MODELS)})",
    "{K}": f"((?i:{'|'.join(LABELS)}))",
    "{S}": r"(\d)",
    "{N}": NUMBER,
    "{I}": rf"\[{NUMBER}, {NUMBER}\]",
    "{C}": r"“class-(\d)”",
}
ENDS = re.compile(rf"(?: \({NUMBER} images\))?\.?(?: \(and {NUMBER} similar\))?$")  # of a finding
SENTENCES = re.compile(r"(?<=[.)]) (?=[A-Z“m])")
WORDS = {  # of a curve: how each begins
    "drops late": "late",
    "drops early": "early",
    "drops near-linearly": "near_linear",
    "drops abruptly": "abrupt",
    "drops in two steps": "two_steps",
    "drops most steeply in the middle": "middle",
    "gains": "rise",
    "goes up and down": "up_and_down",
    "stays within": "flat",
}
Parts = tuple[Any, ...]


def _form(text: str) -> re.Pattern[str]:
    for token, pattern in TOKENS.items():
        text = text.replace(token, pattern)
    return re.compile(text)


def _model(name: str) -> str:
    return name.lower()


def _about(label: str) -> str:
    return LABELS[label.lower()]


def _largest(*found: str) -> Iterator[Statement]:
    """Of corruption and models; and of one sentence on a model the shape and the class that predictions collapse to."""
    about, *models = found
    yield from (Statement("largest_drop", _model(model), _about(about)) for model in models)


def _described(about: str, parts: Parts) -> Iterator[Statement]:
    model, words, severity, label = parts
    word = next((word for start, word in WORDS.items() if words.startswith(start)), None)
    if word:
        yield Statement("shape", _model(model), _about(about), word)
    if label:
        yield Statement("prediction_collapse", _model(model), _about(about), f"{label} at {severity}")


def _one(model: str, about: str, *parts: Any) -> Iterator[Statement]:
    yield from _largest(about, model)
    yield from _described(about, (model, *parts))


def _both(about: str, *parts: Any) -> Iterator[Statement]:
    yield from _largest(about, parts[0], parts[4])
    yield from _described(about, parts[:4])
    yield from _described(about, parts[4:])


def _curve(about: str, model: str, words: str) -> Iterator[Statement]:
    if re.search("then recovers", words):
        yield Statement("shape", _model(model), _about(about), "recovers")
    else:
        yield from _described(about, (model, words, None, None))


def _sure(about: str | None, model: str, direction: str) -> Iterator[Statement]:
    verdict = "supported" if direction == "over" else "contradicted"
    yield Statement("overconfidence", _model(model), _about(about) if about else CLEAN, verdict)


_DROP = (
    r"(drops[^;(]*?),? from {N} clean to {N} at severity {S}(?: \({N} points {I}\))?"
    "(?:, where it predicts {C} for {N} of {N} images)?"
)
CLAIMS: tuple[tuple[re.Pattern[str], Callable[..., Iterator[Statement]]], ...] = tuple(
    (_form(text), read)
    for text, read in (
        ("{M} degrades most under {K} at severity \\d: {N} points {I}", lambda model, about: _largest(about, model)),
        ("{M} degrades most under {K}: it " + _DROP, _one),
        ("Both models degrade most under {K} at severity \\d: {N} points {I} for {M} and {N} points {I} for {M}",
         _largest),
        ("Both models degrade most under {K}: {M} " + _DROP + "; {M} " + _DROP, _both),
        ("The {M} checkpoint is {N} points {I} more accurate than the .*",
         lambda model: [Statement("better_model", _model(model))]),
        ("{M} is {N} points {I} more accurate than .*", lambda model: [Statement("better_model", _model(model))]),
        ("{M} is (?:indistinguishable from|below) chance on clean images: .*",
         lambda model: [Statement("at_chance", _model(model))]),
        (r"Under {K}, the shape of {M} is inconclusive: .*; accuracy changes by less than ([\d.]+) points .*",
         lambda about, model, points: [Statement("margin", _model(model), _about(about), points)]),
        ("Under {K}, {M} ((?:drops|gains|goes|stays) .*)", _curve),
        ("Under {K} at severity {S},? {M} predicts {C} for {N} of {N} images: {N} {I} of its predictions",
         lambda about, severity, model, label: [
             Statement("prediction_collapse", _model(model), _about(about), f"{label} at {severity}")]),
        ("Under {K} at severity {S},? {M} has an accuracy of {N} on {C}, {N} points {I} below the other classes",
         lambda about, severity, model, label: [
             Statement("class_failure", _model(model), _about(about), f"{label} at {severity}")]),
        ("(?:On clean images|Under {K} at severity \\d),? {M} is (over|under)confident by {N} points {I}"
         r"(?: \(mean confidence minus accuracy\))?", _sure),
        ("On clean images, the calibration error of {M} is .*",
         lambda model: [Statement("calibration_error", _model(model))]),
        ("Under {K} at severity \\d,? confidence of {M} predicts failures worse than chance: .*",
         lambda about, model: [Statement("confidence_below_chance", _model(model), _about(about))]),
        ("Under {K} at severity \\d,? {M} accepts {N} of images, {N} {I} of them incorrect, at the threshold for .*",
         lambda about, model: [Statement("errors_accepted", _model(model), _about(about))]),
        (r"(\w[\w -]*) predicts which images {M} misclassifies at the next severity: {N} {I} lower log-loss .*",
         lambda score, model: [Statement("early_warning", _model(model), score.lower().replace(" ", "_"))]),
    )
)  # fmt: skip
FIGURES = tuple(
    _form(text)
    for text in (
        # of the sample, with an interval or as a count
        "Mean accuracy over {N} corruptions: .*",
        "Accuracy by corruption",
        "Lowest accuracy: .*",
        "{M} has an accuracy of {N} {I} on clean images, .*",
        "{M} keeps {N} {I} of its correct predictions under .*",
        "{M}: accept a prediction if .*",
        "{M}: no threshold of .*",
        "Prediction sets of .* are not measurable: .*",
        "AUROC of confidence for failures at severity {S}: .*",
        "Shapes of {N} curves? that drop: .*",  # counts what findings state
        "The largest drops of {M} at severity {S} are those under .*; the data do not separate .*",
        # not conclusive
        "The data do not show .*",
        ".* (?:is|are) inconclusive(?:[ :].*)?",
        "Inconclusive: .*",
        "Not significant after correction for multiple testing: .*",
        "Not judged because .*",
        "{M} (?:has no conclusive|has no score that is supported|shows no prediction collapse).*",
        "No corruption is shown to lower .*",
        "(?:Attention drift|Early warning|Not drawn).*",
        # on the data, and how to read the page
        "(?:Data|Curvature|Training seeds): .*",
        "(?:Intervals|For each kind|Stability|mCE|Mean corruption error|Severity levels|A shape|Shapes depend) .*",
        "(?:A few statements|At most|Of all findings|The probability|These rates|Each architecture|Models were) .*",
        "All {N} images of .*",
        "(?:Grad-CAM is|It describes|Without object masks|{M} not stated and) .*",
    )
)


def page_statements(part: ReportPart) -> tuple[list[Statement], list[Statement]]:
    """What the first screen of a report claims, and what its sections and chart titles claim.

    Raises:
        AssertionError: a sentence has no known form.
    """
    first = [one for block in part.findings for text in _texts(block) for one in read(text)]
    below = [one for block in (*part.ranking, *part.sections) for text in _texts(block) for one in read(text)]
    return first, below


def _texts(block: Block) -> Iterator[str]:
    if isinstance(block, Section):
        yield from (text for inner in block.blocks for text in _texts(inner))
    elif isinstance(block, Sentence):
        yield block.text
    elif isinstance(block, Chart):
        yield block.finding


def read(text: str) -> Iterator[Statement]:
    """The claims of some sentences."""
    for sentence in SENTENCES.split(text.replace("\u00a0", " ")):
        plain = ENDS.sub("", sentence)
        claim = next(((form.fullmatch(plain), of) for form, of in CLAIMS if form.fullmatch(plain)), None)
        if claim is not None:
            found, of = claim
            assert found is not None
            yield from of(*found.groups())
        else:
            assert any(form.fullmatch(plain) for form in FIGURES), f"a sentence of no known form: {sentence}"


def is_true(one: Statement, scenario: Scenario, truth: frozenset[Statement]) -> bool:
    """Whether a claim holds: a margin if accuracy changes by less everywhere, all else if the scenario has it."""
    model = scenario.models[MODELS.index(one.model)]
    if one.kind == "margin":
        curve = model.curves[one.about]
        return max(abs(accuracy - curve[0]) for accuracy in curve) + NEAR < float(one.word) / 100
    return one in truth
