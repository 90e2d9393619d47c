// Charts are drawn in Python for a theme and a width, which a cookie states; when they change, the page reloads. Its
// state is in its address.
const dark = matchMedia("(prefers-color-scheme: dark)");
const CHARTS = { 1800: 840, 1340: 620, 1100: 500, 960: 880, 720: 640, 0: 322 };  // chart width by minimum window width, in pixels
const wider = Object.keys(CHARTS).map((px) => matchMedia(`(min-width: ${px}px)`));
const chartWidth = () => Math.max(0, ...Object.keys(CHARTS).filter((px) => innerWidth >= px));
const keepView = () => {
  document.cookie = `failmodes_view=${dark.matches ? "dark" : "light"}.${CHARTS[chartWidth()]}; path=/; SameSite=Strict`;
};
keepView();
for (const query of [dark, ...wider]) {
  query.addEventListener("change", () => {
    if (matchMedia("print").matches) return;
    keepView();
    location.reload();
  });
}

addEventListener("DOMContentLoaded", () => {
  document.body.append(document.getElementById("viewer").content);
  const dialog = document.querySelector("dialog.viewer");
  const part = (role) => document.querySelector(`[data-role=${role}]`);
  const cards = () => all("[data-role=pictures] figure");
  const images = () => part("pictures").dataset.images.split(",");
  let open = "", closed = "";  // the image that the viewer shows or waits for, and the previous one

  function choose(image) {
    const choice = part("image").querySelector("marimo-dropdown").shadowRoot.querySelector("select");
    choice.selectedIndex = [...choice.options].findIndex((option) => option.text === image);
    choice.dispatchEvent(new Event("change", { bubbles: true }));
  }

  // The strip of a card, which Python creates when its image is selected
  const show = viewer(dialog, async (card) => {
    const image = images()[cards().indexOf(card)];
    open = image;
    if (part("strip")?.dataset.image !== image) choose(image);
    while (open === image && part("strip")?.dataset.image !== image) await new Promise((done) => setTimeout(done, 20));
    return part("strip").querySelector("[data-strip]");
  });
  const openAt = (card) => show(card, cards(), Number(part("pictures").dataset.step));
  dialog.addEventListener("close", () => { closed = open; open = ""; choose("--"); });

  // A click on an image opens its strip; a click on a chart scrolls to its result
  const ANSWERS = { curves: "cell", matrix: "images" };
  function press(event) {
    const card = event.target.closest("[data-role=pictures] figure");
    if (card) openAt(card);
    const answer = event.target.closest("marimo-vega") && ANSWERS[event.target.closest("[data-role]")?.dataset.role];
    const top = answer && part(answer).getBoundingClientRect().top;
    if (top < 0 || top > 0.7 * innerHeight) part(answer).scrollIntoView({ behavior: "smooth" });
  }
  document.addEventListener("click", press);
  document.addEventListener("keydown", (event) => { if (event.key === "Enter") press(event); });

  // An image that is selected by name, or named in the address, opens too
  new MutationObserver(() => {
    const image = part("strip")?.dataset.image;
    if (!image) closed = "";
    if (!image || image === open || image === closed || dialog.open || !part("pictures")) return;
    const card = cards()[images().indexOf(image)];
    if (!card) return;
    open = image;
    openAt(card);
  }).observe(document.body, { childList: true, subtree: true });
});
