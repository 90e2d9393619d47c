"""Study files: errors are one line, with the nearest valid name."""

from pathlib import Path

import pytest

from failmodes.evaluate.study.study_file import read_study, templates
from failmodes.runtime.errors import StudyError

GOOD = """
name = "x"
output = "out"
[dataset]
kind = "digits"
[[models]]
label = "A"
architecture = "resnet18"
training = { epochs = 1 }
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "study.toml"
    path.write_text(text)
    return path


def test_a_minimal_study_has_the_six_corruptions_and_paths_beside_the_file(tmp_path) -> None:
    study = read_study(write(tmp_path, GOOD))
    assert study.corruptions.names == [
        "contrast", "fog", "motion_blur", "gaussian_noise", "jpeg_compression", "brightness",
    ]  # fmt: skip
    assert study.corruptions.severities == [1, 2, 3, 4, 5]
    assert study.output == tmp_path / "out"


FLAT = '\n[[claims]]\nshape = "flat"\ncorruptions = ["fog"]\n'
BAD = {
    "misspelt nested key": (GOOD.replace("epochs", "epoch"), r"models\.0\.training\.epoch: .*did you mean 'epochs'"),
    "misspelt corruption": (GOOD + '[corruptions]\nnames = ["motion_blurr"]', "motion_blur"),
    "severity": (GOOD + "[corruptions]\nseverities = [6]", "severity 6"),
    "missing key": (GOOD.replace('kind = "digits"', ""), r"dataset\.kind: this key is missing"),
    "architecture": (GOOD.replace("resnet18", "resnet 18"), "unknown architecture 'resnet 18': expected resnet18"),
    "no checkpoint file": (
        GOOD.replace("training = { epochs = 1 }", 'checkpoint = "gone.safetensors"'), 
        "no checkpoint at .*gone.*`checkpoint`",
    ),
    "neither": (GOOD.replace("training = { epochs = 1 }", ""), "expected one of `checkpoint`, `training`"),
    "same label": (GOOD + GOOD[GOOD.index("[[models]]") :], "same label"),
    "not TOML": (GOOD + "[", "is not valid TOML"),
    "normalization of 0-255": (
        GOOD + "normalization = { mean = [123.7, 116.3, 103.5], std = [58, 57, 57] }",
        r"\[0\.485, 0\.456, 0\.406\]",
    ),
    "claim in English": ('claims = ["fog is flat"]' + GOOD, r"claims\.0: a claim is a table, not a sentence"),
    "claim of an unknown corruption": (GOOD + FLAT.replace("fog", "fogg"), "claims: .*'fogg': did you mean 'fog'"),
    "zero spread": (
        GOOD + "normalization = { mean = [0.5, 0.5, 0.5], std = [0.2, 0.2, 0.0] }", "greater than or equal to 0.000001",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_an_invalid_study_is_one_line(tmp_path, name: str) -> None:
    text, message = BAD[name]
    with pytest.raises(StudyError, match=message) as caught:
        read_study(write(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_every_template_reads_once_its_files_are_there(tmp_path) -> None:
    for name, path in templates().items():
        copy = tmp_path / f"{name}.toml"
        copy.write_bytes(path.read_bytes())
        (tmp_path / "checkpoints").mkdir(exist_ok=True)
        (tmp_path / "checkpoints" / "resnet18.safetensors").touch()
        (tmp_path / "my-classifier.safetensors").touch()
        assert read_study(copy).models
