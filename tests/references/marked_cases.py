"""Parametrized tests of which some cases run in `make test` and the others where they are marked."""

from collections.abc import Iterable
from typing import Any

import pytest


def quick(argument: str, cases: Iterable[Any], *quickly: Any, others: str = "test_all") -> pytest.MarkDecorator:
    """All cases of an argument; those that are not among `quickly` run in `make test-all`, or `make nightly`."""
    mark = getattr(pytest.mark, others)
    return pytest.mark.parametrize(
        argument, [pytest.param(case, marks=() if case in quickly else mark) for case in cases]
    )
