"""docs/slices.md runs as it stands, from a table made here.

After a change of what is printed, FAILMODES_WRITE_DOCS=1 writes the page anew: read what changed before you commit it.
"""

import os
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from worked_example import ROOT, run_page, settled

PAGE = ROOT / "docs" / "slices.md"
COUNT = 2_000  # images
CLASSES = ("bus", "car", "truck")


def predictions() -> pl.DataFrame:
    """Predictions of a model that fails on night images of camera B under fog, more than on any others."""
    rng = np.random.default_rng(3)
    names = [f"{number:04d}.jpg" for number in range(COUNT)]
    labels = rng.integers(0, len(CLASSES), COUNT)
    facts = {
        "camera": rng.choice(["A", "B", "C"], COUNT),
        "time": rng.choice(["day", "night"], COUNT, p=[0.6, 0.4]),
        "distance_m": rng.gamma(3, 8, COUNT).round(1),
    }
    fails = (facts["camera"] == "B") & (facts["time"] == "night")
    cells = [("none", 0), *((name, severity) for name in ("fog", "snow") for severity in (1, 2, 3))]
    rows = []
    for corruption, severity in cells:
        correct = rng.random(COUNT) < 0.96 - 0.025 * severity
        if corruption == "fog":
            correct &= ~(fails & (rng.random(COUNT) < 0.13 * severity))
        predicted = np.where(correct, labels, (labels + 1) % len(CLASSES))
        classes = np.array(CLASSES)
        rows.append(
            pl.DataFrame({
                "file_name": names, "label": classes[labels], "predicted_class": classes[predicted],
                "corruption": corruption, "severity": severity, **facts,
            })
        )  # fmt: skip
    return pl.concat(rows)


@pytest.mark.nightly
def test_every_output_is_what_its_command_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predictions().write_csv(tmp_path / "predictions.csv")
    page = run_page(PAGE.read_text(encoding="utf-8"), tmp_path)
    if os.environ.get("FAILMODES_WRITE_DOCS"):
        PAGE.write_text(page, encoding="utf-8")
    assert settled(page) == settled(PAGE.read_text(encoding="utf-8"))
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    known: dict[str, object] = {}
    exec(compile(code, PAGE.name, "exec"), known)
    assert known["first"].condition == "camera = 'B' and time = 'night'"  # type: ignore[attr-defined]
