// The images of the selection, most confident incorrect predictions first; a click opens one over severities.
import { h, percent, severityName, shown } from "./dom.js";
import { selection } from "./selection.js";
import { quoted } from "./connection.js";
import { viewer } from "../../images/viewer.js";
import dialogText from "../../images/viewer.html";

const PAGE = 24; // shown at first, and more at each click
const WAIT_MS = 250; // after the last change, when no brush is held

/** The condition of the selection on `rows`, for queries of the page. */
export const selected = () => {
  const parts = selection.clauses.map(({ predicate }) => String(predicate));
  return parts.length ? `where ${parts.map((part) => `(${part})`).join(" and ")}` : "";
};

export const ORDER = "order by correct, confidence desc nulls last, evaluation_id, corruption, severity, image_id";

export function imagesPanel(page) {
  const list = h("ul", { className: "images" });
  const note = h("p", { className: "note", role: "status" });
  const dialog = new DOMParser().parseFromString(dialogText, "text/html").querySelector("dialog"); // text of our own
  document.body.append(dialog);
  const open = viewer(dialog, (card) => loaded(card));
  const strips = new Map();
  const exists = page.study.strips && new Set(page.study.strips.map((key) => key.join("\n")));
  let cards = [];
  const cardOfElement = new WeakMap();
  let timer = 0;
  let asked = 0;
  let most = PAGE;
  const more = h("button", { type: "button", hidden: true, onclick: () => { most += PAGE; show(); } }, "Show more");

  async function show() {
    const request = ++asked;
    const columns = `evaluation_id, corruption, severity, image_id, label_name, predicted_name, correct, confidence${
      page.baseline ? ", baseline_predicted, baseline_correct, baseline_confidence" : ""}`;
    const rows = await page.attempt(() => page.run(`select ${columns} from ${page.rows} ${selected()} ${ORDER} limit ${most}`));
    if (request !== asked || !rows) return;
    const thumbnails = await thumbnailsOf(page, rows);
    if (request !== asked) return;
    cards = rows.map((row) => cardOf(row, thumbnails.get(row.image_id)));
    list.replaceChildren(...cards.map((card) => h("li", {}, card.element)));
    note.textContent = rows.length ? `The first ${rows.length}, most confident incorrect predictions on top; click one to open it.`
      : "No prediction matches the selection: relax a filter.";
    more.hidden = rows.length < most;
    list.ariaBusy = "false";
    await Promise.all(cards.map(paintFrame));
    const wanted = cards.find(({ row }) => row.image_id === page.choices.image);
    if (wanted && !dialog.open) openCard(wanted);
  }

  function cardOf(row, thumbnail) {
    const picture = h("span", { className: "picture" }, thumbnail
      ? h("img", { src: thumbnail, alt: "" }) : h("span", { className: "missing" }, "no picture"));
    const clean = h("small", { className: "clean" }, thumbnail && row.severity ? "clean image" : "");
    const said = (name, isCorrect, confidence) => `${isCorrect ? "✓" : "✗"} ${shown(name) || "no prediction"}` +
      (confidence === null || confidence === undefined ? "" : ` ${percent(confidence, 0)}`);
    const condition = row.severity ? `${page.corruption(row.corruption)} ${severityName(row.severity)}` : "Clean";
    const element = h("button", { type: "button", className: "card" }, picture, clean,
      h("b", { className: row.correct ? "correct" : "incorrect" }, said(row.predicted_name, row.correct, row.confidence)),
      h("span", {}, `true: ${shown(row.label_name)}`),
      page.baseline && row.evaluation_id !== page.baseline
        ? h("span", {}, `${page.label(page.baseline)}: ${said(row.baseline_predicted, row.baseline_correct, row.baseline_confidence)}`) : null,
      h("span", { className: "muted" }, `${condition}; ${page.label(row.evaluation_id)}; image ${row.image_id}`));
    const card = { row, element, picture, clean, thumbnail };
    cardOfElement.set(element, card);
    element.addEventListener("click", () => openCard(card));
    return card;
  }

  const stripKey = ({ evaluation_id, corruption, image_id }) => [evaluation_id, corruption, image_id].join("\n");

  /** The strip of a row along its corruption; null where this site has none. A clean image is on any strip of it. */
  async function stripOf(row) {
    const corruption = row.severity ? row.corruption : anyCorruption(row);
    if (!corruption || !page.study.strip) return null;
    const key = stripKey({ ...row, corruption });
    if (exists && !exists.has(key)) return null;
    if (!strips.has(key)) {
      const part = { evaluation: row.evaluation_id, corruption, image: row.image_id };
      const url = page.study.strip.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(part[name]));
      strips.set(key, fetch(url).then((response) => (response.ok ? response.json() : null)).catch(() => null));
    }
    return strips.get(key);
  }

  function anyCorruption(row) {
    if (!exists) return page.group.corruptions[0];
    const found = page.study.strips.find(([evaluation, , image]) => evaluation === row.evaluation_id && image === row.image_id);
    return found?.[1];
  }

  /** Show the corrupted image in place of the clean one, where it exists. */
  async function paintFrame(card) {
    const strip = await stripOf(card.row);
    const step = strip?.severities?.findIndex((severity) => Math.abs(severity - card.row.severity) < 1e-6) ?? -1;
    if (step < 0) return;
    const [width, height] = strip.size;
    const canvas = h("canvas", { width, height });
    const image = h("img", { src: strip.src });
    await image.decode().catch(() => null);
    canvas.getContext("2d").drawImage(image, step * width, 0, width, height, 0, 0, width, height);
    card.picture.replaceChildren(canvas);
    card.clean.textContent = "";
    card.step = step;
  }

  function openCard(card) {
    page.choose("image", card.row.image_id);
    const step = card.step ?? Infinity;
    page.attempt(() => open(card.element, cards.map(({ element }) => element), step));
  }

  /** The element that the viewer reads: the strip, or the clean image alone with the predictions along severity. */
  async function loaded(element) {
    const card = cardOfElement.get(element);
    page.choose("image", card.row.image_id);
    const strip = (await stripOf(card.row)) ?? (await cleanStrip(page, card));
    const data = { size: strip.size, frames: strip.frames, maps: strip.maps, map_size: strip.map_size };
    const found = h("div", {}, h("img", { src: strip.src, alt: "" }));
    Object.assign(found.dataset, { strip: JSON.stringify(data), title: strip.title, file: strip.file, note: strip.note });
    return found;
  }

  dialog.addEventListener("close", () => page.choose("image", undefined));
  let isDragging = false;
  const later = () => { most = PAGE; asked++; list.ariaBusy = "true"; clearTimeout(timer); if (!isDragging) timer = setTimeout(show, WAIT_MS); };
  addEventListener("pointerdown", () => { isDragging = true; }, true);
  addEventListener("pointerup", () => { if (isDragging) { isDragging = false; later(); } }, true);
  const element = h("div", {}, note, list, more);
  return { element, follow() { selection.addEventListener("value", later); show(); }, show, figure: list };
}

/** Clean images from the warehouse as object URLs. */
async function thumbnailsOf(page, rows) {
  const ids = [...new Set(rows.map(({ image_id }) => image_id))];
  if (!ids.length) return new Map();
  const found = await page.run(`select image_id, png from thumbnails
    where dataset_id = ${quoted(page.group.dataset_id)} and image_id in (${ids.join(", ")})`).catch(() => []);
  return new Map(found.map(({ image_id, png }) => [image_id, URL.createObjectURL(new Blob([png], { type: "image/png" }))]));
}

/** The clean image once per severity, with the predictions there, where this site has no corrupted ones. */
async function cleanStrip(page, { row, thumbnail }) {
  const image = h("img", { src: thumbnail ?? "" });
  await image.decode().catch(() => null);
  const [width, height] = [image.naturalWidth || 32, image.naturalHeight || 32];
  const frames = await page.run(`select severity, predicted_name, confidence, correct from ${page.rows}
    where evaluation_id = ${quoted(row.evaluation_id)} and image_id = ${row.image_id}
      and corruption in ('none', ${quoted(row.corruption)}) order by severity`);
  const canvas = h("canvas", { width: width * frames.length, height });
  if (thumbnail) frames.forEach((_, step) => canvas.getContext("2d").drawImage(image, step * width, 0));
  return {
    src: canvas.toDataURL(), size: [width, height], maps: "", map_size: [0, 0], file: "",
    title: `${page.corruption(row.corruption)}, ${page.label(row.evaluation_id)}: image ${row.image_id}, class “${shown(row.label_name)}”`,
    note: "This site has only the clean image, shown at each severity; predictions are those on the corrupted images.",
    frames: frames.map(({ severity, predicted_name, confidence, correct }) =>
      [severityName(severity), shown(predicted_name) || "no prediction", confidence === null ? "" : percent(confidence, 0), correct]),
  };
}
