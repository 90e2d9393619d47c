"""The engine: models that raise, memory that ends, logits that are no numbers, blocks made ahead, writing behind."""

import pytest
from tiny_study import run_study

from failmodes.warehouse.errors import StudyError


@pytest.mark.slow
def test_one_model_under_two_labels_is_refused(two_trained_models) -> None:
    path, output, _ = two_trained_models
    first = next(iter(sorted((output / "checkpoints").glob("*.safetensors"))))
    models = "".join(
        f'[[models]]\nlabel = "{label}"\narchitecture = "resnet18"\nwidth = 8\ncheckpoint = "{first}"\n'
        for label in ("One", "Other")
    )
    path.write_text(path.read_text().split("[[models]]")[0] + models)
    with pytest.raises(StudyError, match="models 'One' and 'Other' are one model"):
        run_study(path)
