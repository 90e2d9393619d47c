"""`make bench`: every figure beside a peer or a limit of the same run; ratios above 1 mean that ours is faster."""

import argparse
import json
import os
import sys
from functools import partial
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "references")]

os.environ.setdefault("GOMP_SPINCOUNT", "20000")  # as every command
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

from bootstrap import measure_bootstrap  # noqa: E402
from busy_machine import measure_busy_machine  # noqa: E402
from corruptions import measure_corruptions  # noqa: E402
from explorer_queries import measure_explorer  # noqa: E402
from measure import Skipped  # noqa: E402
from models import measure_evaluations, measure_models  # noqa: E402
from rich.console import Console  # noqa: E402
from scaling import measure_scaling  # noqa: E402
from slice_searches import measure_slices  # noqa: E402
from sources import measure_sources  # noqa: E402
from startup import measure_startup  # noqa: E402
from warehouse_questions import (  # noqa: E402
    IMAGES,
    measure_many_classes,
    measure_scale,
    measure_warehouse,
)

PARTS = {
    "startup": measure_startup,
    "bootstrap": measure_bootstrap,
    "evaluations": measure_evaluations,
    "busy": measure_busy_machine,
    "warehouse": measure_warehouse,
    "classes": measure_many_classes,
}
ON_DEMAND = {  # another half an hour; `scale` alone an hour: loads of 20 and 100 models
    "corruptions": measure_corruptions,
    "explorer": measure_explorer,
    "models": measure_models,
    "scaling": measure_scaling,
    "scale": measure_scale,
    "slices": measure_slices,
    "sources": measure_sources,
}


def main() -> None:
    """Measure, print line by line, write the list where it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the results to this file")
    parser.add_argument("--images", type=int, default=IMAGES, help="of each model of `scale`")
    parser.add_argument("--only", choices=[*PARTS, *ON_DEMAND], help="measure this part alone")
    arguments = parser.parse_args()
    console = Console(highlight=False, soft_wrap=True)
    results = []
    parts = PARTS | ON_DEMAND | {"scale": partial(measure_scale, arguments.images)}
    for part in [arguments.only] if arguments.only else PARTS:
        for result in parts[part]():
            if isinstance(result, Skipped):
                console.print(f"{result.name:32}            – skipped: {result.reason}")
                continue
            results.append(result._asdict())
            console.print(f"{result.name:32} {result.value:12,.3g} {result.unit}")
            console.print(f"{'':32} {result.ratio:12.3g} × {result.against}")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
