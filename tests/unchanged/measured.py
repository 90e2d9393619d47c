"""Sizes, and times of `make bench`, of both sides side by side: a table that nobody judges."""

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from sides import Broken, Place, environment, extract_commit, extract_files


def print_measures(place: Place, commit: str) -> None:
    """Print statements and modules, and what `make bench` measures, one side after the other."""
    rows = {name: {**sizes(place.tree(name)), **times(place, name, commit)} for name in ("base", "ours")}
    print(f"# {'measured, not judged':60} {'before':>12} {'now':>12}")
    for name in dict.fromkeys([*rows["base"], *rows["ours"]]):
        before, now = (rows[side].get(name) for side in ("base", "ours"))
        print(f"# {name:60} {_shown(before):>12} {_shown(now):>12}")


def sizes(tree: Path) -> dict[str, float]:
    """Statements and modules of the package."""
    files = list((tree / "failmodes").rglob("*.py"))
    statements = sum(isinstance(n, ast.stmt) for file in files for n in ast.walk(ast.parse(file.read_text())))
    return {"statements": statements, "modules": len(files)}


def times(place: Place, which: str, commit: str) -> dict[str, float]:
    """What `make bench` of a side measures, by its own benchmarks.

    Raises:
        Broken: they fail.
    """
    tree, found = place.run / "bench" / which, place.run / "bench" / f"{which}.json"
    if which == "base":
        extract_commit(commit, tree, whole=True)
    else:
        extract_files(tree, whole=True)
    home = environment(tree, place.run / "home" / "bench" / which)
    del home["PYTHONSAFEPATH"], home["OMP_NUM_THREADS"]
    command = [sys.executable, "-m", "tests.benchmarks", "--json", str(found)]
    done = subprocess.run(command, cwd=tree, env=home, capture_output=True, text=True)
    if done.returncode:
        raise Broken(f"the benchmarks of {which} fail:\n{done.stderr[-3000:]}")
    results: list[dict[str, Any]] = json.loads(found.read_text())
    values = {f"{result['name']}, {result['unit']}": result["value"] for result in results}
    return values | {f"{result['name']}, × {result['against']}": result["ratio"] for result in results}


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:,.4g}" if isinstance(value, float) else f"{value:,}"
