// The page of a study: reads study.json, connects, and puts the panels in their places.
import "./style.css";
import { confusionPanel } from "./confusion.js";
import { comparisonPanel } from "./comparison.js";
import { connect, named, problem, quoted } from "./connection.js";
import { curvesPanel } from "./curves.js";
import { bars, histogram, measuresOf } from "./distributions.js";
import { choice, h, severityName } from "./dom.js";
import { riskPanel } from "./risk.js";
import { figureButtons, imageButtons, tableButtons } from "./downloads.js";
import { ORDER, imagesPanel, selected } from "./images.js";
import { ignored, isRange, isText, listOf, oneOf, take, toAddress } from "./link.js";
import { pairsPanel } from "./pairs.js";
import { queryPanel } from "./query.js";
import { clearAll, condition, filter, filters, onChange, setFilter } from "./selection.js";
import { summaryPanel } from "./summary.js";

const main = document.querySelector("main");
const MOST_MODELS = 4; // shown at first

/** One message in place of the page. */
function refuse(text, ...more) {
  main.replaceChildren(h("p", { className: "problem", role: "alert" }, text, ...more));
}

async function start() {
  if (location.protocol === "file:") {
    return refuse("A browser cannot read this study from a file. Run ", h("code", {}, "python -m http.server"),
      " in this folder and open ", h("code", {}, "http://localhost:8000"), ".");
  }
  const page = await opened().catch((error) => refuse(`This study cannot be read: ${problem(error)}`));
  if (page) await shown(page).catch((error) => refuse(`This study cannot be read: ${problem(error)}`));
}

/** Everything that panels share: the study, its group of evaluations, the database, and choices in the link. */
async function opened() {
  const response = await fetch(`study.json${location.search}`);
  if (!response.ok) throw new Error(response.status === 403 ? "the token in the address is missing or wrong" : "study.json is missing");
  const study = await response.json();
  const asked = take("group", oneOf(study.groups.map(({ ids }) => ids[0])));
  const group = study.groups.find(({ ids }) => ids[0] === asked) ?? study.groups[0];
  const page = { complain: () => {} };
  const database = await connect(study, (message) => page.complain(message));
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const ids = Object.keys(group.labels);
  const isModel = oneOf(ids);
  return Object.assign(page, {
    ...database, study, group, problem,
    choices: { image: take("image", Number.isSafeInteger), a: take("a", isModel), b: take("b", isModel) },
    baseline: take("baseline", isModel) ?? null,
    classes: [...new Set(study.classes?.[group.dataset_id] ?? [])],
    metadata: [],
    models: () => filter("evaluation_id") ?? ids,
    label: (id) => group.labels[id] ?? id,
    corruption: (name) => group.names?.[name] ?? study.corruptions?.[name]?.label ?? name,
    color: (id) => (dark.matches ? group.dark_colors : group.colors)?.[id] ?? "var(--muted)",
    choose(key, value) { page.choices[key] = value; keepAddress(page); },
    async attempt(run) {
      try { return await run(); } catch (error) { page.complain(problem(error)); return null; }
    },
  });
}

const TAKEN = new Set(["image", "sql", "a", "b", "measure", "group", "baseline", "outcome", "condition", "evaluation_id", "corruption", "severity", "image_id",
  "label_name", "predicted_name", "correct", "confidence", "margin", "rmse", "attention_drift"]); // not names of metadata
let timer = 0;
function keepAddress(page) {
  clearTimeout(timer);
  timer = setTimeout(() => {
    const group = page.group === page.study.groups[0] ? undefined : page.group.ids[0];
    toAddress({ ...page.choices, group, baseline: page.baseline, ...Object.fromEntries(filters()), condition: filter("condition")?.text });
  }, 200);
}

async function shown(page) {
  const complaint = h("p", { className: "problem", role: "alert", hidden: true });
  const linkNotes = h("div", { role: "status" });
  page.complain = (text) => { complaint.textContent = text; complaint.hidden = !text; };
  const curves = await curvesPanel(page);
  const summary = summaryPanel(page);
  page.meanOf = summary.meanOf;
  const { element: menus, ready: fillMenus } = menusOf(page);
  const distributions = h("div", { className: "histograms" });
  const panels = { curves, confusion: confusionPanel(page), images: imagesPanel(page), risk: riskPanel(page) };
  panels.pairs = pairsPanel(page, async (id) => {
    setFilter("outcome", undefined);
    page.baseline = id;
    await page.attempt(() => prepare(page));
    keepAddress(page);
    panels.images.show();
  });
  const query = queryPanel(page);
  main.replaceChildren(
    header(page), menus, h("div", { className: "bar" }, summary.element, chips(page), copyButtons(page, query)), complaint, linkNotes,
    h("div", { className: "panels" },
      column(
        panel("Accuracy by corruption and severity", "curves", curves.element, figureButtons(curves.figure, "curves")),
        h("div", { className: "row" },
          panel("Confusion matrix", "confusion", panels.confusion.element, figureButtons(panels.confusion.figure, "confusion matrix")),
          panel("Models side by side", "pairs", panels.pairs.element))),
      column(panel("Distributions", "distributions", distributions),
        panel("Error rate by coverage", "risk", panels.risk.element, figureButtons(panels.risk.figure, "error rate by coverage"))),
      column(panel("Images", "images-panel", panels.images.element, imageButtons(panels.images.figure, "images"),
        tableButtons(page, "selection", () => `select * from ${page.rows} ${selected()} ${ORDER}`)))),
    fold("SQL", "sql", query.element, Boolean(page.choices.sql)),
    page.study.compare && Object.keys(page.group.labels).length > 1
      ? fold("Comparison with a baseline", "comparison", comparisonPanel(page).element, Boolean(page.choices.a)) : "",
    footer(page),
  );
  main.dataset.ready = "curves";
  await readMetadata(page);
  await prepare(page);
  await restore(page, await fillMenus());
  const measures = await measuresOf(page);
  summary.follow(measures);
  for (const { follow } of Object.values(panels)) follow();
  distributionPanels(page, distributions, measures);
  linkNotes.replaceChildren(...notesOf(page));
  onChange(() => { keepAddress(page); page.complain(""); });
  main.dataset.ready = "all";
}

const prepare = (page) => page.prepare(page.group, page.metadata, { drift: page.hasDrift, baseline: page.baseline });

/** Columns of `images` with values, and whether attention drift is stored. */
async function readMetadata(page) {
  const dataset = quoted(page.group.dataset_id);
  const columns = (page.study.metadata ?? []).filter(({ name }) => !TAKEN.has(name));
  if (columns.length) {
    const parts = columns.map(({ name }, i) => `count(distinct ${named(name)}) as n${i}`);
    const [row] = await page.run(`select ${parts.join(", ")} from images where dataset_id = ${dataset}`);
    page.metadata = columns.map((column, i) => ({ ...column, title: column.name.replace(/^image_/, "").replaceAll("_", " "),
        text: /VARCHAR|text/i.test(column.type), n: Number(row[`n${i}`]) }))
      .filter(({ n, text }) => n > 1 && !(text && n > 20))
      .sort((a, b) => b.name.startsWith("image_") - a.name.startsWith("image_")); // luminance and its like first
  }
  const [{ n }] = await page.run("select count(*) as n from (select 1 from attention where target = 'clean' and severity > 0 limit 1)");
  page.hasDrift = Number(n) > 0;
}

/** Filters of the link but ranges; more than a few models are not all shown at first. */
async function restore(page, severities) {
  const ids = Object.keys(page.group.labels);
  const names = [...page.classes, "another class"];
  const isOutcome = (value) => page.baseline && value && oneOf(ids)(value.model) && value.model !== page.baseline
    && typeof value.correct === "boolean" && typeof value.baselineCorrect === "boolean";
  const valid = {
    evaluation_id: listOf(oneOf(ids)), corruption: listOf(oneOf([...page.group.corruptions, "none"])), severity: listOf(oneOf(severities)),
    label_name: listOf(oneOf(names)), predicted_name: listOf(oneOf([...names, null])), correct: (value) => oneOf(["[true]", "[false]"])(JSON.stringify(value)),
    image_id: listOf(Number.isSafeInteger), outcome: isOutcome,
    ...Object.fromEntries(page.metadata.filter(({ text }) => text).map(({ name }) => [name, listOf(isText)])),
  };
  for (const [key, isValid] of Object.entries(valid)) setFilter(key, take(key, isValid));
  if (ids.length > MOST_MODELS && !filter("evaluation_id")) setFilter("evaluation_id", ids.slice(0, MOST_MODELS));
}

/** Notes on the link: its condition, which runs only when the reader applies it, and the keys that are ignored. */
function notesOf(page) {
  const text = take("condition", isText);
  const rest = ignored().map((key) => key.slice(0, 40)).slice(0, 20).join(", ");
  const note = (...parts) => h("p", { className: "problem" }, ...parts);
  const pending = note("The link has a condition in SQL, which is not applied: ", h("code", {}, text ?? ""), " ",
    h("button", { type: "button", onclick: () => page.attempt(() => setCondition(page, text)) }, "Apply"));
  onChange((key) => { if (key === "condition") pending.remove(); });
  return [text && pending, rest && note(`Unknown or invalid parts of the link are ignored: ${rest}.`)].filter(Boolean);
}

/** A typed condition: on the columns of the page, or else on those of `predictions`. */
async function setCondition(page, text) {
  if (!text.trim()) return setFilter("condition", undefined);
  page.others ??= await page.run(`select column_name from (describe predictions)
    where column_name not in (select column_name from (describe select * from ${page.rows}))`);
  const isElsewhere = page.others.some(({ column_name: name }) => new RegExp(`\\b${name.replace(/\W/g, ".")}\\b`, "i").test(text));
  const from = `from ${isElsewhere ? "predictions" : page.rows}`;
  // one expression: text that closes a parenthesis which it did not open fails in brackets, one that closes a bracket in parentheses
  for (const statement of [`select [${text}\n] ${from} limit 0`, `select 1 ${from} where (${text}\n) limit 1`]) {
    for await (const _ of page.read(statement)); // to its end, which closes the connection
  }
  const own = isElsewhere ? `(evaluation_id::varchar, corruption::varchar, severity, image_id) in
    (select (evaluation_id, corruption, severity::double, image_id) from predictions where (${text}\n))` : text;
  setFilter("condition", { text, sql: own });
}

// --- parts of the page ------------------------------------------------------------------------------------------

function header(page) {
  const { study, group } = page;
  const groups = study.groups.map(({ ids, images }) => [ids[0], images]);
  const lines = [group.source_line, ...(group.exclusions ?? []), ...(study.missing ?? [])].filter(Boolean);
  return h("header", {}, h("h1", {}, study.title),
    h("details", { className: "note about" }, h("summary", {}, lines[0] ?? "About this study"), ...lines.slice(1).map((line) => h("p", {}, line))),
    groups.length > 1 ? choice("Images and models", groups, group.ids[0], (id) => {
      clearAll();
      location.hash = new URLSearchParams({ group: JSON.stringify(id) });
      location.reload();
    }) : "");
}

function panel(title, name, element, ...saves) {
  return h("section", { className: `panel ${name}`, "aria-label": title }, h("div", { className: "head" }, h("h2", {}, title), ...saves), element);
}

const column = (...panels) => h("div", { className: "column" }, ...panels);

const fold = (title, name, element, isOpen) =>
  h("details", { className: `panel ${name}`, open: isOpen }, h("summary", {}, h("h2", {}, title)), element);

const footer = (page) => h("footer", { className: "note" }, `Failmodes ${page.study.version}; licenses of bundled software: `,
  h("a", { href: "licenses.txt" }, "licenses.txt"));

/** Menus of everything that a click selects, for the keyboard and small screens, and models to show. */
function menusOf(page) {
  const all = [["", "all"]];
  const one = (key, label, options, parse = String) => {
    const field = choice(label, [...all, ...options], "", (value) => setFilter(key, value === "" ? undefined : [parse(value)]));
    const select = field.lastChild;
    onChange((changed) => {
      if (changed !== key) return;
      const value = filter(key);
      select.querySelector("[data-several]")?.remove();
      if (value?.length > 1) select.append(h("option", { value: "several", "data-several": "" }, `${value.length} chosen`));
      select.value = !value ? "" : value.length > 1 ? "several" : String(value[0]);
    });
    return field;
  };
  const corruptions = page.group.corruptions.map((name) => [name, page.corruption(name)]);
  const classes = page.classes.map((name) => [name, name]);
  const severity = one("severity", "Severity", [], Number);
  const typed = h("input", { type: "text", placeholder: "confidence > 0.9 and rmse < 0.1" });
  const image = h("input", { type: "number", min: 0, step: 1, "aria-label": "Image number" });
  image.addEventListener("change", () => setFilter("image_id", image.value === "" ? undefined : [Number(image.value)]));
  onChange((key) => { if (key === "image_id") image.value = filter("image_id")?.[0] ?? ""; });
  const form = h("form", { className: "field wide" }, h("label", {}, h("span", {}, "Condition in SQL"), typed));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    page.attempt(() => setCondition(page, typed.value));
  });
  onChange((key) => { if (key === "condition") typed.value = filter("condition")?.text ?? ""; });
  const element = h("div", { className: "fields", role: "group", "aria-label": "Selection" }, models(page),
    one("corruption", "Corruption", [...corruptions, ["none", "Clean images"]]), severity,
    one("label_name", "True class", classes), one("predicted_name", "Predicted class", classes),
    one("correct", "Prediction", [["true", "correct"], ["false", "incorrect"]], (value) => value === "true"),
    h("label", { className: "field" }, h("span", {}, "Image"), image), form);
  async function ready() {
    const rows = await page.run(`select distinct severity from ${page.rows} order by severity`);
    const values = rows.map(({ severity: value }) => value);
    severity.lastChild.append(...values.map((value) => h("option", { value }, severityName(value))));
    return values;
  }
  return { element, ready };
}

/** Models as buttons in their colors; pressed ones are shown. */
function models(page) {
  const ids = Object.keys(page.group.labels);
  const buttons = ids.map((id) => h("button", { type: "button", className: "model", onclick: () => {
    const old = page.models();
    const next = old.includes(id) ? old.filter((each) => each !== id) : ids.filter((each) => each === id || old.includes(each));
    setFilter("evaluation_id", next.length === ids.length || next.length === 0 ? undefined : next);
  } }, h("i", {}), page.label(id)));
  const paint = () => buttons.forEach((button, i) => {
    const isShown = page.models().includes(ids[i]);
    button.setAttribute("aria-pressed", String(isShown));
    button.firstChild.style.background = isShown ? page.color(ids[i]) : "transparent";
  });
  onChange((key) => { if (key === "evaluation_id") paint(); });
  paint();
  return h("div", { className: "models", role: "group", "aria-label": "Models" }, ...buttons);
}

/** One button per filter, which removes it. */
function chips(page) {
  const element = h("span", { className: "chips" });
  const words = {
    corruption: (list) => list.map((name) => (name === "none" ? "clean images" : page.corruption(name))).join(", "),
    severity: (list) => `severity ${list.map(severityName).join(", ")}`,
    evaluation_id: (list) => list.map(page.label).join(", "),
    label_name: (list) => `true: ${list.join(", ")}`,
    predicted_name: (list) => `predicted: ${list.map((name) => name ?? "none").join(", ")}`,
    correct: ([isCorrect]) => (isCorrect ? "correct" : "incorrect"),
    outcome: (value) => `${page.label(value.model)} ${value.correct ? "correct" : "incorrect"}, ${page.label(page.baseline)} ${
      value.baselineCorrect ? "correct" : "incorrect"}`,
    condition: (value) => value.text,
    image_id: ([id]) => `image ${id}`,
  };
  const name = (key, value) => words[key]?.(value) ?? (typeof value[0] === "number"
    ? `${key.replaceAll("_", " ")} ${value.map((end) => Number(end.toPrecision(3))).join(" – ")}` : `${key}: ${value.join(", ")}`);
  const draw = () => element.replaceChildren(
    ...filters().map(([key, value]) => h("button", { type: "button", className: "chip", title: "Remove this filter",
      onclick: () => setFilter(key, undefined) }, `${name(key, value)} `, h("span", { "aria-hidden": "true" }, "×"))),
    filters().length ? h("button", { type: "button", onclick: clearAll }, "Clear all") : "",
  );
  onChange(draw);
  return element;
}

/** The selection for use elsewhere. */
function copyButtons(page, query) {
  const where = () => condition(page.group, page.baseline);
  const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const python = (text) => JSON.stringify(text).replace(/[\u007f-\uffff]/g, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`);
  const path = page.study.path ?? "warehouse.duckdb";
  const texts = {
    "link": () => location.href.replace(/([?&])token=[^&#]*/, "$1").replace(/\?(?=#|$)/, ""),
    "SQL": () => `from predictions\nwhere ${where()}\norder by correct, confidence desc`,
    "images filter": () => `failmodes images ${shell(path)} --filter ${shell(where())}`,
    "Python": () => `import failmodes\n\nwarehouse = failmodes.open(${python(path)})\nimages = warehouse.images(${python(where())})`,
  };
  const said = h("span", { role: "status", className: "note" });
  const box = h("textarea", { className: "copied", rows: 4, readOnly: true, hidden: true, "aria-label": "Copied text" });
  const buttons = Object.entries(texts).map(([name, make]) => h("button", { type: "button", onclick: async () => {
    const text = make();
    box.value = text;
    box.hidden = false;
    const isCopied = await navigator.clipboard?.writeText(text).then(() => true, () => false);
    said.textContent = isCopied ? "copied" : "";
    if (!isCopied) box.select();
  } }, name));
  const open = h("button", { type: "button", onclick: () => {
    document.querySelector("details.sql").open = true;
    query.fill(texts.SQL());
  } }, "open as SQL");
  return h("span", { className: "copy" }, "Copy: ", ...buttons, open, said, box);
}

/** Histograms of the measures, and one of the metadata columns that a menu chooses. */
function distributionPanels(page, place, measures) {
  const metadata = [...measures.filter(({ isMetadata }) => isMetadata),
    ...page.metadata.filter(({ text }) => text).map(({ name, title }) => ({ name, title, isText: true }))];
  const width = Math.min(520, Math.max(260, place.clientWidth || 340));
  const drawn = new Map();
  const menu = choice("", metadata.map(({ name, title }) => [name, title]), undefined, (name) => show(name),
    { "aria-label": "Image metadata" });
  const made = (measure, heading) => {
    if (!drawn.has(measure.name)) drawn.set(measure.name, (measure.isText ? bars : histogram)(page, measure, width, heading));
    return drawn.get(measure.name);
  };
  const of = h("div", {});
  function show(name) {
    page.choose("measure", name === metadata[0].name ? undefined : name);
    const figure = made(metadata.find((each) => each.name === name));
    figure.querySelector("figcaption > span").replaceChildren(menu);
    menu.lastChild.value = name;
    of.replaceChildren(figure);
  }
  place.replaceChildren(h("p", { className: "note legend" }, h("i", { className: "calm" }), "correct ", h("i", { className: "heat" }),
    "incorrect; drag to select a range"), ...measures.filter(({ isMetadata }) => !isMetadata).map((measure) => made(measure)), of);
  const known = metadata.map(({ name }) => name);
  page.choices.measure = take("measure", oneOf(known));
  for (const measure of measures) {
    const range = take(measure.name, isRange);
    if (!range) continue;
    made(measure);
    setFilter(measure.name, range);
    if (measure.isMetadata) page.choices.measure ??= measure.name;
  }
  const first = page.choices.measure ?? known[0];
  if (first) show(first);
}

// Plot labels groups of marks, which need a role for that
new MutationObserver(() => {
  for (const group of main.querySelectorAll("svg g[aria-label]:not([role])")) group.setAttribute("role", "group");
}).observe(main, { childList: true, subtree: true });
start();
