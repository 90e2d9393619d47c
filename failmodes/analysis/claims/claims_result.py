"""Judged claims in the hand: they print as a table, show themselves in notebooks, and become a data frame."""

import os
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, overload

from failmodes.analysis.claims.judged_claim import JudgedClaim

if TYPE_CHECKING:
    import polars as pl

TEXTS = ("claim", "form", "verdict", "evaluation_id", "model_label", "other_evaluation_id", "unit", "reason",
         "sentence", "query")  # fmt: skip
NUMBERS = ("claim_number", "n")


class ClaimsResult(Sequence[JudgedClaim]):
    """What `Warehouse.claims` returns: a row a claim and model, in the order of the claims.

    Examples:
        >>> found = w.claims(["fog costs more than gaussian_noise", "contrast is near-linear"])
        >>> print(found)                                         # in a notebook it shows itself
        >>> found[0].verdict, found[0].estimate, found[0].sentence
        >>> found.to_frame().filter(verdict="contradicted")
    """

    def __init__(self, claims: Sequence[JudgedClaim]) -> None:
        """Hold judged claims; `Warehouse.claims` makes them."""
        self._claims = tuple(claims)

    def __len__(self) -> int:
        return len(self._claims)

    @overload
    def __getitem__(self, index: int) -> JudgedClaim: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[JudgedClaim, ...]: ...

    def __getitem__(self, index: int | slice) -> JudgedClaim | tuple[JudgedClaim, ...]:
        return self._claims[index]

    def to_frame(self) -> "pl.DataFrame":
        """One row a claim and model, with the columns of the table `claims`."""
        import polars as pl

        types = {name: str if name in TEXTS else int if name in NUMBERS else float for name in JudgedClaim._fields}
        return pl.DataFrame(self._claims, types, orient="row")

    def to_text(self, width: int = 110) -> str:
        """The table for a terminal of so many letters a line."""
        from failmodes.analysis.claims.claim_formats import as_text

        return as_text(self._claims, width)

    def to_markdown(self) -> str:
        """Markdown for a pull request."""
        from failmodes.analysis.claims.claim_formats import as_markdown

        return as_markdown(self._claims)

    def to_json(self) -> str:
        """Everything as JSON, whose keys docs/claims.md explains."""
        from failmodes.analysis.claims.claim_formats import as_json

        return as_json(self._claims)

    def save(self, path: "str | os.PathLike[str]", *, force: bool = False) -> Path:
        """Write it as .md, .json or .txt.

        Args:
            path: the file.
            force: replace even a study, warehouse or results shard that has one of these suffixes.

        Raises:
            StudyError: another suffix, or a file that must not be replaced.
            StorageError: the file could not be written.
        """
        from failmodes.warehouse.output_files import check_output, write_output

        target = Path(path)
        formats = {".txt": self.to_text, ".json": self.to_json, ".md": self.to_markdown}
        check_output(target, formats, force=force)
        write_output(target, formats[target.suffix.lower()]().encode(), formats, force=force)
        return target

    def __repr__(self) -> str:
        return self.to_text().rstrip("\n")

    def _repr_html_(self) -> str:
        from failmodes.analysis.claims.claim_table import claim_table, counts_sentence
        from failmodes.analysis.text_tables import html_table as table_html

        return f"<p>{escape(counts_sentence(self._claims))}</p>{table_html(claim_table(self._claims))}"
