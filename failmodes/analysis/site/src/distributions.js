// Linked histograms of confidence, margin, distortion, attention drift and one metadata column; a brush selects a range.
import * as vg from "@uwdata/vgplot";
import { clauseInterval } from "@uwdata/mosaic-core";
import { named } from "./connection.js";
import { filter, onChange, registerBrush, selection, setFilter } from "./selection.js";
import { h } from "./dom.js";
import { figureButtons } from "./downloads.js";

const MEASURES = [
  { name: "confidence", title: "Confidence", domain: [0, 1] },
  { name: "margin", title: "Margin", hint: "largest minus second largest probability", domain: [0, 1] },
  { name: "rmse", title: "Distortion", hint: "root mean square difference from the clean image" },
  { name: "attention_drift", title: "Attention drift", hint: "shift of the Grad-CAM centroid from the clean image, image widths" },
];
const HEIGHT = 68;
const BINS = 30;

/** Columns with two values or more, with their range. */
export async function measuresOf(page) {
  const numbers = page.metadata.filter(({ text }) => !text).map(({ name, title }) => ({ name, title, isMetadata: true }));
  const possible = [...MEASURES.filter(({ name }) => name !== "attention_drift" || page.hasDrift), ...numbers];
  const ends = possible.map(({ name }, i) => `min(${named(name)})::double as low${i}, max(${named(name)})::double as high${i}`);
  const [row] = await page.run(`select ${ends.join(", ")} from ${page.rows}`);
  return possible
    .map((measure, i) => ({ ...measure, low: row[`low${i}`], high: row[`high${i}`] }))
    .filter(({ low, high }) => Number.isFinite(low) && Number.isFinite(high) && low < high)
    .map(({ domain, low, high, ...measure }) => ({ ...measure, domain: domain ?? [Math.min(0, low), high] }));
}

/** One histogram with a brush, and two fields for the same range by keyboard; `heading` replaces its title. */
export function histogram(page, { name, title, hint, domain }, width, heading = title) {
  const plot = vg.plot(
    vg.rectY(vg.from(page.rows, { filterBy: selection }), {
      x: vg.bin(name, { step: (domain[1] - domain[0]) / BINS }), y: vg.count(), fill: "correct", z: "correct", order: "z", reverse: true, inset: 0.5,
    }),
    vg.intervalX({ as: selection, field: name }),
    vg.xDomain(domain), vg.colorDomain([true, false]), vg.colorRange(["var(--calm)", "var(--heat)"]),
    vg.xLabel(null), vg.yLabel(null), vg.yTicks(3), vg.yTickFormat("s"), vg.xTickSize(3), vg.yTickSize(3), vg.yGrid(true),
    vg.width(width), vg.height(HEIGHT), vg.marginLeft(34), vg.marginRight(8), vg.marginTop(4), vg.marginBottom(18),
  );
  const interactor = plot.value.interactors[0];
  const exact = (range) => { // pre-aggregated tables know ranges to a pixel, which is enough while a brush moves
    interactor.value = range;
    page.mosaic.preaggregator.clear();
    const { meta, ...clause } = clauseInterval(name, range, { source: interactor, clients: plot.value.markSet });
    selection.update(clause);
  };
  registerBrush(name, interactor, (range) => { exact(range); plot.value.update(); });
  let isHeld = false;
  plot.addEventListener("pointerdown", () => { isHeld = true; }, true);
  addEventListener("pointerup", () => setTimeout(() => {
    if (isHeld && interactor.value) exact(interactor.value);
    isHeld = false;
  }));

  const field = (end, label) => {
    const input = h("input", { type: "number", step: "any", "aria-label": `${title}: ${label}` });
    input.addEventListener("change", () => {
      const range = [low.value === "" ? domain[0] : Number(low.value), high.value === "" ? domain[1] : Number(high.value)];
      setFilter(name, low.value === "" && high.value === "" ? undefined : range.sort((a, b) => a - b));
    });
    return input;
  };
  const [low, high] = [field(0, "lowest"), field(1, "highest")];
  onChange((key) => {
    if (key !== name) return;
    const range = filter(name);
    [low, high].forEach((input, end) => { input.value = range ? Number(range[end].toPrecision(4)) : ""; });
  });
  const range = h("span", { className: "range" }, low, "–", high);
  return framed(plot, heading, { title: hint }, page.meanOf(name), figureButtons(plot, title.toLowerCase()), range);
}

const framed = (plot, heading, properties, ...tools) =>
  h("figure", { className: "histogram" }, h("figcaption", properties, h("span", {}, heading), ...tools), plot);

/** Bars of a text column; a click selects a value. */
export function bars(page, { name, title }, width, heading = title) {
  const plot = vg.plot(
    vg.barX(vg.from(page.rows, { filterBy: selection }), { x: vg.count(), y: name, fill: "correct" }),
    vg.toggleY({ as: selection }), vg.colorDomain([true, false]), vg.colorRange(["var(--calm)", "var(--heat)"]),
    vg.xLabel(null), vg.yLabel(null), vg.width(width), vg.marginLeft(80), vg.marginRight(8), vg.xTickFormat("s"),
  );
  return framed(plot, heading, {}, figureButtons(plot, title.toLowerCase()));
}
