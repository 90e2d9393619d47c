"""Labels of a stranger's warehouse in what commands print: no line is a command, no document is broken or linked."""

import json
import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import duckdb
import pytest
from fault_trials import attempt

LABELS = {
    "command": "::error file=a.py::x",
    "old command": "a ##[set-output name=a]b",
    "lines": "a\n::set-output name=a::b\r\n##[error]c",
    "ignored letters": ":\ufe0f:error::x",
    "long": "word " * 11 + "::error::" + "x" * 70 + " ::error::x",
    "markup": "|`a``b <img src=x onerror=alert(1)> ![i](http://e.x) <!-- @octocat #1 www.e.x &lt; --> # - > 1.",
    "XML": "]]> <![CDATA[ \x00\x0b\ufffe\ufdd0 &amp; &#0; \"'",
}
PRINTED = {
    "gate": ("gate", "gate.toml", "w.duckdb"),
    "compare": ("compare", "a", "b", "w.duckdb"),
    "claims": ("claims", "w.duckdb", "--claims", "claims.toml"),
    "status": ("status", "w.duckdb"),
    "shapes": ("shapes", "w.duckdb"),
    "query": ("query", "from models", "w.duckdb"),
    "query, lines": ("query", "select model_label || chr(10) || model_label as a from models", "w.duckdb"),
    "query, blocks": (
        "query",
        "select model_label, source_label, dataset_label, note from models, sources, datasets",
        "w.duckdb",
        "--vertical",
    ),
    "error": ("query", "select error(model_label) from models", "w.duckdb"),
    "no such model": ("chart", "curves", "w.duckdb", "--model", "none of these"),
    "LaTeX": ("query", "from models", "w.duckdb", "--format", "latex"),
}
MARKDOWN = {
    "gate": ("gate", "gate.toml", "w.duckdb", "--markdown", "-"),
    "compare": ("compare", "a", "b", "w.duckdb", "--format", "markdown"),
    "claims": ("claims", "w.duckdb", "--claims", "claims.toml", "--markdown", "-"),
    "query": (
        "query",
        "select model_label, architecture, dataset_label, note from models, datasets",
        "w.duckdb",
        "--format",
        "markdown",
    ),
    "model card": ("publish", "w.duckdb", "--format", "model-card", "--output", "-"),
}
JSON = {
    "gate": ("gate", "gate.toml", "w.duckdb", "--json", "-"),
    "compare": ("compare", "a", "b", "w.duckdb", "--format", "json"),
    "claims": ("claims", "w.duckdb", "--claims", "claims.toml", "--json", "-"),
    "status": ("status", "w.duckdb", "--json"),
    "query": ("query", "from models", "w.duckdb", "--format", "json"),
    "Croissant": ("publish", "w.duckdb", "--format", "croissant", "--output", "-"),
}
CODE = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)")
MARKUP = re.compile(r"(?<!\\)<(?!/?details>|/?summary>)|(?<!\\)\]\(|@\w|#\d|https?:|www\.|&\w+;|::")


@pytest.fixture(scope="module", params=LABELS)
def folder(request: pytest.FixtureRequest, sound_warehouse: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse in which every text from outside is malicious, and a gate over its two first evaluations."""
    made = tmp_path_factory.mktemp("labels")
    shutil.copy(sound_warehouse, made / "w.duckdb")
    with duckdb.connect(str(made / "w.duckdb")) as con:
        for sql in (
            "update models set model_label = $1 || right(model_id, 2), architecture = $1, training_data = $1",
            "update datasets set dataset_label = $1, dataset_name = $1, note = $1, split = $1",
            "update sources set source_label = $1",
            "update corruptions set corruption_label = $1 || corruption where corruption <> 'none'",
            "update classes set class_name = $1 || class_index",
            "update evaluations set subset = $1, pairing_note = $1, attention_note = $1, study = $1",
        ):
            con.execute(sql, [LABELS[request.param]])
        first, second = [name for (name,) in con.sql("select evaluation_id from evaluations order by 1").fetchall()][:2]
    rules = '[[gate.rules]]\nmetric = "accuracy"\nrelation = "worse_by_at_most"\nlimit = 0.01\nover = "each"\n'
    (made / "gate.toml").write_text(f'[gate]\nbaseline = "{first}"\ncandidate = "{second}"\n{rules}')
    (made / "claims.toml").write_text('[[claims]]\nshape = "flat"\ncorruptions = ["fog"]\n')
    (made / "names").write_text(f"{first} {second}")
    return made


def printed(arguments: tuple[str, ...], folder: Path) -> tuple[str, str]:
    """Stdout and stderr of a command; a and b stand for the two evaluations."""
    names = dict(zip("ab", (folder / "names").read_text().split(), strict=True))
    trial = attempt(*(names.get(one, one) for one in arguments), folder=folder)
    assert trial.code in (0, 1, 2, 3), trial.stderr
    return trial.stdout, trial.stderr


def check_lines(*texts: str) -> None:
    for line in (line for text in texts for line in re.split(r"[\r\n]", text)):
        assert not re.sub("[\ufe0f\u200b]", "", line).strip().startswith("::"), line
        assert not re.search(r"##\w*\[", line), line


@pytest.mark.slow
@pytest.mark.parametrize("arguments", PRINTED.values(), ids=PRINTED)
def test_no_printed_line_is_a_command(folder: Path, arguments: tuple[str, ...]) -> None:
    check_lines(*printed(arguments, folder))


@pytest.mark.slow
@pytest.mark.parametrize("arguments", MARKDOWN.values(), ids=MARKDOWN)
def test_no_label_is_markdown(folder: Path, arguments: tuple[str, ...]) -> None:
    text, errors = printed(arguments, folder)
    assert text, errors
    check_lines(text, errors)
    body = text.split("\n---\n", 1)[1] if text.startswith("---\n") else text  # metadata is YAML
    outside = [CODE.sub("", line) for line in body.splitlines()]
    assert not [line for line in outside if MARKUP.search(line)]


@pytest.mark.slow
@pytest.mark.parametrize("arguments", JSON.values(), ids=JSON)
def test_json_is_json(folder: Path, arguments: tuple[str, ...]) -> None:
    text, errors = printed(arguments, folder)
    json.loads(text)
    check_lines(text, errors)


@pytest.mark.slow
def test_junit_is_xml(folder: Path) -> None:
    text, errors = printed(("gate", "gate.toml", "w.duckdb", "--junit", "-"), folder)
    assert ElementTree.fromstring(text).tag == "testsuites"
    check_lines(text, errors)


@pytest.mark.slow
def test_metadata_of_a_model_card_is_yaml(folder: Path) -> None:
    yaml = pytest.importorskip("yaml")
    text, _ = printed(("publish", "w.duckdb", "--format", "model-card", "--output", "-"), folder)
    assert list(yaml.safe_load(text.split("\n---\n")[0].removeprefix("---\n"))) == ["model-index"]
