from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from failmodes.ingest.protocols.protocol import (
    Conditions,
    Protocol,
    deviations,
    differences,
    list_sha256,
    listed_images,
    nearest_protocol,
    published_protocols,
)
from failmodes.runtime.errors import DataError, StudyError

REGISTERED = published_protocols()


def conditions_of(protocol: Protocol) -> Conditions:
    """An evaluation that satisfies a protocol, and also evaluates a corruption that is not averaged."""
    cells = {(name, severity) for name in [*protocol.corruptions, "spatter"] for severity in protocol.severities}
    listed = None if protocol.image_list is None else protocol.image_list.sha256
    return Conditions(
        protocol.dataset, protocol.version, protocol.images, protocol.classes, listed, "", frozenset(cells),
        protocol.pixels, protocol.recipe, protocol.restricted,
    )  # fmt: skip


@pytest.mark.parametrize("protocol", REGISTERED.values(), ids=lambda protocol: protocol.name)
def test_each_protocol_is_satisfied_by_its_own_conditions(protocol: Protocol) -> None:
    nearest = nearest_protocol(conditions_of(protocol))
    assert nearest is not None
    assert nearest[1] == deviations(protocol, conditions_of(protocol)) == []
    assert differences(nearest[0], protocol) == [], "another protocol that asks for the same"


DEVIATING: dict[str, Callable[[Conditions], Conditions]] = {
    "images": lambda it: it._replace(images=500),
    "labels": lambda it: it._replace(classes=10),
    "class restriction": lambda it: it._replace(restricted=True),
    "source of pixels": lambda it: it._replace(pixels="generated", recipe="cifar-c"),
    "severities": lambda it: it._replace(cells=frozenset(cell for cell in it.cells if cell[1] != 2)),
    "corruptions": lambda it: it._replace(cells=frozenset(cell for cell in it.cells if cell[0] != "fog")),
}


@pytest.mark.parametrize("respect", DEVIATING)
def test_one_deviation_is_named_by_its_respect(respect: str) -> None:
    protocol = REGISTERED["imagenet-c"]
    (found,) = deviations(protocol, DEVIATING[respect](conditions_of(protocol)))
    assert found.startswith(f"{respect}: ")


def test_images_of_a_list_are_those_and_no_others() -> None:
    protocol = REGISTERED["robustbench-imagenet-c"]
    others = conditions_of(protocol)._replace(list_sha256=list_sha256(["n01440764/other.JPEG"]))
    assert deviations(protocol, others) == ["images: not those of imagenet_test_image_ids.txt"]


def test_protocols_differ_in_the_respects_that_they_state() -> None:
    def respects(a: str, b: str) -> list[str]:
        return [text.partition(":")[0] for text in differences(REGISTERED[a], REGISTERED[b])]

    assert respects("cifar10-c", "robustbench-cifar10-c") == []
    assert respects("imagenet-c", "robustbench-imagenet-c") == ["images", "averaging"]
    assert respects("imagenet-c", "imagenet-c-in-memory") == ["source of pixels"]
    assert respects("imagenet-a", "imagenet-r") == ["images"]
    assert respects("robustbench-imagenet-c", "robustbench-imagenet-3dcc") == ["severities"]


def test_a_protocol_of_a_study_precedes_registered_ones() -> None:
    own = Protocol(name="ours", title="Ours", dataset="digits", images=100, classes=10, source="this test")
    conditions = conditions_of(own)
    assert nearest_protocol(conditions) is None
    assert nearest_protocol(conditions, [own]) == (own, [])
    with pytest.raises(StudyError, match="'cifar10-c' is the name of another protocol"):
        nearest_protocol(conditions, [own.model_copy(update={"name": "cifar10-c"})])


def test_a_list_chooses_the_images_that_it_names(tmp_path: Path) -> None:
    files = ["val/cat/1.png", "val/cat/2.png", "val/dog/1.png"]
    path = tmp_path / "ids.txt"
    path.write_text("dog/1.png\n\ncat/2.png\n")
    assert listed_images(files, path) == [1, 2]
    path.write_text("cat/3.png\n")
    with pytest.raises(DataError, match="no image 'cat/3.png'"):
        listed_images(files, path)
    path.write_text("cat/1.png\ncat/1.png\n")
    with pytest.raises(DataError, match="2 images, 1 of them distinct"):
        listed_images(files, path)
    with pytest.raises(StudyError, match="no file names"):
        listed_images(None, path)
    with pytest.raises(StudyError, match="no file at"):
        listed_images(files, tmp_path / "absent.txt")


def test_severities_are_exact() -> None:
    assert REGISTERED["cifar10-c"].severities == [Decimal(level) for level in range(1, 6)]
