"use strict";
// The viewer of images over severities, in the <dialog> of viewer.html, shared by the report and the page of explore and site.
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const made = (name, properties = {}) => Object.assign(document.createElement(name), properties);

// Returns a function that opens the viewer at one of several cards. `load` returns the element with the data of a strip
// (data-strip, data-title, data-file, data-note and an img): the card itself, unless its strip is created on demand.
function viewer(dialog, load = (card) => card) {
  const HEAT = [213, 94, 0];
  const STRONGEST = 0.6;
  const part = (selector) => dialog.querySelector(selector);
  const canvas = part(".picture");
  const attention = part("[name=attention]");
  let strips, place, strip, image;

  // The attention of one step, 0 to 255 row by row; empty without a map
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
    return values.length && !values.some(Boolean) ? "; empty attention map" : "";
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
    const wanted = strips[place];
    const card = await load(wanted);
    if (wanted !== strips[place]) return;  // another one was requested meanwhile
    strip = JSON.parse(card.dataset.strip);
    image = card.querySelector("img");
    image.loading = "eager";
    await image.decode();
    part(".name").textContent = card.dataset.title;
    part(".file").textContent = card.dataset.file;
    part(".note").textContent = card.dataset.note;
    part(".number").textContent = `${place + 1} of ${strips.length}`;
    part(".previous").disabled = place === 0;
    part(".next").disabled = place === strips.length - 1;
    for (const button of [part(".previous"), part(".next")]) button.hidden = strips.length === 1;
    attention.closest("label").hidden = !strip.maps;
    part(".turn").hidden = strip.frames.length === 1;
    const keys = [strip.frames.length > 1 ? "\u2190 \u2192 severity" : "", strips.length > 1 ? "\u2191 \u2193 previous and next image" : "", strip.maps ? "A attention" : "", "Esc close"];
    part(".keys").textContent = `Keys: ${keys.filter(Boolean).join(", ")}.`;
    fillSteps();
    select(Math.min(step, strip.frames.length - 1));
    keepFocus();
  }

  const keepFocus = () => { if (dialog.open && document.activeElement === document.body) focusStep(); };  // it was on a step that is gone
  const focusStep = () => part("[name=severity]:checked").focus();
  const stepNow = () => Number(part("[name=severity]:checked").value);
  function go(by) {
    if (!strips[place + by]) return;
    place += by;
    open(stepNow());
  }
  function turn(by) {
    if (strip.frames.length === 1) return;
    select(Math.max(0, Math.min(strip.frames.length - 1, stepNow() + by)));
    focusStep();
  }
  const tint = () => { if (strip.maps) attention.click(); };
  const keys = { ArrowLeft: () => turn(-1), ArrowRight: () => turn(1), ArrowUp: () => go(-1), ArrowDown: () => go(1), a: tint, A: tint };
  dialog.addEventListener("keydown", (event) => {
    if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    keys[event.key]();
  });
  part(".previous").addEventListener("click", () => go(-1));
  part(".next").addEventListener("click", () => go(1));
  part(".lower").addEventListener("click", () => turn(-1));
  part(".higher").addEventListener("click", () => turn(1));
  part(".close").addEventListener("click", () => dialog.close());
  attention.addEventListener("change", () => { const step = stepNow(); fillSteps(); select(step); keepFocus(); });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  return async (card, among, step = Infinity) => {
    strips = among;
    place = among.indexOf(card);
    await open(step);
    dialog.showModal();
    focusStep();
  };
}
