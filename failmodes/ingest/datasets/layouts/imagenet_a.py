"""ImageNet-A (Hendrycks et al. 2021): WordNet folders of 200 classes.

Accuracy is among the outputs of its own classes (hendrycks/natural-adv-examples, `eval.py`).
"""

from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.layout import Protocol, Request, layout
from failmodes.ingest.datasets.wordnet_folders import EXPECTED, IMAGENET_VALIDATION, TAKES, open_wordnet_folders


@layout(
    "imagenet-a",
    takes=TAKES,
    expected=EXPECTED,
    protocol=Protocol(
        IMAGENET_VALIDATION,
        restricted=True,
        source="Hendrycks et al. 2021, arXiv 1907.07174; natural-adv-examples/eval.py",
    ),
)
def open_imagenet_a(request: Request) -> Dataset:
    """Open the images; see `open_wordnet_folders`."""
    return open_wordnet_folders(request, "ImageNet-A")
