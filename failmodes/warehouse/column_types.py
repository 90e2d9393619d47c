"""What the schema is made of: tables, their columns, and the types of these."""

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pyarrow as pa

# Types by the names of Arrow, which is not imported here: it takes longer than a short question.
text, flag, binary = "string", "bool", "binary"
int16, int32, int64, half, real, double = "int16", "int32", "int64", "halffloat", "float32", "float64"
moment, SEVERITY = "timestamp[s, UTC]", "decimal128(4, 3)"


MOST_LABEL_LETTERS, MOST_NOTE_LETTERS = 1_000, 100_000  # of a text, in every table but those of facts

# Texts that people or libraries write at length, by column; all others are names, identities and short values
_NOTES = frozenset({
    "note", "variant", "training_recipe", "training_data", "subset", "recipe", "versions", "attention_note",
    "pairing_note", "reason", "sentence", "query", "claim", "text", "paper", "formula", "source",
})  # fmt: skip


def list_of(kind: str) -> str:
    """The type of a list of values of type `kind`."""
    return f"list<{kind}>"


class Column(NamedTuple):
    """One column: its name, type (by Arrow's name), meaning (with range and unit), and whether it may be null."""

    name: str
    type: str
    meaning: str
    nullable: bool = False

    @property
    def most_letters(self) -> int | None:
        """How long its texts may be; None where it holds none."""
        if self.type not in (text, list_of(text)):
            return None
        return MOST_NOTE_LETTERS if self.name in _NOTES else MOST_LABEL_LETTERS


class Table(NamedTuple):
    """One table: its name, its grain, the columns of its key, and all columns in order."""

    name: str
    grain: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]

    @classmethod
    def of(cls, name: str, grain: str, key: tuple[str, ...], *columns: Column) -> "Table":
        """A table of these columns."""
        return cls(name, grain, key, columns)

    def arrow(self, *, without: tuple[str, ...] = ()) -> "pa.Schema":
        """The Arrow schema, less the columns in `without` (hive partitions live in the path)."""
        return _arrow_schema(self.columns, without)


@cache  # a load asks for that of each shard
def _arrow_schema(columns: tuple[Column, ...], without: tuple[str, ...]) -> "pa.Schema":
    import pyarrow as pa

    kept = [column for column in columns if column.name not in without]
    return pa.schema([pa.field(column.name, arrow_type(column.type), column.nullable) for column in kept])


def arrow_type(kind: str) -> "pa.DataType":
    """The Arrow type that a column's `type` names."""
    import pyarrow as pa

    if kind.startswith("list<"):
        return pa.list_(arrow_type(kind.removeprefix("list<").removesuffix(">")))
    special = {SEVERITY: pa.decimal128(4, 3), moment: pa.timestamp("s", tz="UTC")}
    return special.get(kind) or pa.type_for_alias(kind)
