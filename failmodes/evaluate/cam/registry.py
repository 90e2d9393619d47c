"""CAM methods by name: each class in the folder `methods` with a keyword `name` is one, described by its docstring.

The files are parsed, not imported: they import torch, which the command line loads only to run a model.
"""

import ast
from functools import cache
from importlib import import_module
from importlib.resources import files
from typing import TYPE_CHECKING

from failmodes.warehouse.errors import StudyError, did_you_mean

if TYPE_CHECKING:
    from failmodes.evaluate.cam.cam_method import CamMethod

METHODS_PACKAGE = "failmodes.evaluate.cam.methods"
AUTO, NONE, GRAD_CAM = "auto", "none", "grad-cam"
CHOICES = {
    AUTO: "Grad-CAM in closed form where the model allows it, else by a backward pass, else no attention.",
    NONE: "No attention.",
    GRAD_CAM: "As auto, but a model that allows neither is an error.",
}


def method_meanings() -> dict[str, str]:
    """What `attention` may be in a study, and what each name means."""
    documented = {name: ast.get_docstring(node) or "" for name, (_, node) in _definitions().items()}
    return CHOICES | {name: text.split("\n")[0] for name, text in documented.items()}


def parse_method(given: str) -> str:
    """The name that a study gives, or that results have in `evaluations.attention_method`; case does not matter.

    Raises:
        StudyError: there is no such method.
    """
    name, known = given.strip().lower(), method_meanings()
    if name in known:
        return name
    for method in _definitions():
        if cam_class(method).method.lower() == name:
            return method
    hint = did_you_mean(name, known, "")
    raise StudyError(
        f"unknown attention method {given!r}{f' ({hint})' if hint else ''}: choose from {', '.join(known)}"
    )


def cam_class(name: str) -> type["CamMethod"]:
    """The class of a method, imported now."""
    module, node = _definitions()[name]
    found: type[CamMethod] = getattr(import_module(f"{METHODS_PACKAGE}.{module}"), node.name)
    return found


@cache
def _definitions() -> dict[str, tuple[str, ast.ClassDef]]:
    """The module and the class statement of each method, by the method's name."""
    modules = {file.name[:-3]: file for file in files(METHODS_PACKAGE).iterdir() if file.name.endswith(".py")}
    parsed = [
        (module, node) for module in sorted(modules) for node in ast.parse(modules[module].read_text("utf-8")).body
    ]
    return {
        str(ast.literal_eval(keyword.value)): (module, node)
        for module, node in parsed
        if isinstance(node, ast.ClassDef)
        for keyword in node.keywords
        if keyword.arg == "name"
    }
