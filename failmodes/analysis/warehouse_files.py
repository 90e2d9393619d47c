"""Files that an open warehouse writes for others: a model as a baseline, results as other programs read them."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from failmodes.warehouse.errors import StudyError, shown


class WarehouseFiles:
    """The part of `Warehouse` that hands results on."""

    def _opened(self) -> Path:
        """The DuckDB file of a warehouse that was not closed."""
        raise NotImplementedError

    def export(self, path: str | os.PathLike[str], *, evaluation: str, force: bool = False) -> Path:
        """Write one model's predictions to a small warehouse of their own: a baseline to commit, or to hand on.

        It holds no pictures, no names of image files, no attention and no logits.

        Args:
            path: the file to write, such as "baseline.duckdb".
            evaluation: a model's label, one without its training seed (then all its runs), an evaluation's identity
                or first letters, or an architecture that it alone has.
            force: replace a .duckdb file that is there.

        Returns:
            Path of the file.

        Raises:
            StudyError: there is no such model, several are called so, or the file is there already.
            WarehouseError: what would be written breaks a check.
            StorageError: it cannot be written.

        Examples:
            >>> w.export("baseline.duckdb", evaluation="Net A")
        """
        warehouse = self._opened()
        from failmodes.analysis.model_export import export_model

        return export_model(warehouse, evaluation, path, force=force).path

    def publish(
        self,
        format: Literal["robustbench", "croissant", "model-card"],
        path: str | os.PathLike[str] | None = None,
        *,
        model: str | Sequence[str] | None = None,
        evaluation: str | Sequence[str] | None = None,
        force: bool = False,
    ) -> list[Path]:
        """Write results as others read them, as `failmodes publish` does.

        Args:
            format: 'robustbench' (a CSV of accuracies at whole severities, with clean ones in a second file beside it),
                'croissant' (a JSON-LD description of the warehouse and its record) or 'model-card' (YAML metadata and
                Markdown tables for the Hugging Face hub).
            path: the file to write; by default one beside the warehouse.
            model: only this model or these, by label.
            evaluation: only this evaluation or these, by identity or its first letters.
            force: replace even a warehouse, study or results shard that has the format's suffix.

        Returns:
            Paths of the files.

        Raises:
            StudyError: an unknown format, another suffix, or a filter names what the warehouse does not hold.
            WarehouseError: the warehouse lacks what the format tells.
            StorageError: a file cannot be written.

        Examples:
            >>> w.publish("model-card", "card.md", model="ResNet-18")
        """
        warehouse = self._opened()
        from failmodes.analysis.publishing.formats import publish_results

        written = publish_results(
            warehouse, format, path, models=names_of(model), evaluations=names_of(evaluation), force=force
        )
        return list(written.paths)


def names_of(given: str | Sequence[str] | None) -> list[str]:
    """One name, several or none, as a list.

    Raises:
        StudyError: it is neither a text nor a list.
    """
    if not isinstance(given, str | Iterable | None):
        raise StudyError(f"expected a name or a list of names (given: {shown(given)})")
    return [given] if isinstance(given, str) else list(given or ())
