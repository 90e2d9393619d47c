"""Seals: the hash of claims or rules and when they were written, kept in the results folder.

A seal shows that statements are those of a stated moment, as far as one believes that machine's clock and that nobody
replaced the files: there is no trusted time. A hash published elsewhere shows more.
"""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from failmodes import __version__
from failmodes.analysis.render.blocks import Sentence
from failmodes.analysis.render.formatting import format_count, join_names
from failmodes.ingest.statements import AnyStatement, GateSpec, check_gate, claims_file, stored_form
from failmodes.runtime.errors import DamagedShardError, StudyError
from failmodes.runtime.storage.files import StorePath
from failmodes.runtime.storage.locations import read_toml
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.schema import PARTITIONS, PREDICTION_FACTS, Column, Table, list_of
from failmodes.warehouse.shards.format import damage_of, list_results_files, read_verified, write_dimension
from failmodes.warehouse.shards.inventory import has_results

Subject = Literal["claims", "gate"]
KEY_DIGITS = 16  # of the hash, in the name of the file

SEALS = Table.of(
    "seals",
    "one row per sealed version of claims or rules; not loaded into the warehouse",
    ("sha256",),
    Column("sha256", "string", "SHA-256 of the sealed statements, one a line, in hexadecimal digits"),
    Column("subject", "string", "claims or gate"),
    Column("origin", "string", "name of the file"),
    Column("sealed_at", "string", "when, in UTC by the clock of the machine that sealed them, ISO 8601"),
    Column("cell_count", "int64", "evaluated cells, of all models, that results and warehouse had then"),
    Column("seen", list_of("string"), "which of the two existed: results, warehouse"),
    Column("statements", list_of("string"), "the statements, as JSON"),
    Column("failmodes_version", "string", "version that sealed them"),
)


class Seal(NamedTuple):
    """A sealed version of claims or rules; the attributes are the columns of SEALS."""

    sha256: str
    subject: Subject
    origin: str
    sealed_at: str
    cell_count: int
    seen: tuple[str, ...]
    statements: tuple[str, ...]
    failmodes_version: str


class SealCheck(NamedTuple):
    """A seal beside today's statements: which were added since, and which are gone."""

    seal: Seal
    added: tuple[str, ...]
    removed: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """When it was sealed, whether before the evaluation, and what was changed since."""
        seal = self.seal
        statements = "statement" if seal.subject == "claims" else "line"
        what = f"The {seal.subject} of {seal.origin} ({format_count(len(seal.statements), statements)})"
        verb = "were" if seal.subject == "claims" else "was"
        cells = f"{format_count(seal.cell_count, 'cell')} already evaluated" if seal.cell_count else "no cell evaluated"
        cells += f" in its {join_names(seal.seen)}" if seal.seen else ": neither results nor a warehouse existed"
        changes = [f"{len(these)} {how}" for these, how in ((self.added, "added"), (self.removed, "removed")) if these]
        since = f"changed since: {' and '.join(changes)}" if changes else "unchanged since"
        moment = datetime.fromisoformat(seal.sealed_at)
        return (
            f"{what} {verb} sealed on {moment.day} {moment:%B %Y, %H:%M} UTC by that machine's own clock, which nobody "
            f"attests, with {cells}; {since}. SHA-256: {seal.sha256}."
        )

    def data(self) -> dict[str, Any]:
        """Its JSON, as docs/gate.md lists it."""
        return {**self.seal._asdict(), "added": self.added, "removed": self.removed}


def seal_blocks(seals: Iterable[SealCheck]) -> list[Sentence]:
    """Seals as small print."""
    return [Sentence(seal.sentence, "note") for seal in seals]


def claim_lines(claims: Iterable[AnyStatement]) -> tuple[str, ...]:
    """Claims as a seal keeps them."""
    return tuple(map(stored_form, claims))


def gate_lines(gate: GateSpec) -> tuple[str, ...]:
    """The rules of a gate as a seal keeps them, after a line for each of its settings."""
    settings = gate.model_dump(exclude={"rules"}, exclude_none=True)
    return (*(f"{name} = {value}" for name, value in settings.items()), *map(stored_form, gate.rules))


def seal_file(path: Path, results: StorePath, warehouse: Path) -> list[Seal]:
    """Seal the claims and the gate of a TOML file; what is sealed already keeps its first time.

    Args:
        path: a study, or a file of claims or of rules.
        results: the folder that holds the results, or will.
        warehouse: the file that holds their rows, or will.

    Raises:
        StudyError: the file has neither, or one is invalid.
        StorageError: the seal cannot be written.
        WarehouseError: the warehouse cannot be read.
    """
    content = read_toml(path, "seal")
    stated: dict[Subject, tuple[str, ...]] = {}
    if content.get("claims"):
        stated["claims"] = claim_lines(claims_file(path))
    if "gate" in content:
        stated["gate"] = gate_lines(check_gate(content, str(path)))
    if not stated:
        raise StudyError(f"{path} has nothing to seal: expected [[claims]] tables or a [gate] with rules")
    sealed = {(seal.subject, seal.sha256): seal for seal in read_seals(results)}
    return [
        sealed.get((subject, _sha256(lines))) or _write(subject, lines, path, results, warehouse)
        for subject, lines in stated.items()
    ]


def _write(subject: Subject, lines: tuple[str, ...], path: Path, results: StorePath, warehouse: Path) -> Seal:
    of_both = {"results": _cells_of_results(results), "warehouse": _cells_of_warehouse(warehouse)}
    found = {name: cells for name, cells in of_both.items() if cells is not None}
    seal = Seal(
        _sha256(lines), subject, path.name, datetime.now(UTC).isoformat(), len(set().union(*found.values())), (*found,),
        lines, __version__,
    )  # fmt: skip
    write_dimension(results, SEALS, f"{subject}-{seal.sha256[:KEY_DIGITS]}", [seal._asdict()])
    return seal


def _cells_of_results(results: StorePath) -> set[tuple[str, ...]] | None:
    """Evaluation, corruption and severity of each evaluated cell; None without results."""
    if not has_results(results):
        return None
    cells = (path.parts[-1 - len(PARTITIONS) : -1] for path in list_results_files(results, PREDICTION_FACTS))
    return {tuple(part.partition("=")[2] for part in cell) for cell in cells}


def _cells_of_warehouse(warehouse: Path) -> set[tuple[str, ...]] | None:
    if not warehouse.exists():
        return None
    with open_warehouse(warehouse, ["shards"]) as con:
        keys = ", ".join(f"{name}::varchar" for name in PARTITIONS)
        query = f"select {keys} from shards where table_name = ?"
        return set(con.execute(query, [PREDICTION_FACTS.name]).fetchall())


def read_seals(results: StorePath) -> list[Seal]:
    """The seals of a results folder, oldest first; none if there is no such folder.

    Raises:
        DamagedShardError: one does not match its hash, or its statements do not have the SHA-256 that it states.
        StorageError: one cannot be read.
    """
    seals = []
    for path in list_results_files(results, SEALS):
        with damage_of(path):
            (row,) = read_verified(path).rows.cast(SEALS.arrow()).to_pylist()
            datetime.fromisoformat(row["sealed_at"])
            seal = Seal(**row | {name: tuple(row[name]) for name in ("statements", "seen")})
            if seal.sha256 != _sha256(seal.statements):
                raise DamagedShardError(f"{path} is damaged: its statements do not have the SHA-256 that it states")
            seals.append(seal)
    return sorted(seals, key=lambda seal: (seal.sealed_at, seal.sha256))


def checked_seals(results: StorePath, subject: Subject, lines: Sequence[str], origin: str = "") -> list[SealCheck]:
    """The seals of claims or of a gate in a results folder, each beside today's lines.

    Args:
        results: the folder.
        subject: of the seals.
        lines: of today, from `claim_lines` or `gate_lines`.
        origin: name of their file: seals of other files are left out, unless this one has none.

    Raises:
        DamagedShardError, StorageError: see `read_seals`.
    """
    seals = [seal for seal in read_seals(results) if seal.subject == subject]
    of_file = [seal for seal in seals if seal.origin == origin]
    return [
        SealCheck(
            seal,
            tuple(line for line in lines if line not in seal.statements),
            tuple(line for line in seal.statements if line not in lines),
        )
        for seal in of_file or seals
    ]


def _sha256(lines: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
