// The SQL box: any read-only statement, and the saved queries of `failmodes query`.
import { choice, count, grid, h } from "./dom.js";
import { tableButtons } from "./downloads.js";

const FIRST = "from accuracy_by_severity\norder by accuracy\nlimit 20";
const MOST_ROWS = 500; // of a table on the page; files have all

export function queryPanel(page) {
  const text = h("textarea", { rows: 7, spellcheck: false, "aria-label": "Statement", value: page.choices.sql ?? FIRST });
  const result = h("div", { role: "status" });
  let statement = "";
  const files = tableButtons(page, "query result", () => statement, true);
  files.hidden = true;
  async function run() {
    statement = text.value.trim().replace(/;\s*$/, "");
    page.choose("sql", text.value === FIRST ? undefined : text.value);
    result.replaceChildren(h("p", {}, "Running…"));
    files.hidden = true;
    try {
      const rows = await page.run(statement, true);
      const cut = rows.length > MOST_ROWS ? `; the first ${MOST_ROWS} are shown, files have all` : "";
      result.replaceChildren(h("p", {}, `${count(rows.length, "row")}${cut}`),
        grid(rows.columns, rows.slice(0, MOST_ROWS).map((row) => rows.columns.map((column) => row[column])), { "aria-label": "Query result" }));
      files.hidden = false;
    } catch (error) {
      result.replaceChildren(h("p", { className: "problem" }, page.problem(error)));
    }
  }
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
      menu, about, text, h("p", {}, h("button", { type: "button", onclick: run }, "Run"), h("small", {}, " Ctrl+Enter "), files), result),
    fill(sql) { text.value = sql; text.focus(); run(); },
  };
}
