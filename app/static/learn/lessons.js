/* Runs the lessons of views/learn.py: the list in the Learn step, and a card in the corner of every step while one is
   on. Predict, then act on the real controls, then reveal. Progress is kept by the browser. */
import { meanMass } from "../heads/inspector.js";
import { number, whole } from "../shared/numbers.js";
import { make, on, openTab, scrollTo, state, store, stored } from "../shared/page.js";
import { PLACES } from "../shared/words.js";

export const learn = (element, props) => {
  const lessons = props.value;
  const memory = { done: [], id: null, predicted: null, ticked: 0, watched: [], ...stored("lessons", {}) };
  const percent = (share) => `${Math.round(100 * share)} %`;
  const error = (value) => value === null || value === undefined ? "not measured" : value.toFixed(3);
  let seen = new Set();  // of the task that is on: frames or heads
  let runs = [];         // the newest finetunes, newest first
  let before = null;     // the runs that were there when the task began
  let random = null;
  let scored = null;     // whether the card was drawn while heads were scored

  const active = () => lessons.find((lesson) => lesson.id === memory.id);
  const task = () => (memory.predicted === null ? null : active()?.tasks[memory.ticked]);
  const keep = () => store("lessons", memory);
  /* Two runs that only their method, or their heads, tell apart. */
  const alike = (a, b) => ["demonstrations", "steps", "rank"].every((name) => a?.[name] === b?.[name]);
  const fresh = (method) => runs.filter((run) => run.method === method && !before?.has(run.id));

  /* What is open, as the facts that a reveal names. `answer` is the right choice, null where the data cannot say. */
  const facts = {
    head() {
      const { focus, names } = state.heads;
      const mass = meanMass(focus);
      if (!mass) return { best: names[focus], place: "a place not computed yet", share: "an unknown share", answer: null };
      const most = mass.indexOf(Math.max(...mass));
      const group = state.episode.groups[most];
      return { best: names[focus], place: PLACES[group], share: percent(mass[most]), answer: group };
    },
    baseline() {
      const { explains, score, inert, metric } = state.heads;
      const best = Math.max(...score.filter((value, i) => value !== null && !inert[i]));
      const known = (name) => explains[name] === undefined ? "not measured" : percent(explains[name]);
      const { time } = explains;
      return { time: known("time"), state_time: known("state_time"), best_share: `${number(best)} (${metric.toLowerCase()})`,
        answer: time === undefined ? null : time < 0.25 ? "little" : time <= 0.75 ? "half" : "much" };
    },
    inert() {
      const { inert, layers, heads, stacks } = state.heads;
      const rows = [...new Set(inert.flatMap((is, i) => (is ? [Math.floor(i / heads) % layers] : [])))];
      const stack = stacks[Math.floor(inert.indexOf(true) / (layers * heads))];
      const last = rows.length === 1 && rows[0] === stack.layers - 1;
      return { inert: inert.filter(Boolean).length, inert_layer: last ? "last" : `${rows.join(", ")}th`, answer: last ? "last" : null };
    },
    choose() {
      const { parameters, lora } = state.cost ?? {};
      if (!parameters) return { answer: null };
      const times = lora / parameters;
      return { trainable: whole(parameters), lora: whole(lora), times: times.toFixed(0),
        answer: times < 4 ? "half" : times <= 20 ? "tenth" : "hundredth" };
    },
    train() {
      const first = runs.find((run) => run.method === "steering" && !run.control);
      const [steering, lora] = [first, runs.find((run) => run.method === "lora" && alike(run, first))].map((run) => run?.heldout);
      const known = typeof steering === "number" && typeof lora === "number";
      return { steering: error(steering), lora_error: error(lora),
        answer: !known ? null : Math.abs(steering - lora) <= 0.01 ? "tie" : steering < lora ? "steering" : "lora" };
    },
    control() {
      const control = runs.find((run) => run.control && run.method === "steering");
      const own = runs.find((run) => !run.control && run.method === "steering" && run.heads === control?.heads && alike(run, control));
      const [after, chosen] = [control?.heldout, own?.heldout];
      const known = typeof after === "number" && typeof chosen === "number";
      const ratio = after / chosen;
      return { before: error(chosen), after: error(after),
        answer: !known ? null : ratio > 1.1 ? "worse" : ratio < 0.9 ? "better" : "same" };
    },
    evidence: () => ({ answer: "six" }),
  };

  /* Event of the page -> conditions that it may fulfil. */
  const conditions = {
    frame: { scrubbed: (frame) => { seen.add(frame); return seen.size > 10; } },
    pin: { pinned: (i) => i !== state.heads.focus, inert: (i) => state.heads.inert[i],
           three: (i) => { seen.add(i); return seen.size >= 3; } },
    chosen: { chosen: () => true, random: () => random },
    changed: { changed: () => true },
    undo: { undone: () => true },
    action: { started: (sent) => sent.action === "start" && sent.form.steps !== undefined },
    runs: { both: () => fresh("steering").length > 0 && fresh("lora").length > 0, one: () => fresh("steering").some((run) => run.control) },
    watched: { watched: (scene) => { memory.watched.push(scene); return true; } },
    vote: { voted: (scene) => memory.watched.includes(scene) },
  };

  function happened(name, detail) {
    const current = task();
    if (!current || !conditions[name][current.done]?.(detail)) return;
    memory.ticked += 1;
    begin();
    keep();
    draw();
  }

  /* A task counts what happens from here on; waiting for runs counts from when they were started. */
  function begin() {
    seen = new Set();
    if (!task() || task().done === "started") before = new Set(runs.map((run) => run.id));
  }

  function start(id) {
    Object.assign(memory, { id, predicted: null, ticked: 0, watched: [] });
    begin();
    keep();
    draw();
    /** @type {HTMLElement} */ (document.querySelector(".wb-lesson"))?.focus();
  }

  function stop() {
    memory.id = null;
    keep();
    draw();
  }

  function point(current) {
    openTab(current.tab);
    setTimeout(() => {
      const target = [...document.querySelectorAll(current.find)].find((one) => one.offsetParent !== null);
      if (!target) return;
      scrollTo(target, "center");
      target.classList.add("wb-pointed");
      setTimeout(() => target.classList.remove("wb-pointed"), 2400);
    }, 150);
  }

  function draw() {
    drawList();
    drawCard();
  }

  /* The list stands in the Learn step, which is built when it is first opened. */
  function drawList() {
    document.querySelector("[data-lessons]")?.replaceChildren(make("ol", { class: "wb-lessons", "data-testid": "lessons" }, ...lessons.map((lesson, i) => {
      const done = memory.done.includes(lesson.id);
      const label = lesson.id === memory.id ? "Running" : done ? "Once more" : "Start";
      return make("li", { class: "wb-card", "data-done": String(done) },
        make("header", {}, make("h3", {}, `${i + 1}. ${lesson.title}`),
          make("span", { class: `wb-tag${done ? " wb-good" : ""}` }, done ? "done" : `${lesson.minutes} min`)),
        make("p", {}, lesson.question),
        make("button", { type: "button", class: `wb-button${done ? "" : " wb-primary"}`, "aria-label": `${label}: ${lesson.title}`,
          "data-lesson": lesson.id, disabled: lesson.id === memory.id, onclick: () => start(lesson.id) }, label));
    })));
  }

  function drawCard() {
    document.querySelector(".wb-lesson")?.remove();
    const lesson = active();
    if (!lesson) return;
    scored = state.heads !== null;
    const card = make("section", { class: "wb-lesson wb-html", "aria-label": `Lesson: ${lesson.title}`, tabindex: "-1", "data-testid": "lesson" },
      make("header", {}, make("h3", {}, lesson.title),
        make("button", { type: "button", class: "wb-icon", "aria-label": "Close the lesson", onclick: stop }, "✕")));
    if (!scored && lesson.id !== "evidence") card.append(make("p", {}, "Open demonstrations whose heads are scored first: lessons speak about what is open."));
    else if (memory.predicted === null) card.append(...prediction(lesson));
    else card.append(...work(lesson));
    document.querySelector(".gradio-container").append(card);
  }

  function prediction(lesson) {
    return [make("p", {}, lesson.idea), make("p", {}, make("b", {}, lesson.question)),
      make("div", { class: "wb-choices" }, ...lesson.choices.map(([name, words]) =>
        make("button", { type: "button", class: "wb-button", "data-choice": name,
          onclick: () => { memory.predicted = name; begin(); keep(); draw(); if (task()) point(task()); } }, words)))];
  }

  function work(lesson) {
    const words = (name) => lesson.choices.find(([id]) => id === name)?.[1] ?? name;
    const parts = [make("p", { class: "wb-muted" }, `You predict: ${words(memory.predicted)}.`),
      make("ul", { class: "wb-tasks" }, ...lesson.tasks.map((one, i) => make("li",
        { "data-state": i < memory.ticked ? "done" : i === memory.ticked ? "now" : "later" },
        make("span", {}, one.text),
        i === memory.ticked ? make("button", { type: "button", class: "wb-button wb-quiet", onclick: () => point(one) }, "Show me") : null)))];
    if (memory.ticked < lesson.tasks.length) return parts;
    if (!memory.done.includes(lesson.id)) { memory.done.push(lesson.id); keep(); drawList(); }
    const known = facts[lesson.id]();
    const text = lesson.reveal.replaceAll(/\{(\w+)\}/g, (_, name) => String(known[name] ?? "unknown"));
    const verdict = known.answer === null ? "Your data does not settle it." : known.answer === memory.predicted
      ? "You were right." : `Not so: ${words(known.answer)}.`;
    const next = lessons[lessons.indexOf(lesson) + 1];
    return [...parts, make("div", { class: "wb-reveal", role: "status", "data-testid": "reveal" }, make("p", {}, make("b", {}, verdict)),
      make("p", {}, text)),
      make("div", { class: "wb-buttons" }, next
        ? make("button", { type: "button", class: "wb-button wb-primary", onclick: () => start(next.id) }, `Next: ${next.title}`) : null,
        make("button", { type: "button", class: "wb-button", onclick: stop }, "Done"))];
  }

  on(element, "runs", (told) => { runs = told; before ??= new Set(told.map((run) => run.id)); });
  on(element, "action", (sent) => { if (sent.action === "select") random = sent.form.rule === "random"; });
  on(element, "lessons", drawList);
  for (const name of Object.keys(conditions)) on(element, name, (detail) => happened(name, detail));
  on(element, "heads", (heads) => { if (scored !== (heads !== null)) drawCard(); });
  on(element, "attention", () => { if (active()?.id === "head" && memory.predicted !== null && !task()) drawCard(); });
  on(element, "cost", () => { if (active()?.id === "choose" && memory.predicted !== null && !task()) drawCard(); });
  const abort = new AbortController();
  document.addEventListener("keydown", (event) => {
    if (!element.isConnected) abort.abort();
    else if (event.key === "Escape" && active() && !document.querySelector("dialog[open]")) stop();
  }, { signal: abort.signal });
  draw();
};
