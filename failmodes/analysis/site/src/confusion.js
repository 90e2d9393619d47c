// Confusion matrix of the selection: true class by predicted class; a click selects both.
import * as Plot from "@observablehq/plot";
import { makeClient } from "@uwdata/mosaic-core";
import { Query, count } from "@uwdata/mosaic-sql";
import { clickable } from "./curves.js";
import { h } from "./dom.js";
import { filter, selection, setFilter, sourceOf } from "./selection.js";

const MOST_CLASSES = 16; // of a matrix that can be read; of more, those with the most incorrect predictions

export function confusionPanel(page) {
  const chart = h("div", { className: "chart" });
  const note = h("p", { className: "note" });
  let cells = [];
  let width = 0;
  const draw = () => width && chart.replaceChildren(drawn(page, cells, width, note));
  new ResizeObserver(([entry]) => {
    if (Math.abs(entry.contentRect.width - width) < 8) return;
    width = entry.contentRect.width;
    draw();
  }).observe(chart);

  function follow() {
    const client = makeClient({
      coordinator: page.mosaic,
      selection,
      query: (where = []) =>
        Query.from(page.rows).select("label_name", "predicted_name", { n: count() }).where(where).groupby("label_name", "predicted_name"),
      queryResult(table) {
        cells = [...table].map(({ label_name, predicted_name, n }) => ({ label: label_name, predicted: predicted_name, n: Number(n) }));
        draw();
      },
    });
    for (const key of ["label_name", "predicted_name"]) sourceOf(key).clients.add(client);
  }
  return { element: h("div", {}, chart, note), follow, figure: chart };
}

function drawn(page, cells, width, note) {
  const { names, left } = shownClasses(page.classes, cells);
  const total = new Map();
  for (const { label, n } of cells) total.set(label, (total.get(label) ?? 0) + n);
  const shown = cells.filter(({ label, predicted }) => names.includes(label) && names.includes(predicted ?? "no prediction"))
    .map((cell) => ({ ...cell, predictedName: cell.predicted ?? "no prediction", share: cell.n / total.get(cell.label) }));
  note.textContent = `Rows: true class; columns: predicted class; shade: share of the class. ${left}`;
  const side = Math.min(width, 380);
  const label = ({ label, predictedName, n, share }) => `${label} predicted as ${predictedName}: ${n} (${(100 * share).toFixed(1)}%)`;
  const chosen = shown.filter(({ label, predicted }) => filter("label_name")?.includes(label) && filter("predicted_name")?.includes(predicted));
  const clip = (text) => (text.length > 12 ? `${text.slice(0, 11)}…` : text);
  return Plot.plot({
    width: side, height: side * 0.8, marginLeft: 76, marginBottom: 62, marginTop: 4, marginRight: 4, padding: 0.04,
    ariaLabel: "Confusion matrix; the menus above select classes by keyboard",
    x: { domain: names, label: null, tickRotate: -45, tickFormat: clip, tickSize: 0 },
    y: { domain: names, label: null, tickFormat: clip, tickSize: 0 },
    color: { type: "linear", domain: [0, 1], range: ["var(--cell-low)", "var(--cell-high)"], interpolate: mixed },
    marks: [
      Plot.cell(shown, { x: "predictedName", y: "label", fill: "share" }),
      names.length <= 12 ? Plot.text(shown, { x: "predictedName", y: "label", text: (d) => (d.n >= 10000 ? `${Math.round(d.n / 1000)}k` : d.n),
        fill: (d) => (d.share > 0.5 ? "var(--on-high)" : "var(--on-low)"), fontSize: 9 }) : null,
      Plot.cell(chosen, { x: "predictedName", y: "label", fill: "none", stroke: "currentColor", strokeWidth: 2 }),
      Plot.cell(shown, { x: "predictedName", y: "label", fill: "transparent", title: label, ariaLabel: label, render: clickable("rect", shown, choose) }),
    ],
  });
}

/** A shade of the theme, which CSS resolves. */
const mixed = (low, high) => (share) => `color-mix(in oklab, ${high} ${Math.round(100 * share)}%, ${low})`;

function choose({ label, predicted }) {
  const isSame = filter("label_name")?.[0] === label && filter("predicted_name")?.[0] === predicted;
  setFilter("label_name", isSame ? undefined : [label]);
  setFilter("predicted_name", isSame ? undefined : [predicted]);
}

function shownClasses(classes, cells) {
  const others = cells.some(({ predicted }) => predicted === "another class") ? ["another class"] : [];
  const none = cells.some(({ predicted }) => predicted === null) ? ["no prediction"] : [];
  if (classes.length <= MOST_CLASSES) return { names: [...classes, ...others, ...none], left: "" };
  const errors = new Map();
  for (const { label, predicted, n } of cells) {
    if (label !== predicted) for (const name of [label, predicted]) errors.set(name, (errors.get(name) ?? 0) + n);
  }
  const names = classes.filter((name) => errors.has(name)).sort((a, b) => errors.get(b) - errors.get(a)).slice(0, MOST_CLASSES);
  return { names, left: `The ${names.length} classes of ${classes.length} with the most confusions.` };
}
