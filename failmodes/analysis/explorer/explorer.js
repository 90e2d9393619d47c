// Charts are drawn in Python, for light or dark and for a width: a cookie says which, and the page is read again where
// they change. Its state is in its address.
const dark = matchMedia("(prefers-color-scheme: dark)");
const CHARTS = { 1800: 840, 1340: 620, 1100: 500, 720: 640, 0: 322 };  // by the least width of the window, in pixels
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
  const choice = () => document.querySelector("[data-role=image] marimo-dropdown")?.shadowRoot?.querySelector("select");
  const cards = () => all("[data-role=pictures] figure");
  const strip = () => document.querySelector("[data-role=strip]");
  let opened;  // the image whose strip the viewer shows or waits for

  function choose(image) {
    opened = image;
    choice().selectedIndex = [...choice().options].findIndex((option) => option.text === image);
    choice().dispatchEvent(new Event("change", { bubbles: true }));
  }

  // The strip of a card: Python makes it when its image is chosen
  const imageOf = (card) => strip.images[strip.cards.indexOf(card)];
  async function load(card) {
    const image = imageOf(card);
    if (opened !== image || !strip()) choose(image);
    while (opened === image && strip()?.dataset.image !== image) await new Promise((done) => setTimeout(done, 20));
    return strip().querySelector("[data-strip]");
  }
  const show = viewer(dialog, load);

  function open(card, step) {
    strip.cards = cards();
    strip.images = document.querySelector("[data-role=pictures]").dataset.images.split(",");
    show(card, strip.cards, step);
  }
  dialog.addEventListener("close", () => choose(choice().options[0].text));

  // A click on a picture opens its strip; one on a chart brings its answer into view
  const ANSWERS = { curves: "cell", matrix: "images" };
  const press = (event) => {
    const card = event.target.closest("[data-role=pictures] figure");
    if (card) return open(card, Number(document.querySelector("[data-role=pictures]").dataset.step));
    const answer = ANSWERS[event.target.closest("[data-role=curves], [data-role=matrix]")?.dataset.role];
    if (!answer || !event.target.closest("marimo-vega")) return;
    const heading = document.querySelector(`[data-role=${answer}]`);
    const top = heading.getBoundingClientRect().top;
    if (top < 0 || top > 0.7 * innerHeight) heading.scrollIntoView({ behavior: "smooth", block: "start" });
  };
  document.addEventListener("click", press);
  document.addEventListener("keydown", (event) => { if (event.key === "Enter") press(event); });

  // An image that is chosen by name, or that the address names, opens too
  new MutationObserver(() => {
    const image = strip()?.dataset.image;
    if (!image || image === opened || dialog.open) return;
    const place = document.querySelector("[data-role=pictures]")?.dataset.images.split(",").indexOf(image);
    if (place >= 0 && choice()) { opened = image; open(cards()[place], Number(strip().dataset.step)); }
  }).observe(document.body, { childList: true, subtree: true });
});
