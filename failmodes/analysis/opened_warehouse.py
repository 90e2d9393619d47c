"""An open warehouse for notebooks and scripts: SQL, tables, charts, findings and the report of one DuckDB file."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from failmodes.warehouse.errors import FailmodesError, StudyError, WarehouseError, shown

if TYPE_CHECKING:
    import polars as pl

    from failmodes.analysis.charts.style.figure import Figure
    from failmodes.analysis.comparison_result import ComparisonResult
    from failmodes.analysis.images.clean_images import OpenStudy
    from failmodes.analysis.judging.claims import ClaimsResult
    from failmodes.analysis.judging.findings.collection import Findings
    from failmodes.analysis.shown_images import ImageSheet
MOST_LISTED = 6  # names of models or corruptions in the description of a warehouse


class Warehouse:
    """A warehouse, open to read: what `failmodes.open` and `failmodes.benchmark` return.

    Each call opens the file anew (0.03 to 0.2 s) and closes it again, so nothing is locked between two calls, what a
    load put in its place meanwhile is seen, and several threads may use one warehouse. Tables are Polars data frames,
    charts are figures of Altair charts; PyTorch is never needed.

    SQL can neither change the warehouse nor read any other file, and no call here writes to it. Charts, findings and
    the report need what a load derives from the rows, such as the shapes of the curves: where that is not stored, or is
    out of date, it is computed for that one call, with a note on stderr.

    Examples:
        >>> import failmodes
        >>> w = failmodes.open("runs/mine")
        >>> w                                                    # what it holds
        >>> w.tables()                                           # what can be asked
        >>> w.table("accuracy_by_severity", corruption=["fog", "snow"], severity=5)
        >>> w.sql("select corruption, min(accuracy) as worst from accuracy_by_severity group by all order by worst")
        >>> w.chart("curves", model="ResNet-18")
        >>> w.images("not correct order by confidence desc limit 12")
        >>> w.findings()
        >>> w.claims([{"metric": "accuracy", "corruptions": ["fog"], "relation": "at_least", "limit": 0.3}])
        >>> w.compare("ResNet-18", "DenseNet-121")
        >>> w.report("report.html")
    """

    def __init__(self, path: str | os.PathLike[str], *, open_study: "OpenStudy | None" = None) -> None:
        """Open a warehouse; `failmodes.open` also finds the one of a study or of an output folder.

        Args:
            path: the DuckDB file.
            open_study: opens the images of the study that is at hand, for pictures that the file has not got;
                `failmodes.open` gives it.

        Raises:
            WarehouseError: it is missing, no warehouse, of another schema version, or in use by a writer.
        """
        from failmodes.warehouse.database.connection import open_warehouse

        self._path = Path(path).absolute()
        self._closed = False
        self._open_study = open_study
        with open_warehouse(self._path, ()):
            pass  # it is a warehouse of our version

    @property
    def path(self) -> Path:
        """The DuckDB file, as an absolute path."""
        return self._path

    def sql(self, query: str, /, *, timeout_s: float | None = 60, **parameters: object) -> "pl.DataFrame":
        """Answer one SQL statement; it can only read.

        Args:
            query: one statement in DuckDB's dialect, or the name of a saved query, such as "@worst_cells"
                (`failmodes query --list` has them, and what they take).
            timeout_s: seconds after which it is stopped; None waits.
            **parameters: the value of each `$name` in the statement; of a saved query, of those parameters that are
                given. Values are bound, never written into the text.

        Raises:
            QueryError: it is no valid SQL, more than one statement, not a reading one, or lacks the value of a
                parameter.
            LimitError: time or memory ran out.

        Examples:
            >>> w.sql("select * from accuracy_by_severity where accuracy < $floor order by accuracy", floor=0.5)
            >>> w.sql("from hardest_images where model_label = any($models)", models=["ResNet-18", "ViT"])
            >>> w.sql("@worst_cells", corruption="fog", rows=5)
        """
        path = self._opened()
        from failmodes.warehouse.database.query import run_query

        return run_query(path, query, parameters, timeout_s=timeout_s)

    def table(self, name: str, /, **filters: object) -> "pl.DataFrame":
        """The rows of a table or view that fit every filter, sorted by what they are of: model, corruption, severity.

        `predictions` and `attention`, which have a row for each image, come as they are stored.

        Args:
            name: a table or view, as `tables` lists them.
            **filters: by column: a value (its rows have it), a list or tuple (they have one of these), or None (they
                have none). A severity may be given as int, float or Decimal.

        Raises:
            QueryError: there is no such table, view or column, or a value is of another kind than its column.

        Examples:
            >>> w.table("accuracy_by_severity", model_label="ResNet-18", corruption=["fog", "snow"])
            >>> w.table("predictions", corruption="fog", severity=2.5, predicted=None)
        """
        path = self._opened()
        from failmodes.warehouse.database.query import read_rows

        return read_rows(path, name, filters)

    def tables(self) -> "pl.DataFrame":
        """Every table and view: name, kind ('table' or 'view'), meaning in a sentence, row_count (null for views)."""
        path = self._opened()
        from failmodes.warehouse.database.schema_listing import list_relations

        return list_relations(path)

    def schema(self, name: str | None = None) -> "pl.DataFrame":
        """The columns of one table or view, or of all: table, column, type, meaning.

        The meaning has range and unit, of views as of tables.

        Raises:
            QueryError: there is no table or view `name`.
        """
        path = self._opened()
        from failmodes.warehouse.database.schema_listing import list_columns

        return list_columns(path, name)

    def chart(
        self,
        name: str,
        *,
        model: str | Sequence[str] | None = None,
        corruption: str | Sequence[str] | None = None,
        evaluation: str | Sequence[str] | None = None,
        layout: Literal["page", "paper"] = "page",
        width: str | None = None,
        theme: Literal["light", "dark"] = "light",
        published: bool | None = None,
        by: str | None = None,
        title: bool = True,
        caption: bool = True,
    ) -> "Figure":
        """Draw a chart, as `failmodes chart` does; a notebook shows it, `.save("chart.svg")` writes it.

        Args:
            name: attention, calibration, confusion, curves, differences, distortion, distortion-shapes, drops,
                early-warning, exemplars, failure-prediction, object-attention, onset, predictions, ranking,
                risk-coverage or shapes.
            model: only this model or these, by label; of `differences` the second minus the first, as in `compare`.
            corruption: only this corruption or these.
            evaluation: only this evaluation or these, by identity or its first letters.
            layout: 'page' (680 px, or 180 mm) or 'paper' (85 mm, one column).
            width: of the figure on paper, such as "85mm" (or cm, in, pt, px), instead of a layout; `.save` keeps to it.
            theme: 'light' or 'dark'.
            published: whether published models stand behind yours, in curves and shapes; None draws those that the
                warehouse holds of the dataset.
            by: draw it once for each value of a column: corruption, corruption_group, or a column of
                evaluation_labels such as architecture.
            title: whether the title is drawn.
            caption: whether subtitle and source are drawn; `.caption` has them as text.

        Raises:
            StudyError: an unknown chart, column, layout, width or theme, a filter names what the warehouse does not
                hold, or the evaluations do not share images and corruptions.
            WarehouseError: the warehouse lacks what the chart shows; the message says why.

        Examples:
            >>> w.chart("curves").save("curves.png")                # or .svg, .pdf, .html
            >>> w.chart("shapes", width="85mm").save("shapes.pdf")  # exactly a column wide
            >>> w.chart("drops", model=["ResNet-18", "ViT"], theme="dark").save("drops.html")
            >>> w.chart("calibration", by="corruption_group").to_altair()   # an Altair chart to change further
        """
        path = self._opened()
        from failmodes.analysis.chart_registry import draw_from_warehouse
        from failmodes.analysis.charts.style.frame import frame_of

        figure = draw_from_warehouse(
            path, name, frame=frame_of(layout, width), models=_names(model), evaluations=_names(evaluation),
            corruptions=_names(corruption), published=published, by=by,
        )  # fmt: skip
        return replace(figure.with_theme(theme), has_title=title, has_caption=caption)

    def images(
        self,
        filter: str | None = None,
        *,
        image: int | Sequence[int] | None = None,
        corruption: str | Sequence[str] | None = None,
        model: str | Sequence[str] | None = None,
        evaluation: str | Sequence[str] | None = None,
        timeout_s: float | None = 60,
    ) -> "ImageSheet":
        """Pictures of any evaluated image, made again as they were evaluated; nothing needs the models.

        Clean images come from the warehouse, else from the study that was opened or lies beside it. Each picture is
        compared with the distance from clean that is on record: `notes` of the result says where they differ.

        Args:
            filter: a condition in SQL, with order and limit: pictures that fit it (24 without a limit, at most 200). It
                may name model_label, corruption, severity, image_id, label_name, predicted_name, correct, clean_correct
                (whether it is right when clean), confidence and all other columns of `outcomes`, `file`,
                `corruption_group` and `dataset_label`.
            image: instead of it, this image or these, from clean to the last severity, a row a model.
            corruption: with `image`: under this corruption or these.
            model: with `image`: only these models, by label.
            evaluation: with `image`: only these evaluations, by identity or its first letters.
            timeout_s: seconds after which the question is stopped; None waits.

        Raises:
            QueryError: the filter is no condition, or names an unknown column.
            LimitError: time or memory ran out.
            StudyError: nothing fits, or images or corruptions are needed that only a study has.
            WarehouseError, DataError: a clean image is missing or damaged.

        Examples:
            >>> w.images("corruption = 'fog' and severity = 3 and not correct order by confidence desc limit 12")
            >>> w.images(image=17, corruption="fog").save("image-17.pdf", width="85mm")
        """
        path = self._opened()
        from failmodes.analysis.shown_images import find_images

        return find_images(
            path, filter, images=_numbers(image), corruptions=_names(corruption), models=_names(model),
            evaluations=_names(evaluation), open_study=self._open_study, timeout_s=timeout_s,
        )  # fmt: skip

    def findings(self) -> "Findings":
        """All findings: a sequence of everything that was judged, which prints as the sentences of a report.

        Raises:
            WarehouseError: there is no evaluation, or none that was run to the end.

        Examples:
            >>> w.findings()
            >>> w.findings()[0].sentence
            >>> w.findings().to_frame().filter(kind="shape", verdict="supported")
        """
        path = self._opened()
        from failmodes.analysis.judging.stored import warehouse_findings

        return warehouse_findings(path)

    def claims(
        self,
        claims: "Mapping[str, Any] | Sequence[Mapping[str, Any]] | None" = None,
        *,
        metrics: "Sequence[Callable[..., Any]]" = (),
    ) -> "ClaimsResult":
        """Judge claims by the data: a row a claim and model, which prints as a table.

        A claim is supported where the whole interval of its number lies on the claim's side, contradicted where it lies
        on the other side, inconclusive otherwise, and not measurable where the warehouse lacks what it is about.
        docs/claims.md says what can be claimed, and how the data judge it.

        Args:
            claims: a claim or several, each the keys of a [[claims]] table; by default those of the study, which a load
                stores with their verdicts in the table `claims`.
            metrics: functions of your own that claims may name (see `failmodes.metric`).

        Raises:
            StudyError: a claim has a wrong key or value, or names a model that was not evaluated.
            WarehouseError: there is no evaluation, or none that was run to the end.

        Examples:
            >>> w.claims()
            >>> w.claims({"shape": "late", "corruptions": ["fog"]})[0].verdict
            >>> w.claims([{"metric": "accuracy", "corruptions": ["fog"], "relation": "drop_at_most", "limit": 0.1}])
        """
        path = self._opened()
        from failmodes.analysis.judging.claims import ClaimsResult
        from failmodes.analysis.judging.stored import warehouse_claims
        from failmodes.ingest.statements import check_claims
        from failmodes.warehouse.metrics.custom import user_metrics

        own = user_metrics(metrics)
        if claims is None:
            return ClaimsResult(warehouse_claims(path, metrics=own))
        given = check_claims([claims] if isinstance(claims, Mapping) else claims, "claims()")
        return ClaimsResult(warehouse_claims(path, given, metrics=own) if given else ())

    def compare(
        self,
        a: str,
        b: str,
        *,
        margin: float = 0.01,
        level: float = 0.95,
        corruption: str | Sequence[str] | None = None,
        metrics: "Sequence[str | Callable[..., Any]]" = (),
    ) -> "ComparisonResult":
        """Compare candidate B with baseline A: which is more accurate, by how much, and where.

        Every difference is B minus A. One training run a model speaks of these checkpoints; several runs (labels that
        differ in their seed alone) of each speak of the training.

        Args:
            a: the baseline: a label, a label without its training seed, an evaluation by its identity or its
                first letters, an architecture that it alone has; or "other.duckdb::Label" of another file.
            b: the candidate, named by the same rules.
            margin: difference of mean corrupted accuracy that would matter: 0.01 is a point.
            level: of intervals and decisions, 0.5 to 0.999.
            corruption: only this corruption or these.
            metrics: compared too: names of metrics, or functions of your own (see `failmodes.metric`).

        Raises:
            StudyError: a name means no model, or both the same; a number is out of its range; they share no cell.
            WarehouseError: a warehouse cannot be read, or a model is not evaluated to the end.

        Examples:
            >>> w.compare("ResNet-18", "DenseNet-121", margin=0.01)
            >>> w.compare("Net", "other.duckdb::Net").to_markdown()
        """
        path = self._opened()
        from failmodes.analysis.comparison_result import ComparisonResult
        from failmodes.analysis.judging.compare import compare_named
        from failmodes.warehouse.metrics.custom import named_metrics

        found = compare_named(
            a, b, path, margin=margin, level=level, corruptions=_names(corruption), metrics=named_metrics(metrics)
        )
        return ComparisonResult(found)

    def report(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        pairs: Sequence[tuple[str, str]] = (),
        force: bool = False,
    ) -> Path:
        """Write the report: findings, charts, tables and how it was made, in one HTML file that needs no network.

        Args:
            path: the file to write; by default report.html beside the warehouse.
            pairs: models to compare in it, named as for `compare`; by default the two where there are just two.
            force: replace even a warehouse, study or results shard whose name ends in .html.

        Returns:
            Path of the report.

        Raises:
            StudyError: a pair names no models of this warehouse, or the file is another thing than a report.
            StorageError: it cannot be written.
        """
        warehouse = self._opened()
        from failmodes.analysis.report.rendering import write_report

        return write_report(warehouse, None if path is None else Path(path), pairs=pairs, force=force)

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
            warehouse, format, path, models=_names(model), evaluations=_names(evaluation), force=force
        )
        return list(written.paths)

    def close(self) -> None:
        """Refuse further use; nothing is held open between two calls, so this frees nothing."""
        self._closed = True

    def __enter__(self) -> "Warehouse":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        facts = self._facts()
        width = max(len(name) for name, _ in facts)
        return "\n".join([f"Warehouse {self._path}", *(f"  {name:{width}}  {value}" for name, value in facts)])

    def _repr_html_(self) -> str:
        from failmodes.analysis.render.blocks import text_table
        from failmodes.analysis.render.formats.html import render_blocks

        return render_blocks([text_table("Warehouse", ("Warehouse", str(self._path)), self._facts())])

    def _facts(self) -> list[tuple[str, str]]:
        """What the warehouse holds, as names and values; describing it never raises."""
        try:
            return _description(self._opened())
        except FailmodesError as error:
            return [("state", "closed" if self._closed else str(error))]

    def _opened(self) -> Path:
        if self._closed:
            raise WarehouseError(f"this warehouse was closed: open it again with failmodes.open({str(self._path)!r})")
        return self._path


def _description(path: Path) -> list[tuple[str, str]]:
    """Models, corruptions, severities, images and rows of a warehouse, as names and values.

    Raises:
        WarehouseError: it cannot be read.
    """
    from failmodes.analysis.render.formatting import format_severity
    from failmodes.warehouse.database.connection import open_warehouse
    from failmodes.warehouse.database.query import query_errors

    relations = ("evaluation_labels", "shards", "corruptions", "prediction_facts", "attention")
    with open_warehouse(path, relations) as con, query_errors():
        models = con.execute(
            "select model_label || case count(*) when 1 then '' else format(' ({} evaluations)', count(*)) end "
            "from evaluation_labels group by model_label order by model_label"
        ).fetchall()
        cells = con.execute(
            "select distinct corruption, severity from shards inner join corruptions using (corruption) "
            "where table_name = 'prediction_facts' and severity > 0 order by corruption_order, corruption, severity"
        ).fetchall()
        images = con.execute(
            "select distinct image_count, dataset_label from evaluation_labels order by all desc"
        ).fetchall()
        (counts,) = con.execute(
            "select (select count(*) from prediction_facts), (select count(*) from attention)"
        ).fetchall()
    severities = sorted({severity for _, severity in cells})
    return [
        ("models", _listed([label for (label,) in models])),
        ("corruptions", _listed(list(dict.fromkeys(corruption for corruption, _ in cells)))),
        ("severities", _listed([format_severity(float(severity)) for severity in severities])),
        ("images", "; ".join(f"{count:,} of {dataset}" for count, dataset in images) or "none"),
        ("rows", f"{counts[0]:,} predictions, {counts[1]:,} attention rows"),
    ]


def _listed(names: list[str]) -> str:
    """How many there are, and the first of them."""
    rest = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    return f"{len(names)}: {', '.join(names[:MOST_LISTED])}{rest}" if names else "none"


def _names(given: str | Sequence[str] | None) -> list[str]:
    """One name, several or none, as a list.

    Raises:
        StudyError: it is neither a text nor a list.
    """
    if not isinstance(given, str | Iterable | None):
        raise StudyError(f"expected a name or a list of names (given: {shown(given)})")
    return [given] if isinstance(given, str) else list(given or ())


def _numbers(given: Any) -> list[Any]:
    """One number, several or none, as a list; whatever else is given is refused where it is used."""
    if given is None:
        return []
    return list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
