"""Write the aggregates, tables and figures of a study in docs/study from its results.

    python .handbook/studies.py photographs runs/photographs

writes the result of every query to docs/study/photographs, draws docs/images/photographs-*.svg, and writes the tables
of its page and of the tutorials. The founding study has two: `published` and `dense`, the latter without figures.

    python .handbook/studies.py strip runs/strip

evaluates the models of photographs.toml on a photograph of scikit-image in a new folder, beside `data`, and draws
docs/images/photographs-strip.webp.
"""

import json
import re
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "references")]

from study_tables import PAGES, QUERIES, STUDY, with_tables  # noqa: E402

import failmodes  # noqa: E402

PICTURES = ROOT / "docs" / "images"
ONLY = {"first_images": ("photographs",)}  # queries of some studies
FIRST_PAGE = ("gaussian_noise", "glass_blur", "motion_blur", "fog", "brightness", "contrast", "elastic_transform",
              "jpeg_compression")  # fmt: skip
FIGURES = {
    "published": {name: {"chart": name} for name in ("curves", "attention", "distortion-shapes")},
    "photographs": {name: {"chart": name} for name in ("curves", "ranking", "shapes", "early-warning", "attention")}
    | {"first-page": {"chart": "curves", "corruption": list(FIRST_PAGE)}},
}
STRIP_WIDTH_PX = 1100


def write_study(name: str, folder: str) -> None:
    """Write aggregates, figures and tables of a study.

    Args:
        name: of the study, as its file in docs/study is named.
        folder: its results.
    """
    opened = failmodes.open(folder)
    for query in sorted(QUERIES.glob("*.sql")):
        if name in ONLY.get(query.stem, (name,)):
            opened.sql(query.read_text(encoding="utf-8")).write_csv(STUDY / name / f"{query.stem}.csv")
    for figure, options in FIGURES.get(name, {}).items():
        opened.chart(options["chart"], corruption=options.get("corruption"), caption=False).save(
            PICTURES / f"{name}-{figure}.svg"
        )
    page = PAGES[name]
    page.write_text(with_tables(page.read_text(encoding="utf-8")), encoding="utf-8")
    for path in sorted((ROOT / "docs" / "tutorials").glob("*.ipynb")):
        write_notebook(path)


def write_notebook(path: Path) -> None:
    """Write the tables of a tutorial that speaks of the founding study."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if (old := "".join(cell["source"])) != (new := with_tables(old)):
            cell["source"] = new.splitlines(keepends=True)
    path.write_text(f"{json.dumps(notebook, indent=1, ensure_ascii=False)}\n", encoding="utf-8")


def write_strip(folder: Path) -> None:
    """Draw the espresso of scikit-image under fog, as each model sees it.

    Args:
        folder: is made, and holds a study beside the others' `data`; the classes are those of all 1,000 photographs.
    """
    from skimage import data

    folder.mkdir(parents=True)
    (folder / "data").symlink_to((folder.parent / "data").resolve())
    Image.fromarray(data.coffee()).save(folder / "coffee.png")
    (folder / "coffee.txt").write_text("coffee.png\n")
    listed = (STUDY / "photographs.csv").read_text(encoding="utf-8")
    (folder / "photographs.csv").write_text(f"{listed}coffee.png,n07920052\n")
    (folder / "efficientnet_lite.py").write_bytes((STUDY / "efficientnet_lite.py").read_bytes())
    text = (STUDY / "photographs.toml").read_text(encoding="utf-8").partition("\n# Does scale")[0]
    text = text.replace('names = ["all"]', 'names = ["fog"]').replace('executor = "processes"\nprocesses = 2\n', "")
    text = re.sub(r"(resize = \d+\n)", r'\1image_list = "coffee.txt"\n', text)
    (folder / "study.toml").write_text(text)
    opened = failmodes.run(folder / "study.toml", progress=False)
    sheet = opened.images(image=listed.count("\n") - 1, corruption="fog")
    sheet.save(folder / "strip.png")
    with Image.open(folder / "strip.png") as image:
        height_px = round(image.height * STRIP_WIDTH_PX / image.width)
        small = image.convert("RGB").resize((STRIP_WIDTH_PX, height_px), Image.Resampling.LANCZOS)
        small.save(PICTURES / "photographs-strip.webp", quality=85, method=6)


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in (*PAGES, "strip"):
        sys.exit(f"usage: python .handbook/studies.py {'|'.join(PAGES)} RESULTS, or: strip NEW_FOLDER")
    if sys.argv[1] == "strip":
        write_strip(Path(sys.argv[2]))
    else:
        write_study(*sys.argv[1:])
