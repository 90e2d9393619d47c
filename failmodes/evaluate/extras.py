"""The extra `evaluate`: PyTorch and what goes with it. All else of the package works without it.

This module, and every command's, imports none of it: `require_torch` is asked before an import would fail.
"""

from importlib.util import find_spec

from failmodes.warehouse.errors import MissingExtraError

EXTRA = 'pip install "failmodes[evaluate]"'
PACKAGES = ("torch", "torchvision", "pytorch_grad_cam", "safetensors", "tomli_w")  # by the names that are imported


def require_torch(what: str) -> None:
    """Refuse what needs networks where PyTorch, or what goes with it, is not installed.

    Args:
        what: what was asked for, as the message begins: "`failmodes train`".

    Raises:
        MissingExtraError: a package of the extra `evaluate` is not installed.
    """
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        named = "PyTorch" if "torch" in missing else ", ".join(missing)
        raise MissingExtraError(f"{what} needs {named}, not installed here: {EXTRA}")
