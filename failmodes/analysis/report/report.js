(() => {
  // Charts: each is drawn when it becomes visible, in the layout that fits and the theme of the reader's system
  const themes = JSON.parse(document.getElementById("themes").textContent);
  const darkened = (spec) => Object.entries(themes.dark_colors).reduce((s, [a, b]) => s.replaceAll(a, b), spec);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const shown = new Map();
  function chartOf(plot) {
    const layout = plot.clientWidth < 600 ? "narrow" : plot.clientWidth < 1120 ? "page" : "wide";
    const theme = dark.matches ? "dark" : "light";
    const read = (part) => {
      const stored = plot.parentElement.querySelector(`script.${part}`).textContent;
      return JSON.parse(theme === "dark" ? darkened(stored) : stored);
    };
    const options = { config: themes[theme], renderer: "svg", actions: false, tooltip: { disableDefaultStyle: true } };
    return { kind: layout + theme, spec: () => ({ ...read(layout), datasets: read("data") }), options };
  }
  async function draw(plot) {
    if (!plot.clientWidth) return;  // in a closed element
    const { kind, spec, options } = chartOf(plot);
    if (shown.get(plot) === kind) return;
    shown.set(plot, kind);
    try {
      const { view } = await vegaEmbed(plot, spec(), options);
      if (plot.dataset.name === "accuracy") view.addEventListener("click", (_, item) => item?.datum?.command && openCell(plot, item.datum));
      plot.querySelector("svg").setAttribute("aria-hidden", "true");  // the plot has a label, tables have the values
    } catch (error) {
      plot.textContent = `This chart could not be drawn: ${error.message}`;
    }
  }

  // A saved chart includes what the page shows around it: title, caption, and data source
  async function imageOf(plot, kind) {
    const { spec, options } = chartOf(plot);
    const text = (part) => plot.parentElement.querySelector(`figcaption ${part}`).textContent;
    const width = Number(plot.querySelector("svg").getAttribute("width")) - 16;  // without padding
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

  // Links unfold their target
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

  // Print unfolds Details, except charts, tables and the glossary
  let unfolded = [];
  window.addEventListener("beforeprint", () => {
    const printed = ["details", "findings", "limits", "making"].map((name) => `details[id^="${name}-"]`);
    unfolded = all(`${printed}, details[id^="making-"] details`).filter((fold) => !fold.open);
    for (const fold of unfolded) fold.open = true;
  });
  window.addEventListener("afterprint", () => { for (const fold of unfolded) fold.open = false; });

  // Tables: a click on a heading sorts by its column, by the first number in its cells if there is one
  const numberOf = (text) => Number(text.replace("\u2212", "-").replaceAll(",", "").match(/-?\d+(\.\d+)?/)?.[0] ?? NaN);
  for (const table of all("main table")) {
    const rows = [...table.tBodies[0].rows];
    if (rows.some((row) => !row.cells[0].textContent)) continue;  // rows without a name belong to the row above
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

  // A cell of the heat map opens its stored image, else shows the command that shows its images
  function openCell(plot, cell) {
    const images = document.getElementById(plot.closest("section").id.replace("accuracy", "predictions"));
    const cards = (images ? all(".card", images) : []).filter((card) => {
      const [model, corruption] = JSON.parse(card.dataset.labels);
      return model === cell.label && corruption === cell.corruption_label;
    });
    const levels = cards.length ? JSON.parse(cards[0].dataset.strip).frames.map(([level]) => level) : [];
    const step = levels.findIndex((level) => Number(level) === cell.severity || (level === "clean" && !cell.severity));
    if (cards.length && (cell.severity === undefined || step >= 0)) return show(cards[0], cards, step < 0 ? undefined : step);
    const line = plot.parentElement.querySelector(".command") ?? made("p", { className: "command" });
    line.replaceChildren(made("small", { textContent: `${cell.label}, ${cell.corruption_label}: no image is stored in this report; show them with ` }), made("code", { textContent: cell.command }));
    plot.after(line);
  }

  // Images: filters of a gallery; viewer.js enlarges strips
  const PAGE = 8;
  const show = viewer(document.querySelector("dialog"));

  function gallery(root) {
    const cards = all(".card", root);
    const filters = all("select", root);
    const more = made("button", { type: "button", className: "show-more", textContent: "Show more" });
    root.querySelector(".cards").after(more);
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
