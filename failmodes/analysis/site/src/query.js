// The SQL box: any read-only statement, and the saved queries of `failmodes query`.
import { cancelable, choice, count, grid, h, linesOf, namesOf } from "./dom.js";
import { tableButtons } from "./downloads.js";
import { isText, take } from "./link.js";

const FIRST = "from accuracy_by_severity\norder by accuracy\nlimit 20";
const MOST_ROWS = 10_000; // shown; saved files contain all

export function queryPanel(page) {
  page.choices.sql = take("sql", isText);
  const text = h("textarea", { rows: 7, spellcheck: false, "aria-label": "Statement", value: page.choices.sql ?? FIRST });
  const result = h("div", { role: "status" });
  let statement = "";
  const files = tableButtons(page, "query result", () => statement, true);
  files.hidden = true;
  const { button, start: run } = cancelable("Run", async (signal) => {
    statement = text.value.trim().replace(/;\s*$/, "");
    page.choose("sql", text.value === FIRST ? undefined : text.value);
    result.replaceChildren(h("p", {}, "Running…"));
    files.hidden = true;
    signal.addEventListener("abort", () => result.replaceChildren(h("p", {}, "Canceled.")));
    const shown = await firstRows(page, statement, signal).catch((error) => h("p", { className: "problem" }, page.problem(error)));
    if (signal.aborted) return;
    result.replaceChildren(...[shown].flat());
    files.hidden = shown.className === "problem";
  });
  text.addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) run(); });
  const queries = page.study.queries ?? [];
  const about = h("p", { className: "note" });
  const menu = choice("Saved query", [["", "choose…"], ...queries.map(({ name }) => [name, name.replaceAll("_", " ")])], "", (name) => {
    const query = queries.find((each) => each.name === name);
    if (!query) return;
    text.value = query.sql;
    about.textContent = query.description ?? "";
    run();
  });
  return {
    element: h("div", {}, h("p", { className: "note" }, "Any read-only statement, as in `failmodes query`; `show tables` lists tables and views, `describe NAME` the columns of one."),
      menu, about, text, h("p", {}, button, h("small", {}, " Ctrl+Enter "), files), result),
    fill(sql) { text.value = sql; text.focus(); run(); },
  };
}

/** The number of rows and a table of the first ones. */
async function firstRows(page, statement, signal) {
  let columns = [];
  const rows = [];
  for await (const table of page.read(statement, { box: true, most: MOST_ROWS + 1, signal })) {
    columns = namesOf(table);
    rows.push(...linesOf(table, MOST_ROWS + 1 - rows.length));
    if (rows.length > MOST_ROWS) break;
  }
  const said = rows.length > MOST_ROWS ? `The first ${count(MOST_ROWS, "row")}; saved files contain all.` : count(rows.length, "row");
  return [h("p", {}, said), grid(columns, rows.slice(0, MOST_ROWS), { "aria-label": "Query result" })];
}
