"use strict";
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const made = (name, properties = {}) => Object.assign(document.createElement(name), properties);

  // Charts: each is drawn when it is visible, in the layout that fits and the theme that the reader's system asks for
  const themes = JSON.parse(document.getElementById("themes").textContent);
  const darkened = (spec) => Object.entries(themes.dark_colors).reduce((s, [a, b]) => s.replaceAll(a, b), spec);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const shown = new Map();
  function chartOf(plot) {
    const layout = plot.clientWidth < 600 ? "paper" : "page";
    const theme = dark.matches ? "dark" : "light";
    const read = (part) => {
      const stored = plot.parentElement.querySelector(`script.${part}`).textContent;
      return JSON.parse(theme === "dark" ? darkened(stored) : stored);
    };
    const options = { config: themes[theme], renderer: "svg", actions: false, tooltip: { disableDefaultStyle: true } };
    return { kind: layout + theme, spec: () => ({ ...read(layout), datasets: read("data") }), options };
  }
  async function draw(plot) {
    if (!plot.clientWidth) return;  // in something that is closed
    const { kind, spec, options } = chartOf(plot);
    if (shown.get(plot) === kind) return;
    shown.set(plot, kind);
    try {
      await vegaEmbed(plot, spec(), options);
      plot.querySelector("svg").setAttribute("aria-hidden", "true");  // the plot has a label, the tables the figures
    } catch (error) {
      plot.textContent = `This chart could not be drawn: ${error.message}`;
    }
  }

  // A saved chart has in itself what the page has around it: finding, subtitle, and where the data come from
  async function imageOf(plot, kind) {
    const { spec, options } = chartOf(plot);
    const text = (part) => plot.parentElement.querySelector(`figcaption ${part}`).textContent;
    const width = Number(plot.querySelector("svg").getAttribute("width")) - 16;  // within the padding
    const lines = (words, size) => {
      const letters = Math.floor(width / (0.5 * size));
      return words.replace(new RegExp(`(.{1,${letters}})(?:\\s+|$)`, "g"), "$1\n").trim().split("\n");
    };
    const subtitle = [text("small"), plot.dataset.source].filter(Boolean).flatMap((words) => lines(words, 11));
    const title = { text: lines(text("b"), 16.5), subtitle, fontSize: 14, anchor: "start", offset: 14 };
    const { view } = await vegaEmbed(made("div"), { ...spec(), title }, options);
    return view.toImageURL(kind, kind === "png" ? 2 : 1).finally(() => view.finalize());
  }
  const plots = all(".plot");
  const drawAll = async () => { for (const plot of plots) await draw(plot); };
  let waiting;
  window.addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(drawAll, 150); });
  dark.addEventListener("change", drawAll);
  document.addEventListener("toggle", drawAll, true);
  for (const plot of plots) {
    const line = made("p", { className: "save", textContent: "Save the chart: " });
    for (const kind of ["svg", "png"]) {
      const button = made("button", { type: "button", textContent: kind.toUpperCase() });
      button.addEventListener("click", async () => {
        const link = made("a", { download: `${plot.dataset.name}.${kind}` });
        link.href = await imageOf(plot, kind);
        link.click();
      });
      line.append(button, " ");
    }
    plot.after(line);
  }
  drawAll();

  // Links: what they lead to is unfolded
  function reveal() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let fold = target?.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
    target?.scrollIntoView();
  }
  window.addEventListener("hashchange", reveal);
  for (const link of all("a[href^='#']")) {
    link.addEventListener("click", () => { if (link.hash === location.hash) reveal(); });
  }
  reveal();

  // Print: Details are unfolded for it, but for charts, tables and the glossary
  let unfolded = [];
  window.addEventListener("beforeprint", () => {
    const printed = ["details", "findings", "limits", "making"].map((name) => `details[id^="${name}-"]`);
    unfolded = all(`${printed}, details[id^="making-"] details`).filter((fold) => !fold.open);
    for (const fold of unfolded) fold.open = true;
  });
  window.addEventListener("afterprint", () => { for (const fold of unfolded) fold.open = false; });

  // Tables: a click on a heading sorts by its column, by the first number of its cells where they have one
  const numberOf = (text) => Number(text.replace("\u2212", "-").replaceAll(",", "").match(/-?\d+(\.\d+)?/)?.[0] ?? NaN);
  for (const table of all("main table")) {
    const rows = [...table.tBodies[0].rows];
    if (rows.some((row) => !row.cells[0].textContent)) continue;  // its rows belong to the one above
    const headings = [...table.tHead.rows[0].cells];
    headings.forEach((heading, column) => {
      const button = made("button", { type: "button" });
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => {
        const isRising = heading.ariaSort !== "ascending";
        for (const other of headings) other.removeAttribute("aria-sort");
        heading.setAttribute("aria-sort", isRising ? "ascending" : "descending");
        const found = rows.map((row) => {
          const text = row.cells[column].textContent.trim();
          return { row, text, number: column ? numberOf(text) : NaN };
        });
        const isNumeric = found.some((one) => !Number.isNaN(one.number));
        found.sort((a, b) => {
          if (!isNumeric) return (isRising ? 1 : -1) * a.text.localeCompare(b.text);
          if (Number.isNaN(a.number) || Number.isNaN(b.number)) return Number.isNaN(a.number) - Number.isNaN(b.number);
          return (isRising ? 1 : -1) * (a.number - b.number);
        });
        table.tBodies[0].append(...found.map((one) => one.row));
      });
    });
  }

  // Images: filters of a gallery, and a viewer for one strip after the other
  const PAGE = 8;
  const HEAT = [213, 94, 0];
  const STRONGEST = 0.6;
  const show = viewer(document.querySelector("dialog"));

  function gallery(root) {
    const cards = all(".card", root);
    const filters = all("select", root);
    const more = made("button", { type: "button", className: "show-more", textContent: "Show more" });
    root.append(more);
    let room = PAGE;
    let fitting = cards;
    const filter = () => {
      fitting = cards.filter((card) => {
        const labels = JSON.parse(card.dataset.labels);
        return filters.every((one, place) => !one.value || labels[place] === one.value);
      });
      const seen = new Set(fitting.slice(0, room));
      for (const card of cards) card.hidden = !seen.has(card);
      const count = root.querySelector(".count");
      if (count) count.textContent = `${seen.size} of ${fitting.length} shown`;
      more.hidden = seen.size === fitting.length;
    };
    for (const select of filters) select.addEventListener("change", () => { room = PAGE; filter(); });
    more.addEventListener("click", () => { room += 4 * PAGE; filter(); });
    root.querySelector("form")?.addEventListener("submit", (event) => event.preventDefault());
    filter();
    for (const card of cards) card.addEventListener("click", () => show(card, fitting));
  }

  function viewer(dialog) {
    const part = (selector) => dialog.querySelector(selector);
    const canvas = part(".picture");
    const attention = part("[name=attention]");
    let strips, place, strip, image;

    // The attention of one step, 0 to 255 row by row; none where there is no map
    function attentionAt(step) {
      const length = strip.map_size[0] * strip.map_size[1];
      const bytes = Uint8Array.from(atob(strip.maps), (letter) => letter.charCodeAt(0));
      return bytes.subarray(step * length, (step + 1) * length);
    }

    function heat(values, columns, rows) {
      const small = new OffscreenCanvas(columns, rows);
      const context = small.getContext("2d");
      const pixels = context.createImageData(columns, rows);
      values.forEach((value, i) => pixels.data.set([...HEAT, STRONGEST * value], 4 * i));
      context.putImageData(pixels, 0, 0);
      return small;
    }

    function paint(target, step, longest) {
      const [width, height] = strip.size;
      const scale = Math.max(1, Math.floor(longest / Math.max(width, height)));
      target.width = width * scale;
      target.height = height * scale;
      const context = target.getContext("2d");
      context.imageSmoothingEnabled = false;
      context.drawImage(image, step * width, 0, width, height, 0, 0, target.width, target.height);
      const values = attentionAt(step);
      if (values.length && attention.checked) {
        context.imageSmoothingEnabled = true;
        context.drawImage(heat(values, ...strip.map_size), 0, 0, target.width, target.height);
      }
      return values.length && !values.some(Boolean) ? "; its attention is empty" : "";
    }

    const nameOf = (level, step) => (step ? `severity ${level}` : level);
    function select(step) {
      const [level, predicted, confidence, isCorrect] = strip.frames[step];
      const empty = paint(canvas, step, 480);
      part(".prediction").className = `prediction ${isCorrect ? "correct" : "incorrect"}`;
      part(".prediction").textContent = `${nameOf(level, step)}: ${isCorrect ? "\u2713" : "\u2717"} ${predicted} ${confidence}${empty}`;
      canvas.setAttribute("aria-label", part(".prediction").textContent);
      all("[name=severity]", dialog)[step].checked = true;
    }

    function fillSteps() {
      for (const old of all(".steps label", dialog)) old.remove();
      strip.frames.forEach(([level, predicted, confidence, isCorrect], step) => {
        const input = made("input", { type: "radio", name: "severity", value: step, className: "hidden" });
        const small = made("canvas");
        paint(small, step, 96);
        const label = made("label");
        label.append(input, small, made("b", { textContent: level }), made("br"), made("span", {
          className: isCorrect ? "correct" : "incorrect",
          textContent: `${isCorrect ? "\u2713" : "\u2717"} ${predicted}`,
        }), ` ${confidence}`);
        input.addEventListener("change", () => select(step));
        part(".steps").append(label);
      });
      part(".steps").hidden = strip.frames.length === 1;
    }

    async function open(step) {
      const card = strips[place];
      strip = JSON.parse(card.dataset.strip);
      image = card.querySelector("img");
      image.loading = "eager";
      await image.decode();
      part(".name").textContent = card.dataset.title;
      part(".note").textContent = card.dataset.note;
      part(".number").textContent = `${place + 1} of ${strips.length}`;
      part(".previous").disabled = place === 0;
      part(".next").disabled = place === strips.length - 1;
      for (const button of [part(".previous"), part(".next")]) button.hidden = strips.length === 1;
      attention.closest("label").hidden = !strip.maps;
      const keys = [strip.frames.length > 1 ? "\u2190 \u2192 severity" : "", strips.length > 1 ? "\u2191 \u2193 previous and next image" : "", "Esc close"];
      part(".keys").textContent = `Keys: ${keys.filter(Boolean).join(", ")}.`;
      fillSteps();
      select(Math.min(step, strip.frames.length - 1));
      if (dialog.open && document.activeElement === document.body) focusStep();  // it was on a step of the former
    }

    const focusStep = () => part("[name=severity]:checked").focus();
    const stepNow = () => Number(part("[name=severity]:checked").value);
    function go(by) {
      if (!strips[place + by]) return;
      place += by;
      open(stepNow());
    }
    function turn(by) {
      if (strip.frames.length === 1) return go(by);
      select(Math.max(0, Math.min(strip.frames.length - 1, stepNow() + by)));
      focusStep();
    }
    const keys = { ArrowLeft: () => turn(-1), ArrowRight: () => turn(1), ArrowUp: () => go(-1), ArrowDown: () => go(1) };
    dialog.addEventListener("keydown", (event) => {
      if (!keys[event.key]) return;
      event.preventDefault();
      keys[event.key]();
    });
    part(".previous").addEventListener("click", () => go(-1));
    part(".next").addEventListener("click", () => go(1));
    part(".close").addEventListener("click", () => dialog.close());
    attention.addEventListener("change", () => { const step = stepNow(); fillSteps(); select(step); });
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
    return async (card, among, step = Infinity) => {
      strips = among;
      place = among.indexOf(card);
      await open(step);
      dialog.showModal();
      focusStep();
    };
  }

  for (const root of all(".gallery")) if (root.querySelector(".card")) gallery(root);
  for (const button of all(".strip > button")) {
    button.addEventListener("click", (event) => {
      const count = JSON.parse(button.dataset.strip).frames.length;
      const step = event.detail ? Math.floor((count * event.offsetX) / button.clientWidth) : undefined;
      const same = all(".card").find((card) => card.dataset.strip === button.dataset.strip);
      show(same ?? button, same ? all(".card", same.parentElement) : [button], step);
    });
  }
})();
