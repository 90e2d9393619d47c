"""The page of the public Python names: mkdocstrings fills it from signatures and docstrings."""

import failmodes

INTRODUCTION = """# Python

```python
import failmodes
```

loads nothing heavy: each name is imported when it is first used, and only `benchmark`, `run` and `CorruptTransform`
need PyTorch. What is public, and keeps its name by [semantic versioning](https://semver.org/), is what
`failmodes.__all__` lists; everything else may change without notice.
"""
FIRST = ("benchmark", "open", "Warehouse", "corrupt", "corruptions", "gate", "run")


def python_page() -> str:
    """Markdown: an instruction to mkdocstrings a name, what is used most first; errors stand on another page."""
    others = [name for name in failmodes.__all__ if name not in FIRST and not name.startswith("__")]
    names = [*FIRST, *(name for name in others if not name.endswith("Error"))]
    lines = [INTRODUCTION, *(f"::: {_home(name)}\n" for name in names)]
    return "\n".join([*lines, "Errors stand [with the exit codes](exit-codes.md#errors-in-python)."])


def _home(name: str) -> str:
    found = getattr(failmodes, name)
    return f"{found.__module__}.{found.__qualname__}"
