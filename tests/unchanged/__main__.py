"""`make unchanged`: run the same scenarios at BASE and here, and print what differs and is not expected."""

import argparse
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent)]

from comparison import compare  # noqa: E402
from expectations import Expectations, read_expectations  # noqa: E402
from measured import print_measures  # noqa: E402
from sides import (  # noqa: E402
    ALL_SCENARIOS,
    BASE,
    SCENARIOS,
    Broken,
    Place,
    answers,
    base_answers,
    build,
    default_cache,
    extract_commit,
    extract_files,
    pinned,
    provide_inputs,
)


def main() -> int:
    """Compare; 0 if nothing differs but what is expected, 1 if something does or a scenario fails."""
    parser = argparse.ArgumentParser(prog="make unchanged", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(ALL_SCENARIOS))
    parser.add_argument("--base", default=BASE, help="commit to compare with (default: %(default)s)")
    parser.add_argument("--ours", help="commit that stands for ours (default: the files here, committed or not)")
    parser.add_argument("--cache", type=Path, default=default_cache(), help="folder (default: %(default)s)")
    parser.add_argument("--base-only", action="store_true", help="only check that scenarios end at BASE as they state")
    parser.add_argument("--workers", type=int, default=2, help="scenarios at a time (default: %(default)s)")
    parser.add_argument(
        "--full", action="store_true", help="also 90 reports, 234 gates, sizes and `make bench`: an hour"
    )
    options = parser.parse_args()
    scenarios = options.scenarios or (ALL_SCENARIOS if options.full else SCENARIOS)
    began = time.monotonic()
    place = Place(options.cache.resolve())
    try:
        with place.locked():
            commit = extract_commit(options.base, place.tree("base"))
            if options.base_only:
                build(place.tree("base"), place.cache)
                return try_base(place, commit, scenarios)
            expected = read_expectations()
            if options.ours:
                extract_commit(options.ours, place.tree("ours"))
            else:
                extract_files(place.tree("ours"))
            for which in ("base", "ours"):
                build(place.tree(which), place.cache)
            failed = run(place, commit, scenarios, options.workers, expected)
            if options.full:
                print_measures(place, commit)
    except Broken as error:
        print(error)
        return 1
    verdict = "something differs" if failed else "nothing differs but what is expected"
    print(f"# {time.monotonic() - began:.0f} s; {verdict}")
    return int(failed)


def try_base(place: Place, commit: str, scenarios: list[str]) -> int:
    """Run scenarios at BASE alone."""
    for name in scenarios:
        found = base_answers(place, commit, name, provide_inputs(place, name))
        print(f"{name}: {json.loads((found / 'seconds').read_text())['']:.0f} s, answers in {found}", flush=True)
    return 0


def run(place: Place, commit: str, scenarios: list[str], workers: int, expected: Expectations) -> bool:
    """Run scenarios on both sides, several at a time, and print each as it ends; whether anything is wrong."""
    failed = False
    scenarios = sorted(scenarios, key=lambda name: -seconds_before(place, name))
    with ThreadPoolExecutor(workers) as pool:
        inputs = {name: pool.submit(provide_inputs, place, name) for name in scenarios}
        base = {n: pool.submit(lambda n=n: base_answers(place, commit, n, inputs[n].result())) for n in scenarios}
        ours = {n: pool.submit(lambda n=n: answers(place, n, "ours", inputs[n].result())) for n in scenarios}
        for name in scenarios:
            try:
                failed |= report(name, base[name].result(), ours[name].result(), expected)
            except Broken as error:
                print(error, flush=True)
                failed = True
    if stale := expected.unmet(scenarios):
        print("\n".join(f"tests/unchanged/expected.toml names what does not differ: {line}" for line in stale))
    return failed or bool(stale)


def seconds_before(place: Place, scenario: str) -> float:
    """How long the scenario took here the last time: the longest run first."""
    file = place.run / "answers" / scenario / "ours" / "seconds"
    return float(json.loads(file.read_text())[""]) if file.is_file() else 0.0


def report(scenario: str, base: Path, ours: Path, expected: Expectations) -> bool:
    """Print what differs in a scenario, how much was compared, and how long it took; whether anything is wrong."""
    began = time.monotonic()
    compared = compare(scenario, base, ours)
    lines = expected.unexpected(compared)
    lines += [
        f"{scenario}: compared {compared.counts[kind]:,} {kind}, fewer than the {least:,} that it pins"
        for kind, least in pinned(scenario).items()
        if compared.counts[kind] < least
    ]
    counts = ", ".join(f"{count:,} {kind}" for kind, count in sorted(compared.counts.items()))
    seconds = " and ".join(f"{json.loads((side / 'seconds').read_text())['']:.0f}" for side in (base, ours))
    took = f"ran {seconds} s, compared in {time.monotonic() - began:.0f} s"
    notes = [*compared.notes, f"{scenario}: {len(lines)} differ; {counts}; {took}"]
    print("\n".join([*lines, *(f"# {note}" for note in notes)]), flush=True)
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main())
