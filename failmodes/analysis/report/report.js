"use strict";
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // Charts: each is drawn when it can be seen, in the layout that fits and the theme that the reader's system asks for
  const text = (id) => document.getElementById(id).textContent;
  const themes = JSON.parse(text("themes"));
  const darkened = (spec) => Object.entries(themes.dark_colors).reduce((s, [a, b]) => s.replaceAll(a, b), spec);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const plots = all(".plot");
  const shown = new Map();
  const views = new Map();
  async function draw(plot) {
    if (!plot.clientWidth) return;  // in something that is closed
    const layout = plot.clientWidth < 600 ? "paper" : "page";
    const theme = dark.matches ? "dark" : "light";
    if (shown.get(plot) === layout + theme) return;
    shown.set(plot, layout + theme);
    const read = (part) => {
      const stored = text(`${plot.dataset.chart}-${part}`);
      return JSON.parse(theme === "dark" ? darkened(stored) : stored);
    };
    const spec = { ...read(layout), datasets: read("data") };
    try {
      const made = await vegaEmbed(plot, spec, {
        config: themes[theme], renderer: "svg", actions: false, tooltip: { disableDefaultStyle: true },
      });
      views.set(plot, made.view);
      plot.querySelector("svg").setAttribute("aria-hidden", "true");  // the plot has a label, the tables the figures
    } catch (error) {
      plot.textContent = `This chart could not be drawn: ${error.message}`;
    }
  }
  const drawAll = async () => { for (const plot of plots) await draw(plot); };
  let waiting;
  window.addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(drawAll, 150); });
  dark.addEventListener("change", drawAll);
  for (const details of all("details.more")) details.addEventListener("toggle", drawAll);
  for (const button of all("[data-save]")) {
    button.addEventListener("click", async () => {
      const plot = button.closest("figure").querySelector(".plot");
      const link = document.createElement("a");
      link.href = await views.get(plot).toImageURL(button.dataset.save, 2);
      link.download = `${plot.dataset.name}.${button.dataset.save}`;
      link.click();
    });
  }
  drawAll();

  // Print: what is told of limits and making is opened for it
  const folded = all(".limits details, .made details");
  window.addEventListener("beforeprint", () => {
    for (const details of folded) { details.dataset.wasOpen = details.open; details.open = true; }
  });
  window.addEventListener("afterprint", () => {
    for (const details of folded) details.open = details.dataset.wasOpen === "true";
  });

  // Tables: a click on a heading sorts by its column
  for (const table of all("table.sortable")) {
    const headings = all("thead th", table);
    headings.forEach((heading, column) => heading.querySelector("button").addEventListener("click", () => {
      const isRising = heading.getAttribute("aria-sort") !== "ascending";
      for (const other of headings) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", isRising ? "ascending" : "descending");
      const rows = all("tbody tr", table).map((row) => {
        const cell = row.children[column];
        const value = cell.dataset.value;
        return { row, text: cell.textContent.trim(), number: value ? Number(value) : NaN };
      });
      const isNumeric = rows.some((one) => !Number.isNaN(one.number));
      rows.sort((a, b) => {
        if (!isNumeric) return (isRising ? 1 : -1) * a.text.localeCompare(b.text);
        if (Number.isNaN(a.number) || Number.isNaN(b.number)) return Number.isNaN(a.number) - Number.isNaN(b.number);
        return (isRising ? 1 : -1) * (a.number - b.number);
      });
      table.tBodies[0].append(...rows.map((one) => one.row));
    }));
  }

  // Gallery: filters, and a viewer for one picture
  const PAGE = 12;
  const HEAT = "213, 94, 0";
  const STRONGEST = 0.6;

  function gallery(root) {
    const cards = all(".card", root);
    if (!cards.length) return;
    const filters = all("select", root);
    const more = root.querySelector(".show-more");
    let room = PAGE;
    const filter = () => {
      const fitting = cards.filter((card) => filters.every((f) => !f.value || card.dataset[f.name] === f.value));
      const seen = new Set(fitting.slice(0, room));
      for (const card of cards) card.hidden = !seen.has(card);
      root.querySelector(".count").textContent = `${seen.size} of ${fitting.length} shown`;
      more.hidden = seen.size === fitting.length;
    };
    for (const select of filters) select.addEventListener("change", () => { room = PAGE; filter(); });
    more.addEventListener("click", () => { room += 4 * PAGE; filter(); });
    root.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
    filter();
    const show = viewer(root.querySelector("dialog"));
    for (const card of cards) card.addEventListener("click", () => show(card));
  }

  function viewer(dialog) {
    const canvas = dialog.querySelector("canvas");
    const slider = dialog.querySelector("[name=severity]");
    const attention = dialog.querySelector("[name=attention]");
    const prediction = dialog.querySelector(".prediction");
    let series, strip;

    // The attention of one step, 0 to 255 row by row; none where there is no map
    function attentionAt(step) {
      const length = series.map_size[0] * series.map_size[1];
      const bytes = Uint8Array.from(atob(series.maps), (letter) => letter.charCodeAt(0));
      return bytes.subarray(step * length, (step + 1) * length);
    }

    function heat(values, columns, rows) {
      const small = new OffscreenCanvas(columns, rows);
      const context = small.getContext("2d");
      const pixels = context.createImageData(columns, rows);
      const [red, green, blue] = HEAT.split(", ").map(Number);
      values.forEach((value, i) => pixels.data.set([red, green, blue, STRONGEST * value], 4 * i));
      context.putImageData(pixels, 0, 0);
      return small;
    }

    function paint() {
      const step = Number(slider.value);
      const [level, predicted, isCorrect, confidence] = series.frames[step];
      const [width, height] = series.size;
      const scale = Math.max(1, Math.floor(480 / Math.max(width, height)));
      canvas.width = width * scale;
      canvas.height = height * scale;
      const context = canvas.getContext("2d");
      context.imageSmoothingEnabled = false;
      context.drawImage(strip, step * width, 0, width, height, 0, 0, canvas.width, canvas.height);
      const values = attentionAt(step);
      if (values.length && attention.checked) {
        context.imageSmoothingEnabled = true;
        context.drawImage(heat(values, ...series.map_size), 0, 0, canvas.width, canvas.height);
      }
      const empty = values.length && !values.some(Boolean) ? "; its attention is empty" : "";
      const severity = step ? `severity ${level}` : level;
      const verdict = isCorrect ? "correct" : "incorrect";
      slider.setAttribute("aria-valuetext", severity);
      prediction.className = `prediction ${verdict}`;
      prediction.textContent = `${severity}: ${predicted} ${confidence} (${verdict})${empty}`;
      canvas.setAttribute("aria-label", prediction.textContent);
    }

    slider.addEventListener("input", paint);
    attention.addEventListener("change", paint);
    dialog.querySelector(".close").addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
    return async (card) => {
      series = JSON.parse(card.dataset.viewer);
      strip = card.querySelector("img");
      await strip.decode();
      dialog.querySelector(".name").textContent = all(".who, .fate", card).map((span) => span.textContent).join(" \u2013 ");
      slider.max = series.frames.length - 1;
      slider.value = series.frames.length - 1;
      attention.closest("label").hidden = !series.maps;
      paint();
      dialog.showModal();
    };
  }

  for (const root of all(".gallery")) gallery(root);
})();
