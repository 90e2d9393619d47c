# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""The explorer's page. It arranges: what it shows is read and drawn by the modules beside it."""

import marimo

app = marimo.App(width="full", app_title="Failmodes explorer", css_file="explorer.css")

with app.setup:
    from functools import partial
    from typing import Any

    import marimo as mo

    from failmodes.analysis.explorer import cell_figures, desk, downloads, network_cell, page_parts, panels, slices
    from failmodes.analysis.explorer.handed_over import explored_warehouse
    from failmodes.analysis.explorer.view import view_of


@app.cell
def _opened() -> Any:
    explored = explored_warehouse()
    request = mo.app_meta().request
    view = view_of(dict(request.cookies) if request else {})
    selections = network_cell.read_selections(explored.path)
    return explored, selections, view


@app.cell
def _which_images(selections: Any) -> Any:
    groups = {network_cell.selection_name(one): one for one in selections}
    group = mo.ui.dropdown(groups, value=next(iter(groups)), label="Images and networks", allow_select_none=False)
    return (group,)


@app.cell
def _chosen_networks(explored: Any, group: Any, selections: Any, view: Any) -> Any:
    _is_narrow = view.width == "narrow"
    labels = list(group.value.labels.values())
    networks = mo.ui.multiselect(
        labels, value=labels[: network_cell.MOST_NETWORKS], label="Networks", full_width=_is_narrow
    )
    corruptions = mo.ui.multiselect(
        page_parts.corruption_options(explored.path, group.value),
        label="Corruptions (all if none is chosen)",
        full_width=_is_narrow,
    )
    mo.vstack(
        [
            mo.Html(page_parts.heading("Failmodes explorer", 1)),
            mo.Html(page_parts.paragraph(group.value.source_line)),
            group if len(selections) > 1 else mo.md(""),
            mo.hstack([networks, corruptions], justify="start", wrap=True, gap=1.5),
        ]
    )
    return corruptions, networks


@app.cell
def _curves(corruptions: Any, explored: Any, group: Any, networks: Any) -> Any:
    mo.stop(not networks.value, mo.md("Choose at least one network."))
    selection = network_cell.narrowed(group.value, networks.value, corruptions.value or group.value.corruptions)
    curves = network_cell.read_curves(explored.path, selection)
    first_cell = network_cell.most_telling_cell(curves.points)
    get_cell, set_cell = mo.state(first_cell)
    get_marked, set_marked = mo.state(first_cell)
    return curves, get_cell, get_marked, selection, set_cell, set_marked


@app.cell
def _curve_chart(curves: Any, explored: Any, get_marked: Any, selection: Any, set_cell: Any, view: Any) -> Any:
    def choose(points: Any) -> None:
        if len(points):
            set_cell(network_cell.cell_of(points.row(0, named=True)))

    curve_chart = mo.ui.altair_chart(
        panels.curve_chart(curves, get_marked(), view), chart_selection=False, legend_selection=False, on_change=choose
    )
    mo.vstack(
        [
            mo.Html(page_parts.heading("Curves")),
            mo.Html(page_parts.paragraph(page_parts.CURVES_TEXT)),
            curve_chart,
            page_parts.download_row(mo, partial(downloads.curve_figure, explored.path, selection), "curves"),
        ]
    )
    return


@app.cell
def _cell_choice(curves: Any, get_cell: Any, set_cell: Any, set_marked: Any) -> Any:
    cells = network_cell.cells_of(curves.points)
    chosen = get_cell()

    def choose_part(**given: Any) -> None:
        wanted = page_parts.nearest_cell(cells, chosen._replace(**given))
        set_cell(wanted)
        set_marked(wanted)

    mo.vstack(
        [
            mo.Html(page_parts.heading(chosen.name)),
            mo.hstack(
                [
                    mo.ui.dropdown(list(options), value=value, label=label, allow_select_none=False,
                                   on_change=lambda name, key=key, options=options: choose_part(**{key: options[name]}))
                    for key, label, options, value in page_parts.cell_options(cells, chosen)
                ],
                justify="start", wrap=True,
            ),
        ]
    )  # fmt: skip
    return (chosen,)


@app.cell
def _cell_figures(chosen: Any, explored: Any, view: Any) -> Any:
    figures = cell_figures.read_figures(explored.path, chosen)
    get_pair, set_pair = mo.state((None, None))
    told = cell_figures.commonest_confusion(figures.confusions)

    def take_pair(pairs: Any) -> None:
        set_pair(page_parts.pair_of(pairs))

    summary = cell_figures.figures_sentence(figures.figures)
    drawn = [
        mo.ui.altair_chart(panels.confusion_chart(figures.confusions, chosen, told, view), chart_selection=False,
                           legend_selection=False, on_change=take_pair),
        mo.ui.altair_chart(panels.confidence_chart(figures.bins, "Confidence of right and wrong answers", summary, view),
                           chart_selection=False, legend_selection=False),
    ]  # fmt: skip
    if not figures.risks.is_empty():
        risks = panels.risk_chart(figures.risks, chosen, view)
        drawn.append(mo.ui.altair_chart(risks, chart_selection=False, legend_selection=False))
    mo.vstack(
        [
            mo.Html(page_parts.paragraph(f"{summary} {told} {panels.risk_sentence(figures.risks)}")),
            mo.hstack(drawn, justify="start", wrap=True, gap=2, align="start"),
            mo.Html(page_parts.paragraph(page_parts.MATRIX_TEXT)),
        ]
    )
    return figures, get_pair


@app.cell
def _slice_choice(figures: Any, get_pair: Any) -> Any:
    true_class, answer = get_pair()
    names = page_parts.class_options(figures.confusions)
    slice_form = mo.ui.dictionary(
        {
            "true_class": mo.ui.dropdown(names.true, value=page_parts.kept(true_class, names.true), label="True class"),
            "answer": mo.ui.dropdown(names.answers, value=page_parts.kept(answer, names.answers), label="Answer"),
            "confidence": mo.ui.range_slider(0, 1, 0.05, value=[0, 1], label="Confidence", show_value=True),
            "condition": mo.ui.text(
                placeholder="entropy_nats > 1 and rmse < 0.1", label="Condition in SQL", full_width=True
            ),
        }
    )
    mo.vstack(
        [
            mo.Html(page_parts.heading("Images and slices")),
            mo.Html(page_parts.paragraph(page_parts.SLICES_TEXT)),
            mo.hstack(
                [slice_form["true_class"], slice_form["answer"], slice_form["confidence"]], justify="start", wrap=True
            ),
            slice_form["condition"],
        ]
    )
    return (slice_form,)


@app.cell
def _images(chosen: Any, explored: Any, slice_form: Any) -> Any:
    given = page_parts.slice_request(slice_form.value)
    images, problem = page_parts.attempt(lambda: slices.read_images(explored.path, chosen, given))
    mo.stop(images is None, page_parts.told(mo, problem))
    image_count = mo.ui.dropdown(["6", "12", "24"], value="12", label="Pictures", allow_select_none=False)
    image_table = mo.ui.table(
        page_parts.readable_images(images.slice), selection="multi", page_size=10, show_column_summaries=False,
        show_data_types=False, label="Images, the most confident mistakes first; choose rows to see their pictures",
    )  # fmt: skip
    return image_count, image_table, images


@app.cell
def _pictures(chosen: Any, explored: Any, image_count: Any, image_table: Any, images: Any) -> Any:
    _rows = page_parts.chosen_rows(images.slice, image_table.value, int(image_count.value))
    sheet, lacking = page_parts.attempt(lambda: page_parts.picture_sheet(explored, chosen, images, _rows))
    mo.vstack(
        [
            image_count,
            mo.Html(sheet.to_html("h3")) if sheet else page_parts.told(mo, lacking),
            page_parts.download_row(mo, partial(downloads.picture_figure, sheet), "pictures") if sheet else mo.md(""),
        ]
    )
    return


@app.cell
def _image_table(image_table: Any, images: Any, view: Any) -> Any:
    beside = [page_parts.parts_html(slices.compare_parts(images))]
    histogram = panels.confidence_chart(
        slices.slice_bins(images.slice), "Confidence in the slice", images.headline, view
    )
    mo.vstack(
        [
            mo.Html(page_parts.heading(images.headline, 3)),
            mo.hstack(
                [mo.Html(beside[0]), mo.ui.altair_chart(histogram, chart_selection=False, legend_selection=False)],
                justify="start", wrap=True, gap=2, align="start",
            )
            if not images.request.is_everything
            else mo.md(""),
            image_table,
        ]
    )  # fmt: skip
    return


@app.cell
def _compare_choice(group: Any) -> Any:
    mo.stop(len(group.value.ids) < 2)
    pair_labels = {label: one for one, label in group.value.labels.items()}
    first, second = list(pair_labels)[:2]
    compare_form = (
        mo.md("{a} {b} {margin}")
        .batch(
            a=mo.ui.dropdown(pair_labels, value=first, label="A", allow_select_none=False),
            b=mo.ui.dropdown(pair_labels, value=second, label="B", allow_select_none=False),
            margin=mo.ui.number(0, 0.5, 0.005, value=0.01, label="Difference that would matter (0.01 is a point)"),
        )
        .form(submit_button_label="Compare", bordered=False)
    )
    mo.vstack([mo.Html(page_parts.heading("Two networks compared")), compare_form])
    return (compare_form,)


@app.cell
def _comparison(compare_form: Any, explored: Any) -> Any:
    mo.stop(compare_form.value is None)
    compared, refused = page_parts.attempt(lambda: desk.compared(explored.path, **compare_form.value))
    mo.Html(page_parts.scrolling(compared)) if compared else page_parts.told(mo, refused)
    return


@app.cell
def _saved_query() -> Any:
    saved = mo.ui.dropdown(list(desk.saved_names()), label="Saved query", value=None)
    relation = mo.ui.dropdown(desk.relation_options(), value=desk.FIRST_RELATION, label="Table or view",
                              allow_select_none=False)  # fmt: skip
    mo.vstack([mo.Html(page_parts.heading("SQL desk")), mo.Html(page_parts.paragraph(page_parts.DESK_TEXT))])
    return relation, saved


@app.cell
def _editor(saved: Any) -> Any:
    statement = mo.ui.text_area(desk.statement_of(saved.value), rows=12, label="Statement", full_width=True).form(
        submit_button_label="Run", bordered=False
    )
    return (statement,)


@app.cell
def _desk(explored: Any, relation: Any, saved: Any, statement: Any) -> Any:
    columns, unknown = page_parts.attempt(lambda: desk.columns_of(explored.path, relation.value))
    schema = (
        page_parts.told(mo, unknown) if columns is None else mo.Html(page_parts.columns_html(relation.value, columns))
    )
    mo.Html(page_parts.side_by_side(mo.vstack([saved, statement]), mo.vstack([relation, schema])))
    return


@app.cell
def _answer(explored: Any, statement: Any) -> Any:
    mo.stop(not statement.value)
    _rows, wrong = page_parts.attempt(lambda: desk.answer(explored.path, statement.value))
    page_parts.told(mo, wrong) if _rows is None else mo.ui.table(
        _rows, selection=None, page_size=20, show_column_summaries=False, label=f"{len(_rows):,} rows"
    )
    return


if __name__ == "__main__":
    app.run()
