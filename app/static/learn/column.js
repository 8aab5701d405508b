/* The lesson as a column beside the page; on small screens a sheet below it. The page makes room, so nothing is covered. */
import { figureOf } from "./figures.js";
import { summary } from "./summary.js";
import { filled, verdict, words as wordsOf } from "./verdict.js";
import { make } from "../shared/page.js";

const root = document.documentElement;
let box = null;
/* How much of the window's lower edge a sheet takes: the page ends, and scrolls to things, above it. */
const measure = new ResizeObserver(() => root.style.setProperty("--wb-sheet", `${box.isConnected ? box.offsetHeight : 0}px`));

const button = (label, key, act, look = "") => make("button", { type: "button", class: `wb-button${look}`, "data-part": key, onclick: act }, label);

function draw(given) {
  const { lesson, lessons, progress, does } = given;
  const focused = box?.contains(document.activeElement) ? /** @type {HTMLElement} */ (document.activeElement).dataset.part ?? "" : null;
  if (!box?.isConnected) {
    box = make("aside", { class: "wb-lesson wb-html", tabindex: "-1", "data-testid": "lesson" }, make("header", {}), make("div", { class: "wb-lesson-body" }),
      make("p", { class: "wb-lesson-said", role: "status" }));
    document.querySelector(".gradio-container").append(box);
    measure.observe(box);
  }
  root.dataset.docked = given.folded ? "folded" : "open";
  box.setAttribute("aria-label", `Lesson: ${lesson.title}`);
  const [head, body, said] = box.children;
  head.replaceChildren(make("div", {}, make("small", {}, `Lesson ${lessons.indexOf(lesson) + 1} of ${lessons.length}`), make("h2", {}, lesson.title)),
    make("button", { type: "button", class: "wb-icon wb-fold-lesson", "data-part": "fold", "aria-expanded": String(!given.folded), "aria-label": given.folded ? "Open the lesson's sheet" : "Fold the lesson's sheet",
      onclick: does.fold }, given.folded ? "▴" : "▾"),
    make("button", { type: "button", class: "wb-icon", "data-part": "close", "aria-label": "Close the lesson", onclick: does.stop }, "✕"));
  const parts = given.known === null ? [make("p", {}, "Open demonstrations whose heads are scored first: lessons speak about what is open.")]
    : progress.predicted === null ? question(given) : progress.revealed ? revealed(given) : work(given);
  body.replaceChildren(...parts, given.classroom ?? "");
  if (said.textContent !== given.said) said.textContent = given.said;
  if (focused !== null) (box.querySelector(`[data-part="${focused}"]`) ?? box).focus({ preventScroll: true });
}

function question({ lesson, known, does }) {
  return [make("p", {}, lesson.idea), make("h3", { id: "wb-question" }, filled(lesson.question, known)),
    make("div", { class: "wb-choices", role: "group", "aria-labelledby": "wb-question" }, ...lesson.choices.map(({ name, words }) =>
      make("button", { type: "button", class: "wb-button", "data-choice": name, "data-part": name, onclick: () => does.predict(name) }, words))),
    make("p", { class: "wb-muted" }, `Predict first${lesson.covers.length ? "; what shows the answer is covered until then" : ""}. You may change it until you ask for the answer.`)];
}

function work({ lesson, known, progress, hint, does }) {
  const all = progress.ticked >= lesson.tasks.length;
  return [make("h3", {}, filled(lesson.question, known)),
    make("p", { class: "wb-predicted" }, "You predict: ", make("b", {}, wordsOf(lesson, progress.predicted)), button("Change", "change", does.change, " wb-quiet")),
    make("ol", { class: "wb-tasks", "aria-label": "What to do" }, ...lesson.tasks.map((one, i) => make("li",
      { "data-state": i < progress.ticked ? "done" : i === progress.ticked ? "now" : "later" },
      make("span", {}, one.text, i < progress.ticked ? make("span", { class: "wb-lesson-said" }, " (done)") : null),
      i === progress.ticked ? button("Show me", "point", () => does.point(one), " wb-quiet") : null))),
    hint ? make("p", { class: "wb-lesson-hint", role: "status", "data-testid": "lesson-hint" }, hint) : "",
    all ? button("Show the answer", "reveal", does.reveal, " wb-primary") : ""];
}

function revealed({ lesson, lessons, progress, does }) {
  const known = progress.revealed;
  const { title, why } = verdict(lesson, progress);
  const next = lessons[lessons.indexOf(lesson) + 1];
  return [make("h3", {}, filled(lesson.question, known)),
    make("p", { class: "wb-predicted" }, "You predicted: ", make("b", {}, wordsOf(lesson, progress.predicted))),
    make("section", { class: "wb-reveal", tabindex: "-1", "aria-label": "The answer", "data-testid": "reveal" }, make("p", {}, make("b", {}, title)),
      why ? make("p", { "data-testid": "why-not" }, why) : "", known.figure ? figureOf(known.figure) : "",
      make("p", {}, filled(lesson.reveal, known))),
    make("div", { class: "wb-buttons" }, next ? button(`Next: ${next.title}`, "next", () => does.start(next.id), " wb-primary") : "", button("Done", "done", does.stop)),
    next ? "" : summary(lessons)];
}

export const column = {
  draw,
  remove() {
    box?.remove();
    delete root.dataset.docked;
  },
  focus() { box?.focus({ preventScroll: true }); },
  showReveal() {
    const shown = /** @type {HTMLElement} */ (box?.querySelector(".wb-reveal"));
    shown?.focus({ preventScroll: true });
    shown?.scrollIntoView({ block: "nearest" });
  },
};
