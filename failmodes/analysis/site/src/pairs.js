// Models beside a baseline on the same images: which both, one or neither predicts; a click selects such images.
import { makeClient } from "@uwdata/mosaic-core";
import { Query, count } from "@uwdata/mosaic-sql";
import { choice, h, percent } from "./dom.js";
import { filter, onChange, selection, setFilter, sourceOf } from "./selection.js";

const OUTCOMES = [
  { correct: true, baselineCorrect: true, title: "both correct" },
  { correct: false, baselineCorrect: true, title: "only baseline correct" },
  { correct: true, baselineCorrect: false, title: "only this model correct" },
  { correct: false, baselineCorrect: false, title: "both incorrect" },
];

const total = (cells) => cells.reduce((sum, cell) => sum + cell.n, 0);
const share = (cells, key) => total(cells.filter((cell) => cell[key])) / total(cells);
const points = (difference) => `${difference < 0 ? "−" : "+"}${Math.abs(100 * difference).toFixed(1)} points`;

/** `onBaseline(id)` makes the rows of another baseline. */
export function pairsPanel(page, onBaseline) {
  const table = h("div", { className: "scroll" });
  const models = Object.entries(page.group.labels);
  const note = h("p", { className: "note" }, "Choose a baseline: each model is then counted with it, image by image.");
  const menu = choice("Baseline", [["", "none"], ...models], page.baseline, async (id) => {
    menu.lastChild.disabled = true;
    await onBaseline(id || null);
    menu.lastChild.disabled = false;
    note.hidden = Boolean(page.baseline);
    listen();
  });
  let client = null;
  let rows = [];

  function draw() {
    if (!page.baseline) return table.replaceChildren();
    const columns = models.filter(([id]) => id !== page.baseline && rows.some((row) => row.evaluation_id === id))
      .map(([id, label]) => ({ id, label, cells: cellsOf(id) }));
    const line = (title, cell) => h("tr", {}, h("th", { scope: "row" }, title), ...columns.map((column) => h("td", {}, cell(column))));
    const own = columns.length === 1 ? columns[0].label : "this model";
    const named = (title) => title.replace("baseline", page.label(page.baseline)).replace("this model", own);
    table.replaceChildren(h("table", { className: "pairs" },
      h("thead", {}, h("tr", {}, h("td"), ...columns.map(({ label }) => h("th", { scope: "col" }, label)))),
      h("tbody", {},
        line("Accuracy", ({ cells }) => percent(share(cells, "correct"))),
        line("Minus baseline", ({ cells }) => points(share(cells, "correct") - share(cells, "baselineCorrect"))),
        ...OUTCOMES.map(({ title }, i) => line(named(title), ({ id, label, cells }) => button(id, label, cells[i]))))));
  }

  const cellsOf = (id) => OUTCOMES.map((outcome) => {
    const found = rows.find((row) => row.evaluation_id === id && row.correct === outcome.correct && row.baseline_correct === outcome.baselineCorrect);
    return { ...outcome, n: Number(found?.n ?? 0) };
  });

  function button(model, label, { correct, baselineCorrect, title, n }) {
    const value = { model, correct, baselineCorrect };
    const isChosen = JSON.stringify(filter("outcome")) === JSON.stringify(value);
    return h("button", { type: "button", "aria-pressed": String(isChosen), "aria-label": `${label}: ${title}, ${n} predictions`,
      onclick: () => setFilter("outcome", isChosen ? undefined : value) }, n.toLocaleString("en-US"));
  }

  function listen() {
    if (client) page.mosaic.disconnect(client);
    client = null;
    draw();
    if (!page.baseline) return;
    client = makeClient({
      coordinator: page.mosaic,
      selection,
      query: (where = []) => Query.from(page.rows).select("evaluation_id", "correct", "baseline_correct", { n: count() })
        .where(where).groupby("evaluation_id", "correct", "baseline_correct"),
      queryResult(result) { rows = [...result].map((row) => ({ ...row })); draw(); },
    });
    for (const key of ["outcome", "evaluation_id", "correct", "predicted_name"]) sourceOf(key).clients.add(client);
  }
  onChange((key) => { if (key === "outcome") draw(); });
  note.hidden = Boolean(page.baseline);
  return { element: h("div", {}, menu, note, table), follow: listen };
}
