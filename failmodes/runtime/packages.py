"""Packages: those of each extra with the error if one is missing, their versions, and modules that register something.

Reading a warehouse needs no extra. Code that needs one imports it in a function and calls `require` first.
"""

import pkgutil
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec

from failmodes import __version__
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
    "explore": {"starlette": "Starlette", "uvicorn": "Uvicorn"},
    "remote": {"fsspec": "fsspec", "upath": "universal-pathlib"},
    "ray": {"ray": "Ray"},
    "timm": {"timm": "timm"},
    "onnx": {"onnx": "onnx", "onnxruntime": "ONNX Runtime"},
    "transformers": {"transformers": "transformers"},
    "open-clip": {"open_clip": "OpenCLIP"},
    "datasets": {"datasets": "datasets"},
    "mlflow": {"mlflow": "MLflow"},
    "wandb": {"wandb": "wandb"},
    "tensorboard": {"tensorboardX": "tensorboardX"},
}
INCLUDES = {"evaluate": "images"}  # an extra that installs another one too

# Versions that can change a row or its reading; missing ones (such as torch) are left out.
PACKAGES = ("failmodes", "torch", "torchvision", "numpy", "scipy", "pillow", "pyarrow", "duckdb", "polars", "grad-cam")


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


def library_versions(names: tuple[str, ...] = PACKAGES) -> dict[str, str]:
    """Versions of the installed packages among `names`, and of Python."""
    import platform  # not above: a short command reads no metadata
    from importlib.metadata import PackageNotFoundError, version

    versions = {"python": platform.python_version()}
    for name in names:
        try:
            versions[name] = __version__ if name == "failmodes" else version(name)  # a checkout may be ahead of pip
        except PackageNotFoundError:
            continue
    return versions


def import_modules(package: str) -> None:
    """Import every module of a package, each of which registers something: corruptions, layouts, metrics, findings."""
    for module in pkgutil.iter_modules(import_module(package).__path__):
        import_module(f"{package}.{module.name}")
