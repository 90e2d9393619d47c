"""What a comparison of two models says, in sentences: which is better, by how much, and of what that is shown."""

from failmodes.analysis.formatting import (
    NO_BREAK,
    format_count,
    format_number,
    format_percent,
    format_points,
    format_points_interval,
    format_severity,
    join_names,
    lower_label,
)
from failmodes.analysis.judging.findings.kind import FEWEST_IMAGES, too_few
from failmodes.analysis.statistics.model_comparison import (
    ChangedImages,
    Comparison,
    Crossover,
    MetricComparison,
)

MOST_CELLS_NAMED = 6  # that are left out; of more only some are named


def has_verdict(comparison: Comparison) -> bool:
    """Whether there are images enough for more than figures."""
    return comparison.pairing.image_count >= FEWEST_IMAGES


def comparison_sentences(comparison: Comparison) -> tuple[str, ...]:
    """The answer, whether the margin is kept, and what must be known of images and cells, a sentence each."""
    if has_verdict(comparison):
        said = [
            f"{comparison_headline(comparison)}, {_images(comparison)} ({_runs(comparison)}).",
            *_margin_sentences(comparison),
            _clean_sentence(comparison.clean, comparison),
        ]
    else:
        said = [_figures(comparison), too_few(comparison.pairing.image_count)]
    return tuple(filter(None, (*said, _pairing_sentence(comparison), _missing_sentence(comparison))))


def comparison_headline(comparison: Comparison) -> str:
    """Which of the two is right more often under corruption, and by how much; without a full stop."""
    a, b, overall = comparison.a.label, comparison.b.label, comparison.overall
    if overall.difference is None:
        return f"How often {b} and {a} are right under corruption is not compared: {overall.reason}"
    value, low, high = overall.difference
    averaged = f"on average over {format_count(len(comparison.averaged), 'corruption')}"
    if not has_verdict(comparison) or not overall.winner:
        said = f"Whether {b} or {a} is right more often under corruption is inconclusive"
        if not has_verdict(comparison):
            said = f"{b} minus {a}"
        return f"{said}: {format_points_interval(overall.difference, signed=True)} {averaged}"
    word, size = ("more", (value, low, high)) if overall.winner == "b" else ("less", (-value, -high, -low))
    return f"{b} is right {word} often than {a} under corruption: by {format_points_interval(size)} {averaged}"


def margin_text(comparison: Comparison) -> str:
    """The margin in points, without digits that say nothing: 1 point, 0.5 points."""
    points = f"{100 * comparison.margin:.6g}"
    return f"{points}{NO_BREAK}{'point' if points == '1' else 'points'}"


def cells_sentence(comparison: Comparison) -> str:
    """In how many cells which of the two is right more often, and how that was tested."""
    cells = comparison.cells
    won = {side: sum(cell.winner == side for cell in cells) for side in ("a", "b", "")}
    alpha = format_percent(1 - comparison.level, 0)
    return (
        f"Of {format_count(len(cells), 'cell')}, clean included, {comparison.b.label} is right more often in "
        f"{won['b']}, {comparison.a.label} in {won['a']}, and {won['']} {'is' if won[''] == 1 else 'are'} "
        f"inconclusive: {cell_test(comparison)} with Holm's correction over all of them, at {alpha}."
    )


def cell_test(comparison: Comparison) -> str:
    """The test that decides each cell."""
    is_exact = all(cell.only_a is not None for cell in comparison.cells)
    return "exact McNemar tests" if is_exact else "tests of the difference"


def crossover_text(crossover: Crossover) -> str:
    """Where two curves cross, and between which severities that is shown: 2.4 [2, 3]."""
    low, high = (format_severity(severity) for severity in (crossover.low, crossover.high))
    return f"{format_number(crossover.at)} [{low},{NO_BREAK}{high}]"


def crossover_sentences(comparison: Comparison) -> list[str]:
    """Where which curves cross, a sentence a corruption."""
    if not has_verdict(comparison):
        return []
    return [
        _crossover_sentence(one.corruption_label, one.crossover, comparison)
        for one in comparison.corruptions
        if one.crossover is not None
    ]


def changed_sentence(changed: ChangedImages) -> str:
    """How many images change sides; without a full stop."""
    return f"{format_count(changed.clean_count, 'clean image')}, and {format_percent(changed.share)} of corrupted ones"


def no_images_sentence(comparison: Comparison) -> str:
    """Why single images are not named."""
    if not comparison.pairing.is_paired:
        return "Single images are not compared: the two were evaluated on different images."
    return "Single images are not compared: a model of several training runs gives each image several answers."


def _figures(comparison: Comparison) -> str:
    overall = comparison.overall
    if overall.a is None or overall.b is None:
        return f"{comparison_headline(comparison)}."
    return (
        f"{comparison.b.label} is right on {format_percent(overall.b)} and {comparison.a.label} on "
        f"{format_percent(overall.a)} of corrupted images; {comparison_headline(comparison)}."
    )


def _images(comparison: Comparison) -> str:
    pairing = comparison.pairing
    counts = [format_count(side.image_count, "image") for side in (comparison.a, comparison.b)]
    return {
        "same": f"on the same {format_count(pairing.image_count, 'image')}",
        "common": f"on the {format_count(pairing.image_count, 'image')} that both saw",
        "different": f"on different images ({counts[0]} of {comparison.a.label}, {counts[1]} of {comparison.b.label})",
    }[pairing.kind]


def _runs(comparison: Comparison) -> str:
    """What the statement is about: checkpoints, or the training of models."""
    counts = [len(side.evaluation_ids) for side in (comparison.a, comparison.b)]
    if comparison.is_about_training:
        return f"over training seeds: {counts[0]} of {comparison.a.label}, {counts[1]} of {comparison.b.label}"
    if counts == [1, 1]:
        return "checkpoints, one training run each"
    runs = " and ".join(
        f"{format_count(count, 'training run')} of {side.label}"
        for count, side in zip(counts, (comparison.a, comparison.b), strict=True)
    )
    return f"these checkpoints only: {runs}"


def _margin_sentences(comparison: Comparison) -> list[str]:
    if comparison.overall.difference is None:
        return []
    low, high = (format_points(bound, signed=True) for bound in comparison.bounds)
    one_sided = f"(one-sided, {format_percent(comparison.level, 0)})"
    margin, b = margin_text(comparison), comparison.b.label
    not_worse = {
        "supported": f"{b} is shown to be at most {margin} worse: the difference is above {low} {one_sided}",
        "contradicted": f"{b} is shown to be more than {margin} worse: the difference is below {high} {one_sided}",
        "inconclusive": f"Whether {b} is more than {margin} worse is inconclusive: {_needed(comparison)}",
    }[comparison.not_worse]
    equivalent = {
        "supported": f"the two are shown to differ by less than {margin} either way",
        "contradicted": f"the two are shown to differ by more than {margin}",
        "inconclusive": f"whether the two differ by less than {margin} either way is inconclusive",
    }[comparison.equivalent]
    return [f"{not_worse}; {equivalent}."]


def _needed(comparison: Comparison) -> str:
    """How many images would decide it."""
    if comparison.images_needed is None:
        return "no number of images would decide it, were the difference as measured"
    least = "at least" if max(len(side.evaluation_ids) for side in (comparison.a, comparison.b)) > 1 else "about"
    return f"{least} {format_count(_rounded_up(comparison.images_needed), 'image')} would decide it"


def _rounded_up(count: int) -> int:
    """To two digits: more would say how well it is known."""
    unit: int = 10 ** max(0, len(str(count)) - 2)
    return -(-count // unit) * unit


def _clean_sentence(clean: MetricComparison, comparison: Comparison) -> str:
    if clean.difference is None or clean.a is None or clean.b is None:
        return ""
    size = format_points_interval(clean.difference, signed=True)
    decided = {"b": "more often right", "a": "less often right", "": "inconclusive"}[clean.winner]
    return (
        f"On clean images {comparison.b.label} is right on {format_percent(clean.b)} and {comparison.a.label} on "
        f"{format_percent(clean.a)}: {size}, {decided}."
    )


def _pairing_sentence(comparison: Comparison) -> str:
    """How images pair, where there is more to know than that they are the same."""
    pairing = comparison.pairing
    how = {
        "same": "They are compared on the same clean images",
        "common": "They are compared on the images that both saw",
        "different": "They are compared as independent samples, not image by image",
    }[pairing.kind]
    return f"{how}: {pairing.note}." if pairing.note else ""


def _missing_sentence(comparison: Comparison) -> str:
    missing = comparison.missing_cells
    if not missing:
        return ""
    named = [f"{corruption} {format_severity(severity)}" for corruption, severity in missing[:MOST_CELLS_NAMED]]
    rest = len(missing) - len(named)
    names = join_names([*named, f"{rest:,} more"] if rest else named)
    verb = "is" if len(missing) == 1 else "are"
    return f"Left out {verb} {format_count(len(missing), 'cell')} that only one of the two has: {names}."


def _crossover_sentence(corruption: str, crossover: Crossover, comparison: Comparison) -> str:
    sides = {"a": comparison.a.label, "b": comparison.b.label}
    first = sides.pop(crossover.ahead_first)
    (then,) = sides.values()
    below = f"at severity {format_severity(crossover.low)}" if crossover.low else "on clean images"
    return (
        f"Under {lower_label(corruption)} the curves cross at severity {format_number(crossover.at)}: {first} is shown "
        f"ahead {below}, {then} at severity {format_severity(crossover.high)}."
    )
