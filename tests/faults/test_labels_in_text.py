"""Labels of a stranger's warehouse in what commands print: no line is a command, no document is broken or linked."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import duckdb
import pytest
from fault_trials import attempt_here
from marked_cases import quick

LABELS = {
    "commands": "::error file=a.py::x\na ##[set-output name=a]b\n::set-output name=a::b\r\n##[error]c \ufe0f:"
    + "word " * 11
    + "::error::x",
    "markup": "|`a``b <img src=x onerror=alert(1)> ![i](http://e.x) <!-- @octocat #1 www.e.x &lt; --> # - > 1. "
    "]]> <![CDATA[ \x00\x0b\ufffe\ufdd0 &amp; &#0; \"'",
}
CODE = re.compile(r"(?<![\\`])(`+)(?!`).*?(?<!`)\1(?!`)")
MARKUP = re.compile(r"(?<!\\)<(?!/?(?:details|summary|sub)>)|(?<!\\)\]\(|@\w|#\d|https?:|www\.|&\w+;|::")


def check_markdown(text: str) -> None:
    metadata, _, body = text.removeprefix("---\n").partition("\n---\n") if text.startswith("---\n") else ("", "", text)
    if metadata:
        yaml = pytest.importorskip("yaml")
        assert list(yaml.safe_load(metadata)) == ["model-index"]
    assert not [line for line in body.splitlines() if MARKUP.search(CODE.sub("", line))]


def check_xml(text: str) -> None:
    assert ElementTree.fromstring(text).tag == "testsuites"


OUTPUTS: dict[str, tuple[Callable[[str], object], tuple[str, ...]]] = {
    "gate": (str, ("gate", "gate.toml", "w.duckdb")),
    "status": (str, ("status", "w.duckdb")),
    "lines": (str, ("query", "select model_label || chr(10) || model_label as a from models", "w.duckdb")),
    "blocks": (str, ("query", "select model_label, dataset_label from models, datasets", "w.duckdb", "--vertical")),
    "error": (str, ("query", "select error(model_label) from models", "w.duckdb")),
    "LaTeX": (str, ("query", "from models", "w.duckdb", "--format", "latex")),
    "comparison": (check_markdown, ("compare", "a", "b", "w.duckdb", "--format", "markdown")),
    "Markdown": (check_markdown, ("query", "select model_label, note from models, datasets", "w.duckdb", "--format",
                                  "markdown")),
    "model card": (check_markdown, ("publish", "w.duckdb", "--format", "model-card", "--output", "-")),
    "claims": (json.loads, ("claims", "w.duckdb", "--claims", "claims.toml", "--json", "-")),
    "JSON": (json.loads, ("query", "from models", "w.duckdb", "--format", "json")),
    "Croissant": (json.loads, ("publish", "w.duckdb", "--format", "croissant", "--output", "-")),
    "JUnit": (check_xml, ("gate", "gate.toml", "w.duckdb", "--junit", "-")),
}  # fmt: skip


@pytest.fixture(scope="module", params=["markup", pytest.param("commands", marks=pytest.mark.test_all)])
def folder(request: pytest.FixtureRequest, small_warehouse: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse in which every text from outside is malicious, and what a gate and claims need of it."""
    made = tmp_path_factory.mktemp("labels")
    shutil.copy(small_warehouse, made / "w.duckdb")
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


@quick("name", OUTPUTS, "error", "comparison", "Markdown", "JSON", "JUnit")
def test_no_label_is_a_command_or_markup(folder: Path, name: str) -> None:
    check, arguments = OUTPUTS[name]
    names = dict(zip("ab", (folder / "names").read_text().split(), strict=True))
    trial = attempt_here(*(names.get(one, one) for one in arguments), folder=folder)
    assert trial.code in (0, 1, 2, 3), trial.stderr
    for line in re.split(r"[\r\n]", f"{trial.stdout}\n{trial.stderr}"):
        assert not re.sub("[\ufe0f\u200b]", "", line).strip().startswith("::"), line
        assert not re.search(r"##\w*\[", line), line
    check(trial.stdout)
