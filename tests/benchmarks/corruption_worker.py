"""Corrupts on request and says how long it took; runs under our interpreter (`ours`) or the peer's (`peer`).

Started as `corruption_worker.py ours|peer RECIPE IMAGES.npy`: images stay in memory, each line of JSON on stdin is one
request, each on stdout its answer. Needs NumPy, OpenCV and the side that it stands for, nothing else.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path

import cv2
import numpy as np


def main() -> None:
    """Answer until stdin ends."""
    side, recipe, path = sys.argv[1:]
    images = np.load(path)
    replies, sys.stdout = sys.stdout, open(os.devnull, "w")  # noqa: SIM115 - the peer prints remarks while it works
    cv2.setNumThreads(1)
    corrupt, refusal = (_ours if side == "ours" else _peer)(recipe)
    for line in sys.stdin:
        request = json.loads(line)
        batch = images[: request.pop("count")]
        started = time.perf_counter()
        try:
            corrupt(batch, **request)
            reply = {"seconds": time.perf_counter() - started, "peak_bytes": _peak_bytes()}
        except refusal as error:
            reply = {"refused": str(error)}
        print(json.dumps(reply), file=replies, flush=True)


def _ours(recipe):
    from failmodes.ingest.corruptions.apply import corrupt
    from failmodes.runtime.errors import FailmodesError

    def run(images, name, severity, seed):
        return corrupt(images, name, severity, recipe=recipe, seed=seed)

    return run, FailmodesError


def _peer(_recipe):
    """The package, image by image as it wants them, with the one argument that scikit-image has since renamed."""
    import imagecorruptions
    from imagecorruptions import corruptions

    published = corruptions.gaussian

    def gaussian(image, *arguments, multichannel=False, **options):
        return published(image, *arguments, channel_axis=-1 if multichannel else None, **options)

    corruptions.gaussian = gaussian

    def run(images, name, severity, seed):
        return [imagecorruptions.corrupt(image, severity=severity, corruption_name=name) for image in images]

    return run, ()


def _peak_bytes() -> int:
    """The most memory this process has held; Linux counts its parent's in ru_maxrss, so not that one there."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
