"""Finding what is registered by being in a folder: corruptions, layouts of datasets, metrics, kinds of finding."""

import pkgutil
from importlib import import_module


def import_modules(package: str) -> None:
    """Import every module of a package by its name, so that what each of them registers is known."""
    for module in pkgutil.iter_modules(import_module(package).__path__):
        import_module(f"{package}.{module.name}")
