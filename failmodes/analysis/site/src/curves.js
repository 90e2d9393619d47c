// Accuracy by severity, one panel per corruption; a click on a point selects its corruption and severity.
import * as Plot from "@observablehq/plot";
import { makeClient } from "@uwdata/mosaic-core";
import { Query, cast, count, sum } from "@uwdata/mosaic-sql";
import { exactInterval } from "./intervals.js";
import { filter, selection, setFilter, sourceOf } from "./selection.js";
import { quoted } from "./connection.js";
import { h, interval, percent, severityName } from "./dom.js";

const PANEL = { width: 112, height: 80 };
const OWN = ["corruption", "severity", "evaluation_id", "correct", "outcome"]; // which would only hide or trivialize points

/** Accuracies that `load` stored, at once; after `follow`, those of the selected images. */
export async function curvesPanel(page) {
  const ids = Object.keys(page.group.labels).map(quoted).join(", ");
  const stored = await page.run(`select evaluation_id, corruption, severity::double as severity, accuracy,
    accuracy_low as low, accuracy_high as high, image_count::double as n
    from accuracy_by_severity where evaluation_id in (${ids})`);
  const order = byLargestDrop(stored);
  const chart = h("div", { className: "chart" });
  const note = h("p", { className: "note" });
  let points = stored;
  let width = 0;
  const draw = () => width && chart.replaceChildren(drawn(page, order, points, width));
  new ResizeObserver(([entry]) => {
    if (Math.abs(entry.contentRect.width - width) < 8) return;
    width = entry.contentRect.width;
    draw();
  }).observe(chart);

  function show(rows) {
    const isAll = selection.clauses.every(({ source }) => OWN.includes(source.key));
    points = isAll || !rows ? stored : counted(rows, stored);
    note.textContent = isAll
      ? "Exact 95% intervals, as in the report. Click a point or a title to select its images."
      : "Accuracy within the selection, exact 95% intervals; these are valid for a selection chosen in advance.";
    draw();
  }

  function follow() {
    const client = makeClient({
      coordinator: page.mosaic,
      selection,
      query: (where = []) =>
        Query.from(page.rows)
          .select("evaluation_id", "corruption", "severity", { n: count(), correct: sum(cast("correct", "INTEGER")) })
          .where(where)
          .groupby("evaluation_id", "corruption", "severity"),
      queryResult: (table) => show([...table]),
    });
    for (const key of OWN) sourceOf(key).clients.add(client);
    selection.addEventListener("value", draw);
  }
  show();
  return { element: h("div", {}, chart, note), follow, figure: chart };
}

/** Points of counts; clean images, stored once, begin every curve. */
function counted(rows, stored) {
  const known = rows.map((row) => {
    const [correct, n] = [Number(row.correct), Number(row.n)];
    const [low, high] = exactInterval(correct, n);
    return { evaluation_id: row.evaluation_id, corruption: row.corruption, severity: row.severity,
      n, accuracy: correct / n, low, high };
  });
  const clean = new Map(known.filter((row) => row.severity === 0).map((row) => [row.evaluation_id, row]));
  const starts = stored.filter((point) => point.severity === 0 && clean.has(point.evaluation_id))
    .map(({ evaluation_id, corruption }) => ({ ...clean.get(evaluation_id), corruption }));
  return [...known.filter((row) => row.severity !== 0), ...starts];
}

function byLargestDrop(points) {
  const lowest = new Map();
  for (const { corruption, accuracy } of points) {
    lowest.set(corruption, Math.min(lowest.get(corruption) ?? 1, accuracy));
  }
  return [...lowest].sort((a, b) => a[1] - b[1]).map(([corruption]) => corruption);
}

function drawn(page, order, all, width) {
  const columns = Math.max(1, Math.min(order.length, Math.floor((width - 36) / PANEL.width)));
  const rows = Math.ceil(order.length / columns);
  const place = new Map(order.map((name, index) => [name, index]));
  const fx = (name) => place.get(name) % columns;
  const fy = (name) => Math.floor(place.get(name) / columns);
  const models = page.models();
  const points = all.filter((d) => models.includes(d.evaluation_id)).sort((a, b) => a.severity - b.severity);
  const of = { x: "severity", y: "accuracy", z: "evaluation_id", fx: (d) => fx(d.corruption), fy: (d) => fy(d.corruption) };
  const label = (d) =>
    `${page.label(d.evaluation_id)}, ${page.corruption(d.corruption)}, severity ${severityName(d.severity)}: ` +
    `${percent(d.accuracy)} ${interval([d.low, d.high])}, n = ${d.n}`;
  const highest = Math.max(1, ...points.map((d) => d.severity));
  const chosen = points.filter((d) => isChosen(d));
  return Plot.plot({
    width, height: 30 + rows * PANEL.height, marginLeft: 34, marginRight: 4, marginTop: 16, marginBottom: 18,
    ariaLabel: "Accuracy by corruption and severity; the menus above select the same by keyboard",
    x: { domain: [-0.3, highest + 0.3], label: null, tickSize: 3, tickFormat: String,
      ticks: Array.from({ length: Math.floor(highest) + 1 }, (_, severity) => severity) },
    y: { domain: [0, 1], ticks: [0, 0.5, 1], tickFormat: "%", label: null, grid: true, tickSize: 3 },
    fx: { axis: null, padding: 0.08 },
    fy: { axis: null, padding: 0.22 },
    color: { domain: models, range: models.map(page.color) },
    marks: [
      Plot.text(order, { fx, fy, text: (name) => clipped(page.corruption(name), width / columns / 6.4),
        title: (name) => page.corruption(name), frameAnchor: "top-left", dy: -12, fontSize: 11, fontWeight: 600,
        fill: "currentColor", render: clickable("text", order, (name) => chooseCorruption(name)) }),
      page.group.chance ? Plot.ruleY([page.group.chance], { strokeDasharray: "1,3", stroke: "var(--muted)" }) : null,
      Plot.areaY(points, { ...of, y: undefined, y1: "low", y2: "high", fill: "evaluation_id", fillOpacity: 0.18 }),
      Plot.lineY(points, { ...of, stroke: "evaluation_id", strokeWidth: 1.6 }),
      Plot.dot(points, { ...of, fill: "evaluation_id", r: 2.3 }),
      Plot.dot(chosen, { ...of, stroke: "currentColor", r: 5, strokeWidth: 1.8 }),
      Plot.dot(points, { ...of, r: 8, fill: "transparent", ariaLabel: label, title: label,
        render: clickable("circle", points, choosePoint) }),
    ],
  });
}

const clipped = (text, letters) => (text.length > letters ? `${text.slice(0, Math.max(3, letters - 1))}…` : text);

/** A render transform of Plot that calls `take` with the datum of a mark that is clicked. */
export function clickable(tag, data, take) {
  return (index, scales, values, dimensions, context, next) => {
    const group = next(index, scales, values, dimensions, context);
    [...(group?.querySelectorAll(tag) ?? [])].forEach((mark, i) => {
      mark.classList.add("target");
      if (mark.hasAttribute("aria-label")) mark.setAttribute("role", "img");
      mark.addEventListener("click", (event) => take(data[index[i]], event));
    });
    return group;
  };
}

function isChosen({ corruption, severity }) {
  const [corruptions, severities] = [filter("corruption"), filter("severity")];
  if (!corruptions && !severities) return false;
  const stored = severity === 0 ? "none" : corruption;
  return (corruptions?.includes(stored) ?? true) && (severities?.includes(severity) ?? true);
}

function chooseCorruption(corruption) {
  const isSame = filter("corruption")?.[0] === corruption && !filter("severity");
  setFilter("severity", undefined);
  setFilter("corruption", isSame ? undefined : [corruption]);
}

/** Select the cells of a point; the same point again clears it. Clean images are stored once, as corruption 'none'. */
function choosePoint({ corruption, severity }) {
  const stored = severity === 0 ? "none" : corruption;
  const isSame = filter("corruption")?.[0] === stored && filter("severity")?.[0] === severity;
  setFilter("corruption", isSame ? undefined : [stored]);
  setFilter("severity", isSame ? undefined : [severity]);
}
