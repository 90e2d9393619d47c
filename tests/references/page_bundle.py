"""The bundle of the page, built once for all tests; they are skipped where it cannot be built."""

from pathlib import Path

import pytest

from failmodes.analysis.site.bundling import bundled_page
from failmodes.runtime.errors import FailmodesError


def built_page() -> Path:
    """The folder of the bundle; skips the test without npm or its registry."""
    try:
        return bundled_page()
    except FailmodesError as error:
        pytest.skip(str(error))
