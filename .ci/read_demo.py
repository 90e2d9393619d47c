"""Read the demo's warehouse with every command that needs no extra, as somebody does who was handed the file.

`make test-floors` runs it in an environment with the oldest versions of what reading needs, and nothing else.
"""

import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

SCRIPT = Path(sys.executable).with_name("failmodes")
WAREHOUSE = Path("runs/digits/warehouse.duckdb").absolute()
MODELS = ("ResNet-18 (width 16)", "DenseNet-121 (width 8)")
GATE = f"""[gate]
baseline = "{MODELS[1]}"
candidate = "{MODELS[0]}"
[[gate.rules]]
metric = "accuracy"
relation = "worse_by_at_most"
limit = 0.01
"""
COMMANDS = (
    ("status",),
    ("schema", "accuracy_by_severity"),
    ("query", "@worst_cells"),
    ("query", "select corruption, min(accuracy) from accuracy_by_severity group by all", "--output", "rows.parquet"),
    ("shapes",),
    ("claims",),
    ("compare", *MODELS),
    ("gate", "gate.toml"),
    ("chart", "curves", "--output", "curves.png"),
    ("chart", "attention", "--output", "attention.html"),
    ("report", "--output", "report.html"),
    ("export", "baseline.duckdb", "--evaluation", MODELS[0]),
)


def main() -> None:
    """Run every command in a folder that holds the warehouse and nothing else."""
    for name in ("torch", "cv2", "sklearn", "httpx", "fsspec", "starlette"):
        assert find_spec(name) is None, f"{name} is installed: this environment is to hold what reading needs"
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(WAREHOUSE, folder)
        Path(folder, "gate.toml").write_text(GATE)
        for command in COMMANDS:
            subprocess.run([SCRIPT, *command], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        report = Path(folder, "report.html").read_text(encoding="utf-8")
        assert "OpenCV, not installed here: pip install" in report
    versions = ", ".join(f"{name} {version(name)}" for name in ("duckdb", "polars", "altair", "numpy", "pyarrow"))
    print(f"{len(COMMANDS)} commands read the demo's warehouse with {versions}")


if __name__ == "__main__":
    main()
