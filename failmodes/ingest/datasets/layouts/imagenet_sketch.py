"""ImageNet-Sketch: WordNet folders of 1,000 classes, 50 sketches each (HaohanWang/ImageNet-Sketch)."""

from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.layout import Protocol, Request, layout
from failmodes.ingest.datasets.wordnet_folders import EXPECTED, IMAGENET_VALIDATION, TAKES, open_wordnet_folders


@layout(
    "imagenet-sketch",
    takes=TAKES,
    expected=EXPECTED,
    protocol=Protocol(IMAGENET_VALIDATION, restricted=False, source="HaohanWang/ImageNet-Sketch"),
)
def open_imagenet_sketch(request: Request) -> Dataset:
    """Open the images; see `open_wordnet_folders`."""
    return open_wordnet_folders(request, "ImageNet-Sketch")
