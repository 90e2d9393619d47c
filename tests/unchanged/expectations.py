"""expected.toml: the differences that were meant, each named exactly, and the outputs that were replaced as a whole."""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from comparison import VERDICTS, Compared, Difference
from sides import ROOT, Broken

FILE = Path(__file__).parent / "expected.toml"
EXPECTED = {"difference", "count", "reason", "issue"}
RETIRED = {"answer", "before", "now", "reason", "issue", "test"}


@dataclass
class Expectations:
    """The entries of expected.toml, and which of them were met."""

    expected: list[dict[str, Any]]
    retired: list[dict[str, Any]]
    met: set[str] = field(default_factory=set)

    def unexpected(self, compared: Compared) -> list[str]:
        """Lines of the differences that no entry names."""
        counts = {entry["difference"]: entry["count"] for entry in self.expected}
        lines = []
        for difference in compared.found.values():
            if self._is_retired(difference):
                continue
            if counts.get(difference.key) == difference.count:
                self.met.add(difference.key)
            elif difference.key in counts:
                self.met.add(difference.key)
                lines.append(f"{difference} — expected ×{counts[difference.key]}")
            else:
                lines.append(str(difference))
        return [*lines, *self._wrong_retirements(compared)]

    def unmet(self, scenarios: Iterable[str]) -> list[str]:
        """Entries of these scenarios that name what does not differ."""
        ran = set(scenarios)
        names = [*(e["difference"] for e in self.expected), *(e["answer"] for e in self.retired)]
        return [name for name in names if name.split("/")[0] in ran and name not in self.met]

    def _is_retired(self, difference: Difference) -> bool:
        """Whether all answers that show it are retired; an exit code or verdict never is."""
        answers = {entry["answer"] for entry in self.retired}
        is_text = not difference.what.startswith((VERDICTS, "exit code", "several identities", "one identity"))
        return is_text and {name.split("#")[0] for name in difference.answers} <= answers

    def _wrong_retirements(self, compared: Compared) -> list[str]:
        lines = []
        for entry in self.retired:
            scenario, _, name = entry["answer"].partition("/")
            if scenario != compared.scenario:
                continue
            self.met.add(entry["answer"])
            found = compared.of_answers.get(name)
            if found != (entry["before"], entry["now"]):
                stated = f"{entry['before']} → {entry['now']}"
                lines.append(f"{entry['answer']}: retired with {stated} compared, found {found}")
        return lines


def read_expectations(file: Path = FILE) -> Expectations:
    """Read the entries.

    Raises:
        Broken: an entry lacks a key, retires what may not be retired, or names no test.
    """
    read = tomllib.loads(file.read_text())
    found = Expectations(read.get("expected", []), read.get("retired", []))
    for kind, keys in (("expected", EXPECTED), ("retired", RETIRED)):
        for entry in read.get(kind, []):
            if set(entry) != keys:
                raise Broken(f"{file.name}: an entry of {kind} has {sorted(entry)}, not {sorted(keys)}")
    for entry in found.retired:
        if entry["answer"].endswith(".parquet"):
            raise Broken(f"{file.name}: {entry['answer']} is a table, never retired: name each difference")
        if not (ROOT / entry["test"].split("::")[0]).is_file():
            raise Broken(f"{file.name}: {entry['answer']} is covered from now on by {entry['test']}, which is no file")
    return found
