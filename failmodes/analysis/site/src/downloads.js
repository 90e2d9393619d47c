// Files of figures and tables: SVG, PNG and PDF (printed by the browser), CSV and Parquet.
import { cancelable, h, linesOf, namesOf, shown } from "./dom.js";

const STYLES = ["fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "fill-opacity", "stroke-opacity", "font-size",
  "font-family", "font-weight", "text-anchor", "color"];
const SCALE = 2; // pixels of a PNG by CSS pixel

export function save(content, type, name) {
  const link = h("a", { href: URL.createObjectURL(new Blob([content], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** The figure as one SVG element with its colors, without targets of clicks. */
function standalone(figure) {
  const svg = figure.querySelector("svg");
  const copy = svg.cloneNode(true);
  const [from, to] = [[svg, ...svg.querySelectorAll("*")], [copy, ...copy.querySelectorAll("*")]];
  from.forEach((element, i) => {
    const style = getComputedStyle(element);
    to[i].setAttribute("style", STYLES.map((name) => `${name}:${style.getPropertyValue(name)}`).join(";"));
  });
  for (const hidden of copy.querySelectorAll(".brush, .target:not(text), style")) hidden.remove();
  const { width, height } = svg.getBoundingClientRect();
  const paper = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  Object.entries({ width: "100%", height: "100%", fill: getComputedStyle(document.body).backgroundColor })
    .forEach(([name, value]) => paper.setAttribute(name, value));
  copy.prepend(paper);
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("width", width);
  copy.setAttribute("height", height);
  return { copy, width, height };
}

async function png({ copy, width, height }) {
  const image = h("img", { src: `data:image/svg+xml;charset=utf-8,${encodeURIComponent(new XMLSerializer().serializeToString(copy))}` });
  await image.decode();
  const canvas = h("canvas", { width: SCALE * width, height: SCALE * height });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

/** Print one figure on a page of its size; the browser saves it as PDF. */
function print(content, width, height) {
  const sheet = h("style", {}, `@page { size: ${Math.ceil(width)}px ${Math.ceil(height)}px; margin: 0 }`);
  const paper = h("div", { className: "paper" }, content);
  document.head.append(sheet);
  document.body.append(paper);
  document.body.classList.add("printing");
  addEventListener("afterprint", () => {
    document.body.classList.remove("printing");
    paper.remove();
    sheet.remove();
  }, { once: true });
  window.print();
}

/** Buttons that save a figure; `figure` holds an SVG element. */
export function figureButtons(figure, name) {
  const make = {
    SVG: () => save(new XMLSerializer().serializeToString(standalone(figure).copy), "image/svg+xml", `${name}.svg`),
    PNG: async () => save(await png(standalone(figure)), "image/png", `${name}.png`),
    PDF: () => { const { copy, width, height } = standalone(figure); print(copy, width, height); },
  };
  return buttons(name, make);
}

/** Buttons that save images as they are shown: PNG of the grid, or PDF printed by the browser. */
export function imageButtons(list, name) {
  return buttons(name, {
    SVG: async () => save(new XMLSerializer().serializeToString((await sheet(list)).copy), "image/svg+xml", `${name}.svg`),
    PNG: async () => save(await png(await sheet(list)), "image/png", `${name}.png`),
    PDF: async () => { const { copy, width, height } = await sheet(list); print(copy, width, height); },
  });
}

/** A contact sheet of the cards of images, as SVG. */
async function sheet(list) {
  const NS = "http://www.w3.org/2000/svg";
  const made = (name, attributes, text) => {
    const element = document.createElementNS(NS, name);
    Object.entries(attributes).forEach(([key, value]) => element.setAttribute(key, value));
    if (text) element.textContent = text;
    return element;
  };
  const [side, gap, columns] = [150, 12, 6];
  const cards = [...list.querySelectorAll(".card")];
  const width = columns * (side + gap) + gap;
  const height = Math.ceil(cards.length / columns) * (side + 66) + gap;
  const copy = made("svg", { xmlns: NS, width, height, viewBox: `0 0 ${width} ${height}` });
  copy.append(made("rect", { width, height, fill: "white" }));
  cards.forEach((card, i) => {
    const [x, y] = [gap + (i % columns) * (side + gap), gap + Math.floor(i / columns) * (side + 66)];
    const source = card.querySelector("canvas, img");
    if (source) {
      const canvas = h("canvas", { width: source.naturalWidth || source.width, height: source.naturalHeight || source.height });
      canvas.getContext("2d").drawImage(source, 0, 0);
      copy.append(made("image", { x, y, width: side, height: side, href: canvas.toDataURL(), style: "image-rendering:pixelated" }));
    }
    [...card.querySelectorAll(":scope > b, :scope > span:not(.picture)")].slice(0, 4).forEach((line, row) =>
      copy.append(made("text", { x, y: y + side + 12 + 12 * row, "font-size": 9.5, "font-family": "sans-serif",
        "font-weight": line.tagName === "B" ? 700 : 400 }, line.textContent.slice(0, 34))));
  });
  return { copy, width, height };
}

/** Buttons that save the rows of a statement, and cancel that while it runs; `box` marks one of a user. */
export function tableButtons(page, name, statement, box = false) {
  return buttons(name, {
    CSV: async (signal) => save(await csv(page.read(statement(), { box, signal })), "text/csv", `${name}.csv`),
    Parquet: async (signal) => save(await page.save(statement(), { box, signal }), "application/vnd.apache.parquet", `${name}.parquet`),
  });
}

function buttons(name, make) {
  return h("span", { className: "save" }, "Save: ", ...Object.entries(make).map(([kind, run]) => {
    const { button } = cancelable(kind, async (signal) => {
      button.classList.remove("failed");
      try {
        await run(signal);
      } catch (error) {
        if (signal.aborted) return;
        button.title = String(error.message ?? error);
        button.classList.add("failed");
      }
    }, `Save ${name} as ${kind}`);
    return button;
  }));
}

/** Tables as one CSV file, made part by part; a blob may lie on disk. */
async function csv(tables) {
  const parts = [];
  for await (const table of tables) {
    const lines = [...(parts.length ? [] : [namesOf(table)]), ...linesOf(table)];
    parts.push(new Blob(lines.map((line) => `${line.map(cell).join(",")}\r\n`)));
  }
  return new Blob(parts);
}

function cell(value) {
  // a spreadsheet would run a text that begins like a formula
  const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : shown(value);
  return /[",;\t\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
