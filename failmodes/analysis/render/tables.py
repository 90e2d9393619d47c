"""Tables that several results lay out alike."""

from collections.abc import Iterable, Mapping, Sequence

from failmodes.analysis.render.blocks import EMPTY, Cell, Table
from failmodes.analysis.render.formatting import format_severity

MOST_LEVELS = 11  # severities side by side


def severity_table(
    caption: str,
    note: str,
    names: Mapping[str, str],
    cells: Mapping[tuple[str, float], Cell],
    whole: str,
    most: int = MOST_LEVELS,
) -> Table:
    """Corruptions against severities, of a dense grid the whole ones.

    Args:
        caption: of the table.
        note: what it means.
        names: human name by corruption, in order; those without cells have no row.
        cells: by corruption and severity.
        whole: where all severities are, for the note where some are left out.
        most: severities side by side; of more only the whole ones are shown.
    """
    levels = sorted({severity for _, severity in cells})
    shown = levels if len(levels) <= most else [level for level in levels if not level % 1]
    if len(shown) < len(levels):
        note += f" Whole severities; all {len(levels)} are in {whole}."
    present = {corruption for corruption, _ in cells}
    rows = (
        (Cell(name), *(cells.get((corruption, level), Cell(EMPTY)) for level in shown))
        for corruption, name in names.items()
        if corruption in present
    )
    return Table(caption, note, ("Corruption", *map(format_severity, shown)), tuple(rows))


def text_table(caption: str, columns: tuple[str, ...], rows: Iterable[Sequence[str]], note: str = "") -> Table:
    """A table of words."""
    return Table(caption, note, columns, tuple(tuple(map(Cell, row)) for row in rows), texts=columns)
