"""Roles of the columns of a table: image, label, prediction and others, as the user names them or by common names."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, get_args

from failmodes.evaluate.study.study_schema import OutputKind
from failmodes.ingest.study_types import first_duplicate
from failmodes.runtime.errors import DataError, StudyError, did_you_mean, listed, shown

Role = Literal["image", "label", "prediction", "confidence", "corruption", "severity", "value", "model", "run"]
ROLES: tuple[Role, ...] = get_args(Role)
# Common names of each role, the preferred first, in lower case with underscores
COMMON_NAMES: dict[Role, tuple[str, ...]] = {
    "image": (
        "image", "image_id", "file", "file_name", "filename", "image_name", "imagename", "image_path", "path",
        "image_file", "img", "img_name", "img_path",
    ),
    "label": (
        "label", "true_label", "true_class", "target", "ground_truth", "gt", "y_true", "label_name", "category",
        "class",
    ),
    "prediction": (
        "prediction", "predicted", "predicted_class", "predicted_label", "predicted_name", "pred", "y_pred",
        "object_response", "response", "answer",
    ),
    "confidence": (
        "confidence", "predicted_probability", "probability", "prob", "max_probability", "max_prob", "predicted_prob",
        "score",
    ),
    "corruption": ("corruption", "corruption_name", "distortion", "perturbation", "corruption_type"),
    "severity": ("severity", "corruption_severity"),
    "value": ("value", "level", "level_value", "intensity", "condition"),
    "model": ("model", "model_name", "model_label", "network"),
    "run": ("run", "seed", "training_seed", "observer", "subject", "subj", "participant"),
}  # fmt: skip
VALUE_PREFIXES: dict[OutputKind, str] = {"logits": "logit_", "probabilities": "probability_"}
COMPARED_NAMES = 2000  # column names searched for a hint
SHOWN = 8  # columns in an error


class Columns(NamedTuple):
    """The columns of a table by role.

    Attributes:
        roles: column of each role that the table has.
        kind: kind of the outputs of all classes; None without them.
        outputs: the list column of that kind, or one column per class, in the order of the table.
        others: all other columns.
    """

    roles: dict[Role, str]
    kind: OutputKind | None
    outputs: tuple[str, ...]
    others: tuple[str, ...]

    @property
    def is_list(self) -> bool:
        """Whether the outputs of all classes are one list column."""
        return self.outputs == (self.kind,)

    def describe(self) -> str:
        """One line: the role of each column."""
        taken = [role if role == name else f"{role} = {name}" for role, name in self.roles.items()]
        if self.kind is not None:
            count = "" if self.is_list else f" ({len(self.outputs):,} columns)"
            taken.append(f"{self.kind}{count}")
        return ", ".join(taken)


def parse_columns(texts: Sequence[str]) -> list[tuple[str, str]]:
    """Roles and columns as users write them: `image=file_name,value=`; the latter is no column.

    Raises:
        StudyError: a text has another form.
    """
    pairs = [
        (text, *(part.strip() for part in text.partition("="))) for several in texts for text in several.split(",")
    ]
    for text, _role, equals, _column in pairs:
        if not equals:
            raise StudyError(f"--columns {shown(text)}: expected ROLE=COLUMN, such as image=file_name")
    return [(role, column) for _text, role, _equals, column in pairs]


def named_columns(pairs: Iterable[tuple[str, str]]) -> dict[Role, str]:
    """The columns that a user names, by role.

    Args:
        pairs: role and column each.

    Raises:
        StudyError: a role is unknown, or named twice.
    """
    by_name: dict[str, Role] = {role: role for role in ROLES}
    named: dict[Role, str] = {}
    for role, column in pairs:
        known = by_name.get(role)
        if known is None:
            raise StudyError(f"columns: unknown role {shown(role)}: {did_you_mean(role, ROLES)}")
        if known in named:
            raise StudyError(f"columns: the role {role} is named twice: name one column")
        named[known] = column
    return named


def find_columns(subject: str, names: Sequence[str], stated: Mapping[Role, str]) -> Columns:
    """Find the role of each column; logits are preferred to probabilities, since they are more exact.

    Args:
        subject: the table, for errors.
        names: its columns.
        stated: columns that the user names, by role; empty for none.

    Raises:
        DataError: a column is missing or duplicate.
    """
    twice = first_duplicate(names)
    if twice is not None:
        raise DataError(f"{subject}: duplicate column {shown(twice)}: remove one")
    for role, column in stated.items():
        if column and column not in names:
            raise DataError(f"{subject}: no column {shown(column)} for the role {role} ({_hint(column, names)})")
    kind, outputs = _outputs(names, set(stated.values()))
    free = {_plain_name(name): name for name in reversed(names) if name not in {*stated.values(), *outputs}}
    roles = {role: column for role, column in stated.items() if column}
    for role in ROLES:
        common = next((free[name] for name in COMMON_NAMES[role] if name in free), None)
        if role not in stated and common is not None:
            roles[role] = common
    taken = {*roles.values(), *outputs}
    others = tuple(name for name in names if name not in taken)
    return Columns({role: roles[role] for role in ROLES if role in roles}, kind, outputs, others)


def check_roles(subject: str, columns: Columns, names: Sequence[str], needed: Sequence[Role]) -> None:
    """Refuse a table without a column that is needed, or without a prediction.

    Raises:
        DataError: as the message says.
    """
    for role in needed:
        if role not in columns.roles:
            raise DataError(
                f"{subject}: no column is the {role}: name it with --columns {role}=COLUMN (columns: "
                f"{listed(list(map(shown, names)), SHOWN)})"
            )
    if "prediction" not in columns.roles and columns.kind is None:
        raise DataError(
            f"{subject}: no column is the prediction: name it with --columns prediction=COLUMN, or add logits or "
            f"probabilities of every class (columns: {listed(list(map(shown, names)), SHOWN)})"
        )


def _outputs(names: Sequence[str], stated: set[str]) -> tuple[OutputKind | None, tuple[str, ...]]:
    """The columns of the outputs of all classes, and their kind."""
    for kind, prefix in VALUE_PREFIXES.items():
        if kind in names and kind not in stated:
            return kind, (kind,)
        spread = tuple(name for name in names if name.startswith(prefix) and name not in stated)
        if len(spread) > 1:
            return kind, spread
    return None, ()


def _plain_name(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _hint(name: str, known: Sequence[str]) -> str:
    expected = f"expected one of {', '.join(map(repr, known[:SHOWN]))}"
    return did_you_mean(name, known[:COMPARED_NAMES], expected, cutoff=0.5)
