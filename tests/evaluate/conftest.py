"""Without PyTorch, only tests of modules that do not need it are collected."""

from importlib.util import find_spec
from pathlib import Path

WITHOUT_TORCH = {"conftest.py", "study"}

if find_spec("torch") is None:
    collect_ignore = [path.name for path in Path(__file__).parent.iterdir() if path.name not in WITHOUT_TORCH]
