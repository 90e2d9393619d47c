"""Whether the package stands beside Hugging Face's `datasets` and `evaluate`: all three import, and work.

`make test-small` runs it in an environment without PyTorch, where ours was installed last, and then theirs.
The wheel once held five top-level folders, and the one called `evaluate` overwrote that library's `__init__.py`.
"""

import os
import tempfile
from importlib.metadata import files, version
from importlib.util import find_spec
from pathlib import Path

os.environ |= {"HF_HOME": tempfile.mkdtemp(), "HF_HUB_OFFLINE": "1", "HF_EVALUATE_OFFLINE": "1"}

import datasets
import numpy as np

import evaluate  # Hugging Face's, not ours
import failmodes


class Accuracy(evaluate.Metric):
    """A metric defined here, for theirs would be downloaded."""

    def _info(self) -> evaluate.MetricInfo:
        integer = datasets.Value("int64")
        features = datasets.Features({"predictions": integer, "references": integer})
        return evaluate.MetricInfo(description="accuracy", citation="", features=features)

    def _compute(self, predictions: list[int], references: list[int]) -> dict[str, float]:
        return {"accuracy": float(np.equal(predictions, references).mean())}


def main() -> None:
    """Check where each package lies, then use it."""
    assert find_spec("torch") is None, "this environment is to lack PyTorch"
    for package in (datasets, evaluate, failmodes):
        installed = {path.locate() for path in files(package.__name__) or ()}
        assert Path(package.__file__) in installed, f"{package.__name__} comes from {package.__file__}"
    ours = {path.parts[0] for path in files("failmodes") or ()} - {".."}  # `..` leads to the script
    assert ours == {"failmodes", f"failmodes-{version('failmodes')}.dist-info"}, ours

    images = np.full((4, 32, 32, 3), 127, np.uint8)
    foggy = failmodes.corrupt(images, "fog", 3)
    assert foggy.shape == images.shape
    assert foggy.dtype == np.uint8
    assert (foggy != images).any()
    rows = datasets.Dataset.from_dict({"label": [0, 1, 1, 0]})
    assert Accuracy().compute(predictions=[0, 1, 0, 0], references=rows["label"]) == {"accuracy": 0.75}
    print(f"failmodes {failmodes.__version__}, datasets {datasets.__version__}, evaluate {evaluate.__version__}: well")


if __name__ == "__main__":
    main()
