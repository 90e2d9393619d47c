"""Optional dependencies: the packages of each extra, and the error if one is missing.

Reading a warehouse needs none of them. Code that needs one imports it in a function and calls `require` first.
"""

from collections.abc import Sequence
from importlib.util import find_spec

from failmodes.runtime.errors import MissingExtraError

# Packages of each extra by their import name, with their common name
EXTRAS: dict[str, dict[str, str]] = {
    "images": {"cv2": "OpenCV", "httpx": "httpx", "sklearn": "scikit-learn"},
    "evaluate": {
        "torch": "PyTorch",
        "torchvision": "torchvision",
        "pytorch_grad_cam": "grad-cam",
        "safetensors": "safetensors",
        "tomli_w": "tomli-w",
    },
    "explore": {"marimo": "marimo", "starlette": "starlette", "uvicorn": "uvicorn"},
    "remote": {"fsspec": "fsspec", "upath": "universal-pathlib"},
    "ray": {"ray": "Ray"},
    "timm": {"timm": "timm"},
    "onnx": {"onnx": "onnx", "onnxruntime": "ONNX Runtime"},
    "transformers": {"transformers": "transformers"},
    "open-clip": {"open_clip": "OpenCLIP"},
}
INCLUDES = {"evaluate": "images"}  # an extra that installs another one too


def require(extra: str, what: str, packages: Sequence[str] = ()) -> None:
    """Raise an error if an extra is not installed.

    Args:
        extra: a key of `EXTRAS`.
        what: the requested feature, which begins the message: "`failmodes train`".
        packages: the needed packages of the extra, by import name; default: all.

    Raises:
        MissingExtraError: one of them is not installed.
    """
    known = EXTRAS.get(INCLUDES.get(extra, ""), {}) | EXTRAS[extra]
    missing = [name for name in packages or known if not _is_installed(name)]
    if missing:
        named = "PyTorch" if "torch" in missing else ", ".join(known[name] for name in missing)
        raise MissingExtraError(f'{what} needs {named}, not installed here: pip install "failmodes[{extra}]"')


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ValueError:  # another thread is importing it: its module has no specification yet
        return True
