// The comparison with a baseline, as `failmodes compare` writes it.
import { choice, grid, h } from "./dom.js";

export function comparisonPanel(page) {
  const models = Object.entries(page.group.labels);
  const result = h("div", { role: "status" });
  const chosen = { a: page.choices.a ?? "", b: page.choices.b ?? "" };
  async function show() {
    page.choose("a", chosen.a || undefined);
    page.choose("b", chosen.b || undefined);
    if (!chosen.a || !chosen.b || chosen.a === chosen.b) return result.replaceChildren();
    result.replaceChildren(h("p", {}, "Comparing…"));
    const url = page.study.compare.replace(/\{([ab])\}/g, (_, name) => encodeURIComponent(chosen[name]));
    try {
      const response = await fetch(url);
      if (!response.ok) throw new Error(page.study.mode === "server" ? await response.text() : "this site does not have this comparison");
      const { blocks } = await response.json();
      result.replaceChildren(...blocks.map(shownBlock));
    } catch (error) {
      result.replaceChildren(h("p", { className: "problem" }, page.problem(error)));
    }
  }
  const options = [["", "choose…"], ...models];
  const element = h("div", {},
    h("p", { className: "note" }, "Differences are candidate − baseline, with corrected intervals, as in `failmodes compare`."),
    h("div", { className: "fields" },
      choice("Baseline model", options, chosen.a, (id) => { chosen.a = id; show(); }),
      choice("Candidate", options, chosen.b, (id) => { chosen.b = id; show(); })),
    result);
  show();
  return { element };
}

function shownBlock({ kind, text, columns, rows }) {
  if (kind === "heading") return h("h3", {}, text);
  if (kind === "table") return grid(columns, rows);
  return h("p", {}, text);
}
