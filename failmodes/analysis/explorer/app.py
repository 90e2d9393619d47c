# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""The explorer's page: accuracy curves on the left, the selected cell on the right."""

import marimo

app = marimo.App(width="columns", app_title="Failmodes explorer", css_file="explorer.css")

with app.setup:
    from contextlib import ExitStack
    from functools import partial
    from typing import Any

    import marimo as mo
    import polars as pl

    from failmodes.analysis.charts.registry import draw_from_warehouse
    from failmodes.analysis.charts.style.frame import PAGE
    from failmodes.analysis.charts.style.series import model_colors
    from failmodes.analysis.evaluations.selection import corruption_names, particulars, select
    from failmodes.analysis.explorer import cells, elements, plots
    from failmodes.analysis.explorer.serving import explored_warehouse
    from failmodes.analysis.judging.compare import compare_named
    from failmodes.analysis.render.blocks import Sentence
    from failmodes.analysis.results.comparison import ComparisonResult
    from failmodes.analysis.results.shown_images import ImageSheet
    from failmodes.warehouse.database.connection import open_warehouse
    from failmodes.warehouse.database.query import run_query
    from failmodes.warehouse.database.saved_queries import saved_queries

    MAX_MODELS, MAX_IMAGES = 4, 12  # shown at first; images selected in the table: twice as many


@app.cell(column=0)
def _opened() -> Any:
    (path, open_study) = explored_warehouse()
    address = elements.Address(mo.query_params())
    _request = mo.app_meta().request
    view = plots.view_of(dict(_request.cookies) if _request else {})
    kept = ExitStack()  # the connection stays open with the page, since opening one is too slow for a click
    con = kept.enter_context(open_warehouse(path))
    _groups = {
        f"{selection.images} ({particulars(selection)}; {selection.ids[0]})": selection for selection in select(con)
    }
    _asked = next(
        (name for name, selection in _groups.items() if selection.ids[0] == address.value("images")),
        next(iter(_groups)),
    )
    group = mo.ui.dropdown(_groups, value=_asked, label="Images and models", allow_select_none=False)
    mo.vstack([group] if len(_groups) > 1 else [])
    return address, con, group, kept, open_study, path, view


@app.cell
def _what_is_shown(address: Any, con: Any, group: Any) -> Any:
    labels = list(group.value.labels.values())
    _names = corruption_names(con, group.value)
    _models = [label for label in address.values("model") if label in labels] or labels[:MAX_MODELS]
    _chosen = [name for corruption, name in _names.items() if corruption in address.values("corruption")]
    models = mo.ui.multiselect(labels, value=_models, label="Models", full_width=True)
    _text = "Corruptions (default: all)"
    _options = {name: corruption for corruption, name in _names.items()}
    corruptions = mo.ui.multiselect(_options, value=_chosen, label=_text, full_width=True)
    _line = " ".join([group.value.source_line, *group.value.exclusions])
    mo.vstack([elements.titled("Failmodes explorer", _line, level=1), models, corruptions], gap=0.5)
    return corruptions, labels, models


@app.cell
def _curves(address: Any, con: Any, corruptions: Any, group: Any, models: Any) -> Any:
    _corruptions = corruptions.value or group.value.corruptions
    selection = elements.attempt(lambda: cells.narrowed(group.value, models.value, _corruptions))
    points = cells.read_curves(con, selection)
    found_cells = cells.cells_of(points)
    _first = found_cells.get(address.value("cell"), next(iter(found_cells.values())))
    get_cell, set_cell = mo.state(_first, allow_self_loops=True)
    get_marked, set_marked = mo.state(_first)
    get_slice, set_slice = mo.state(address.slice)
    return found_cells, get_cell, get_marked, get_slice, points, selection, set_cell, set_marked, set_slice


@app.cell
def _curve_chart(
    con: Any, found_cells: Any, get_marked: Any, points: Any, selection: Any, set_cell: Any, view: Any
) -> Any:
    _plot = plots.curve_plot(points, model_colors(con, selection), get_marked(), view)
    _words = f"Accuracy by severity, one panel per corruption, on {selection.images}, with exact 95% intervals."
    curve_element = elements.chart(
        view.dressed(_plot, _words),
        plots.POINT,
        lambda fields: set_cell(cells.nearest_cell(found_cells.values(), **fields)) if fields else None,
    )
    elements.role("curves", curve_element)
    return (curve_element,)


@app.cell
def _figure_files(cell: Any, figures: Any, path: Any, selection: Any) -> Any:
    _draw = partial(draw_from_warehouse, path, "curves", frame=PAGE)
    _curves = partial(_draw, evaluations=selection.ids, corruptions=selection.corruptions)
    curve_files = elements.downloads("curves", _curves)
    cell_files = elements.downloads("cell", partial(plots.cell_figure, figures, cell, selection.source_line))
    mo.vstack([elements.in_row(*curve_files), elements.in_row(*cell_files)], gap=0.25)
    return cell_files, curve_files


@app.cell(column=1)
def _cell_choice(found_cells: Any, get_cell: Any, set_cell: Any, set_marked: Any) -> Any:
    cell = get_cell()
    cell_form = elements.cell_form(found_cells, cell, lambda chosen: [take(chosen) for take in (set_cell, set_marked)])
    elements.role("cell", elements.in_row(*cell_form.elements.values()))
    return cell, cell_form


@app.cell
def _cell_charts(address: Any, cell: Any, con: Any, set_slice: Any, view: Any) -> Any:
    figures = cells.read_figures(con, cell)
    _drawn = [view.dressed(plot, figures.summary) for plot in plots.cell_plots(figures, view)]

    def _take(fields: Any) -> None:
        set_slice(address.slice._replace(true_class=fields.get("label_name"), prediction=fields.get("prediction")))

    cell_elements = [elements.chart(plot, plots.CONFUSION, _take) for plot in _drawn]
    _charts = [elements.role("matrix", cell_elements[0]), mo.vstack(cell_elements[1:], gap=0.25)]
    mo.vstack([elements.shown(Sentence(figures.summary)), elements.in_row(*_charts, align="start")], gap=0.25)
    return cell_elements, figures


@app.cell
def _slice_choice(con: Any, get_slice: Any, group: Any) -> Any:
    slice_form = elements.slice_form(cells.class_names(con, group.value), get_slice())
    _text = "Click the matrix to select a true and a predicted class, double-click to reset; click an image to open it."
    _choices = elements.in_row(*slice_form.elements.values())
    elements.role("images", mo.vstack([elements.titled("Images", _text), _choices], gap=0.25))
    return (slice_form,)


@app.cell
def _images(cell: Any, con: Any, path: Any, slice_form: Any) -> Any:
    slice_images = elements.attempt(lambda: cells.read_images(con, path, cell, cells.Slice(**slice_form.value)))
    _text = "Most confident misclassifications first; select rows to show their images"
    image_table = elements.table(
        slice_images.table, selection="multi", page_size=10, show_data_types=False, label=_text
    )
    return slice_images, image_table


@app.cell
def _pictures(
    address: Any, cell: Any, con: Any, slice_images: Any, found_cells: Any, image_table: Any, open_study: Any
) -> Any:
    _chosen = (
        list(image_table.value["image"]) if len(image_table.value) else slice_images.chosen["image_id"][:MAX_IMAGES]
    )
    _rows = slice_images.chosen.filter(pl.col("image_id").is_in(list(_chosen))).head(2 * MAX_IMAGES)
    _made = elements.attempt(lambda: cells.pictures_of(con, open_study, slice_images, _rows))
    _ids = [str(picture.row.image_id) for picture in _made.all]
    _asked = address.value("image")
    image_choice = mo.ui.dropdown(_ids, value=_asked if _asked in _ids else None, label="Open image")
    _severities = sorted(
        {shown_cell.severity for shown_cell in found_cells.values() if shown_cell.corruption == cell.corruption}
    )
    _facts = {"of": cell.name, "images": ",".join(_ids), "step": _severities.index(cell.severity)}
    _shown = elements.role("pictures", mo.Html(ImageSheet(_made).to_html("h3")), **_facts)
    _named = _made._replace(headline=f"{cell.name}: {_made.headline}")  # which the page shows once, above
    image_files = elements.downloads("images", lambda: ImageSheet(_named))
    mo.vstack([_shown, elements.in_row(elements.role("image", image_choice), *image_files)], gap=0.5)
    return image_choice, image_files


@app.cell
def _image_strip(cell: Any, con: Any, image_choice: Any, open_study: Any, selection: Any) -> Any:
    mo.stop(not image_choice.value)
    _image = int(image_choice.value)
    _strip = elements.attempt(lambda: cells.strip_of(con, open_study, selection, cell, _image))
    elements.role("strip", elements.shown(_strip), image=_image)
    return


@app.cell
def _slice_and_rest(slice_images: Any, image_table: Any) -> Any:
    mo.vstack([elements.shown(Sentence(slice_images.comparison)), image_table])
    return


@app.cell
def _state_in_address(
    address: Any, cell: Any, corruptions: Any, group: Any, image_choice: Any, labels: Any, models: Any, slice_form: Any
) -> Any:
    _first, *_ = group.options.values()
    address.keep(
        images=None if group.value == _first else group.value.ids[0],
        model=models.value if models.value != labels[:MAX_MODELS] else None, corruption=corruptions.value,
        cell=cell.key, image=image_choice.value, **slice_form.value,
    )  # fmt: skip
    return


@app.cell
def _comparison_choice(cell: Any, group: Any) -> Any:
    _others = {
        label: evaluation_id
        for evaluation_id, label in group.value.labels.items()
        if evaluation_id != cell.evaluation_id
    }
    baseline = mo.ui.dropdown(_others, label=f"Compare {cell.label} with the baseline")
    mo.vstack([baseline] if _others else [])
    return (baseline,)


@app.cell
def _comparison(baseline: Any, cell: Any, path: Any) -> Any:
    mo.stop(not baseline.value)
    _found = elements.attempt(lambda: compare_named(baseline.value, cell.evaluation_id, path))
    elements.role("comparison", elements.shown(*ComparisonResult(_found).document.blocks))
    return


@app.cell
def _query_choice() -> Any:
    saved = mo.ui.dropdown({name: query.sql for name, query in saved_queries().items()}, label="Saved query")
    _text = "Any read-only statement; `show tables` lists tables and views, `describe NAME` the columns of one."
    mo.vstack([elements.titled("SQL", _text), saved], gap=0.5)
    return (saved,)


@app.cell
def _query(saved: Any) -> Any:
    _first = saved.value or "from accuracy_by_severity\norder by accuracy\nlimit 20\n"
    _field = mo.ui.text_area(_first, rows=8, label="Statement", full_width=True)
    statement = _field.form(submit_button_label="Run", bordered=False)
    mo.vstack([statement])
    return (statement,)


@app.cell
def _query_rows(path: Any, statement: Any) -> Any:
    mo.stop(not statement.value)
    _rows = elements.attempt(lambda: run_query(path, statement.value, timeout_s=cells.TIMEOUT_S))
    elements.table(_rows, selection=None, page_size=20, label=f"{_rows.height:,} rows")
    return


if __name__ == "__main__":
    app.run()
