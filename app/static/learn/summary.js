/* What the learner now knows, with their predictions and what their data said: shown after the last lesson and in the Learn
   step, and kept as a page that opens anywhere. */
import { figureOf } from "./figures.js";
import { memory } from "./memory.js";
import { filled, verdict, words } from "./verdict.js";
import { keepText } from "../shared/download.js";
import { make } from "../shared/page.js";

const STYLE = `:root { color-scheme: light dark; --wb-ink: #151a24; --wb-ink-2: #465064; --wb-line: #b9c1cf; --wb-plain: #0b66a8; --wb-below: #b42318;
  --wb-steering: #0072b2; --wb-lora: #d55e00; --wb-zero: #808080; --wb-random: #5b6fd6; }
@media (prefers-color-scheme: dark) { :root { --wb-ink: #eceff4; --wb-ink-2: #b4bdcb; --wb-line: #485264; --wb-plain: #5fb2f2; --wb-below: #ff8f86; } body { background: #0d1015; } }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 42rem; margin: 2rem auto; padding: 0 1rem; color: var(--wb-ink); }
h2 { font-size: 1.1rem; margin: 2rem 0 .3rem; } p { margin: .3rem 0; color: var(--wb-ink-2); } b { color: var(--wb-ink); } svg { max-width: 100%; margin: .6rem 0; }`;
/* Of the figures, on the page (learn.css says the same of its own) and in the file. */
const FIGURE = `svg text { font: 12px system-ui, sans-serif; fill: var(--wb-ink-2); } svg .wb-own { font-weight: 650; fill: var(--wb-ink); } svg .wb-figure-value { fill: var(--wb-ink); }
.wb-is-plain { fill: var(--wb-plain); } .wb-is-steering { fill: var(--wb-steering); } .wb-is-lora { fill: var(--wb-lora); } .wb-is-zero { fill: var(--wb-zero); } .wb-is-random { fill: var(--wb-random); }
.wb-below { fill: var(--wb-below); } .wb-axis { stroke: var(--wb-line); } .wb-limit { stroke: var(--wb-ink); stroke-dasharray: 3 3; }`;

const finished = (lessons) => lessons.map((lesson) => ({ lesson, progress: memory.of(lesson.id) })).filter(({ progress }) => progress.revealed);

function told({ lesson, progress }) {
  const { title, why } = verdict(lesson, progress);
  return { own: words(lesson, progress.predicted), title, why, known: progress.revealed };
}

/* "What you now know", of the lessons that are done; nothing before the first is. */
export function summary(lessons) {
  const done = finished(lessons);
  if (!done.length) return "";
  const right = done.filter(({ progress }) => progress.revealed.answer === progress.predicted).length;
  return make("section", { class: "wb-know", "data-testid": "summary", "aria-label": "What you now know" }, make("h3", {}, "What you now know"),
    make("p", { class: "wb-muted" }, `${right} of ${done.length} predictions were right. A wrong one teaches more.`),
    make("ol", {}, ...done.map(({ lesson }) => make("li", {}, lesson.know))),
    make("button", { type: "button", class: "wb-button", "data-part": "keep", onclick: () => keepText(page(lessons), "what I know of heads", "html", null) }, "Keep with my predictions (HTML)"));
}

/* The same as a page of its own. */
export function page(lessons) {
  const body = make("body", {}, make("h1", {}, "What I know of attention heads"),
    make("p", {}, `Lessons of the Robotic Steering workbench, ${new Date().toLocaleDateString("en-GB", { day: "numeric", month: "long", year: "numeric" })}.`),
    ...finished(lessons).flatMap((one) => {
      const { own, title, why, known } = told(one);
      return [make("h2", {}, one.lesson.title), make("p", {}, make("b", {}, filled(one.lesson.question, known))),
        make("p", {}, `I predicted: ${own}. ${title === "You were right." ? "That was right." : title} ${why}`),
        known.figure ? figureOf(known.figure) : "", make("p", {}, filled(one.lesson.reveal, known)), make("p", {}, make("b", {}, one.lesson.know))];
    }));
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>What I know of attention heads</title><style>${STYLE}${FIGURE}</style></head>${body.outerHTML}</html>`;
}
