"""The tables of what a study claims: the claims as it states them, and what the data say of each.

They load no library, as the tables of the record.
"""

from failmodes.warehouse.schema import Column, Table, double, int32, int64, text

MOST_CLAIMS = 100  # of a study

STATED_CLAIMS = Table.of(
    "stated_claims",
    "one row per claim that the study states",
    ("position",),
    Column("position", int32, "order in the study, from 1"),
    Column("claim", text, "the claim in words: its name, else its table in English"),
    Column("statement", text, "the table that states it, as JSON: its keys are those of docs/claims.md"),
)

CLAIMS = Table.of(
    "claims",
    "one row per stated claim and evaluation, or pair of them, that it is about: whether the data bear it out",
    ("position",),
    Column("position", int32, "order, from 1"),
    Column("claim_number", int32, "position of the claim in stated_claims"),
    Column("claim", text, "the claim in words"),
    Column("kind", text, "relation, shape or kind of finding that is claimed; unknown if it cannot be judged"),
    Column("verdict", text, "supported, contradicted, inconclusive or not_measurable"),
    Column("evaluation_id", text, "evaluation; null where none can be judged", True),
    Column("model_label", text, "the model's name on charts, or both names", True),
    Column("other_evaluation_id", text, "the evaluation that it is compared with; null without one", True),
    Column("value", double, "the number that decides: any number, in its unit", True),
    Column("low", double, "lower end of its interval", True),
    Column("high", double, "upper end of its interval", True),
    Column("unit", text, "unit of the three; shares are 0-1, a difference of shares -1 to 1"),
    Column("n", int64, "images that the value is of", True),
    Column("images_needed", int64, "images that would decide what is inconclusive, with a chance of 80 %", True),
    Column("reason", text, "why it is not measurable, or inconclusive, where more than the interval is to blame", True),
    Column("sentence", text, "what was found, in words"),
    Column("query", text, "SQL that gives the figures"),
)  # fmt: skip
