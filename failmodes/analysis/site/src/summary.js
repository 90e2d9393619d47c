// How many predictions are selected, their accuracy and mean measures, beside all others under the same conditions.
import { makeClient } from "@uwdata/mosaic-core";
import { Query, cast, count, sum } from "@uwdata/mosaic-sql";
import { exactInterval } from "./intervals.js";
import { filter, filters, selection } from "./selection.js";
import { count as counted, h, interval, percent } from "./dom.js";

const CONDITIONS = ["corruption", "severity", "evaluation_id"];

const accuracy = (correct, n) => (n ? `${percent(correct / n)} ${interval(exactInterval(correct, n))}` : "none");
const short = (number) => String(Number(number.toPrecision(3)));

/** `follow(measures)` takes those whose means `meanOf(name)` elements show. */
export function summaryPanel(page) {
  const element = h("p", { className: "summary", role: "status" }, "Reading predictions…");
  const means = new Map();
  let [base, slice, measures] = [null, null, []];

  function show() {
    if (!slice || !base) return;
    const rest = { n: base.n - slice.n, correct: base.correct - slice.correct };
    const isSlice = filters().some(([key]) => !CONDITIONS.includes(key)) && rest.n > 0;
    const isOutcome = filter("outcome") || filter("correct");
    element.replaceChildren(h("b", {}, counted(slice.n, "prediction")),
      isOutcome ? `, ${percent(slice.n / base.n)} of ${base.n.toLocaleString("en-US")} under the same conditions`
        : `, accuracy ${accuracy(slice.correct, slice.n)}`,
      isSlice && !isOutcome ? `; all others under the same conditions ${accuracy(rest.correct, rest.n)}, n = ${rest.n.toLocaleString("en-US")}` : "");
    measures.forEach(({ name }, i) => {
      const [here, all] = [slice, base].map((part) => ({ sum: part[`sum${i}`], n: part[`n${i}`] }));
      const others = isSlice && all.n > here.n ? ` (others ${short((all.sum - here.sum) / (all.n - here.n))})` : "";
      meanOf(name).textContent = here.n ? `mean ${short(here.sum / here.n)}${others}` : "";
    });
  }

  /** The element that shows the mean of a measure. */
  function meanOf(name) {
    if (!means.has(name)) means.set(name, h("small", { className: "muted" }));
    return means.get(name);
  }

  const totals = (where) => Query.from(page.rows).select({
    n: count(), correct: sum(cast("correct", "INTEGER")),
    ...Object.fromEntries(measures.flatMap(({ name }, i) => [[`sum${i}`, sum(cast(name, "DOUBLE"))], [`n${i}`, count(name)]])),
  }).where(where ?? []);
  const read = ([row]) => Object.fromEntries(Object.entries({ ...row }).map(([key, value]) => [key, Number(value ?? 0)]));

  function follow(known) {
    measures = known;
    makeClient({ coordinator: page.mosaic, selection, query: totals, queryResult(table) { slice = read([...table]); show(); } });
    let last = null;
    const readBase = async () => { // only when corruption, severity or models change: a brush does not
      const where = selection.clauses.filter(({ source }) => CONDITIONS.includes(source.key)).map(({ predicate }) => predicate);
      const statement = String(totals(where));
      if (statement === last) return;
      last = statement;
      const rows = await page.attempt(() => page.run(statement));
      if (rows && statement === last) { base = read(rows); show(); }
    };
    selection.addEventListener("value", readBase);
    readBase();
  }
  return { element, follow, meanOf };
}
