"""Order of the handbook's pages. Pages not listed here come last in their part."""

from collections.abc import Set
from typing import Any

# Part: its pages, by path in docs/, and the folder whose other pages belong to it
START = "index.md"
PARTS: dict[str, tuple[tuple[str, ...], str]] = {
    "Tutorials": (
        (
            "tutorials/index.md",
            "tutorials/two_models.md",
            "tutorials/severity_curves.md",
            "tutorials/attention.md",
            "tutorials/your_own_model.md",
            "tutorials/compare_and_gate.md",
            "tutorials/failures_in_sql.md",
            "from_a_module_to_a_chart.md",
        ),
        "tutorials/",
    ),
    "How to": (
        (
            "your-model.md",
            "model-sources.md",
            "importing.md",
            "api-models.md",
            "cluster.md",
            "corruptions.md",
            "imagecorruptions.md",
            "benchmark-datasets.md",
            "asking.md",
            "groups.md",
            "slices.md",
            "metrics.md",
            "commands.md",
            "image-grids.md",
            "explorer.md",
            "claims.md",
            "comparing.md",
            "differing.md",
            "gate.md",
            "decisions.md",
            "masks.md",
            "published.md",
            "publishing.md",
            "protocols.md",
            "figures.md",
            "gallery.md",
            "recipes.md",
            "extending.md",
        ),
        "",
    ),
    "Results": (("photographs.md", "founding-study.md", "people.md"), "results/"),
    "Concepts": (
        (
            "concepts/intervals.md",
            "concepts/severity.md",
            "shapes.md",
            "concepts/onset.md",
            "concepts/attention.md",
            "concepts/calibration.md",
            "concepts/findings.md",
        ),
        "concepts/",
    ),
    "Reference": (
        (
            "reference/commands.md",
            "reference/study-file.md",
            "reference/schema.md",
            "reference/metrics.md",
            "reference/findings.md",
            "reference/glossary.md",
            "reference/python.md",
            "reference/charts.md",
            "reference/saved-queries.md",
            "reference/exit-codes.md",
            "measured.md",
            "soundness.md",
        ),
        "reference/",
    ),
    "Project": (("project/changelog.md", "project/contributing.md", "project/security.md"), "project/"),
}


def arranged(pages: Set[str]) -> list[Any]:
    """Return the MkDocs navigation of `pages`, by part; no page is left out."""
    named = {page for chosen, _ in PARTS.values() for page in chosen} | {START}
    left = sorted(pages - named)
    navigation: list[Any] = [{"Start": START}]
    for part, (chosen, folder) in PARTS.items():
        others = [page for page in left if page.rpartition("/")[0] == folder.rstrip("/")]
        navigation.append({part: [page for page in chosen if page in pages] + others})
    return navigation
