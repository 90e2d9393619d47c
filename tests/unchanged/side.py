"""The interface of a scenario to one side: installed commands and public Python names. Every answer is a file.

`side.py SCENARIO WORK ANSWERS INPUTS WHICH` runs a scenario on one side, whose tree is on PYTHONPATH.
"""

import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
import traceback
import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE / "scenarios")]  # PYTHONSAFEPATH leaves them out

from normal import identities, normal  # noqa: E402

WORDS = HERE / "words.toml"  # where our words differ from BASE's
TIMEOUT_S = 900
FACTS = ("prediction_facts", "attention")  # the tables that hold what models compute
TEXTS = {".json", ".md", ".csv", ".html", ".txt", ".tex", ".xml", ".toml", ".svg"}
PICTURES = {".png", ".webp", ".jpg", ".jpeg"}


class Side:
    """One side of a scenario.

    Attributes:
        work: the current folder, empty at the beginning.
        inputs: the files that the scenario's `inputs` made, once for both sides; read only.
    """

    def __init__(self, work: Path, answers: Path, inputs: Path, which: str) -> None:
        self.work, self.inputs = work, inputs
        self._answers = answers
        self._exits: dict[str, dict[str, Any]] = {}
        self._seconds: dict[str, float] = {}
        self._unordered: set[str] = set()
        self.words = tomllib.loads(WORDS.read_text()).get("words", []) if which == "ours" else []

    def command(
        self, name: str, *words: object, exits: int = 0, out: str | Sequence[str] = (), unordered: bool = False
    ) -> str:
        """Run a command as BASE spells it; stdout, stderr, exit code and the files that it writes are answers.

        Args:
            name: of the answers.
            words: the words after `failmodes`; paths in `work` are relative.
            exits: the exit code that BASE is to have; another one fails the run.
            out: files or folders that it writes, relative to `work`.
            unordered: whether the order of lines follows identities.

        Returns:
            What it printed to stdout.
        """
        began = time.monotonic()
        done = subprocess.run(
            [Path(sys.executable).parent / "failmodes", *self.translated([str(word) for word in words])],
            cwd=self.work, capture_output=True, stdin=subprocess.DEVNULL, timeout=TIMEOUT_S,
        )  # fmt: skip
        self._seconds[name] = time.monotonic() - began
        self._exits[name] = {"stated": exits, "found": done.returncode}
        for stream, content in (("out", done.stdout), ("err", done.stderr)):
            if content:
                self._printed(f"{name}.{stream}", content, unordered)
        for place in [out] if isinstance(out, str) else out:
            self.file(name, place, unordered=unordered)
        return done.stdout.decode(errors="replace")

    def translated(self, words: list[str]) -> list[str]:
        """Words of a command, where our spelling differs from BASE's."""
        for rule in self.words:
            base, ours = rule["base"], rule["ours"]
            places = range(len(words) - len(base) + 1) if words[:1] == [rule["command"]] else ()
            for start in places:
                if words[start : start + len(base)] == base:
                    words = [*words[:start], *ours, *words[start + len(base) :]]
                    break
        return words

    def python(
        self, name: str, function: Callable[[], Any], *, raises: str | None = None, unordered: bool = False
    ) -> Any:
        """The answer of public Python names: what `function` returns, as JSON, or its error.

        Args:
            name: of the answer.
            function: returns what JSON can express; frames and times become text.
            raises: the name of the error's class that BASE is to raise; another outcome fails the run.
            unordered: whether the order of lists follows identities.

        Returns:
            What the function returned; None if it raised.
        """
        began, errors, found, value = time.monotonic(), io.StringIO(), None, None
        try:
            with (
                contextlib.redirect_stderr(errors),
                contextlib.redirect_stdout(errors),
                warnings.catch_warnings(record=True) as warned,
            ):
                warnings.simplefilter("always")
                value = function()
        except Exception as error:
            found = type(error).__name__
            self.text(f"{name}.error", f"{found}: {error}")
            if raises is None:
                traceback.print_exc()
        else:
            self.json(name, value, unordered=unordered)
        self._exits[name] = {"stated": raises, "found": found}
        ours = [
            f"{w.category.__name__}: {w.message}\n" for w in warned if w.category.__module__.startswith("failmodes")
        ]
        if said := errors.getvalue() + "".join(ours):
            self.text(f"{name}.err", said, unordered=unordered)
        self._seconds[name] = time.monotonic() - began
        return value

    def tables(self, name: str, file: str, *, only: Sequence[str] = (), evaluated: bool = False) -> None:
        """Every table and view of a DuckDB file, read by DuckDB, not by the code under test; and their columns.

        Args:
            name: of the answers: NAME.TABLE.
            file: the file, relative to `work`.
            only: these tables and views; all if empty.
            evaluated: whether its rows were evaluated by this side: models compute equal logits only to 1e-4.
        """
        with duckdb.connect(str(self.work / file), read_only=True) as con:
            con.execute("set threads = 1")
            found = [
                row[0] for row in con.execute("select table_name from information_schema.tables order by 1").fetchall()
            ]
            for table in only or found:
                rows = con.execute(f'from "{table}"').to_arrow_table()
                self._table(f"{name}.{table}", rows, evaluated and ("rows" if table in FACTS else "views"))
            columns = con.execute(
                "select table_name, column_name, column_index, data_type, comment "
                "from duckdb_columns() where not internal"
            )
            self.rows(f"{name}.columns", columns.to_arrow_table())

    def rows(self, name: str, table: pa.Table, *, evaluated: bool = False) -> None:
        """A table whose rows are told apart by their names (model, corruption, severity, image …)."""
        self._table(name, table, evaluated and "rows")

    def json(self, name: str, value: Any, *, unordered: bool = False) -> None:
        """A value that JSON can express; other values become text."""
        self._file(f"{name}.json", unordered).write_text(json.dumps(value, indent=1, default=str))

    def text(self, name: str, text: str, *, unordered: bool = False) -> None:
        """A text, compared line by line."""
        self._file(f"{name}.txt", unordered).write_text(text)

    def file(self, name: str, place: str, *, unordered: bool = False) -> None:
        """What a command wrote: a file, or the files of a folder and their names; pictures by their pixels."""
        path = self.work / place
        if path.is_dir():
            files = sorted(inner for inner in path.rglob("*") if inner.is_file())
            names = [inner.relative_to(path).as_posix() for inner in files]
            self.json(f"{name}.files", names, unordered=True)
            of_identities: dict[str, list[Any]] = defaultdict(list)  # their contents, by the rest of their names
            for inner, place in zip(files, names, strict=True):
                if inner.suffix == ".json" and identities(place):
                    of_identities[normal(place)].append(json.loads(inner.read_text()))
                else:
                    self._copied(f"{name}.{place.replace('/', '~')}", inner, unordered)
            for place, contents in of_identities.items():
                self.json(f"{name}.{place.replace('/', '~')}", contents, unordered=True)
        elif path.is_file():
            self._copied(f"{name}.{path.name}", path, unordered)
        else:
            self.json(f"{name}.{path.name}.files", [])

    def close(self, seconds: float) -> None:
        """Write what is known of all answers."""
        (self._answers / "exits").write_text(json.dumps(self._exits, indent=1))
        (self._answers / "unordered").write_text(json.dumps(sorted(self._unordered)))
        (self._answers / "seconds").write_text(json.dumps({"": seconds, **self._seconds}, indent=1))

    def _table(self, name: str, table: pa.Table, evaluated: str | bool) -> None:
        metadata = {"evaluated": evaluated} if evaluated else {}
        pq.write_table(table.replace_schema_metadata(metadata), self._file(f"{name}.parquet"), compression="zstd")

    def _printed(self, name: str, content: bytes, unordered: bool) -> None:
        text = content.decode(errors="replace")
        try:
            self.json(name, json.loads(text), unordered=unordered)
        except ValueError:
            self.text(name, text, unordered=unordered)

    def _copied(self, name: str, path: Path, unordered: bool) -> None:
        if path.suffix in TEXTS:
            shutil.copyfile(path, self._file(name, unordered))
        elif path.suffix in PICTURES:
            from PIL import Image

            with Image.open(path) as picture:
                pixels = picture.convert("RGBA")
            self.json(name, {"size": pixels.size, "pixels": hashlib.sha256(pixels.tobytes()).hexdigest()})

    def _file(self, name: str, unordered: bool = False) -> Path:
        name = re.sub(r"[^\w.+@=~()-]+", "_", name)
        if unordered:
            self._unordered.add(name)
        path = self._answers / name
        assert not path.exists(), f"two answers are called {name}"
        return path


def frames(value: Any) -> Any:
    """Data frames within a value as lists of rows."""
    if hasattr(value, "to_dicts"):
        return value.to_dicts()
    if isinstance(value, Mapping):
        return {key: frames(inner) for key, inner in value.items()}
    return [frames(inner) for inner in value] if isinstance(value, list | tuple) else value


def main(scenario: str, work: str, answers: str, inputs: str, which: str) -> None:
    side = Side(Path(work), Path(answers), Path(inputs), which)
    os.chdir(work)
    began = time.monotonic()
    import_module(scenario).run(side)
    side.close(time.monotonic() - began)


if __name__ == "__main__":
    main(*sys.argv[1:])
