"""`make gpu`: what can only be seen on a GPU, stage by stage, the most important first.

Each stage runs in a process of its own, since an error of CUDA poisons the process that it happens in, and writes its
result to `STAGE.json` in the folder; a stage with a result there is not run again. `measured.md` lists all results.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / name) for name in ("gpu", "benchmarks", "references")]

from stages import STAGES, Figure, Sizes, run_stage  # noqa: E402

from failmodes.evaluate.devices import choose_device, describe_device  # noqa: E402

TIMEOUT_S = 540  # of a stage


def main() -> int:
    """Run the stages that have no result yet; returns 1 if one failed or a figure is outside its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of the results")
    parser.add_argument("--device", default="auto", choices=("auto", "cuda", "mps", "cpu"))
    parser.add_argument("--only", choices=tuple(STAGES), help="run this stage alone")
    parser.add_argument("--small", action="store_true", help="few images; the default on a CPU")
    parser.add_argument("--here", action="store_true", help="run the stage of --only in this process")
    arguments = parser.parse_args()
    device = choose_device(arguments.device)
    sizes = Sizes.small() if arguments.small or device.type == "cpu" else Sizes()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    if arguments.here:
        run_stage(arguments.only, device, sizes, arguments.folder)
        return 0
    wanted = [arguments.only] if arguments.only else list(STAGES)
    for name in wanted:
        if not (arguments.folder / f"{name}.json").exists():
            print(f"{name} …", flush=True)
            _run_apart(name, arguments.folder, device.type, is_small=sizes == Sizes.small())
    text, is_good = _summary(arguments.folder, wanted, describe_device(device), sizes)
    (arguments.folder / "measured.md").write_text(text)
    print(text)
    return 0 if is_good else 1


def _run_apart(name: str, folder: Path, device: str, *, is_small: bool) -> None:
    """Run a stage in a process of its own; what it prints goes to `STAGE.log`."""
    command = [sys.executable, __file__, str(folder), "--device", device, "--only", name, "--here"]
    with (folder / f"{name}.log").open("w") as log:
        try:
            subprocess.run(
                command + ["--small"] * is_small, stdout=log, stderr=log, timeout=TIMEOUT_S, env=_environment()
            )
        except subprocess.TimeoutExpired:
            print(f"stopped after {TIMEOUT_S} s", file=log)


def _environment() -> dict[str, str]:
    """This checkout first, also for the commands that a stage runs."""
    root = str(Path(__file__).parents[2])
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))}


def _summary(folder: Path, names: list[str], card: str, sizes: Sizes) -> tuple[str, bool]:
    """All results as a table in Markdown, and whether every stage ended with figures within their limits."""
    lines = [f"Measured on {card}, {sizes.described}.", "", "| stage | figure | value | limit |", "|---|---|---|---|"]
    is_good = True
    for name in names:
        path = folder / f"{name}.json"
        if not path.exists():
            is_good = False
            lines.append(f"| {name} | not finished: see `{name}.log` | | |")
            continue
        result = json.loads(path.read_text())
        for row in result["figures"]:
            figure = Figure(**row)
            is_good &= figure.is_within
            lines.append(f"| {name} | {figure.name} | {figure.text} | {figure.limit_text} |")
    return "\n".join(lines) + "\n", is_good


if __name__ == "__main__":
    sys.exit(main())
