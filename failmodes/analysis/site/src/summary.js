// How many predictions are selected, their accuracy, and that of all others under the same conditions.
import { makeClient } from "@uwdata/mosaic-core";
import { Query, count, sql } from "@uwdata/mosaic-sql";
import { exactInterval } from "./intervals.js";
import { filters, selection } from "./selection.js";
import { count as counted, h, interval, percent } from "./dom.js";

const CONDITIONS = ["corruption", "severity", "evaluation_id"];

const accuracy = (correct, n) => (n ? `${percent(correct / n)} ${interval(exactInterval(correct, n))}` : "none");

export function summaryPanel(page) {
  const element = h("p", { className: "summary", role: "status" }, "Reading predictions…");
  let base = null;
  let slice = null;
  const show = () => {
    if (!slice || !base) return;
    const [n, correct] = slice;
    const rest = [base[0] - n, base[1] - correct];
    const isSlice = filters().some(([key]) => !CONDITIONS.includes(key)) && rest[0] > 0;
    element.replaceChildren(
      h("b", {}, `${counted(n, "prediction")}, `), `accuracy ${accuracy(correct, n)}`,
      isSlice ? `; all others under the same conditions ${accuracy(rest[1], rest[0])}, n = ${rest[0].toLocaleString("en-US")}` : "",
    );
  };
  const totals = (where) => Query.from("rows").select({ n: count(), correct: sql`sum(correct::int)` }).where(where ?? []);
  const read = (table) => [...table].map(({ n, correct }) => [Number(n), Number(correct ?? 0)])[0];
  function follow() {
    makeClient({ coordinator: page.mosaic, selection, query: totals, queryResult(table) { slice = read(table); show(); } });
    makeClient({
      coordinator: page.mosaic,
      selection,
      filterStable: false, // its filter is a part of the selection
      query: () => totals(selection.clauses.filter(({ source }) => CONDITIONS.includes(source.key)).map(({ predicate }) => predicate)),
      queryResult(table) { base = read(table); show(); },
    });
  }
  return { element, follow };
}
