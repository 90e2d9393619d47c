"""Executed notebooks as pages, with their stored outputs. Nothing is run."""

import base64
import json
import re
from pathlib import Path
from typing import Any

LONGEST_TEXT = 6000  # characters of a plain output


def render_notebook(path: Path) -> tuple[str, dict[str, bytes]]:
    """Return a notebook as Markdown, and its images by name.

    Args:
        path: an executed notebook of format 4. The alt text of an image is the cell's metadata `alt`, else the title
            of the figure.
    """
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    lines: list[str] = []
    pictures: dict[str, bytes] = {}
    for number, cell in enumerate(cells):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            lines.append(source if number else f"{source}\n\n{_download(path.name)}")
        elif cell["cell_type"] == "code":
            language = "bash" if source.startswith("%%bash") else "python"
            lines.append(f"```{language}\n{source.removeprefix('%%bash').strip()}\n```")
            printed = "".join(
                "".join(output["text"]) for output in cell["outputs"] if output["output_type"] == "stream"
            )
            lines += [_plain(printed)] if printed else []
            for output in cell["outputs"]:
                lines += _shown(output, cell["metadata"].get("alt", ""), f"{path.stem}-{number}", pictures)
    return "\n\n".join(lines) + "\n", pictures


def _download(name: str) -> str:
    return f"[This page as a notebook]({name}){{ download={name} }}"


def _shown(output: dict[str, Any], alt: str, name: str, pictures: dict[str, bytes]) -> list[str]:
    """Render one output: an image, a table or text."""
    data = output.get("data", {})
    said = "".join(data.get("text/plain", "")).partition("\n")[0].removeprefix("Figure: ")
    alt = alt or re.sub(r"[\[\]]", "", said)  # a figure's title
    if "image/png" in data:
        pictures[f"{name}.png"] = base64.b64decode(data["image/png"])
        return [f"![{alt}]({name}.png)"]
    if "image/svg+xml" in data:
        pictures[f"{name}.svg"] = "".join(data["image/svg+xml"]).encode()
        return [f"![{alt}]({name}.svg)"]
    if "text/html" in data:
        html = re.sub(r"<style.*?</style>", "", "".join(data["text/html"]), flags=re.DOTALL)
        return [re.sub(r"\n\s*\n", "\n", html)]
    return [_plain("".join(data["text/plain"]))] if "text/plain" in data else []


def _plain(text: str) -> str:
    return f"```text\n{text.strip()[:LONGEST_TEXT]}\n```"
