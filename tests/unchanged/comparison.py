"""Differences between two folders of answers: rows paired by names, numbers to a tolerance, text word by word."""

import difflib
import html
import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
from normal import FIXED, RUN_KEYS, identities, normal

TOLERANCE = 1e-9  # relative, of the same rows
EVALUATED = 1e-4  # of rows that each side evaluates: relative, or absolute below 1
NOT_COMPARED = {"exits", "unordered", "seconds", "log"}
SHOWN = 150  # letters of a value
VERDICTS = "verdicts"

# Columns that name a row, in tables and in lists of JSON
NAMES = {
    "table_name", "column_name", "model_label", "model_label_a", "model_label_b", "baseline_label", "model_name",
    "dataset_name", "dataset_label", "source_label", "corruption", "severity", "severity_from", "severity_to",
    "severity_before", "cell_corruption", "shift", "image_id", "file", "class_index", "class_name", "label",
    "predicted", "label_name", "predicted_name", "metric", "score", "target", "bin_count", "bin_index",
    "coverage_percent", "function", "measure", "threshold", "axis", "flat_below", "curvature_threshold", "kind",
    "claim", "claim_number", "position", "step", "subject", "topic", "name", "px", "level_name", "reason",
    "reason_rank", "seed", "corruptions", "statement", "model", "a", "b", "other", "recipe", "noise", "case",
    "variant", "study", "text", "id", "title",
}  # fmt: skip
IDENTITY_COLUMN = re.compile(
    r"(_id|_id_a|_id_b|content_hash|input_hash|definition|views_fingerprint|image_hash|fingerprint)$"
)
NO_IDENTITY = {"image_id", "wordnet_id", "original_image_id"}
RUN_COLUMNS = {"created_utc", "updated_utc", "evaluated_utc", "elapsed_s", "images_per_s", "path", "versions",
               "file_key", "failmodes_version", "build_id"}  # fmt: skip
BOXES = re.compile(r"[─-╿]+")
PAGE = re.compile(r"\s*(<\?xml[^>]*>\s*)?<(!doctype html|html|svg)\b", re.IGNORECASE)
BLOCK = re.compile(
    r"</?(?:p|h\d|li|tr|td|th|div|section|figcaption|caption|summary|title|text|option|dt|dd|br)\b[^>]*>", re.IGNORECASE
)
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


@dataclass
class Difference:
    """One change, however often it occurs.

    Attributes:
        answer: the first one that shows it.
        what: the column, key or part that changes.
        before: an example at BASE.
        now: the same example now.
        count: how often.
        answers: those that show it.
        distance: largest relative distance of its numbers; infinity if something else differs; 0 if unknown.
    """

    answer: str
    what: str
    before: str
    now: str
    count: int = 0
    answers: set[str] = field(default_factory=set)
    distance: float = 0.0

    @property
    def key(self) -> str:
        """What an entry of expected.toml names."""
        return f"{self.answer}: {self.what}: {self.before} → {self.now}"

    def __str__(self) -> str:
        many = f"×{self.count}" if self.count > 1 else ""
        places = f"in {len(self.answers)} answers" if len(self.answers) > 1 else ""
        far = f"at most {self.distance:.1e} apart" if 0 < self.distance < math.inf else ""
        said = ", ".join(filter(None, (" ".join(filter(None, (many, places))), far)))
        return f"{self.key}  ({said})" if said else self.key


@dataclass
class Compared:
    """The extent of a comparison, and its differences.

    Attributes:
        counts: rows of tables; values of JSON; sentences: lines of text; files: answers.
        of_answers: the number compared in each answer, before and now.
    """

    scenario: str
    found: dict[tuple[str, ...], Difference] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    of_answers: dict[str, tuple[int, int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _ours: dict[str, dict[str, set[str]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(set)))
    _base: dict[str, dict[str, set[str]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(set)))

    def differs(self, answer: str, what: str, before: Any, now: Any, *, count: int = 1, group: tuple[str, ...] = (),
                distance: float = 0.0) -> None:  # fmt: skip
        """Note a change; changes of the same `group` (default: of equal values) are one line with a count."""
        before, now = shortened(before), shortened(now)
        answer = f"{self.scenario}/{answer}"
        entry = self.found.setdefault(group or (what, before, now), Difference(answer, what, before, now))
        entry.count += count
        entry.answers.add(answer)
        entry.distance = max(entry.distance, distance)

    def same_identity(self, before: str, now: str, answer: str) -> None:
        """Note that an identity of BASE stands where one of ours does."""
        self._ours[before][now].add(answer)
        self._base[now][before].add(answer)

    def check_identities(self) -> None:
        """Identities map one to one, in both directions."""
        for what, mapped in (
            ("one identity becomes several", self._ours),
            ("several identities become one", self._base),
        ):
            for one, others in mapped.items():
                if len(others) > 1:
                    answer = min(min(answers) for answers in others.values())
                    before, now = (one, sorted(others)) if mapped is self._ours else (sorted(others), one)
                    self.differs(answer, what, before, now, group=(what,))


def compare(scenario: str, base: Path, ours: Path) -> Compared:
    """Compare two folders of answers."""
    compared = Compared(scenario)
    unordered = set(json.loads((base / "unordered").read_text())) | set(json.loads((ours / "unordered").read_text()))
    _compare_exits(compared, base, ours)
    _compare_tables(compared, base, ours)
    paths = sorted({p.name for folder in (base, ours) for p in folder.iterdir()} - NOT_COMPARED)
    for name in paths:
        a, b = base / name, ours / name
        compared.counts["files"] += a.is_file()
        if not (a.is_file() and b.is_file()):
            what = "answer" if b.is_file() else "answer is missing"
            compared.differs(name, what, *("there" if path.is_file() else "missing" for path in (a, b)))
            compared.of_answers[name] = _size(a), _size(b)
        elif name.endswith(".json"):
            _compare_json(
                compared, name, *(json.loads(p.read_text(errors="replace")) for p in (a, b)), name in unordered
            )
        elif not name.endswith(".parquet"):
            _compare_text(compared, name, *(p.read_text(errors="replace") for p in (a, b)), name in unordered)
    compared.check_identities()
    return compared


def _size(answer: Path) -> int:
    """Values or lines of an answer; 0 if it is missing."""
    if not answer.is_file() or answer.suffix == ".parquet":
        return 0
    text = answer.read_text(errors="replace")
    return len(dict(leaves(json.loads(text)))) if answer.suffix == ".json" else len(lines_of(text))


def shortened(value: Any) -> str:
    """A value on one line, as long as a person reads."""
    text = " ".join((value if isinstance(value, str) else repr(value)).split())
    return text if len(text) <= SHOWN else f"{text[: SHOWN // 2]} … {text[-SHOWN // 2 :]}"


def distance(before: Any, now: Any, tolerance: float) -> float:
    """0 if equal within the tolerance; the relative distance of numbers; infinity for anything else."""
    if before == now:
        return 0.0
    if isinstance(before, list | tuple) and isinstance(now, list | tuple):
        pairs = zip(before, now, strict=False)
        return math.inf if len(before) != len(now) else max((distance(a, b, tolerance) for a, b in pairs), default=0.0)
    if isinstance(before, bool) or isinstance(now, bool) or not (_is_number(before) and _is_number(now)):
        return math.inf
    a, b = float(before), float(now)
    if a == b or (math.isnan(a) and math.isnan(b)):
        return 0.0
    if not (math.isfinite(a) and math.isfinite(b)):
        return math.inf
    scale = max(abs(a), abs(b), 1.0 if tolerance == EVALUATED else 0.0)
    far = abs(a - b) / scale
    return 0.0 if far <= tolerance else far


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) or type(value).__name__ == "Decimal"


def _compare_exits(compared: Compared, base: Path, ours: Path) -> None:
    """Exit codes and refusals: BASE's were found to be the stated ones."""
    before, now = (json.loads((folder / "exits").read_text()) for folder in (base, ours))
    for name in sorted(before.keys() | now.keys()):
        a, b = (exits.get(name, {}).get("found", "(not run)") for exits in (before, now))
        if a != b:
            compared.differs(name, "exit code or refusal", a, b)
    compared.counts["exits"] += len(before)


# --- tables


def _compare_tables(compared: Compared, base: Path, ours: Path) -> None:
    before, now = ({path.name: pq.read_table(path) for path in folder.glob("*.parquet")} for folder in (base, ours))
    names_before, names_now = _names_of_evaluations(before.values()), _names_of_evaluations(now.values())
    loose: set[str] = set()  # warehouses whose evaluated rows differ within EVALUATED
    metadata = {name: table.schema.metadata or {} for name, table in before.items()}
    for name in sorted(before.keys() & now.keys(), key=lambda n: (metadata[n].get(b"evaluated") != b"rows", n)):
        evaluated = metadata[name].get(b"evaluated")
        a, b = (_frame(tables[name], names) for tables, names in ((before, names_before), (now, names_now)))
        warehouse = name.split(".")[0]
        tolerance = EVALUATED if evaluated == b"rows" or (evaluated and warehouse in loose) else TOLERANCE
        if _compare_frames(compared, name, a, b, tolerance) and evaluated == b"rows":
            loose.add(warehouse)
    said = f"models compute other numbers here, within {EVALUATED}, and their views are held to that"
    compared.notes += [f"{name}: {said}" for name in sorted(loose)]


def _names_of_evaluations(tables: Iterable[Any]) -> dict[str, str]:
    """Identities of evaluations by their names, which are the same on both sides."""
    names = {}
    keys = ("model_label", "dataset_label", "source_label", "subset", "precision", "seed", "study")
    for table in tables:
        if {"evaluation_id", "model_label", "dataset_label"} <= set(table.column_names):
            for row in table.select([c for c in ("evaluation_id", *keys) if c in table.column_names]).to_pylist():
                names[row["evaluation_id"]] = " · ".join(str(row.get(key)) for key in keys)
    return names


def _frame(table: Any, names: Mapping[str, str]) -> pl.DataFrame:
    """Rows with the key that tells them apart, and with pairs in the order of their names."""
    frame = pl.DataFrame(pl.from_arrow(table.replace_schema_metadata(None)))
    evaluations = [c for c in frame.columns if "evaluation_id" in c or c == "baseline_id"]
    named = [
        pl.col(c).replace_strict(names, default="?").fill_null("").alias(f"@{c}")
        for c in evaluations
        if frame[c].dtype == pl.String
    ]
    if "file_key" in frame.columns:  # of an evaluation, or of a part of it
        files = [_name_of_file(key, names) for key in frame["file_key"]]
        frame = frame.with_columns(pl.Series("@file_key", files, pl.String))
    frame = _oriented(frame.with_columns(named))
    chosen = [c for c in frame.columns if c in NAMES or c.startswith("@")]
    texts = [_as_text(frame[c]).alias(c) for c in chosen]
    key = (
        pl.DataFrame(texts).select(pl.concat_str(pl.all(), separator=" · ").alias("@key"))["@key"]
        if texts
        else pl.Series("@key", [""] * frame.height)
    )
    frame = frame.drop([c for c in frame.columns if c.startswith("@")]).with_columns(key)
    if frame["@key"].n_unique() < frame.height:  # the n-th of equal names, by the other values
        rest = [c for c in frame.columns if c not in chosen and c not in RUN_COLUMNS and not is_identity(c)]
        frame = (
            frame.with_columns(pl.Series("@rest", _texts_of_rows(frame.select(rest))))
            .sort("@key", "@rest")
            .drop("@rest")
        )
    number = pl.int_range(pl.len()).over("@key").cast(pl.String)
    return frame.with_columns(pl.concat_str("@key", number, separator=" #"))


def _name_of_file(key: str, names: Mapping[str, str]) -> str:
    """The key of a results file with its evaluation's name in place of the identity."""
    evaluation, _, part = key.partition("-")
    return f"{names[evaluation]} · {part}" if evaluation in names else normal(key)


def is_identity(column: str) -> bool:
    """Whether a column holds identities; a hash of content is a value."""
    return bool(IDENTITY_COLUMN.search(column)) and column not in NO_IDENTITY


def _oriented(frame: pl.DataFrame) -> pl.DataFrame:
    """Pairs, which are stored in the order of their identities, in the order of their names."""
    name = next((c for c in ("@evaluation_id", "model_label") if {f"{c}_a", f"{c}_b"} <= set(frame.columns)), None)
    if name is None:
        return frame
    turned = pl.col(f"{name}_a") > pl.col(f"{name}_b")
    changes = []
    for column in frame.columns:
        other = _of_the_other(column)
        if other != column and other in frame.columns:
            changes.append(pl.when(turned).then(pl.col(other)).otherwise(pl.col(column)).alias(column))
    return frame.with_columns(changes)


def _of_the_other(column: str) -> str:
    """The column of the second of a pair, of one of the first, and the other way round."""
    return re.sub(r"_(a|b)(?=_|$)", lambda found: "_b" if found[1] == "a" else "_a", column)


def _turned(row: dict[str, Any]) -> dict[str, Any]:
    """A pair in a row of JSON, in the order of names."""
    if str(row.get("model_label_a", "")) <= str(row.get("model_label_b", "")):
        return row
    return {key: row.get(_of_the_other(key), value) for key, value in row.items()}


def _as_text(column: pl.Series) -> pl.Series:
    if column.dtype == pl.String:
        return (
            pl.Series(column.name, [None if text is None else normal(text) for text in column])
            .cast(pl.String)
            .fill_null("∅")
        )
    if column.dtype.is_nested():
        return pl.Series(column.name, [str(value) for value in column.to_list()], dtype=pl.String)
    if column.dtype.is_float() or column.dtype.is_decimal():
        return pl.Series(
            column.name, ["∅" if value is None else f"{value:.6g}" for value in column.to_list()], dtype=pl.String
        )
    return column.cast(pl.String).fill_null("∅")


def _texts_of_rows(frame: pl.DataFrame) -> list[str]:
    return [" ".join(f"{v:.9e}" if isinstance(v, float) else normal(str(v)) for v in row) for row in frame.iter_rows()]


def _compare_frames(compared: Compared, name: str, before: pl.DataFrame, now: pl.DataFrame, tolerance: float) -> bool:
    """Compare a table; whether numbers differ within the tolerance of evaluated rows only."""
    compared.counts["rows"] += before.height
    compared.of_answers[name] = before.height, now.height
    columns = [c for c in before.columns if c in now.columns]
    if before.columns != now.columns:
        gone, new = ([c for c in a.columns if c not in b.columns] for a, b in ((before, now), (now, before)))
        compared.differs(name, "columns", gone or "in one order", new or "in another")
    for column in columns:
        if before[column].dtype != now[column].dtype:
            compared.differs(name, f"type of {column}", str(before[column].dtype), str(now[column].dtype))
    for what, lost in (("row lost", before.join(now, "@key", "anti")), ("row new", now.join(before, "@key", "anti"))):
        if lost.height:
            row = lost["@key"].sort()[0]
            shown = (row, "") if what == "row lost" else ("", row)
            compared.differs(name, what, *shown, count=lost.height, group=(name, what))
    joined = before.join(now, "@key", suffix="@now").sort("@key")
    compared_columns = [c for c in columns if c not in RUN_COLUMNS and c != "@key"]
    return any([_compare_column(compared, name, joined, column, tolerance) for column in compared_columns])


def _compare_column(compared: Compared, name: str, joined: pl.DataFrame, column: str, tolerance: float) -> bool:
    a, b = joined[column], joined[f"{column}@now"]
    unequal = joined.filter(~a.eq_missing(b)) if a.dtype == b.dtype else joined
    if a.dtype == b.dtype == pl.String:
        pairs = joined if is_identity(column) else unequal
        _compare_texts(compared, name, column, pairs.select(column, f"{column}@now").unique(maintain_order=True).rows())
        return False
    found, within = [], False
    for before, now in unequal.select(column, f"{column}@now").iter_rows():
        far = distance(before, now, tolerance)
        found += [(far, before, now)] if far else []
        within |= distance(before, now, TOLERANCE) > far
    if found:
        _, before, now = found[0]
        worst = max(far for far, _, _ in found)
        compared.differs(name, f"column {column}", before, now, count=len(found), group=(name, column), distance=worst)
    return within


def _compare_texts(compared: Compared, name: str, column: str, pairs: Iterable[tuple[str | None, str | None]]) -> None:
    """Identities are mapped, other texts compared; sentences by their words."""
    for before, now in pairs:
        if before is not None and now is not None and is_identity(column):
            compared.same_identity(before, now, name)
        elif before is None or now is None:
            if before != now:
                compared.differs(name, f"column {column}", before, now)
        elif not _equal_text(compared, before, now, name):
            _compare_sentences(compared, name, f"column {column}", before, now)


def _compare_sentences(compared: Compared, name: str, what: str, before: str, now: str) -> None:
    if len(before) > SHOWN // 3 and len(now) > SHOWN // 3:
        _differing_words(compared, name, lines_of(before), lines_of(now))
    else:
        compared.differs(name, what, before, now)


def _equal_text(compared: Compared, before: str, now: str, answer: str) -> bool:
    """Whether two texts differ by a run's details alone; their identities are noted."""
    fixed = answer.startswith(FIXED)
    if normal(before, fixed) != normal(now, fixed):
        return False
    if not fixed:
        for a, b in zip(identities(before), identities(now), strict=True):
            compared.same_identity(a, b, answer)
    return True


# --- JSON


def _compare_json(compared: Compared, name: str, before: Any, now: Any, unordered: bool) -> None:
    """Leaf by leaf, lists of rows by the names of rows."""
    a, b = dict(leaves(before, unordered=unordered)), dict(leaves(now, unordered=unordered))
    compared.counts["values"] += len(a)
    compared.of_answers[name] = len(a), len(b)
    if (x := verdicts(a)) != (y := verdicts(b)):
        compared.differs(name, VERDICTS, x, y)
    for path in [*a, *(p for p in b if p not in a)]:
        x, y = a.get(path, "(missing)"), b.get(path, "(missing)")
        if x == y or RUN_KEYS.search(path):
            continue
        key = re.sub(r"\[[^]]*\]", "[]", path)
        if isinstance(x, str) and isinstance(y, str):
            if not _equal_text(compared, x, y, name):
                _compare_sentences(compared, name, f"value {key}", x, y)
        elif far := distance(x, y, TOLERANCE):
            group = (name, key) if far < math.inf else (key, str(x), str(y))
            compared.differs(name, f"value {key}", x, y, group=group, distance=far)


def verdicts(found: Mapping[str, Any]) -> list[str]:
    """The verdicts of a JSON answer: they are compared even where its form is replaced as a whole."""
    return sorted(str(value) for path, value in found.items() if path.endswith((".verdict", ".passed")))


def leaves(value: Any, path: str = "", *, unordered: bool = False) -> Iterator[tuple[str, Any]]:
    """All values within a JSON value with their paths; rows of a list are told apart by their names."""
    if isinstance(value, dict) and value and all(normal(key) == "‹identity›" for key in value):
        yield from leaves([[key, inner] for key, inner in value.items()], path, unordered=True)
    elif isinstance(value, dict):
        value = _turned(value)
        yield f"{path}.keys()", len(value)
        named: Counter[str] = Counter()
        for key, inner in value.items():
            alike = normal(key)
            named[alike] += 1
            yield from leaves(inner, f"{path}.{alike}{named[alike] if named[alike] > 1 else ''}", unordered=unordered)
    elif isinstance(value, list):
        is_data = unordered or ".datasets." in path  # of a chart: rows in any order
        keys = _keys_of_rows(value, is_data)
        yield f"{path}.length", len(value)
        if keys != sorted(keys) and not is_data:
            yield f"{path}.order", " | ".join(keys)
        for key, inner in sorted(zip(keys, value, strict=True), key=lambda item: item[0]):
            yield from leaves(inner, f"{path}[{key}]", unordered=unordered)
    else:
        yield path, value


def _keys_of_rows(rows: Sequence[Any], is_data: bool) -> list[str]:
    """A name for each item of a list: names within it if they tell all apart, else its place, or its content."""
    if rows and all(isinstance(row, dict) for row in rows):
        rows = [_turned(row) for row in rows]
        keys = [" · ".join(f"{normal(str(row[c]))}" for c in sorted(row) if c in NAMES) for row in rows]
        if len(set(keys)) == len(rows):
            return [key.replace("[", "(").replace("]", ")") for key in keys]
    if not is_data:
        return [f"{number:06}" for number in range(len(rows))]
    contents = [normal(json.dumps(_rounded(row), sort_keys=True)) for row in rows]
    places = sorted(range(len(rows)), key=lambda place: contents[place])
    ranks = {place: f"{rank:06}" for rank, place in enumerate(places)}
    return [ranks[place] for place in range(len(rows))]


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items() if not is_identity(key)}
    if isinstance(value, list):
        return [_rounded(inner) for inner in value]
    return float(f"{value:.6g}") if isinstance(value, float) and math.isfinite(value) else value


# --- text


def lines_of(text: str) -> list[str]:
    """Lines of a text; of a page or drawing its blocks of text, with what is read aloud."""
    if PAGE.match(text):
        text = re.sub(r"(?s)<(style|script)\b.*?</\1>", "", text)
        text = re.sub(r'\b(?:href|src|style|d|class|id)="[^"]*"', "", text)
        text = re.sub(r'\b(?:title|alt|aria-label|placeholder)="([^"]*)"', r">\n\1\n<i ", text)
        text = BLOCK.sub("\n", text)
        text = html.unescape(re.sub(r"<[^>]*>", " ", text))
    return [line for raw in text.splitlines() if (line := raw.rstrip())]


def _compare_text(compared: Compared, name: str, before: str, now: str, unordered: bool) -> None:
    """Line by line, then word by word; charts within a page as JSON."""
    charts, ours = (_embedded(text) for text in (before, now))
    if len(charts) != len(ours):
        compared.differs(name, "charts", len(charts), len(ours))
    for number, (a, b) in enumerate(zip(charts, ours, strict=False)):
        _compare_json(compared, f"{name}#{number}", a, b, unordered)
    old, new = lines_of(before), lines_of(now)
    compared.counts["sentences"] += len(old)
    compared.of_answers[name] = len(old), len(new)
    if unordered:
        old, new = (sorted(lines, key=normal) for lines in (old, new))
    _differing_words(compared, name, old, new)


def _embedded(page: str) -> list[Any]:
    found = re.findall(r'(?s)<script type="application/json"[^>]*>(.*?)</script>', page)
    return [json.loads(html.unescape(text) if text.lstrip().startswith("&") else text) for text in found]


def _differing_words(compared: Compared, name: str, before: list[str], now: list[str]) -> None:
    fixed = name.startswith(FIXED)
    a, b = ([normal(line, fixed) for line in lines] for lines in (before, now))
    for kind, i, j, k, m in difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if kind == "equal":
            for old, new in zip(before[i:j], now[k:m], strict=True):
                _equal_text(compared, old, new, name)
            continue
        found = False
        for old, new in _changed_words(_words(a[i:j]), _words(b[k:m])):
            found = True
            _differs_in_words(compared, name, old, new)
        if not found:
            compared.differs(name, "layout", " ⏎ ".join(a[i:j]), " ⏎ ".join(b[k:m]), group=(name, "layout"))


def _words(lines: Iterable[str]) -> list[str]:
    return [word for line in lines for word in BOXES.sub(" ", line).split()]


def _changed_words(before: list[str], now: list[str]) -> Iterator[tuple[str, str]]:
    """Pairs of replaced words, each with the word before it."""
    for kind, i, j, k, m in difflib.SequenceMatcher(None, before, now, autojunk=False).get_opcodes():
        if kind != "equal":
            context = before[max(i - 1, 0) : i]
            yield " ".join([*context, *before[i:j]]), " ".join([*context, *now[k:m]])


def _differs_in_words(compared: Compared, name: str, before: str, now: str) -> None:
    """Note changed words; where only their numbers change, all changes of an answer are one."""
    masked = NUMBER.sub("0", before)
    if masked == NUMBER.sub("0", now):
        pairs = zip(NUMBER.findall(before), NUMBER.findall(now), strict=True)
        far = max(
            distance(*(float(n.replace(",", "")) if n.count(".") < 2 else 0.0 for n in pair), 0.0) for pair in pairs
        )
        compared.differs(name, "numbers in text", before, now, group=(name, "numbers"), distance=far)
    else:
        compared.differs(name, "text", before, now)
