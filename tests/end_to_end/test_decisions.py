"""docs/decisions.md does what it says: each command prints what stands below it, and its workflow's steps run.

After a change of what is printed, FAILMODES_WRITE_DOCS=1 writes the page anew: read what changed before you commit it.
"""

import os
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

pytest.importorskip("torch")

from worked_example import ROOT, environment_of, run, run_page, settled

pytestmark = pytest.mark.nightly
PAGE, WORKFLOW = ROOT / "docs" / "decisions.md", ROOT / "docs" / "examples" / "gate.yml"
IN_THE_REPOSITORY = ("models.py", "images", "noisy-0.safetensors", "candidate.toml", "gate.toml", "baseline.duckdb")


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder in which the page was worked through, and the page as it is then."""
    folder = tmp_path_factory.mktemp("worked")
    return folder, run_page(PAGE.read_text(encoding="utf-8"), folder)


def test_every_output_is_what_its_command_prints(worked: tuple[Path, str]) -> None:
    _, page = worked
    if os.environ.get("FAILMODES_WRITE_DOCS"):
        PAGE.write_text(page, encoding="utf-8")
    assert settled(page) == settled(PAGE.read_text(encoding="utf-8"))


def test_the_workflow_runs_where_its_files_are(worked: tuple[Path, str], tmp_path: Path) -> None:
    for name in IN_THE_REPOSITORY:
        source = worked[0] / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    environment = environment_of(tmp_path) | {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
    for name, command in steps().items():
        if name != "Install":
            run(command, tmp_path, environment, expect=0)
    assert "Gate passes: Candidate against Plain, seed 0" in (tmp_path / "summary.md").read_text()
    assert "Candidate" in (tmp_path / "comparison.md").read_text()
    (suite,) = ElementTree.parse(tmp_path / "gate.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("1", "0")


def test_the_workflow_stops_where_the_limit_is_not_kept(worked: tuple[Path, str], tmp_path: Path) -> None:
    folder, _ = worked
    rules = (folder / "gate.toml").read_text().replace("baseline.duckdb", str(folder / "baseline.duckdb"))
    (tmp_path / "gate.toml").write_text(rules.replace("0.02", "0"))
    (tmp_path / "candidate.toml").write_text(f'output = "{folder}/runs/candidate"')
    environment = environment_of(tmp_path) | {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
    run(steps()["Gate"], tmp_path, environment, expect=1)
    assert "Gate stops" in (tmp_path / "summary.md").read_text()


def steps() -> dict[str, str]:
    """Commands of the workflow by the name of their step, in order."""
    yaml = pytest.importorskip("yaml")
    found = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"]["gate"]["steps"]
    return {step["name"]: step["run"] for step in found if "run" in step}
