"""The respects in which two numbers may differ: each the same, different, or unknown, with what shows it."""

from collections.abc import Collection, Iterator
from typing import Literal, NamedTuple

import numpy as np

from failmodes.analysis.judging.diff_sides import Matched, Numbered, class_names, image_table
from failmodes.analysis.render.formatting import format_count, format_number, join_names
from failmodes.analysis.statistics.decomposition import CELLS, CLASSES, IMAGES, LABELS, Decomposition
from failmodes.analysis.statistics.run_rows import CLEAN_CELL, CellKey
from failmodes.ingest.protocols.protocol import differences, published_protocols
from failmodes.runtime.errors import listed
from failmodes.warehouse.evaluation_facts import AVERAGING, CODE, FACTS, NOT_STATED, Fact, Facts, versions_of
from failmodes.warehouse.metrics.cell_rows import NotStored
from failmodes.warehouse.schema import IMPORTED_FAMILY, OF_TABLE

Status = Literal["same", "differs", "unknown"]
PIXELS, CORRUPTED, INPUT = "pixels of images", "corrupted pixels", "input size"
# Recorded facts that may change predictions on the same images, the likeliest first where several differ
OF_PREDICTIONS = (
    "weights", PIXELS, CORRUPTED, "resize", "crop", "interpolation", "normalization", "preprocessing",
    "class restriction", "precision", "batch size", "version of the code",
)  # fmt: skip
SAME_RMSE = 1e-6  # of pixels, which is stored in float32
MAX_NAMES = 6  # corruptions and packages in a sentence


class Factor(NamedTuple):
    """One respect in which two numbers may differ.

    Attributes:
        name: of the respect.
        status: whether it is the same, differs, or is unknown since it was not recorded.
        evidence: what shows it.
    """

    name: str
    status: Status
    evidence: str


def factors_of(
    a: Numbered, b: Numbered, parts: Decomposition, forms: tuple[str | None, str | None], matched: Matched | None
) -> list[Factor]:
    """Every respect.

    Args:
        a: the first.
        b: the second.
        parts: of the difference.
        forms: of the averages, as protocols state them.
        matched: how images and classes correspond; None if one is a published row.
    """
    if matched is None:
        found = [*_beside_published(a, b)]
    else:
        found = [*_of_images(a, b, parts, matched), *_of_classes(a, b, parts, matched)]
        found.append(_corrupted(a, b, parts, matched, is_same_image=found[1].status == "same"))
    for name in OF_PREDICTIONS:
        if name in FACTS and name != CODE.topic:
            own = name == "preprocessing"
            found.append(_preprocessing(a.facts, b.facts) if own else _recorded(FACTS[name], a.facts, b.facts))
    return [*found, _cells(a, b, parts), _form(forms), _code(a, b)]


def _recorded(fact: Fact, a: Facts | None, b: Facts | None) -> Factor:
    """A fact of both; unknown for a published row."""
    of_both = [None if row is None or row["family"] == IMPORTED_FAMILY else row for row in (a, b)]
    values = [None if row is None else fact.value(row) for row in of_both]
    words = [NOT_STATED if row is None else fact.words(row) for row in of_both]
    return _compared(fact.topic, values, words)


def _preprocessing(a: Facts | None, b: Facts | None) -> Factor:
    """What an own function is called; one name is of many, so that it shows nothing if the models have two identities.

    The identity of a model is that of its tensors, its code and its preprocessing.
    """
    found = _recorded(FACTS["preprocessing"], a, b)
    if found.status != "same" or a is None or b is None or a["preprocessing"] is None:
        return found
    if a["model_id"] == b["model_id"] or a["weights_id"] != b["weights_id"]:
        return found
    return Factor(
        found.name, "unknown", f"{found.evidence}; the identities of the models differ, in what is not stated"
    )


def _compared(name: str, values: list[object], words: list[str]) -> Factor:
    evidence = words[0] if words[0] == words[1] else " / ".join(words)
    if None in values:
        return Factor(name, "unknown", evidence)
    return Factor(name, "same" if values[0] == values[1] else "differs", evidence)


def _of_images(a: Numbered, b: Numbered, parts: Decomposition, matched: Matched) -> Iterator[Factor]:
    """Which images, their order, their pixels, and their labels."""
    assert a.facts is not None
    assert b.facts is not None
    of_a, of_b = (FACTS[IMAGES].words(facts) for facts in (a.facts, b.facts))
    only_a, only_b = parts.lacking()
    moved = any(image_b != image_a for image_b, image_a in matched.images.items())
    by = f"the same by {matched.by}" if matched.by else "no pixel hash, file name or label shows which are the same"
    order = ", in another order" if moved and not (only_a or only_b) else ""
    counts = f"; {len(parts.common):,} in both" if only_a or only_b else ""
    status: Status = "differs" if only_a or only_b else "same"
    images = of_a if of_a == of_b else f"{of_a} / {of_b}"
    yield Factor(IMAGES, status if matched.by else "unknown", f"{images}{counts}; {by}{order}")
    yield _pixels(a, b, parts, matched)
    pairs = list(parts.pairs.values())
    differing = max((int((one.label != other.label).sum()) for one, other in pairs), default=0)
    count = max((len(one.label) for one, _ in pairs), default=0)
    if not count:
        yield Factor(LABELS, "unknown", "no image is in both")
    elif not differing or parts.relabeled is not None:
        yield Factor(LABELS, "same", f"of {format_count(count, 'image')}")
    else:
        one, other = max(pairs, key=lambda pair: len(pair[0].label))
        is_order = (np.sort(one.label) == np.sort(other.label)).all()
        order = "; the same labels in another order" if is_order else ""
        yield Factor(LABELS, "differs", f"{differing:,} of {format_count(count, 'image')} have another label{order}")


def _pixels(a: Numbered, b: Numbered, parts: Decomposition, matched: Matched) -> Factor:
    """Whether images that both have are the same pixels."""
    assert a.facts is not None
    assert b.facts is not None
    if matched.by == "identity" and a.facts["family"] and a.facts["source_kind"] != OF_TABLE:
        return Factor(PIXELS, "same", "the dataset has the same identity")
    hashes = [dict(image_table(one).select("image_id", "pixel_hash").rows()) for one in (a, b)]
    known = [(image_a, image_b) for image_b, image_a in matched.images.items()]
    values = [(hashes[0].get(image_a), hashes[1].get(image_b)) for image_a, image_b in known]
    compared = [one == other for one, other in values if one is not None and other is not None]
    if not compared:
        return Factor(PIXELS, "unknown", "no pixel hashes are stored")
    differing = len(compared) - sum(compared)
    notes = [str(facts["note"] or "") for facts in (a.facts, b.facts)]
    note = f" ({' / '.join(text or 'no note' for text in notes)})" if differing and notes[0] != notes[1] else ""
    evidence = f"{differing:,} of {format_count(len(compared), 'image')} have other pixel hashes{note}"
    return Factor(PIXELS, "differs", evidence) if differing else Factor(PIXELS, "same", "by pixel hashes")


def _of_classes(a: Numbered, b: Numbered, parts: Decomposition, matched: Matched) -> Iterator[Factor]:
    """Classes and their order, in predictions and labels, in the dataset and in the model."""
    assert a.facts is not None
    assert b.facts is not None
    names = [class_names(one) for one in (a, b)]
    found = []
    for values, subject in ((parts.relabeled, "labels"), (parts.reordered, "predictions")):
        if values is not None:
            places = np.flatnonzero(values != np.arange(len(values)))
            shown = [f"{names[0].get(k, k)} as {names[0].get(int(values[k]), values[k])}" for k in places.tolist()]
            found.append(f"{subject} reordered: {listed(shown, 3)}")
    outputs = FACTS["class outputs"]
    recorded = [outputs.value(facts) for facts in (a.facts, b.facts)]
    if None not in recorded and recorded[0] != recorded[1]:
        found.append(f"classes from outputs {outputs.words(a.facts)} / {outputs.words(b.facts)}")
    if found:
        yield Factor(CLASSES, "differs", "; ".join(found))
    elif not matched.are_named:
        yield Factor(CLASSES, "unknown", "other names, compared by index")
    else:
        order = "" if names[0] == names[1] else ", in another order, compared by name"
        yield Factor(CLASSES, "same", f"{format_count(len(names[0]), 'name')}{order}")


def _corrupted(a: Numbered, b: Numbered, parts: Decomposition, matched: Matched, *, is_same_image: bool) -> Factor:
    """The source of corrupted pixels as recorded, and the distortion that is stored for each image."""
    assert a.facts is not None
    assert b.facts is not None
    if OF_TABLE in (a.facts["source_kind"], b.facts["source_kind"]):
        return Factor(CORRUPTED, "unknown", "a table of predictions has no pixels")
    words = [_source_words(facts) for facts in (a.facts, b.facts)]
    source = words[0] if words[0] == words[1] else " / ".join(words)
    is_same = a.facts["source_id"] == b.facts["source_id"]
    if not is_same_image and is_same:
        return Factor(CORRUPTED, "same", f"{source}, of other clean pixels")
    distortion = _distortion(a, b, parts, matched)
    if not distortion:
        return Factor(CORRUPTED, "same" if is_same else "differs", f"{source}; no distortion is stored")
    differing = [cell for cell, (one, other) in distortion.items() if abs(one - other).max() > SAME_RMSE]
    if not differing:
        return Factor(CORRUPTED, "same", f"{source}; every image has the same RMSE from clean")
    if is_same and not is_same_image:
        return Factor(CORRUPTED, "same", source)
    cell = max(differing, key=lambda key: abs(np.mean(distortion[key][0] - distortion[key][1])))
    means = " / ".join(format_number(float(values.mean()), 4) for values in distortion[cell])
    return Factor(
        CORRUPTED, "differs",
        f"{source}; RMSE from clean differs in {len(differing):,} of {format_count(len(distortion), 'cell')}, most in "
        f"{_cell_words(cell)}: {means}",
    )  # fmt: skip


def _source_words(facts: Facts) -> str:
    """The source with its recipe and noise."""
    more = [text for text in (facts["recipe"], facts["noise"] and f"{facts['noise']} noise") if text]
    return f"{facts['source_label']}{' (' * bool(more)}{', '.join(more)}{')' * bool(more)}"


def _distortion(
    a: Numbered, b: Numbered, parts: Decomposition, matched: Matched
) -> dict[CellKey, tuple[np.ndarray, np.ndarray]]:
    """RMSE of the images that both have, in each corrupted cell that both have; empty where it is not stored."""
    assert a.run is not None
    assert b.run is not None
    found = {}
    for cell, (one, _) in parts.pairs.items():
        if cell == CLEAN_CELL or not len(one.images):
            continue
        try:
            first, second = a.run.rows(cell), b.run.rows(cell)
            values, others = first["rmse"].astype(np.float64), second["rmse"].astype(np.float64)
        except NotStored:
            return {}
        codes = matched.codes(second["image_id"])
        order = np.argsort(codes)
        kept = np.isin(first["image_id"], one.images), np.isin(codes[order], one.images)
        found[cell] = (values[kept[0]], others[order][kept[1]])
    return {cell: pair for cell, pair in found.items() if not np.isnan(pair).any()}


def _cells(a: Numbered, b: Numbered, parts: Decomposition) -> Factor:
    """The corruptions and severities that are averaged."""
    sides = [parts.a.cells, parts.b.cells]
    words = [_grid(cells) for cells in sides]
    lacking = [sorted({*own} - {*other}) for own, other in (sides, sides[::-1])]
    parts_said = [words[0] if words[0] == words[1] else " / ".join(words)]
    for numbered, only in zip((a, b), lacking, strict=True):
        if only:
            parts_said.append(f"only {numbered.label}: {listed(_names_of(only), MAX_NAMES)}")
    for numbered, cells in zip((a, b), sides, strict=True):
        held = {name for name, severity in (numbered.run.cells if numbered.run else ()) if severity}
        if extras := sorted(held - {name for name, _ in cells}) if {*cells} != {CLEAN_CELL} else []:
            parts_said.append(f"{listed(extras, MAX_NAMES)} of {numbered.label} in no average (see --extras)")
    return Factor(CELLS, "differs" if any(lacking) else "same", "; ".join(parts_said))


def _grid(cells: Collection[CellKey]) -> str:
    if {*cells} == {CLEAN_CELL}:
        return "clean images"
    severities = sorted({severity for _, severity in cells})
    names = format_count(len({name for name, _ in cells}), "corruption")
    return (
        f"{names} at {'severity' if len(severities) == 1 else 'severities'} {join_names(f'{s:g}' for s in severities)}"
    )


def _names_of(cells: Collection[CellKey]) -> list[str]:
    """Corruptions with the severities of some cells."""
    grids: dict[str, list[str]] = {}
    for name, severity in cells:
        grids.setdefault(name, []).append(f"{severity:g}")
    return [f"{name} {' '.join(severities)}" for name, severities in grids.items()]


def _cell_words(cell: CellKey) -> str:
    return "clean" if cell == CLEAN_CELL else f"{cell[0]} {cell[1]:g}"


def _form(forms: tuple[str | None, str | None]) -> Factor:
    """The form of the average; without a protocol both are means."""
    known = [form or "mean accuracy" for form in forms]
    return _compared(AVERAGING.topic, [*known], [*known])


def _code(a: Numbered, b: Numbered) -> Factor:
    """Versions of Failmodes and of the libraries."""
    versions = [{} if one.facts is None else versions_of(one.facts) for one in (a, b)]
    if not all(versions):
        return Factor(CODE.topic, "unknown", NOT_STATED)
    names = sorted(name for name in {*versions[0], *versions[1]} if versions[0].get(name) != versions[1].get(name))
    if not names:
        return Factor(CODE.topic, "same", f"failmodes {versions[0].get('failmodes', NOT_STATED)}")
    words = [f"{name} {' / '.join(one.get(name, 'none') for one in versions)}" for name in names]
    return Factor(CODE.topic, "differs", listed(words, MAX_NAMES))


def _beside_published(a: Numbered, b: Numbered) -> Iterator[Factor]:
    """What the protocols of an evaluation and of a published row say, which has no images."""
    row = next(one.row for one in (a, b) if one.row is not None)
    facts = next((one.facts for one in (a, b) if one.facts is not None), None)
    protocol = row.protocol
    if protocol is None or facts is None:
        for name in (IMAGES, LABELS, CLASSES, CORRUPTED):
            yield Factor(name, "unknown", f"no registered protocol is called {row.table.name}")
        return
    stated = {text.partition(":")[0]: text for text in facts["deviations"] or ()}
    own = published_protocols().get(facts["protocol"] or "")
    if own is not None:
        stated = {text.partition(":")[0]: text for text in differences(own, protocol)} | stated
    published = f"{protocol.images:,} images of {protocol.title}"
    words = f"{FACTS[IMAGES].words(facts)} / {published}"
    is_other = facts["image_count"] != protocol.images or IMAGES in stated
    known: Status = "same" if own is not None else "unknown"
    yield Factor(IMAGES, "differs" if is_other else known, words)
    for name, respect in ((LABELS, "labels"), (CLASSES, "class restriction"), (CORRUPTED, "source of pixels")):
        text = stated.get(respect)
        yield Factor(name, "differs" if text else known, (text or "").partition(": ")[2] or "as the protocol states")
