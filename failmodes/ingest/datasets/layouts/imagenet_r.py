"""ImageNet-R (Hendrycks et al. 2021): WordNet folders of 200 classes, 30,000 renditions.

Accuracy is among the outputs of its own classes (hendrycks/imagenet-r, `eval.py`).
"""

from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.layout import Protocol, Request, layout
from failmodes.ingest.datasets.wordnet_folders import EXPECTED, IMAGENET_VALIDATION, TAKES, open_wordnet_folders


@layout(
    "imagenet-r",
    takes=TAKES,
    expected=EXPECTED,
    protocol=Protocol(
        IMAGENET_VALIDATION, restricted=True, source="Hendrycks et al. 2021, arXiv 2006.16241; imagenet-r/eval.py"
    ),
)
def open_imagenet_r(request: Request) -> Dataset:
    """Open the images; see `open_wordnet_folders`."""
    return open_wordnet_folders(request, "ImageNet-R")
