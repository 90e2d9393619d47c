"""Tests import the modules of the harness by their names, as `python -m tests.soundness` does."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent)]
