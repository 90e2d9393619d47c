"""Registries filled by the modules of a package: corruptions, layouts of datasets, metrics, kinds of finding."""

import pkgutil
from importlib import import_module


def import_modules(package: str) -> None:
    """Import every module of a package, each of which registers something."""
    for module in pkgutil.iter_modules(import_module(package).__path__):
        import_module(f"{package}.{module.name}")
