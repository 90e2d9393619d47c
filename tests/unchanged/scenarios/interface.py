"""What users are told of commands, Python names, files, metrics and tables: help, signatures and reference pages."""

import csv
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from side import Side, frames

COUNTED = {"values": 4757, "sentences": 4690, "files": 90, "exits": 72}

COMMANDS = (
    "init", "run", "status", "download", "corrupt", "ingest", "train", "evaluate", "import", "load", "remove", "query",
    "schema", "claims", "shapes", "slices", "chart", "images", "explore", "site", "report", "seal", "compare", "diff",
    "gate", "threshold", "check", "export", "publish",
)  # fmt: skip
METRICS = (
    "accuracy", "ece", "auroc", "error_accepted", "onset_severity", "mean_ssim", "mean_centroid_shift",
    "pointing_accuracy",
)  # fmt: skip
SHELLS = ("bash", "zsh", "fish", "powershell")
COMPLETED = {  # what is typed when the user asks for a completion
    "command": "ch", "options": "gate --", "format": "publish --format ", "view": "schema accuracy_by_",
    "query": "query @conf", "chart": "chart d", "baseline": "compare N", "model": "query --model ",
    "corruption": "chart curves --corruption ", "template": "init ",
}  # fmt: skip
# Each tree's own pages; names that are no one's to import are not compared
PAGES = """
import sys, pathlib, failmodes
sys.path.insert(0, str(pathlib.Path(failmodes.__file__).parents[1] / ".handbook"))
import hook
for path, page in hook.GENERATED.items():
    place = pathlib.Path("pages", pathlib.Path(path).name)
    place.parent.mkdir(exist_ok=True)
    place.write_text(page())
"""
PRIVATE_PLACE = re.compile(r"(?:\b[A-Za-z_]\w*\.)+(?=[A-Za-z_])")  # modules before a name


def inputs(folder: Path) -> None:
    """Two models on thirty images under fog, for names that are completed and results that have methods."""
    with (folder / "small.csv").open("w") as file:
        table = csv.writer(file)
        table.writerow(["image", "label", "prediction", "confidence", "corruption", "severity", "model"])
        for model, every in (("Near", 4), ("Far", 3)):
            for severity in range(4):
                for number in range(30):
                    is_wrong = number % every < severity
                    label, other = ("ant", "bee")[:: 1 if number % 2 else -1]
                    corruption = "fog" if severity else "none"
                    guess, confidence = other if is_wrong else label, round(0.5 + number / 90 + is_wrong / 10, 3)
                    table.writerow([number, label, guess, confidence, corruption, severity, model])


def run(side: Side) -> None:
    side.command("import", "import", side.inputs / "small.csv", "--to", "small")
    side.command("load", "load", "small")
    (side.work / "small/warehouse.duckdb").rename(side.work / "warehouse.duckdb")
    commands(side)
    completion(side)
    names(side)
    subprocess.run([sys.executable, "-c", PAGES], cwd=side.work, check=True)
    page = side.work / "pages/python.md"  # signatures and docstrings are answers by themselves
    page.write_text(re.sub(r"^::: [\w.]+\.(\w+)$", r"::: \1", page.read_text(), flags=re.MULTILINE))
    side.file("fixed.reference", "pages")


def commands(side: Side) -> None:
    """Help, templates and lists that commands print."""
    side.command("version", "--version")
    side.command("fixed.help", "--help")
    side.command("fixed.help.none", exits=2)
    for name in COMMANDS:
        side.command(f"fixed.help.{name}", name, "--help")
    for name in ("digits", "cifar10", "folder"):
        side.command(f"fixed.init.{name}", "init", name, "--output", "-")
    side.command("fixed.charts", "chart", "--list")
    side.command("fixed.queries", "query", "--list")
    side.command("fixed.downloads", "download", "nothing", exits=2)
    side.command("fixed.schema", "schema", "--format", "json")
    side.command("fixed.metrics", "query", "from metrics order by metric", "--format", "json")
    for name in METRICS:
        side.command(f"fixed.schema.{name}", "schema", name)


def completion(side: Side) -> None:
    """The scripts of shells, and what they offer in a folder with a warehouse."""
    asking = "_FAILMODES_COMPLETE"
    for shell in SHELLS:
        os.environ[asking] = f"source_{shell}"
        side.command(f"completion.{shell}")
    os.environ[asking] = "complete_bash"
    for name, typed in COMPLETED.items():
        os.environ |= {"COMP_WORDS": f"failmodes {typed}", "COMP_CWORD": str(len(typed.split(" ")))}
        side.command(f"completed.{name}")
    for key in (asking, "COMP_WORDS", "COMP_CWORD"):
        del os.environ[key]


def names(side: Side) -> None:
    """Public names of Python, and what their results have."""
    import failmodes
    from failmodes import imagecorruptions

    public = {name: getattr(failmodes, name) for name in failmodes.__all__ if name != "__version__"}
    public |= {f"imagecorruptions.{name}": getattr(imagecorruptions, name) for name in imagecorruptions.__all__}
    side.json("fixed.names", sorted(public))
    side.json("fixed.listed", [name for name in dir(failmodes) if not name.startswith("__")])
    classes = {name: value for name, value in public.items() if inspect.isclass(value)}
    functions = {name: value for name, value in public.items() if name not in classes}
    side.json("fixed.module", inspect.getdoc(failmodes))
    side.json("fixed.functions", {name: described(value) for name, value in functions.items()})
    side.json("fixed.classes", {name: of_class(value) for name, value in classes.items()})
    found = {name: of_class(type(make())) for name, make in results(failmodes).items()}
    side.json("fixed.results", found)
    side.json("errors", {name: of_error(value) for name, value in classes.items() if issubclass(value, Exception)})
    side.python("fixed.corruptions", lambda: frames(failmodes.corruptions()))
    for part in ("common", "validation", "all", "noise", "blur", "weather", "digital"):
        side.python(f"subset.{part}", lambda p=part: imagecorruptions.get_corruption_names(p))


def results(failmodes: Any) -> dict[str, Callable[[], Any]]:
    """Calls whose results have names of their own."""
    w = failmodes.open()
    rule = {"metric": "accuracy", "relation": "at_least", "limit": 0.2}
    return {
        "chart": lambda: w.chart("curves"),
        "check": lambda: w.check(published(w)),
        "claims": lambda: w.claims(rule),
        "claims, one": lambda: w.claims(rule)[0],
        "compare": lambda: w.compare("Near", "Far"),
        "diff": lambda: w.diff("Near", "Far"),
        "findings": w.findings,
        "findings, one": lambda: w.findings()[0],
        "gate": lambda: failmodes.gate({"gate": {"candidate": "Near", "rules": [rule]}}, w),
        "slices": lambda: w.slices(min_images=5),
    }


def published(w: Any) -> Any:
    """Accuracies to check, written by the warehouse itself."""
    return w.publish("robustbench", "published.csv")[0]


def of_class(owner: type) -> dict[str, Any]:
    """A class and its public members, without those that it inherits from other packages."""
    members = {"": described(owner)}
    for base in reversed(owner.__mro__):
        if base.__module__.partition(".")[0] == "failmodes":
            stated = inspect.get_annotations(base)
            fields = {name: {"kind": "field", "annotation": annotation(of)} for name, of in stated.items()}
            inner = {name: described(getattr(base, name)) for name in vars(base) if not name.startswith("_")}
            members |= {name: found for name, found in (inner | fields).items() if not name.startswith("_")}
    return members


def described(value: Any) -> dict[str, Any]:
    """Kind, docstring, parameters and result of a name; the value of a constant."""
    if not (callable(value) or isinstance(value, property)):
        return {"kind": "value", "value": repr(value)}
    if isinstance(value, property):
        return {"kind": "property", "doc": inspect.getdoc(value), **signature(value.fget)}
    return {"kind": "class" if inspect.isclass(value) else "function", "doc": inspect.getdoc(value), **signature(value)}


def signature(value: Any) -> dict[str, Any]:
    """Parameters by name, and the annotation of the result."""
    try:
        found = inspect.signature(value)
    except (TypeError, ValueError):
        return {}
    return {"parameters": list(parameters(found)), "returns": annotation(found.return_annotation)}


def parameters(found: inspect.Signature) -> Iterator[dict[str, Any]]:
    """Each parameter with its kind, default and annotation."""
    for one in found.parameters.values():
        default = {} if one.default is one.empty else {"default": repr(one.default)}
        yield {"name": one.name, "kind": one.kind.description, "annotation": annotation(one.annotation), **default}


def annotation(value: Any) -> str | None:
    """An annotation as text, without quotes and the modules of its names."""
    if value is inspect.Parameter.empty:
        return None
    text = value if isinstance(value, str) else inspect.formatannotation(value)
    return PRIVATE_PLACE.sub("", text).strip("'\"")


def of_error(error: type[Exception]) -> dict[str, Any]:
    """The classes that catch an error, and its exit code."""
    return {"classes": [one.__name__ for one in error.__mro__], "exit code": getattr(error, "exit_code", None)}
