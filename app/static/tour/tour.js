/* Half a minute over the real controls: one is outlined at a time, with a sentence in a card at the window's edge. It may be left
   at any point; what cannot be seen is left out. Loaded when it is asked for. */
import { make, openTab, scrollTo, store } from "../shared/page.js";
import { addStyle } from "../shared/style.js";

addStyle("tour/tour.css");

const WAIT_MS = 8000;  // for what a step draws once it is opened, on a slow machine too
/** @type {[string, string, string, string][]} - step of the page, selector, title, sentence */
const STOPS = [
  ["heads", ".wb-chips", "What is open", "Policy, demonstrations, chosen heads, last run: a press opens where each is chosen. All of it is in the link."],
  ["heads", ".wb-player-card", "A demonstration", "Both cameras on one clock. The lines over them: where the head that is shown looks. Space plays."],
  ["heads", ".wb-map-card", "The head map", "Every cell is an attention head, coloured by how much it tells of the action. A click shows it; its tick chooses it."],
  ["heads", ".wb-lab-card", "Ask about a head", "Why it predicts what it does, what happens without it, and all of its frames."],
  ["finetune", ".wb-methods", "Train only those", "The chosen heads alone, beside LoRA on all of them and controls: what each takes stands on its card."],
  ["compare", "#outcome", "See whether it helped", "Every method in the same scenes: films, success with its interval, and a test."],
  ["learn", "[data-lessons]", "Learn by doing", "Short lessons: predict first, then see. And any word with dots under it opens its meaning."],
];
let ending = null;

const shown = (selector) => {
  const one = /** @type {HTMLElement} */ (document.querySelector(selector));
  return one?.checkVisibility() && one.offsetHeight ? one : null;
};

async function found(step, selector) {
  openTab(step);
  for (const until = performance.now() + WAIT_MS; performance.now() < until;) {
    const target = shown(selector);
    if (target) return target;
    await new Promise((done) => setTimeout(done, 50));
  }
  return null;
}

export function tour() {
  ending?.();
  const back = /** @type {HTMLElement} */ (document.activeElement);
  let at = -1, target = null, turn = 0;
  const button = (label, act, look = "") => make("button", { type: "button", class: `wb-button${look}`, onclick: act }, label);
  const before = button("Back", () => go(-1), " wb-quiet");
  const next = button("Next", () => go(1), " wb-primary");
  const words = make("div", { role: "status" });
  const card = make("section", { class: "wb-tour wb-html", role: "dialog", "aria-label": "Tour of the page", tabindex: "-1", "data-testid": "tour" },
    words, make("div", { class: "wb-buttons" }, next, before, button("Skip the tour", () => end(), " wb-quiet")));

  async function go(way) {
    turn += 1;
    const mine = turn;
    let to = at + way, there = null;
    for (; STOPS[to]; to += way) {
      there = await found(STOPS[to][0], STOPS[to][1]);
      if (mine !== turn) return;
      if (there) break;
    }
    if (!there) { if (way > 0) end(); return; }
    at = to;
    target?.classList.remove("wb-toured");
    target = there;
    target.classList.add("wb-toured");
    scrollTo(target, target.offsetHeight > innerHeight / 2 ? "start" : "center");
    const [, , title, sentence] = STOPS[at];
    words.replaceChildren(make("small", {}, `${at + 1} of ${STOPS.length}`), make("h3", {}, title), make("p", {}, sentence));
    before.disabled = at === 0;
    next.textContent = at === STOPS.length - 1 ? "Done" : "Next";
  }
  const key = (event) => {
    if (event.key !== "Escape") return;
    event.preventDefault();
    event.stopPropagation();
    end();
  };
  function end() {
    turn += 1;
    ending = null;
    store("tour", true);
    target?.classList.remove("wb-toured");
    card.remove();
    document.removeEventListener("keydown", key, true);
    if (back?.isConnected) back.focus({ preventScroll: true });
  }
  ending = end;
  document.addEventListener("keydown", key, true);
  document.querySelector(".gradio-container").append(card);
  card.focus({ preventScroll: true });
  go(1);
}
