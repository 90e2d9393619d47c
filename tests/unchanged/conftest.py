"""Tests import the modules of the comparison by their names, as `python -m tests.unchanged` does."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent)]
