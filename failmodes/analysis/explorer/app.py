# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""The explorer's page: at the left the curves, at the right the cell that was clicked. The modules beside it do the work."""

import marimo

app = marimo.App(width="columns", app_title="Failmodes explorer")

with app.setup:
    from contextlib import ExitStack
    from functools import partial
    from typing import Any

    import marimo as mo
    import polars as pl

    from failmodes.analysis.chart_registry import draw_from_warehouse
    from failmodes.analysis.charts.style.frame import PAGE
    from failmodes.analysis.charts.style.models import model_colors
    from failmodes.analysis.explorer import cells, elements, plots, slices
    from failmodes.analysis.explorer.serving import explored_warehouse
    from failmodes.analysis.render.blocks import Sentence
    from failmodes.analysis.selection import corruption_names, select
    from failmodes.analysis.shown_images import ImageSheet
    from failmodes.warehouse.database.connection import open_warehouse

    MOST_MODELS, MOST_PICTURES = 4, 12  # shown at first; of rows that are chosen twice as many


@app.cell(column=0)
def opened() -> Any:
    explored, address = explored_warehouse(), elements.Address(mo.query_params())
    _request = mo.app_meta().request
    view = plots.view_of(dict(_request.cookies) if _request else {})
    kept = ExitStack()  # the connection is open as long as the page: opening one takes longer than a click may
    con = kept.enter_context(open_warehouse(explored.path))
    selections = {cells.selection_name(one): one for one in select(con)}
    _asked = next((name for name, one in selections.items() if one.ids[0] == address.value("images")), None)
    group = mo.ui.dropdown(
        selections, value=_asked or next(iter(selections)), label="Images and models", allow_select_none=False
    )
    return address, con, explored, group, kept, selections, view


@app.cell
def what_is_shown(address: Any, con: Any, group: Any, selections: Any) -> Any:
    _labels = list(group.value.labels.values())
    _names = {name: one for one, name in corruption_names(con, group.value).items()}
    _models = [label for label in address.values("model") if label in _labels]
    _chosen = [name for name, one in _names.items() if one in address.values("corruption")]
    models = mo.ui.multiselect(_labels, value=_models or _labels[:MOST_MODELS], label="Models", full_width=True)
    corruptions = mo.ui.multiselect(_names, value=_chosen, label="Corruptions", full_width=True)
    _title = elements.titled("Failmodes explorer", group.value.source_line, level=1)
    mo.vstack([_title, *([group] if len(selections) > 1 else []), models, corruptions], gap=0.5)
    return corruptions, models


@app.cell
def curves(address: Any, con: Any, corruptions: Any, group: Any, models: Any) -> Any:
    if not models.value:
        elements.problem("choose at least one model")
    selection = cells.narrowed(group.value, models.value, corruptions.value or group.value.corruptions)
    points = cells.read_curves(con, selection)
    _first = address.cell(points) or cells.worst_cell(points)
    get_cell, set_cell = mo.state(_first, allow_self_loops=True)
    get_marked, set_marked = mo.state(_first)
    get_slice, set_slice = mo.state(address.slice())
    return get_cell, get_marked, get_slice, points, selection, set_cell, set_marked, set_slice


@app.cell
def curve_chart(con: Any, get_marked: Any, points: Any, selection: Any, set_cell: Any, view: Any) -> Any:
    def _click(fields: Any) -> None:
        if fields and (found := cells.nearest_cell(points, **fields)):
            set_cell(found)

    _plot = plots.curve_plot(points, model_colors(con, selection), get_marked(), view)
    _words = f"Accuracy by severity, a panel a corruption, on {selection.images}, with exact 95% intervals."
    curve_element = elements.chart(view.dressed(_plot, _words), plots.POINT, _click)
    elements.role("curves", curve_element)
    return (curve_element,)


@app.cell
def figure_files(cell: Any, explored: Any, figures: Any, selection: Any) -> Any:
    _draw = partial(draw_from_warehouse, explored.path, "curves", frame=PAGE)
    _curves = partial(_draw, evaluations=selection.ids, corruptions=selection.corruptions)
    curve_files = elements.downloads("curves", _curves)
    cell_files = elements.downloads("cell", partial(plots.cell_figure, figures, cell, selection.source_line))
    mo.vstack([elements.in_row(*curve_files), elements.in_row(*cell_files)], gap=0.25)
    return cell_files, curve_files


@app.cell
def picture_files(cell: Any, made: Any) -> Any:
    _sheet = ImageSheet(made._replace(headline=f"{cell.name}: {made.headline}"))
    image_files = elements.downloads("images", lambda: _sheet)
    elements.in_row(*image_files)
    return (image_files,)


@app.cell(column=1)
def cell_choice(get_cell: Any, points: Any, set_cell: Any, set_marked: Any) -> Any:
    cell = get_cell()

    def _choose(chosen: Any) -> None:
        set_cell(chosen)
        set_marked(chosen)

    cell_choices = elements.cell_choice(points, cell, _choose)
    elements.role("cell", elements.in_row(*cell_choices))
    return cell, cell_choices


@app.cell
def cell_charts(address: Any, cell: Any, con: Any, set_slice: Any, view: Any) -> Any:
    figures = cells.read_figures(con, cell)

    def _click(fields: Any) -> None:
        set_slice(address.slice()._replace(**elements.clicked_pair(fields)))

    _drawn = [view.dressed(plot, figures.summary) for plot in plots.cell_plots(figures, view)]
    cell_elements = [elements.chart(plot, plots.CONFUSION, _click) for plot in _drawn]
    _matrix = elements.role("matrix", cell_elements[0])
    _charts = elements.in_row(_matrix, mo.vstack(cell_elements[1:], gap=0.25), align="start")
    mo.vstack([elements.shown(Sentence(figures.summary)), _charts], gap=0.5)
    return cell_elements, figures


@app.cell
def slice_choice(con: Any, get_slice: Any, group: Any) -> Any:
    slice_form = elements.slice_form(elements.class_names(con, group.value), get_slice())
    _text = "A click on the matrix takes a true and a predicted class, a double click none; a click on an image opens it."
    _row = elements.in_row(*slice_form.elements.values())
    elements.role("images", mo.vstack([elements.titled("Images", _text), _row], gap=0.25))
    return (slice_form,)


@app.cell
def images(cell: Any, explored: Any, slice_form: Any) -> Any:
    _slice = elements.chosen_slice(slice_form.value)
    found = elements.attempt(lambda: slices.read_images(explored.path, cell, _slice))
    image_table = elements.table(
        found.table, selection="multi", page_size=10, show_data_types=False,
        label="The most confident mistakes first; choose rows to see their images",
    )  # fmt: skip
    return found, image_table


@app.cell
def pictures(address: Any, cell: Any, con: Any, explored: Any, found: Any, image_table: Any, points: Any) -> Any:
    _chosen = image_table.value["image"].to_list() if len(image_table.value) else []
    _rows = found.chosen.filter(pl.col("image_id").is_in(_chosen)) if _chosen else found.chosen.head(MOST_PICTURES)
    _rows = _rows.head(2 * MOST_PICTURES)
    made = elements.attempt(lambda: slices.pictures_of(con, explored.open_study, found, _rows))
    _ids = [str(picture.row.image_id) for picture in made.all]
    _asked = address.value("image")
    image_choice = mo.ui.dropdown(_ids, value=_asked if _asked in _ids else None, label="Open image")
    _severities = points.filter(corruption=cell.corruption)["severity"].unique().sort().to_list()
    _sheet = mo.Html(ImageSheet(made).to_html("h3"))
    _step = _severities.index(cell.severity)
    mo.vstack([
        elements.role("pictures", _sheet, label=cell.name, images=",".join(_ids), step=_step),
        elements.role("image", image_choice),
    ], gap=0.5)  # fmt: skip
    return image_choice, made


@app.cell
def image_strip(cell: Any, con: Any, explored: Any, image_choice: Any, selection: Any) -> Any:
    mo.stop(not image_choice.value)
    _image = int(image_choice.value)
    _strip = elements.attempt(lambda: slices.strip_of(con, explored.open_study, selection, cell, _image))
    elements.role("strip", elements.shown(_strip), image=image_choice.value)
    return


@app.cell
def slice_and_rest(found: Any, image_table: Any) -> Any:
    _parts = [elements.shown(slices.compare_parts(found))] if found.slice.name else []
    mo.vstack([*_parts, image_table])
    return


@app.cell
def address_of_page(address: Any, cell: Any, corruptions: Any, group: Any, image_choice: Any, models: Any, slice_form: Any) -> Any:
    _shown = list(group.value.labels.values())
    _names = [] if models.value == _shown[:MOST_MODELS] else models.value
    address.keep(images=group.value.ids[0] if len(address.values("images")) else None)
    address.keep_page(_names, corruptions.value, cell, elements.chosen_slice(slice_form.value), image_choice.value)
    return


@app.cell
def comparison_choice(group: Any) -> Any:
    mo.stop(len(group.value.ids) < 2)
    comparison_form = elements.comparison_form({label: one for one, label in group.value.labels.items()})
    _text = "On the images and cells that both have, image by image. Differences are candidate − baseline."
    mo.vstack([elements.titled("Compare two models", _text), comparison_form])
    return (comparison_form,)


@app.cell
def comparison(comparison_form: Any, explored: Any) -> Any:
    mo.stop(comparison_form.value is None)
    elements.attempt(lambda: elements.compared(explored.path, **comparison_form.value))
    return


@app.cell
def query_choice() -> Any:
    saved = mo.ui.dropdown(elements.saved_statements(), label="Saved query")
    _text = "Any statement that reads; `show tables` lists the tables and views, `describe NAME` the columns of one."
    mo.vstack([elements.titled("SQL", _text), saved])
    return (saved,)


@app.cell
def query(saved: Any) -> Any:
    statement = elements.statement_form(saved.value)
    statement
    return (statement,)


@app.cell
def query_rows(explored: Any, statement: Any) -> Any:
    mo.stop(not statement.value)
    elements.attempt(lambda: elements.query_table(explored.path, statement.value))
    return


if __name__ == "__main__":
    app.run()
