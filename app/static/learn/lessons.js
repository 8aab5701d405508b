/* The lessons: which is on, what was done in it, and when it is over. The list stands in the Learn step, the lesson in a
   column beside every step (column.js). What counts is what happens from the moment a task begins. */
import { addCovers, uncover } from "./covers.js";
import { column } from "./column.js";
import { classroom } from "./classroom.js";
import { applyControls } from "./controls.js";
import { facts } from "./facts.js";
import { asked, memory } from "./memory.js";
import { summary } from "./summary.js";
import { filled } from "./verdict.js";
import { ask } from "../shared/ask.js";
import { pin } from "../shared/address.js";
import { bus, make, openTab, scrollTo, state, toast } from "../shared/page.js";

const MOST_STEPS = 40;
const POINT_MS = 150;  // a step that is opened is drawn first
const POINT_WITHIN_MS = 10_000;  // on a slow machine not at once
let pointing = 0;
let lessons = [];
let newest = [];       // the newest finetunes, newest first
let hint = "";         // what to do otherwise, after something that did not count

const active = () => lessons.find((lesson) => lesson.id === memory.id);
const progress = () => memory.of(memory.id);
const task = () => (progress().predicted === null || progress().revealed ? null : active()?.tasks[progress().ticked]);
const keep = (changes) => memory.set(memory.id, changes);

const seeing = (value, enough) => {
  const seen = [...new Set([...progress().seen, value])];
  keep({ seen });
  return seen.length >= enough;
};
/* A training is asked for: of at most MOST_STEPS, with these methods. */
const started = (...methods) => (sent) => {
  if (sent.action !== "start" || sent.form.steps === undefined) return false;
  const missing = methods.find(([name]) => !sent.form.methods?.includes(name));
  if (missing) return `That was without ${missing[1]}: tick it as well, and press Finetune.`;
  if (Number(sent.form.steps) > MOST_STEPS) return `That was ${sent.form.steps} steps. Press Stop, set Steps to ${MOST_STEPS} or fewer, and press Finetune.`;
  const before = Object.fromEntries(newest.map((run) => [run.id, run.asked_s]));
  keep({ before, asked: { steps: Number(sent.form.steps), seed: Number(sent.form.seed) } });
  return true;
};
/* The learner's own runs that came of it, a pair that only their method, or their heads, tell apart. */
const finished = (...which) => () => {
  const { before, asked: given } = progress();
  const own = newest.filter((run) => run.asked_s > (before[run.id] ?? 0) && run.steps === given?.steps && run.seed === given?.seed);
  const [first, ...rest] = which.map((is) => own.find(is));
  const alike = (run) => ["demonstrations_id", "rank", "batch_size"].every((name) => run[name] === first?.[name]);
  if (!first || !rest.every((run) => run && alike(run))) return false;
  keep({ runs: [first, ...rest] });
  return true;
};
const chosen = (run) => run.method === "steering" && !run.control;

/** @type {Record<string, [string, (detail: any) => boolean | string]>}
    Condition -> [event of the page, whether that fulfils it: true, or in words why it does not]. */
const CONDITIONS = {
  scrubbed: ["frame", (frame) => seeing(frame, 11)],
  another: ["pin", (i) => i !== state.heads.focus],
  three: ["pin", (i) => seeing(i, 3)],
  inert: ["pin", (i) => state.heads.inert[i]],
  chosen: ["chosen", () => true],
  changed: ["changed", () => true],
  undone: ["undo", () => true],
  both_started: ["action", started(["steering", "Robotic Steering"], ["lora", "LoRA"])],
  control_started: ["action", started(["steering", "Robotic Steering"], ["random", "Control: random heads"])],
  both: ["runs", finished(chosen, (run) => run.method === "lora")],
  control: ["runs", finished(chosen, (run) => run.control === "random")],
  watched: ["watched", (scene) => { keep({ watched: [...progress().watched, scene] }); return true; }],
  voted: ["vote", (vote) => {
    if (!progress().watched.includes(vote.scene)) return "Vote on the scene that you played to its end, or play this one first.";
    keep({ vote });
    return true;
  }],
};

function happened(name, detail) {
  const current = task();
  if (!current || CONDITIONS[current.done][0] !== name) return;
  const counts = CONDITIONS[current.done][1](detail);
  const words = typeof counts === "string" ? counts : "";
  if (counts === true) keep({ ticked: progress().ticked + 1, seen: [] });
  else if (!words || words === hint) return;  // what has nothing to do with the task leaves the hint
  hint = words;
  draw(counts === true ? `Done: ${current.text}` : "");
  if (counts === true) happened("runs", newest);  // what was waited for may be there already
}

function start(id) {
  if (memory.of(id).revealed) memory.again(id);
  hint = "";
  memory.open(id);
  if (id === "head" && state.heads) pin(state.heads.focus);
  draw();
  column.focus();
}

const stop = () => { memory.open(null); draw(); };

function predict(choice) {
  keep({ predicted: choice });
  classroom.predicted(memory.id, choice);
  draw();
  if (task() && progress().ticked === 0) point(task());
}

function reveal() {
  const { id } = memory;
  const known = facts[id](progress().predicted, progress());
  if (known.missing) { hint = known.missing; draw(); return; }
  keep({ revealed: known });
  classroom.predicted(id, progress().predicted, known.answer, true);
  hint = "";
  draw();
  column.showReveal();
}

/* Shows where the learner acts, once the step that is opened has drawn it. */
async function point(current) {
  openTab(current.tab);
  const mine = (pointing += 1);
  for (const until = performance.now() + POINT_WITHIN_MS; performance.now() < until;) {
    await new Promise((done) => setTimeout(done, POINT_MS));
    if (mine !== pointing) return;
    const target = [...document.querySelectorAll(current.find)].find((one) => /** @type {HTMLElement} */ (one).offsetParent !== null);
    if (!target) continue;
    const room = innerHeight - parseFloat(getComputedStyle(document.documentElement).scrollPaddingBottom || "0");
    scrollTo(target, target.getBoundingClientRect().height > room ? "start" : "center");
    target.classList.add("wb-pointed");
    setTimeout(() => target.classList.remove("wb-pointed"), 2400);
    return;
  }
}

/* said: what has happened, read aloud. */
function draw(said = "") {
  drawList();
  const lesson = active();
  if (lesson && progress().predicted === null) addCovers(lesson.covers);
  else uncover();
  if (!lesson) { column.remove(); return; }
  const known = lesson.id === "evidence" ? {} : state.heads ? facts[lesson.id](progress().predicted, progress()) : null;
  column.draw({ lesson, lessons, said, hint, known, progress: progress(), folded: memory.folded, classroom: classroom.line(),
    does: { stop, predict, reveal, point, start, fold: () => { memory.fold(!memory.folded); draw(); }, change: () => { keep({ predicted: null }); draw(); } } });
}

/* The list stands in the Learn step, which is built when it is first opened. */
export function drawList() {
  document.querySelector("[data-lessons]")?.replaceChildren(make("ol", { class: "wb-lessons", "data-testid": "lessons" }, ...lessons.map((lesson, i) => {
    const { revealed, predicted } = memory.of(lesson.id);
    const running = lesson.id === memory.id;
    const label = running ? "Running" : revealed ? "Once more" : predicted !== null ? "Go on" : "Start";
    return make("li", { class: "wb-card", "data-done": String(revealed !== null) },
      make("header", {}, make("h3", {}, `${i + 1}. ${lesson.title}`),
        make("span", { class: `wb-tag${revealed ? " wb-good" : ""}` }, revealed ? "done" : `${lesson.minutes} min`)),
      make("p", {}, filled(lesson.question, { best: state.heads?.names[state.heads.focus] ?? "one head" })),
      make("button", { type: "button", class: `wb-button${revealed ? "" : " wb-primary"}`, "aria-label": `${label}: ${lesson.title}`,
        "data-lesson": lesson.id, disabled: running, onclick: () => start(lesson.id) }, label));
  })));
  document.querySelector("[data-known]")?.replaceChildren(summary(lessons));
  document.querySelector("[data-class]")?.replaceChildren(...[classroom.line()].filter(Boolean));
}

/* Everything that the page tells; once, however often the step is built. */
function listen() {
  const named = new Set(Object.values(CONDITIONS).map(([name]) => name));
  bus.addEventListener("runs", (/** @type {any} */ event) => { newest = event.detail; classroom.ran(newest); });
  bus.addEventListener("vote", (/** @type {any} */ event) => classroom.voted(event.detail));
  for (const name of named) bus.addEventListener(name, (/** @type {any} */ event) => happened(name, event.detail));
  let scored = state.heads !== null;
  for (const name of ["heads", "attention", "cost", "player"]) {
    bus.addEventListener(name, () => {
      const now = state.heads !== null;
      if (memory.id === "head" && now && !scored) pin(state.heads.focus);
      if (active() && progress().revealed === null) draw();
      scored = now;
    });
  }
  window.addEventListener("storage", (event) => { if (memory.isKey(event.key)) draw(); });
  window.addEventListener("popstate", () => { if (asked() && asked() !== memory.id) start(asked()); });
  document.addEventListener("keydown", (/** @type {any} */ event) => {
    const writes = event.target.matches?.("input:not([type=range],[type=checkbox],[type=radio]), textarea, select");
    if (event.key.toLowerCase() !== "l" || writes || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    column.focus();
  });
}

let begun = null;
/* The lessons, once they are fetched. */
export const all = () => lessons;

/* Fetches the lessons and goes on with the one that is on: what main.js calls for a link, and the Learn step for its list. */
export const begin = () => {
  begun ??= (async () => {
    applyControls();
    try {
      lessons = await ask("lessons");
    } catch (error) {
      begun = null;
      toast(error.message);
      return;
    }
    newest = state.runs ?? [];
    listen();
    await classroom.begin(() => draw());
    if (memory.id && !active()) {
      toast(`There is no lesson called ${memory.id}. The lessons are ${lessons.map((one) => one.id).join(", ")}.`);
      memory.open(null);
    }
    if (memory.id) memory.open(memory.id);  // of a link: a second tab goes on with it
    draw();
    happened("runs", newest);
  })();
  return begun;
};
