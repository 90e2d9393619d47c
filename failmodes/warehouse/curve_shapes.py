"""The shapes of an accuracy curve: names and words; `analysis/statistics/curve_shape.py` defines each."""

from typing import Literal, NamedTuple

ClaimedShape = Literal[
    "flat", "rise", "recovers", "up_and_down", "near_linear", "two_steps", "abrupt", "late", "early", "middle"
]  # fmt: skip
NO_SHAPE = "inconclusive"


class ShapeWords(NamedTuple):
    """The words for a shape.

    Attributes:
        label: in tables and charts.
        claim: what the accuracy curve does, in a claim.
        manner: how accuracy drops, after "drops"; `{steps}` stands for the severities of the steps that the shape
            names; empty if the curve does not drop.
    """

    label: str
    claim: str
    manner: str = ""


SHAPES: dict[str, ShapeWords] = {  # in the order in which a curve is tested for them
    "flat": ShapeWords("flat", "is flat"),
    "rise": ShapeWords("rise", "rises"),
    "recovers": ShapeWords("recovers", "drops and recovers"),
    "up_and_down": ShapeWords("up and down", "goes up and down"),
    "near_linear": ShapeWords("near-linear", "is near-linear", "near-linearly"),
    "two_steps": ShapeWords("two steps", "drops in two steps", "in two steps, {steps}"),
    "abrupt": ShapeWords("abrupt", "drops abruptly", "abruptly {steps}"),
    "late": ShapeWords("late", "drops late", "late"),
    "early": ShapeWords("early", "drops early", "early"),
    "middle": ShapeWords(
        "steepest in the middle", "drops most steeply in the middle", "most steeply in the middle, {steps}"
    ),
    NO_SHAPE: ShapeWords("inconclusive", "has no shape"),
}
SHAPE_NAMES = tuple(SHAPES)
SHAPE_LABELS = {name: words.label for name, words in SHAPES.items()}
FALLING = tuple(name for name, words in SHAPES.items() if words.manner)  # shapes of a curve that drops
STEPPED = tuple(name for name in FALLING if "{steps}" in SHAPES[name].manner)  # that name the place of a step
TURNING = ("recovers", "up_and_down")
