// Models beside a baseline on the same images: which both, one or neither predicts; a click selects such images.
import { makeClient } from "@uwdata/mosaic-core";
import { Query, count } from "@uwdata/mosaic-sql";
import { choice, h, percent } from "./dom.js";
import { filter, selection, setFilter, sourceOf } from "./selection.js";

const OUTCOMES = [
  { correct: true, baselineCorrect: true, title: "both correct" },
  { correct: false, baselineCorrect: true, title: "only baseline correct" },
  { correct: true, baselineCorrect: false, title: "only this model correct" },
  { correct: false, baselineCorrect: false, title: "both incorrect" },
];

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
    const baseline = page.label(page.baseline);
    const head = ["Model", "Accuracy", "Difference from baseline", ...OUTCOMES.map(({ title }) => title.replace("baseline", `baseline ${baseline}`))];
    const lines = models.filter(([id]) => id !== page.baseline && rows.some((row) => row.evaluation_id === id))
      .map(([id, label]) => line(id, label));
    table.replaceChildren(h("table", { className: "pairs" },
      h("thead", {}, h("tr", {}, ...head.map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, ...lines)));
  }

  function line(id, label) {
    const cells = OUTCOMES.map((outcome) => {
      const found = rows.find((row) => row.evaluation_id === id && row.correct === outcome.correct && row.baseline_correct === outcome.baselineCorrect);
      return { ...outcome, n: Number(found?.n ?? 0) };
    });
    const n = cells.reduce((sum, cell) => sum + cell.n, 0);
    const share = (test) => cells.filter(test).reduce((sum, cell) => sum + cell.n, 0) / n;
    const own = share((cell) => cell.correct);
    const difference = 100 * (own - share((cell) => cell.baselineCorrect));
    return h("tr", {}, h("th", { scope: "row" }, label), h("td", {}, percent(own)),
      h("td", {}, `${difference >= 0 ? "+" : "−"}${Math.abs(difference).toFixed(1)} points`),
      ...cells.map((cell) => h("td", {}, button(id, label, cell))));
  }

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
      query: (where = []) => Query.from("rows").select("evaluation_id", "correct", "baseline_correct", { n: count() })
        .where(where).groupby("evaluation_id", "correct", "baseline_correct"),
      queryResult(result) { rows = [...result].map((row) => ({ ...row })); draw(); },
    });
    for (const key of ["outcome", "evaluation_id", "correct", "predicted_name"]) sourceOf(key).clients.add(client);
  }
  note.hidden = Boolean(page.baseline);
  return { element: h("div", {}, menu, note, table), follow: listen };
}
