// Elements and numbers. Text of a warehouse only ever becomes text nodes and attributes, never markup.

/**
 * Create an element.
 * @param {string} name of the element
 * @param {object} [properties] properties, `on…` listeners, and attributes with a dash (such as aria-label)
 * @param {...(Node|string|number|null|undefined|false)} children strings become text
 */
export function h(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (key.includes("-") || key === "role" || key === "for") element.setAttribute(key, value);
    else element[key] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

let made = 0;

/** A labeled <select>, the last child; options are [value, text]. */
export function choice(label, options, value, onChoose, properties = {}) {
  const id = `choice-${++made}`;
  const select = h("select", { id, ...properties }, ...options.map(([key, text]) => h("option", { value: key }, text)));
  select.value = value ?? "";
  select.addEventListener("change", () => onChoose(select.value));
  return h("div", { className: "field" }, label ? h("label", { for: id }, label) : null, select);
}

/**
 * A button that starts a task and, while that runs, cancels it.
 * @param {(signal: AbortSignal) => Promise<void>} run the task
 * @returns {{button: HTMLButtonElement, start: () => Promise<void>}} `start` cancels a running task and starts another
 */
export function cancelable(text, run, label = text) {
  let running = null;
  const button = h("button", { type: "button", "aria-label": label, onclick: () => (running ? running.abort() : start()) }, text);
  const named = (verb) => {
    button.textContent = verb || text;
    button.setAttribute("aria-label", verb && label !== text ? `${verb}: ${label}` : verb || label);
  };
  async function start() {
    running?.abort();
    const own = running = new AbortController();
    named("Cancel");
    await run(own.signal);
    if (own !== running) return;
    running = null;
    named("");
  }
  return { button, start };
}

export const namesOf = (table) => table.schema.fields.map(({ name }) => name);

/** The rows of an Arrow table as lists of values. */
export function linesOf(table, most = Infinity) {
  const columns = namesOf(table).map((_, i) => table.getChildAt(i));
  return Array.from({ length: Math.min(most, table.numRows) }, (_, row) => columns.map((column) => column.at(row)));
}

const STEP = 500; // rows added at once

/** A table of texts and numbers; cells may be elements. Scrolling adds rows: browsers need seconds to lay out thousands of wide ones. */
export function grid(columns, rows, properties = {}) {
  const head = h("thead", {}, h("tr", {}, ...columns.map((column) => h("th", { scope: "col" }, column))));
  const body = h("tbody");
  const element = h("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": "Table", onscroll: more, ...properties },
    h("table", {}, head, body));
  function more() {
    const below = element.scrollHeight - element.scrollTop - element.clientHeight;
    if (below > element.clientHeight) return;
    body.append(...rows.slice(body.rows.length, body.rows.length + STEP).map((row) =>
      h("tr", {}, ...row.map((cell) => h("td", { className: isNumber(cell) ? "number" : "" }, shown(cell))))));
  }
  more();
  return element;
}

const isNumber = (value) => typeof value === "number" || typeof value === "bigint";

/** A value of a query as text, or the element itself. */
export function shown(value) {
  if (value instanceof Node) return value;
  if (value === null || value === undefined) return "";
  if (typeof value === "number" && !Number.isInteger(value)) return String(Number(value.toPrecision(6)));
  if (value instanceof Date) return value.toISOString().replace("T", " ").replace(/\.?0*Z$/, "");
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  if (Array.isArray(value) || ArrayBuffer.isView(value)) return `[${Array.from(value, shown).join(", ")}]`;
  if (typeof value === "object") return JSON.stringify(value, (_, part) => (typeof part === "bigint" ? Number(part) : part));
  return String(value);
}

export const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)}%`;
export const interval = ([low, high]) => `[${(100 * low).toFixed(1)}, ${(100 * high).toFixed(1)}]`;
export const count = (number, noun) => `${number.toLocaleString("en-US")} ${noun}${number === 1 ? "" : "s"}`;
export const severityName = (severity) => (severity === 0 ? "clean" : String(severity));
