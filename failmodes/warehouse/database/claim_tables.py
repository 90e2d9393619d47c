"""The tables of what a study claims: the claims as it states them, and what the data say of each.

They load no library, as the tables of the record.
"""

from failmodes.warehouse.schema import Column, Table, double, int32, int64, text

MOST_CLAIMS = 100  # of a study

STATED_CLAIMS = Table.of(
    "stated_claims",
    "one row per claim that the study states, in its words",
    ("position",),
    Column("position", int32, "order in the study, from 1"),
    Column("claim", text, "the claim, as docs/claims.md says what can be claimed"),
)

CLAIMS = Table.of(
    "claims",
    "one row per stated claim and evaluation, or pair of them, that it is about: whether the data bear it out",
    ("position",),
    Column("position", int32, "order, from 1"),
    Column("claim_number", int32, "position of the claim in stated_claims"),
    Column("claim", text, "the claim as stated"),
    Column("form", text, "what kind of claim it is: drop_comparison, drop_limit, largest_drop, shape, better_model, "
           "accuracy_limit, attention; unknown where it is not understood"),
    Column("verdict", text, "supported, contradicted or inconclusive"),
    Column("evaluation_id", text, "evaluation; null where none can be judged", True),
    Column("model_label", text, "the model's name on charts, or both names", True),
    Column("other_evaluation_id", text, "the evaluation that it is compared with; null without one", True),
    Column("value", double, "the number that decides, -1 to 1: a share or a difference, as its unit says", True),
    Column("low", double, "lower end of its interval", True),
    Column("high", double, "upper end of its interval", True),
    Column("unit", text, "unit of the three; shares are 0-1, their differences -1 to 1"),
    Column("n", int64, "images that the value is of", True),
    Column("reason", text, "why it is inconclusive, where more than the interval is to blame; null elsewhere", True),
    Column("sentence", text, "what was found, in words"),
    Column("query", text, "SQL that gives the figures"),
)  # fmt: skip
