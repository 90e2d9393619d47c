"""What is said wherever published accuracies stand beside those of a selection: of whose images they are."""

from failmodes.analysis.formatting import join_names
from failmodes.analysis.selection import Selection


def other_images_phrase(selection: Selection) -> str:
    """That published accuracies are of other images than a selection's, and in what these are known to differ.

    Of all images of a data set without a note, under a published corrupted set, they may be the same.
    """
    facts, differences = selection.shared, []
    if not facts["subset"].startswith("all "):
        differences.append(f"{selection.image_count:,} images only")
    if facts["note"]:
        differences.append(facts["note"].split(":", 1)[0])
    if facts["source_kind"] != "published":
        differences.append("corrupted anew")
    if not differences:
        return "measured on images that need not be these"
    return f"measured on other images (here: {join_names(differences)})"
