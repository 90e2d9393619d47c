"""Results written for others: figures as the warehouse has them, texts that nothing runs, valid structure."""

import hashlib
import json
import re
import shutil
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from markdown_it import MarkdownIt
from synthetic_results import Synthetic, Texts, write_synthetic
from warehouse_files import derivation

from failmodes.analysis.publishing.formats import FORMATS, publish_results
from failmodes.runtime.errors import StudyError, WarehouseError
from failmodes.runtime.storage.files import TEMPORARY_PREFIX
from failmodes.warehouse.database.load import load
from failmodes.warehouse.published_layout import CLEAN_CELL, read_published

MALICIOUS = ("=1+1|x", '"---\nname: [evil]', "a](http://x) <script>")


@pytest.fixture(scope="module")
def malicious(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    """Models and a data set whose names are markup, over 60 images; severities 0.5, 1 and 2 of two corruptions."""
    texts = Texts(dataset="Digits: {x} <b>|`y`", note="JPEG copy: # all")
    made = write_synthetic(
        tmp_path_factory.mktemp("malicious"), images=60, models=MALICIOUS, corruptions=("fog", "contrast"),
        severities=(0.5, 1, 2), texts=texts,
    )  # fmt: skip
    load([made.output], made.output / "warehouse.duckdb", derivation=derivation(resamples=50))
    return made


def accuracy(made: Synthetic, label: str, corruption: str, position: int) -> float:
    return float(made.correct[label, corruption][position].mean())


def test_a_table_of_robustbench_is_read_again(malicious: Synthetic, tmp_path: Path) -> None:
    done = publish_results(malicious.output / "warehouse.duckdb", "robustbench", tmp_path / "ours_unaggregated.csv")
    assert [path.name for path in done.paths] == ["ours_unaggregated.csv", "ours_clean.csv"]
    found = read_published(done.paths[0])
    names = {label: label.replace("\n", " ") for label in MALICIOUS}
    assert {model.name for model in found.models} == set(names.values())
    by_name = {model.name: model.accuracies for model in found.models}
    for label, name in names.items():
        expected = {("fog", 1): 2, ("fog", 2): 3, ("contrast", 1): 2, ("contrast", 2): 3}
        assert by_name[name].keys() == {CLEAN_CELL, *expected}
        assert by_name[name][CLEAN_CELL] == accuracy(malicious, label, "fog", 0)
        for (corruption, severity), position in expected.items():
            assert by_name[name][corruption, severity] == accuracy(malicious, label, corruption, position)


@pytest.mark.test_all
def test_a_model_card_holds_every_figure_and_no_markup(malicious: Synthetic, tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml")
    (path,) = publish_results(malicious.output / "warehouse.duckdb", "model-card", tmp_path / "card.md").paths
    _, head, body = re.split(r"^---$\n?", path.read_text(), maxsplit=2, flags=re.MULTILINE)
    index = {entry["name"]: entry["results"] for entry in yaml.safe_load(head)["model-index"]}
    assert set(index) == {label.replace("\n", " ") for label in MALICIOUS}
    for label in MALICIOUS:
        clean, corrupted = index[label.replace("\n", " ")]
        assert clean["task"]["type"] == "image-classification"
        assert clean["dataset"]["name"] == "Digits: {x} <b>|`y`, clean"
        assert clean["dataset"]["args"]["images"] == 60
        (metric,) = clean["metrics"]
        assert metric["value"] == pytest.approx(accuracy(malicious, label, "fog", 0), abs=5e-5)
        assert metric["args"]["interval_low"] < metric["value"] < metric["args"]["interval_high"]
        values = {metric["name"]: metric["value"] for metric in corrupted["metrics"]}
        means = [(accuracy(malicious, label, c, 2) + accuracy(malicious, label, c, 3)) / 2 for c in ("fog", "contrast")]
        assert values["accuracy, Fog"] == pytest.approx(means[0], abs=5e-5)
        assert values["mean accuracy over corruptions"] == pytest.approx(sum(means) / 2, abs=5e-5)
        assert f"| Fog | {100 * means[0]:.1f} [" in body
    inline = [one for token in MarkdownIt("commonmark").enable("table").parse(body) for one in token.children or []]
    assert {one.type for one in inline} <= {"text", "code_inline", "text_special", "softbreak"}
    assert all(line.count("|") - line.count("\\|") == 4 for line in body.splitlines() if line.startswith("|"))


def test_a_croissant_describes_what_is_there(malicious: Synthetic, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(malicious.output, tmp_path / "out"))
    done = publish_results(folder / "warehouse.duckdb", "croissant")
    assert done.paths == (folder / "croissant.json",)
    text = done.paths[0].read_text()
    assert "<" not in text
    document = json.loads(text)
    assert document["@type"] == "sc:Dataset"
    assert document["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    assert {"name", "description", "version", "datePublished"} <= document.keys()
    database, *sets = document["distribution"]
    content = (folder / "warehouse.duckdb").read_bytes()
    assert (database["@type"], database["contentUrl"]) == ("cr:FileObject", "warehouse.duckdb")
    assert database["sha256"] == hashlib.sha256(content).hexdigest()
    files = {one["@id"]: sorted(folder.glob(one["includes"])) for one in sets}
    assert all(files.values())
    identifiers = [field["@id"] for records in document["recordSet"] for field in records["field"]]
    assert len(set(identifiers)) == len(identifiers)
    assert {records["@id"] for records in document["recordSet"]} >= {"prediction_facts", "attention", "models"}
    for records in document["recordSet"]:
        assert {key["@id"] for key in records["key"]} <= {field["@id"] for field in records["field"]}
        for field in records["field"]:
            assert field["dataType"] in ("sc:Text", "sc:Integer", "sc:Float", "sc:Boolean")
            for path in files[field["source"]["fileSet"]["@id"]]:
                extract = field["source"]["extract"]
                if "column" in extract:
                    assert extract["column"] in pq.read_schema(path).names
                else:
                    assert re.match(field["source"]["transform"]["regex"], str(path.relative_to(folder)))


def test_a_warehouse_that_was_handed_on_is_described_alone(malicious: Synthetic, tmp_path: Path) -> None:
    handed = Path(shutil.copy(malicious.output / "warehouse.duckdb", tmp_path / "handed.duckdb"))
    done = publish_results(handed, "croissant", tmp_path / "sub" / "c.json")
    document = json.loads(done.paths[0].read_text())
    assert [one["@id"] for one in document["distribution"]] == ["handed.duckdb"]
    with duckdb.connect(str(handed), read_only=True) as con:
        for records in document["recordSet"]:
            stored = {name for name, *_ in con.execute(f"describe {records['name']}").fetchall()}
            assert {field["source"]["extract"]["column"] for field in records["field"]} <= stored


@pytest.mark.test_all
def test_what_cannot_be_written_is_one_line(malicious: Synthetic, tmp_path: Path) -> None:
    warehouse = malicious.output / "warehouse.duckdb"
    with pytest.raises(StudyError, match="no format 'xml': choose among robustbench, croissant, model-card"):
        publish_results(warehouse, "xml")  # type: ignore[arg-type]
    for name, chosen in FORMATS.items():
        if not chosen.suffix:  # it fills a folder
            continue
        with pytest.raises(StudyError, match=f"ends in {chosen.suffix}"):
            publish_results(warehouse, name, tmp_path / "x.txt")
    with pytest.raises(StudyError, match="no model 'Nobody'"):
        publish_results(warehouse, "model-card", tmp_path / "x.md", models=["Nobody"])
    made = write_synthetic(tmp_path / "dense", images=40, corruptions=("fog",), severities=(0.5, 1.5))
    load([made.output], made.output / "w.duckdb", derivation=derivation(resamples=50))
    with pytest.raises(WarehouseError, match="no whole severity"):
        publish_results(made.output / "w.duckdb", "robustbench")
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".csv", ".md")]
    assert not list(tmp_path.rglob(f"{TEMPORARY_PREFIX}*"))
