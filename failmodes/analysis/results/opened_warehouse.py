"""An open warehouse for notebooks and scripts: SQL, tables, charts, findings and the report of a DuckDB file."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from failmodes.runtime.errors import FailmodesError, StudyError, listed, shown
from failmodes.runtime.terminal import note

if TYPE_CHECKING:
    import polars as pl

    from failmodes.analysis.charts.style.figure import Figure
    from failmodes.analysis.images.stored_images import AttentionOf, OpenStudy
    from failmodes.analysis.judging.claims import ClaimsResult
    from failmodes.analysis.judging.findings.collection import Findings
    from failmodes.analysis.publishing import FormatName
    from failmodes.analysis.results.comparison import ComparisonResult
    from failmodes.analysis.results.diff import DiffResult
    from failmodes.analysis.results.published_checks import PublishedChecks
    from failmodes.analysis.results.shown_images import ImageSheet
    from failmodes.analysis.results.slices import SlicesResult
MAX_LISTED = 6  # names of models or corruptions in the description of a warehouse


class Warehouse:
    """A warehouse, open for reading: what `failmodes.open` and `failmodes.benchmark` return.

    Each call opens and closes the file (0.03 to 0.2 s): nothing stays locked between calls, a call sees what was loaded
    since the last one, and several threads can share a warehouse. Tables are Polars data frames, charts are figures of
    Altair charts; PyTorch is not needed.

    SQL can neither change the warehouse nor read another file, and no method writes to it. Charts, findings and the
    report show derived rows, such as the shapes of curves, which a load stores; a note on stderr says if another
    version of failmodes derived them.

    Examples:
        >>> import failmodes
        >>> w = failmodes.open("runs/mine")
        >>> w                                                    # what it holds
        >>> w.tables()                                           # its tables and views
        >>> w.table("accuracy_by_severity", corruption=["fog", "snow"], severity=5)
        >>> w.sql("select corruption, min(accuracy) as worst from accuracy_by_severity group by all order by worst")
        >>> w.chart("curves", model="ResNet-18")
        >>> w.images("not correct order by confidence desc limit 12")
        >>> w.findings()
        >>> w.claims([{"metric": "accuracy", "corruptions": ["fog"], "relation": "at_least", "limit": 0.3}])
        >>> w.slices(corruption="fog")
        >>> w.compare("ResNet-18", "DenseNet-121")
        >>> w.report("report.html")
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        open_study: "OpenStudy | None" = None,
        load_models: "Callable[[], AttentionOf] | None" = None,
    ) -> None:
        """Open a warehouse; `failmodes.open` also finds the one of a study or of an output folder.

        Args:
            path: the DuckDB file.
            open_study: opens the study, for images that the file does not store; `failmodes.open` sets it.
            load_models: loads the study's models, for attention that the file does not store; likewise.

        Raises:
            WarehouseError: the file is missing, not a warehouse, of another schema version, or being written.
        """
        from failmodes.warehouse.database.connection import open_warehouse

        self._path = Path(path).absolute()
        self._open_study = open_study
        self._load_models = load_models
        with open_warehouse(self._path, ()):
            pass  # checks that it is a warehouse of this version

    @property
    def path(self) -> Path:
        """The DuckDB file, as an absolute path."""
        return self._path

    def sql(self, query: str, /, *, timeout_s: float | None = 60, **parameters: object) -> "pl.DataFrame":
        """Run one SQL statement, read-only.

        If no row matches, a line on stderr names texts in it that its columns nowhere have.

        Args:
            query: one statement in DuckDB's dialect, or the name of a saved query, such as "@worst_cells" (listed by
                `failmodes query --list`).
            timeout_s: time limit in seconds; None for no limit.
            **parameters: values by `$name` in the statement, or by parameter of a saved query. Values are bound, never
                pasted into the text.

        Raises:
            QueryError: the SQL is invalid, has several statements, writes, or lacks the value of a parameter.
            LimitError: out of time or memory.

        Examples:
            >>> w.sql("select * from accuracy_by_severity where accuracy < $floor order by accuracy", floor=0.5)
            >>> w.sql("from hardest_images where model_label = any($models)", models=["ResNet-18", "ViT"])
            >>> w.sql("@worst_cells", corruption="fog", rows=5)
        """
        from failmodes.warehouse.database.query import run_query, unknown_values

        rows = run_query(self._path, query, parameters, timeout_s=timeout_s)
        for hint in unknown_values(self._path, query, parameters) if rows.is_empty() else ():
            note(hint)
        return rows

    def table(self, name: str, /, *, by: str | None = None, filter: str = "", **filters: object) -> "pl.DataFrame":
        """Rows of a table or view that match all filters, sorted by model, corruption and severity.

        The rows of `predictions` and `attention`, one per image, keep their stored order. If no row matches, a line on
        stderr names texts that the columns nowhere have.

        Args:
            name: a table or view (see `tables`).
            by: compute a view of metrics for groups of images: by `class_name` or a column of `images`, such as
                metadata or "image_luminance". Its name is that of a further first column, null for images without a
                value; numbers and dates with more than 8 values are cut into quartiles, whose bounds are their names.
            filter: compute a view of metrics for only the images that an SQL condition keeps (see `compare`).
            **filters: by column a value (equal), a list or tuple (one of them) or None (null). Severities may be int,
                float or Decimal.

        Raises:
            QueryError: unknown table, view or column, a value of another type than its column, or a view that is not
                computed for some of the images; or `filter` is not a condition.
            StudyError: `by` is no column of `images`, or has more than 200 values; or no image matches the filter.

        Examples:
            >>> w.table("accuracy_by_severity", by="camera", corruption="fog")
            >>> w.table("accuracy_by_severity", model_label="ResNet-18", corruption=["fog", "snow"])
            >>> w.table("predictions", corruption="fog", severity=2.5, predicted=None)
        """
        from failmodes.warehouse.database.query import read_rows, unknown_filters

        if by is None and not filter:
            rows = read_rows(self._path, name, filters)
        else:
            from failmodes.analysis.statistics.views_of_images import rows_of_images

            rows = rows_of_images(self._path, name, filters, by=by, condition=filter)
        for hint in unknown_filters(self._path, name, filters) if rows.is_empty() else ():
            note(hint)
        return rows

    def tables(self) -> "pl.DataFrame":
        """All tables and views: name, kind ('table' or 'view'), meaning, row_count (null for views)."""
        from failmodes.warehouse.database.schema_listing import list_relations

        return list_relations(self._path)

    def schema(self, name: str | None = None) -> "pl.DataFrame":
        """The columns of one table or view, or of all: table, column, type, and meaning with range and unit.

        Raises:
            QueryError: unknown table or view.
        """
        from failmodes.warehouse.database.schema_listing import list_columns

        return list_columns(self._path, name)

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
        filter: str = "",
        axis: Literal["severity", "value"] | None = None,
        caption: bool | None = None,
        letters: bool = False,
        mixed_protocols: bool = False,
    ) -> "Figure":
        """Draw a chart, as `failmodes chart` does; notebooks display it, `.save("chart.svg")` writes it.

        Args:
            name: accuracy, attention, calibration, confusion, curves, differences, distortion, distortion-shapes,
                early-warning, exemplars, failure-prediction, object-attention, onset, predictions, ranking,
                abstention or shapes.
            model: only these models, by label; for `differences` baseline first, as in `compare`.
            corruption: only these corruptions.
            evaluation: only these evaluations, by ID or its start.
            layout: 'page' (680 px, or 180 mm) or 'paper' (85 mm, texts of 5 to 7 points).
            width: a paper of this width, such as "85mm" (or cm, in, pt, px).
            theme: 'light' or 'dark'.
            published: draw published models behind yours (curves, shapes); None: if the warehouse has any of the
                dataset.
            by: draw the chart once per value of a column: corruption, corruption_group, a column of evaluation_labels
                such as architecture; or, of accuracy, curves, predictions and ranking, `class_name` or a column of
                `images` (see `table`).
            filter: only the images that an SQL condition keeps (see `compare`), in these four charts.
            axis: 'severity', or for curves and onset 'value' of the levels, on their scale; None: severity.
            caption: draw title, subtitle and source, which `.title` and `.caption` have as text; None: only on a page.
            letters: begin the title of each panel with a letter.
            mixed_protocols: of `ranking`: rank evaluations that are not comparable too, and name what differs.

        Raises:
            StudyError: an unknown chart, column, layout, width, theme, model, corruption or evaluation, or evaluations
                that are not comparable.
            WarehouseError: the warehouse lacks the data of the chart; the message says why.

        Examples:
            >>> w.chart("curves").save("curves.png")                # or .svg, .pdf, .html
            >>> w.chart("shapes", width="85mm").save("shapes.pdf")  # exactly a column wide
            >>> w.chart("accuracy", model=["ResNet-18", "ViT"], theme="dark").save("accuracy.html")
            >>> w.chart("calibration", by="corruption_group").to_altair()   # an Altair chart to change further
        """
        from failmodes.analysis.charts.registry import draw_from_warehouse
        from failmodes.analysis.charts.style.frame import frame_of

        figure = draw_from_warehouse(
            self._path, name, frame=frame_of(layout, width, has_letters=letters), models=_names(model),
            evaluations=_names(evaluation), corruptions=_names(corruption), published=published, by=by, axis=axis,
            filter=filter,
            mixed=mixed_protocols,
        )  # fmt: skip
        figure = figure.with_theme(theme)
        return figure if caption is None else replace(figure, has_caption=caption)

    def images(
        self,
        filter: str | None = None,
        *,
        image: int | Sequence[int] | None = None,
        corruption: str | Sequence[str] | None = None,
        model: str | Sequence[str] | None = None,
        evaluation: str | Sequence[str] | None = None,
        attention: bool = False,
        timeout_s: float | None = 60,
    ) -> "ImageSheet":
        """Reproduce evaluated images from their clean images, as they were evaluated; no model is needed.

        Clean images come from the warehouse, else from the study that was opened or that is next to the warehouse. The
        RMSE of each image from clean is compared with the stored one; `notes` of the result lists differences.

        Args:
            filter: an SQL condition with order and limit (default limit 24, at most 200 images). Columns: model_label,
                corruption, severity, image_id, label_name, predicted_name, correct, clean_correct (whether the clean
                image is classified correctly), confidence, all other columns of `predictions`, and
                `corruption_group`.
            image: instead of a filter: these images from clean to the last severity, one row per model.
            corruption: with `image`: under these corruptions.
            model: with `image`: only these models, by label.
            evaluation: with `image`: only these evaluations, by ID or its start.
            attention: compute attention maps that are not stored, with the models of the study that was opened.
            timeout_s: time limit in seconds; None for no limit.

        Raises:
            QueryError: the filter is not a condition, or names an unknown column.
            LimitError: out of time or memory.
            StudyError: no image matches, or only a study has the images, corruptions or models.
            WarehouseError, DataError: a clean image is missing or damaged.

        Examples:
            >>> w.images("corruption = 'fog' and severity = 3 and not correct order by confidence desc limit 12")
            >>> w.images(image=17, corruption="fog").save("image-17.pdf", width="85mm")
        """
        from failmodes.analysis.results.shown_images import find_images

        if attention and self._load_models is None:
            raise StudyError('attention=True needs the models of a study: failmodes.open("study.toml")')
        return find_images(
            self._path, filter, images=_numbers(image), corruptions=_names(corruption), models=_names(model),
            evaluations=_names(evaluation), open_study=self._open_study,
            attention_of=self._load_models() if attention and self._load_models else None, timeout_s=timeout_s,
        )  # fmt: skip

    def findings(self) -> "Findings":
        """All findings, as a sequence that prints as the sentences of a report.

        Raises:
            WarehouseError: there is no complete evaluation.

        Examples:
            >>> w.findings()
            >>> w.findings()[0].sentence
            >>> w.findings().to_frame().filter(kind="shape", verdict="supported")
        """
        from failmodes.analysis.judging.stored import warehouse_findings

        return warehouse_findings(self._path)

    def claims(
        self,
        claims: "Mapping[str, Any] | Sequence[Mapping[str, Any]] | None" = None,
        *,
        metrics: "Sequence[Callable[..., Any]]" = (),
    ) -> "ClaimsResult":
        """Judge claims by the data: one row per claim and model, printed as a table.

        A claim is supported if the whole interval of its estimate lies on the claim's side of the limit, contradicted
        if it lies on the other side, inconclusive otherwise, and not measurable if the warehouse lacks its data. See
        docs/claims.md.

        Args:
            claims: one or several claims, each with the keys of a [[claims]] table. Default: those of the study, which
                a load stores with their verdicts in the table `claims`.
            metrics: custom metrics that claims may name (see `failmodes.metric`).

        Raises:
            StudyError: a claim has an invalid key or value, or names a model that was not evaluated.
            WarehouseError: there is no complete evaluation.

        Examples:
            >>> w.claims()
            >>> w.claims({"shape": "late", "corruptions": ["fog"]})[0].verdict
            >>> w.claims([{"metric": "accuracy", "corruptions": ["fog"], "relation": "drop_at_most", "limit": 0.1}])
        """
        from failmodes.analysis.judging.claims import ClaimsResult
        from failmodes.analysis.judging.stored import sealed_claims, warehouse_claims
        from failmodes.ingest.statements import check_claims
        from failmodes.warehouse.metrics.custom import user_metrics

        user_defined = user_metrics(metrics)
        if claims is None:
            found = ClaimsResult(warehouse_claims(self._path, metrics=user_defined))
            return found.with_seals(sealed_claims(self._path))
        stated = check_claims([claims] if isinstance(claims, Mapping) else claims, "claims()")
        return ClaimsResult(warehouse_claims(self._path, stated, metrics=user_defined) if stated else ())

    def slices(
        self,
        *,
        corruption: str | Sequence[str] | None = None,
        severity: float | Sequence[float] | None = None,
        model: str | Sequence[str] | None = None,
        evaluation: str | Sequence[str] | None = None,
        by: str | Sequence[str] | None = None,
        depth: int | None = None,
        min_images: int = 30,
        filter: str = "",
        clean_prediction: str = "",
    ) -> "SlicesResult":
        """Find slices of images that models predict correctly less often than all other images.

        Slices are conjunctions of metadata, quartiles of image properties, and the true class. The probability that any
        supported slice has no true difference is at most 5% over everything searched, corruptions and severities
        included. See docs/slices.md.

        Args:
            corruption: only these corruptions; by default all, and clean images.
            severity: only these severities.
            model: only these models, by label.
            evaluation: only these evaluations, by ID or its start.
            by: attributes of images: `class_name` and columns of `images`; by default all.
            depth: most conditions of a slice, 1 to 3; by default 3, less with many attributes.
            min_images: fewest distinct images of a slice.
            filter: only images that this SQL condition keeps, such as "camera = 'B'".
            clean_prediction: only images whose clean image is predicted "correct", "incorrect" or as this class.

        Raises:
            StudyError: an unknown name, a number out of range, or no image or attribute is left.
            QueryError: the filter is not a condition on images.
            WarehouseError: there is no complete evaluation.

        Examples:
            >>> w.slices(corruption="fog")
            >>> w.slices(by=["camera", "image_luminance"], depth=2).to_frame()
        """
        from failmodes.analysis.judging.slices import warehouse_slices
        from failmodes.analysis.results.slices import SlicesResult, slice_options

        options = slice_options(
            corruption=corruption, severity=severity, by=by, depth=depth, min_images=min_images, filter=filter,
            clean_prediction=clean_prediction,
        )  # fmt: skip
        parts = warehouse_slices(self._path, options, models=_names(model), evaluations=_names(evaluation))
        return SlicesResult(parts, self._path, self._open_study)

    def compare(
        self,
        a: str,
        b: str,
        *,
        margin: float = 0.01,
        level: float = 0.95,
        corruption: str | Sequence[str] | None = None,
        metrics: "Sequence[str | Callable[..., Any]]" = (),
        filter: str = "",
        mixed_protocols: bool = False,
    ) -> "ComparisonResult":
        """Compare candidate B with baseline A: which is more accurate, by how much, and where.

        Differences are candidate − baseline. With one training run per model, the result is about these checkpoints;
        with several (labels that differ only in their seed), it is about the training recipe.

        Args:
            a: the baseline: a label, a label without training seed, (the start of) an evaluation ID, or an
                architecture that only it has; or "other.duckdb::Label" for another file.
            b: the candidate, named by the same rules.
            margin: smallest relevant difference of mean corrupted accuracy; 0.01 is one point.
            level: confidence level of intervals and decisions, 0.5 to 0.999.
            corruption: only these corruptions.
            metrics: further metrics: names, or custom metrics (see `failmodes.metric`).
            filter: only the images that an SQL condition keeps, over `class_name` and the columns of `images`.
            mixed_protocols: compare models that are not comparable too; the result names what differs.

        Raises:
            StudyError: a name matches no model, both names match the same model, a number is out of range, the models
                share no cell, or no image matches the filter.
            QueryError: the filter is not a condition, or names an unknown column.
            WarehouseError: a warehouse cannot be read, or an evaluation is incomplete.

        Examples:
            >>> w.compare("ResNet-18", "DenseNet-121", margin=0.01)
            >>> w.compare("Net", "other.duckdb::Net").to_markdown()
            >>> w.compare("ResNet-18", "DenseNet-121", filter="camera = 'B' and image_luminance < 0.3")
        """
        from failmodes.analysis.judging.compare import compare_named
        from failmodes.analysis.results.comparison import ComparisonResult
        from failmodes.warehouse.metrics.custom import named_metrics

        comparison = compare_named(
            a, b, self._path, margin=margin, level=level, corruptions=_names(corruption),
            metrics=named_metrics(metrics), filter=filter, mixed=mixed_protocols,
        )  # fmt: skip
        return ComparisonResult(comparison)

    def diff(self, a: str, b: str, *, extras: bool = False) -> "DiffResult":
        """Explain why two numbers differ (second − first), as `failmodes diff`.

        Each number is the average that its protocol states; without one, the mean accuracy over corruptions and
        severities, or on clean images if one side has no others. What each respect explains adds up to the difference:
        images that only one side has, cells that only one averages, the form of the average, labels, the order of
        classes, and predictions on the same images. A fact that was not recorded is unknown, and never named as a
        cause.

        Args:
            a: a label, (the start of) an evaluation ID, "other.duckdb::Label", or a published row: "robustbench:NAME",
                "timm:NAME" (downloaded), "FILE.csv::NAME".
            b: likewise; at most one of both is a published row.
            extras: average corruptions outside the 15 headline ones too.

        Raises:
            StudyError: a name matches nothing, several models, or a model of several training runs.
            WarehouseError: a warehouse cannot be read, or an evaluation is incomplete.
            DataError, DownloadError: published rows are damaged, or cannot be downloaded.

        Examples:
            >>> w.diff("Net", "other.duckdb::Net")
            >>> w.diff("robustbench:Standard", "WRN-28-10").save("diff.html")
        """
        from failmodes.analysis.judging.diff import diff_named
        from failmodes.analysis.results.diff import DiffResult

        return DiffResult(diff_named(a, b, self._path, extras=extras))

    def check(
        self,
        published: "str | os.PathLike[str] | Sequence[str | os.PathLike[str]]",
        *,
        model: str | Sequence[str] | None = None,
        row: str | None = None,
    ) -> "PublishedChecks":
        """Compare models with their published rows, cell by cell, and name the protocol of each, as `failmodes check`.

        Args:
            published: files of published accuracies: RobustBench's CSV or JSON, timm's results-*.csv; or "robustbench"
                or "timm", which are downloaded.
            model: only these models, by label.
            row: the published row. Default: the one with the label, architecture or checkpoint of the model.

        Raises:
            StudyError: a file or model does not exist, or no model has a row.
            DataError: a file is damaged.
            DownloadError: the files cannot be downloaded.
            WarehouseError: the warehouse cannot be read, or an evaluation is incomplete.
        """
        from failmodes.analysis.judging.published_check import check_published, published_files
        from failmodes.analysis.results.published_checks import PublishedChecks

        names = [published] if isinstance(published, str | os.PathLike) else published
        files = [file for name in names for file in published_files(os.fspath(name), self._path.parent)]
        return PublishedChecks(check_published(self._path, files, models=_names(model), row=row))

    def report(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        pairs: Sequence[tuple[str, str]] = (),
        appendix: bool = False,
        force: bool = False,
    ) -> Path:
        """Write the report: findings, charts, tables and provenance in one self-contained HTML file.

        Args:
            path: the file. Default: report.html next to the warehouse.
            pairs: models to compare, named as for `compare`. Default: the two models, if there are exactly two.
            appendix: end with what was tested, for auditors.
            force: replace even a warehouse, study or results shard whose name ends in .html.

        Returns:
            Path of the report.

        Raises:
            StudyError: a pair does not name models of this warehouse, or the file must not be replaced.
            StorageError: the file cannot be written.
        """
        from failmodes.analysis.report.rendering import write_report

        output = None if path is None else Path(path)
        return write_report(self._path, output, pairs=pairs, has_appendix=appendix, force=force)

    def export(self, path: str | os.PathLike[str], *, evaluation: str, force: bool = False) -> Path:
        """Export one model's predictions to a small warehouse: a baseline to commit or upload.

        The file has no images, image file names, attention or logits.

        Args:
            path: the file, such as "baseline.duckdb".
            evaluation: the model: a label, a label without training seed (all its runs), (the start of) an evaluation
                ID, or an architecture that only it has.
            force: replace an existing .duckdb file.

        Returns:
            Path of the file.

        Raises:
            StudyError: no model or several models match, or the file exists.
            WarehouseError: the rows violate a data check.
            StorageError: the file cannot be written.

        Examples:
            >>> w.export("baseline.duckdb", evaluation="Net A")
        """
        from failmodes.analysis.publishing.model_export import export_model

        return export_model(self._path, evaluation, path, force=force).path

    def publish(
        self,
        format: "FormatName",
        path: str | os.PathLike[str] | None = None,
        *,
        model: str | Sequence[str] | None = None,
        evaluation: str | Sequence[str] | None = None,
        mixed_protocols: bool = False,
        force: bool = False,
        **options: Any,
    ) -> list[Path]:
        """Publish results in a common format, as `failmodes publish` does.

        Args:
            format: 'robustbench' (CSV of accuracies at whole severities, with clean accuracies in a second file),
                'croissant' (JSON-LD description of the warehouse and its results), 'model-card' (YAML metadata and
                Markdown tables for the Hugging Face hub) or 'latex' (booktabs tables, with `intervals`, or of `query`).
            path: the file. Default: next to the warehouse.
            model: only these models, by label.
            evaluation: only these evaluations, by ID or its start.
            mixed_protocols: publish evaluations that are not comparable too, and name what differs.
            force: replace even a warehouse, study or results shard with the suffix of the format.
            options: of the format, such as intervals=True.

        Returns:
            Paths of the files.

        Raises:
            StudyError: an unknown format, a wrong suffix, or an unknown model or evaluation.
            WarehouseError: the warehouse lacks the data of the format.
            StorageError: a file cannot be written.

        Examples:
            >>> w.publish("model-card", "card.md", model="ResNet-18")
        """
        from failmodes.analysis.publishing.formats import publish_results

        written = publish_results(
            self._path, format, path, models=_names(model), evaluations=_names(evaluation), mixed=mixed_protocols,
            force=force, **options,
        )  # fmt: skip
        return list(written.paths)

    def close(self) -> None:
        """Do nothing: no file stays open between calls."""

    def __enter__(self) -> "Warehouse":
        return self

    def __exit__(self, *_: object) -> None:
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
        """The contents of the warehouse as names and values; never raises."""
        try:
            return _description(self._path)
        except FailmodesError as error:
            return [("state", str(error))]


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
    """Their number, and the first of them."""
    return f"{len(names)}: {listed(names, MAX_LISTED)}" if names else "none"


def _names(names: str | Sequence[str] | None) -> list[str]:
    """One name, several or none, as a list.

    Raises:
        StudyError: it is neither a string nor a list.
    """
    if not isinstance(names, str | Iterable | None):
        raise StudyError(f"expected a name or a list of names (given: {shown(names)})")
    return [names] if isinstance(names, str) else list(names or ())


def _numbers(numbers: Any) -> list[Any]:
    """One number, several or none, as a list; `find_images` refuses anything else."""
    if numbers is None:
        return []
    return list(numbers) if isinstance(numbers, Iterable) and not isinstance(numbers, str) else [numbers]
