"""Every block of a report, whatever section it stands in."""

from collections.abc import Iterable, Iterator

from failmodes.analysis.render.blocks import Block, Section


def blocks_of(given: Iterable[Block]) -> Iterator[Block]:
    """Blocks in order, those within sections in place of the sections."""
    for block in given:
        if isinstance(block, Section):
            yield from blocks_of(block.blocks)
        else:
            yield block
