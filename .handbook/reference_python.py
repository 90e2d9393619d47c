"""Reference page of the public Python names: mkdocstrings fills it from signatures and docstrings."""

import failmodes

INTRODUCTION = """# Python

```python
import failmodes
```

imports nothing heavy: names are loaded on first use, and only `benchmark`, `run` and `CorruptTransform` need PyTorch.
The public API is `failmodes.__all__`, under [semantic versioning](https://semver.org/); everything else may change
without notice.
"""
FIRST = ("benchmark", "open", "Warehouse", "corrupt", "corruptions", "gate", "run")


def python_page() -> str:
    """Return Markdown with one mkdocstrings directive per name, the most used first, without errors."""
    others = [name for name in failmodes.__all__ if name not in FIRST and not name.startswith("__")]
    names = [*FIRST, *(name for name in others if not name.endswith("Error"))]
    lines = [INTRODUCTION, *(f"::: {_home(name)}\n" for name in names)]
    return "\n".join([*lines, "Errors are listed [with the exit codes](exit-codes.md#errors-in-python)."])


def _home(name: str) -> str:
    found = getattr(failmodes, name)
    return f"{found.__module__}.{found.__qualname__}"
