// Error rate by coverage (selective risk) of one corruption and severity: stored metrics of all its images.
import * as Plot from "@observablehq/plot";
import { quoted } from "./connection.js";
import { h } from "./dom.js";
import { filter, onChange } from "./selection.js";

export function riskPanel(page) {
  const chart = h("div", { className: "chart" });
  const note = h("p", { className: "note" });
  async function show() {
    const [corruptions, severities] = [filter("corruption"), filter("severity")];
    const isCell = severities?.length === 1 && (corruptions?.length === 1 || severities[0] === 0);
    if (!isCell) {
      chart.replaceChildren();
      note.textContent = "Select one corruption and severity.";
      return;
    }
    const corruption = severities[0] === 0 ? "none" : corruptions[0];
    const rows = await page.attempt(() => page.run(`select evaluation_id, coverage_percent / 100 as coverage,
      selective_risk as risk from selective_risks where corruption = ${quoted(corruption)} and severity = ${severities[0]}
      and score = 'confidence' order by coverage`)) ?? [];
    const points = rows.filter(({ evaluation_id }) => page.models().includes(evaluation_id));
    note.textContent = points.length ? "All images under this corruption and severity, most confident first." : "Not computed here.";
    chart.replaceChildren(points.length ? drawn(page, points, chart.clientWidth || 340) : "");
  }
  onChange((key) => { if (["corruption", "severity", "evaluation_id"].includes(key)) show(); });
  return { element: h("div", {}, note, chart), follow: show, figure: chart };
}

const drawn = (page, points, width) => Plot.plot({
  width, height: 110, marginLeft: 34, marginRight: 8, marginTop: 6, marginBottom: 30,
  ariaLabel: "Error rate by coverage",
  x: { domain: [0, 1], label: "coverage", tickFormat: "%", tickSize: 3, ticks: 5 },
  y: { label: null, tickFormat: "%", grid: true, ticks: 4, tickSize: 3, zero: true },
  color: { domain: page.models(), range: page.models().map(page.color) },
  marks: [
    Plot.lineY(points, { x: "coverage", y: "risk", stroke: "evaluation_id", strokeWidth: 1.8 }),
    Plot.dot(points, { x: "coverage", y: "risk", fill: "evaluation_id", r: 2, tip: false,
      title: (d) => `${page.label(d.evaluation_id)}: error rate ${(100 * d.risk).toFixed(1)}% at coverage ${(100 * d.coverage).toFixed(0)}%` }),
  ],
});
