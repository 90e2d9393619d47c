"""`python -m tests.unchanged.planted`: plant differences in BASE's sources, and check that each one is printed.

Every entry of planted.toml replaces a text of BASE's sources. All entries of a scenario are planted at once, unless
`--apart` is given; each must change its answer, and a printed line must name it.
"""

import argparse
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent)]

from comparison import compare  # noqa: E402
from sides import (  # noqa: E402
    BASE,
    Broken,
    Place,
    answers,
    base_answers,
    build,
    default_cache,
    extract_commit,
    provide_inputs,
)

FILE = Path(__file__).parent / "planted.toml"
Plant = dict[str, Any]


def main() -> int:
    """Plant and compare; 1 if a difference is not found."""
    parser = argparse.ArgumentParser(prog="python -m tests.unchanged.planted", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="entries, or scenarios; default: all entries")
    parser.add_argument("--apart", action="store_true", help="a run of its scenario for each entry")
    parser.add_argument("--check", action="store_true", help="only look for the texts in BASE's sources")
    parser.add_argument("--cache", type=Path, default=default_cache(), help="folder (default: %(default)s)")
    options = parser.parse_args()
    plants = tomllib.loads(FILE.read_text())["planted"]
    chosen = [p for p in plants if not options.names or {p["name"], p["scenario"]} & {*options.names}]
    if unknown := {*options.names} - {name for plant in plants for name in (plant["name"], plant["scenario"])}:
        parser.error(f"no entry or scenario of {FILE.name} is called {', '.join(sorted(unknown))}")
    place = Place(options.cache.resolve())
    with place.locked():
        commit = extract_commit(BASE, place.tree("base"))
        build(place.tree("base"), place.cache)
        lost = [
            name for group in groups(chosen, apart=options.apart) for name in run(place, commit, group, options.check)
        ]
    if options.check:
        return 0
    print(f"{len(chosen) - len(lost)} of {len(chosen)} planted differences are found", *lost, sep="\n  not found: ")
    return int(bool(lost))


def groups(plants: Sequence[Plant], *, apart: bool) -> Iterator[list[Plant]]:
    """Entries that are planted together: those of a scenario that have the same number in `run`, by default 1."""
    keys = dict.fromkeys((plant["scenario"], plant["name"] if apart else plant.get("run", 1)) for plant in plants)
    for scenario, key in keys:
        yield [p for p in plants if p["scenario"] == scenario and key in (p["name"], p.get("run", 1))]


def run(place: Place, commit: str, plants: Sequence[Plant], check: bool) -> list[str]:
    """Plant some entries of one scenario, and print what becomes of each.

    Returns:
        Names of those that are not found.
    """
    began = time.monotonic()
    scenario, tree = plants[0]["scenario"], place.tree("ours")
    extract_commit(commit, tree)
    for plant in plants:
        patch(tree, plant)
    if check:
        return []
    build(tree, place.cache)
    inputs = provide_inputs(place, scenario)
    base = base_answers(place, commit, scenario, inputs)
    try:
        ours = answers(place, scenario, "ours", inputs)
    except Broken as error:
        lines, changed = [str(error)], {plant["name"] for plant in plants}
    else:
        lines = [str(difference) for difference in compare(scenario, base, ours).found.values()]
        changed = {plant["name"] for plant in plants if differs(base / plant["answer"], ours / plant["answer"])}
    (place.run / f"planted.{scenario}.txt").write_text("\n".join(lines))
    lost = []
    for plant in plants:
        named = [line for line in lines if plant["printed"] in line]
        if not named or plant["name"] not in changed:
            lost.append(plant["name"])
        why = "found" if named else "NOT PRINTED"
        why = why if plant["name"] in changed else f"{why}, and {plant['answer']} DOES NOT CHANGE"
        print(f"{plant['name']}: {why}: {' '.join(named[0].split())[:300] if named else ''}")
    print(f"# {scenario}: {len(lines)} lines, {time.monotonic() - began:.0f} s", flush=True)
    return lost


def patch(tree: Path, plant: Plant) -> None:
    """Replace the text of an entry.

    Raises:
        Broken: it does not occur as often as the entry says.
    """
    file = tree / plant["file"]
    text = file.read_text()
    if (count := text.count(plant["old"])) != plant.get("count", 1):
        raise Broken(f"{plant['name']}: {plant['file']} has {count} times:\n{plant['old']}")
    file.write_text(text.replace(plant["old"], plant["new"]))


def differs(base: Path, ours: Path) -> bool:
    """Whether an answer is another file than at BASE."""
    contents = [file.read_bytes() if file.is_file() else None for file in (base, ours)]
    return contents[0] != contents[1]


if __name__ == "__main__":
    sys.exit(main())
