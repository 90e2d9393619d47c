# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""The explorer's page. It arranges: what it shows is read, drawn and built by the modules beside it."""

import marimo

app = marimo.App(width="full", app_title="Failmodes explorer", css_file="explorer.css")

with app.setup:
    from functools import partial
    from typing import Any

    import marimo as mo

    from failmodes.analysis.explorer import cell_figures, downloads, model_cell, panels, query_panel, slices, widgets
    from failmodes.analysis.explorer import page_parts as parts
    from failmodes.analysis.explorer.handed_over import explored_warehouse
    from failmodes.analysis.explorer.kept_connection import KeptConnection
    from failmodes.analysis.explorer.view import view_of
    from failmodes.analysis.selection import select


@app.cell
def _opened() -> Any:
    explored = explored_warehouse()
    _request = mo.app_meta().request
    view = view_of(dict(_request.cookies) if _request else {})
    kept = KeptConnection(explored.path)
    with kept.reading() as _con:
        selections = select(_con)
    return explored, kept, selections, view


@app.cell
def _which_images(selections: Any) -> Any:
    _groups = {model_cell.selection_name(one): one for one in selections}
    group = mo.ui.dropdown(_groups, value=next(iter(_groups)), label="Images and models", allow_select_none=False)
    return (group,)


@app.cell
def _what_is_shown(group: Any, kept: Any, selections: Any, view: Any) -> Any:
    _labels, _full = list(group.value.labels.values()), view.width == "narrow"
    models = mo.ui.multiselect(_labels, value=_labels[: model_cell.MOST_MODELS], label="Models", full_width=_full)
    with kept.reading() as _con:
        _names, classes = parts.corruption_options(_con, group.value), parts.class_names(_con, group.value)
    corruptions = mo.ui.multiselect(_names, label="Corruptions (all if none chosen)", full_width=_full)
    _several = [group] if len(selections) > 1 else []
    _title = widgets.titled("Failmodes explorer", group.value.source_line, level=1)
    mo.vstack([_title, *_several, widgets.in_row(models, corruptions)])
    return classes, corruptions, models


@app.cell
def _curves(corruptions: Any, group: Any, kept: Any, models: Any) -> Any:
    mo.stop(not models.value, widgets.problem_text("no model is chosen: choose one at least"))
    selection = model_cell.narrowed(group.value, models.value, corruptions.value or group.value.corruptions)
    with kept.reading() as _con:
        curves = model_cell.read_curves(_con, selection)
    _first = model_cell.most_telling_cell(curves.points)
    get_cell, set_cell = mo.state(_first, allow_self_loops=True)
    get_marked, set_marked = mo.state(_first)
    get_pair, set_pair = mo.state(parts.NO_PAIR)
    return curves, get_cell, get_marked, get_pair, selection, set_cell, set_marked, set_pair


@app.cell
def _curve_chart(curves: Any, explored: Any, get_marked: Any, selection: Any, set_cell: Any, view: Any) -> Any:
    def _click(points: Any) -> None:
        if len(points):
            set_cell(model_cell.cell_of(points.row(0, named=True)))

    curve_chart = widgets.chart(panels.curve_chart(curves, get_marked(), view), _click)
    curve_files = widgets.downloads(partial(downloads.curve_figure, explored.path, selection), "curves")
    mo.vstack([widgets.titled("Curves", parts.CURVES_TEXT), curve_chart, curve_files.shown])
    return curve_chart, curve_files


@app.cell
def _cell_choice(curves: Any, get_cell: Any, set_cell: Any, set_marked: Any) -> Any:
    chosen = get_cell()

    def _choose(cell: Any) -> None:
        set_cell(cell)
        set_marked(cell)

    cell_choices = widgets.cell_choice(model_cell.cells_of(curves.points), chosen, _choose)
    mo.vstack([widgets.titled(chosen.name), cell_choices.shown])
    return cell_choices, chosen


@app.cell
def _cell_figures(chosen: Any, kept: Any, selection: Any, set_pair: Any, view: Any) -> Any:
    with kept.reading() as _con:
        figures = cell_figures.read_figures(_con, chosen)

    def _click(pairs: Any) -> None:
        set_pair(parts.pair_of(pairs))

    _summary, _error = cell_figures.figures_sentence(figures), cell_figures.most_common_confusion(figures)
    cell_charts = widgets.charts(
        widgets.chart(panels.confusion_chart(figures.confusions, chosen, _error, view), _click),
        widgets.chart(panels.confidence_chart(figures.bins, panels.CONFIDENCE_TITLE, _summary, view)),
        *([] if figures.risks.is_empty() else [widgets.chart(panels.risk_chart(figures.risks, chosen, view))]),
    )
    _text = parts.paragraph(f"{_summary} {_error} {panels.risk_sentence(figures.risks)}")
    cell_files = widgets.downloads(
        partial(downloads.cell_figure, figures, chosen, selection.source_line), "charts of this cell"
    )
    mo.vstack([mo.Html(_text), cell_charts.shown, mo.Html(parts.paragraph(parts.MATRIX_TEXT)), cell_files.shown])
    return cell_charts, cell_files


@app.cell
def _slice_choice(classes: Any, get_pair: Any) -> Any:
    slice_form = widgets.slice_form(classes, get_pair())
    _choices = widgets.in_row(slice_form["true_class"], slice_form["prediction"], slice_form["confidence"])
    mo.vstack([widgets.titled("Images and slices", parts.SLICES_TEXT), _choices, slice_form["condition"]])
    return (slice_form,)


@app.cell
def _images(chosen: Any, explored: Any, slice_form: Any) -> Any:
    _request = parts.slice_request(slice_form.value)
    images, _problem = parts.attempt(lambda: slices.read_images(explored.path, chosen, _request))
    mo.stop(bool(_problem), widgets.problem_text(_problem))
    picture_count = widgets.picture_count()
    image_table = widgets.image_table(parts.readable_images(images.slice))
    return image_table, images, picture_count


@app.cell
def _pictures(chosen: Any, explored: Any, image_table: Any, images: Any, kept: Any, picture_count: Any) -> Any:
    _rows = parts.chosen_rows(images.slice, image_table.value, int(picture_count.value))

    def _make() -> Any:
        with kept.reading() as con:
            return parts.picture_sheet(con, explored.open_study, chosen, images, _rows)

    _sheet, _problem = parts.attempt(_make)
    pictures = None if _problem else widgets.pictures(_sheet)
    mo.vstack([picture_count, pictures.shown if pictures else widgets.problem_text(_problem)])
    return (pictures,)


@app.cell
def _image_table(image_table: Any, images: Any, view: Any) -> Any:
    _bins = slices.slice_bins(images.slice)
    _histogram = widgets.chart(panels.confidence_chart(_bins, "Confidence in the slice", images.headline, view))
    _figures = parts.parts_html(slices.compare_parts(images))
    mo.vstack([widgets.beside_the_rest(images, _figures, _histogram), image_table])
    return


@app.cell
def _comparison_choice(group: Any) -> Any:
    mo.stop(len(group.value.ids) < 2)
    comparison_form = widgets.comparison_form({label: one for one, label in group.value.labels.items()})
    mo.vstack([widgets.titled("Two models compared", parts.COMPARISON_TEXT), comparison_form])
    return (comparison_form,)


@app.cell
def _comparison(comparison_form: Any, explored: Any) -> Any:
    mo.stop(comparison_form.value is None)
    _html, _problem = parts.attempt(lambda: query_panel.compared(explored.path, **comparison_form.value))
    mo.Html(parts.scrolling(_html, "Comparison")) if _html else widgets.problem_text(_problem)
    return


@app.cell
def _query_choice() -> Any:
    saved = mo.ui.dropdown(query_panel.saved_names(), label="Saved query")
    relation = mo.ui.dropdown(
        query_panel.relation_options(), value=query_panel.FIRST_RELATION, label="Table or view", allow_select_none=False
    )
    widgets.titled("SQL", parts.SQL_TEXT)
    return relation, saved


@app.cell
def _statement(saved: Any) -> Any:
    statement = widgets.statement_form(query_panel.statement_of(saved.value))
    return (statement,)


@app.cell
def _query_panel(explored: Any, relation: Any, saved: Any, statement: Any) -> Any:
    _columns, _problem = parts.attempt(lambda: query_panel.columns_of(explored.path, relation.value))
    _schema = widgets.problem_text(_problem) if _problem else mo.Html(parts.columns_html(relation.value, _columns))
    _written, _known = mo.vstack([saved, statement]), mo.vstack([relation, _schema])
    mo.Html(parts.side_by_side(_written.text, _known.text))
    return


@app.cell
def _result(explored: Any, statement: Any) -> Any:
    mo.stop(not statement.value)
    _rows, _problem = parts.attempt(lambda: query_panel.query_rows(explored.path, statement.value))
    widgets.problem_text(_problem) if _problem else widgets.result_table(_rows)
    return


if __name__ == "__main__":
    app.run()
