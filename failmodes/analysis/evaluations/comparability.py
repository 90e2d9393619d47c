"""Which evaluations may be ranked together: the respects in which their protocols differ, in words."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import duckdb

from failmodes.analysis.render.formatting import join_names
from failmodes.ingest.protocols.protocol import Protocol, differences, published_protocols
from failmodes.warehouse import evaluation_facts
from failmodes.warehouse.evaluation_facts import AVERAGING, RESTRICTION, Facts

if TYPE_CHECKING:
    from failmodes.analysis.evaluations.selection import Selection

MIXED_OPTION = "--mixed-protocols"
IMAGES, PIXELS = evaluation_facts.IMAGES.topic, evaluation_facts.PIXELS.topic
RANKED = (IMAGES, "labels", RESTRICTION.topic, PIXELS)  # respects of accuracies of single cells


RESPECTS = (evaluation_facts.IMAGES, RESTRICTION, evaluation_facts.PIXELS, AVERAGING)


def differing(rows: Sequence[Facts]) -> dict[str, str]:
    """The respects in which evaluations differ, with their values: images: 500 images of A / 1,000 images of B."""
    found = {}
    for respect in RESPECTS:
        if len({respect.value(row) for row in rows}) > 1:
            found[respect.topic] = f"{respect.topic}: {' / '.join(dict.fromkeys(map(respect.words, rows)))}"
    return found


def mixed_sentence(differences: Sequence[str]) -> str:
    """That numbers of different protocols are ranked together."""
    return f"Mixed protocols: these numbers differ in {'; '.join(differences)}."


def have_other_labels(a: duckdb.DuckDBPyConnection, b: duckdb.DuckDBPyConnection, datasets: tuple[str, str]) -> bool:
    """Whether two datasets have the same images with other labels; their pixels or names say which are the same."""
    query = (
        "select coalesce(pixel_hash, file) as image, any_value(class_name) from images left join classes "
        "on images.dataset_id = classes.dataset_id and images.label = classes.class_index "
        "where images.dataset_id = ? and image is not null group by all"
    )
    one, other = (dict(con.execute(query, [name]).fetchall()) for con, name in zip((a, b), datasets, strict=True))
    return bool(one) and one.keys() == other.keys() and one != other


def protocol_words(facts: Facts) -> str:
    """The protocol of an evaluation in words, with each deviation."""
    if facts["protocol"] is None:
        return "its own: no registered protocol is of these images"
    known = published_protocols().get(facts["protocol"])
    title = facts["protocol"] if known is None else known.title
    deviations = facts["deviations"] or []
    return f"nearest: {title}; {'; '.join(deviations)}" if deviations else str(title)


def protocol_lines(selection: "Selection") -> Iterator[str]:
    """The protocol of each evaluation, one line for those that share it."""
    words = {evaluation.label: protocol_words(evaluation.facts) for evaluation in selection.evaluations}
    for said in dict.fromkeys(words.values()):
        labels = [label for label, other in words.items() if other == said]
        subject = "protocol" if len(labels) == len(words) else f"protocol of {join_names(labels)}"
        yield f"{subject}: {said}"


def unlike_published(rows: Sequence[Facts], published: Protocol) -> list[str]:
    """The respects in which accuracies of cells differ from those of a published protocol; empty if they do not."""
    found: list[str] = []
    for facts in rows:
        known = published_protocols().get(facts["protocol"] or "")
        if known is None:
            return [f"protocol: {protocol_words(facts)} / {published.title}"]
        found += [*differences(known, published), *(facts["deviations"] or ())]
    respects = RANKED if published.corruptions else tuple(name for name in RANKED if name != PIXELS)
    return [text for text in dict.fromkeys(found) if text.startswith(respects)]


def protocol_titled(title: str) -> Protocol | None:
    """The registered protocol of this title or name, such as that of a published table."""
    return next((known for known in published_protocols().values() if title in (known.title, known.name)), None)
