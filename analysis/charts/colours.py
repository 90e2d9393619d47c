"""Colours of lines that stand for corruptions: one each while they can be told apart, else one a group."""

from collections.abc import Sequence

import duckdb

from analysis.charts.key import Entry
from analysis.theme import BLUE, GREEN, GREY, GROUPS, ORANGE, PURPLE, SKY, VERMILLION

DISTINCT = (VERMILLION, BLUE, GREEN, PURPLE, ORANGE, SKY, GREY)
GROUP_COLOURS = dict(zip(GROUPS, DISTINCT, strict=False))


def corruption_colours(con: duckdb.DuckDBPyConnection, corruptions: Sequence[str]) -> dict[str, str]:
    """Colour by corruption."""
    if len(corruptions) <= len(DISTINCT):
        return dict(zip(corruptions, DISTINCT, strict=False))
    groups = dict(con.execute("select corruption, corruption_group from corruptions").fetchall())
    return {corruption: GROUP_COLOURS.get(groups[corruption], GREY) for corruption in corruptions}


def group_entries(corruptions: Sequence[str]) -> list[Entry]:
    """Entries of a key, where colours stand for groups."""
    return [] if len(corruptions) <= len(DISTINCT) else [Entry(group, GROUP_COLOURS[group]) for group in GROUPS]
