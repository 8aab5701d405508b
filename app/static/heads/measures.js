/* Under the head map: why a head predicts what it does, what a gain does to the action, its words, all its frames, and
   two measures against each other. One question at a time goes to the server, only while it can be seen;
   scrubbing, gains and heads are then drawn from the answer. */
import { headSet } from "./head_set.js";
import { pin } from "../shared/address.js";
import { keepText } from "../shared/download.js";
import { figureTools, plot, plotTools } from "../shared/figure.js";
import { number } from "../shared/numbers.js";
import { bus, emit, isReady, latest, make, on, state, store, stored, toast } from "../shared/page.js";
import { fetchImage } from "../shared/pictures.js";

export const measures = (element, props, trigger, watch) => {
  const KINDS = [["why", "Why this head"], ["gain", "Turn it up or off"], ["words", "Words it reads"], ["frames", "All its frames"], ["two", "Two measures"]];
  const LEAD = {
    why: "The frames of other episodes in which this head says nearly the same, and what the demonstrator did there.",
    gain: "What the policy would do at this frame with this head switched off, left alone or turned up.",
    words: "How much of this head's attention goes to each word at this frame.",
    frames: "What this head says on every frame, which frames its score comes from, and where it fails.",
    two: "Where two measures of relevance agree and where they do not. Draw a loop around heads to select them.",
  };
  const PER_FRAME = ["gain", "words"];
  const SETTLED_MS = 350;
  const POLL_MS = 400;
  const put = latest(trigger, "ask");
  let kind = stored("measures", "why");
  if (!LEAD[kind]) kind = "why";
  let asked = "", serial = 0, turn = 0, answer = null, timer = null, seen = false, gain = 1, atlas = null, board = null;
  let cameras = [.../** @type {NodeListOf<HTMLCanvasElement>} */ (document.querySelectorAll(".wb-cameras canvas"))];

  const subject = () => {
    const { heads, episode, pinned, frame } = state;
    if (!heads || !episode || pinned === null || !episode.key.startsWith(`${heads.demonstrations}/`)) return "";  // not all of it is here
    const head = kind === "two" || kind === "words" ? "" : pinned;
    const scores = kind === "two" ? `${heads.key}|${heads.second?.key ?? ""}` : kind === "frames" ? heads.key : "";
    return [kind, episode.key.split("/").slice(0, kind === "frames" ? 1 : 2).join("/"), head, PER_FRAME.includes(kind) ? frame : "", scores].join("/");
  };
  const label = () => state.heads.names[state.pinned];

  function soon(wait = SETTLED_MS) {
    clearTimeout(timer);
    timer = setTimeout(ask, wait);
  }

  function ask() {
    timer = null;
    const now = subject();
    if (!seen || !now || answer?.stopped || !element.isConnected || element.offsetParent === null) return;
    if (now === asked && !answer?.pending) return;
    if (now !== asked) { asked = now; serial += 1; answer = null; draw(); }
    turn += 1;
    put({ kind, head: state.pinned, frame: state.frame, serial, turn });
  }

  function take() {
    const given = props.value;
    if (!given || given.serial !== serial || given.kind !== kind || asked !== subject()) return;
    answer = given;
    draw();
    if (given.pending) soon(POLL_MS);
  }

  const body = make("div", { class: "wb-lab-body", "data-testid": "lab-body" });
  const tabs = make("div", { class: "wb-segments wb-lab-tabs", role: "group", "aria-label": "Ask about the head shown" });
  for (const [name, title] of KINDS) {
    tabs.append(make("button", { type: "button", "data-kind": name, onclick: () => { kind = name; store("measures", name); asked = ""; seen = true; show(); soon(0); } }, title));
  }
  const lead = make("p", { class: "wb-lab-lead" });
  element.replaceChildren(make("div", { class: "wb-lab", "data-testid": "measures" }, tabs, lead, body));

  function show() {
    for (const button of tabs.children) button.setAttribute("aria-pressed", String(button.dataset.kind === kind));
    lead.textContent = LEAD[kind];
    answer = null;
    draw();
  }

  function draw() {
    state.drawOver = null;
    if (!state.heads) { body.replaceChildren(note("Questions about a head open once heads are scored.")); return; }
    if (!answer) body.replaceChildren(note("Working it out…"));
    else if (answer.pending) waiting();
    else if (answer.stopped) body.replaceChildren(stopped());
    else if (answer.empty) body.replaceChildren(empty());
    else { ({ why, gain: gains, words, frames: everyFrame, two })[kind](); body.append(tools()); }
    emit("redraw");
  }

  /* What was answered, to keep: figures as image and table, everything as the numbers that it was drawn from. */
  function tools() {
    const title = KINDS.find(([name]) => name === kind)[1];
    const what = () => (kind === "two" ? [title] : [title, label()]);
    const json = () => keepText(JSON.stringify({ head: label(), frame: state.frame + 1, ...answer }, null, 1), what(), "json");
    if (kind === "frames") return figureTools({ png: () => board?.keepPicture(what()), csv: () => board?.keepTable(what()), json });
    if (!answer.figure) return figureTools({ json });
    return figureTools({ ...plotTools(target, props.plotly, () => ({ what: what(), title: what().join(": ") })), json });
  }

  const note = (text) => make("p", { class: "wb-lab-note", role: "status" }, text);
  /* The same elements while a job runs: its button can be pressed and keeps the focus, and its state is read aloud once. */
  const stage = make("p", { "data-testid": "lab-stage" });
  const atWork = make("div", { class: "wb-lab-note wb-empty" }, make("p", { role: "status" }, "The policy is at work."), stage,
    make("button", { type: "button", class: "wb-button wb-quiet", "data-testid": "lab-stop", onclick: () => {
      trigger("stop", { job: answer.job });
      serial += 1;  // what is on its way is of no use now
      answer = { stopped: true };
      draw();
    } }, "Stop"));
  function waiting() {
    stage.textContent = [answer.pending, answer.left].filter(Boolean).join(", ");
    if (body.firstChild !== atWork) body.replaceChildren(atWork);
  }
  const stopped = () => make("div", { class: "wb-lab-note wb-empty" }, make("p", { role: "status" }, "Stopped."),
    make("button", { type: "button", class: "wb-button wb-primary", onclick: () => { asked = ""; show(); soon(0); } }, "Ask again"));
  /* What is missing, and the one button that gets it; its progress shows above. */
  function empty() {
    const { offer } = answer;
    const box = make("div", { class: "wb-lab-note wb-empty", role: "status" }, make("p", {}, answer.empty));
    if (!offer) return box;
    box.append(make("button", { type: "button", class: "wb-button wb-primary", "data-testid": "lab-offer", onclick: () => {
      trigger("measure", { metric: offer.metric });
      box.replaceChildren(make("p", {}, "Measuring: the line above says how far it is. This panel fills when it is done."));
    } }, offer.label));
    return box;
  }
  const heading = (text) => make("h3", {}, text);

  /* -- why ---------------------------------------------------------------------------------------------------- */
  function why() {
    const { frames, names, atlas: sheet } = answer.why;
    const one = frames[Math.min(state.frame, frames.length - 1)];
    if (atlas?.url !== sheet.url) {
      atlas = { url: sheet.url, image: null, words: "" };
      loadAtlas(atlas);
    }
    const near = one.near.map(([episode, frame, weight], i) => make("figure", { class: "wb-near" },
      make("canvas", { width: sheet.tile, height: sheet.tile, "data-near": i, role: "img", "aria-label": `Episode ${episode + 1}, frame ${frame + 1}` }),
      make("figcaption", {}, `Episode ${episode + 1}, frame ${frame + 1}`, make("b", {}, `weight ${Math.round(100 * weight)} %`))));
    body.replaceChildren(make("div", { class: "wb-lab-two" },
      make("section", {}, heading(`${label()} at frame ${state.frame + 1}: nearest frames`), make("div", { class: "wb-nears" }, ...near),
        make("p", { class: "wb-muted", role: "status", "data-atlas": true }, atlas.words)),
      make("section", {}, heading("Predicted from them, and demonstrated"),
        dots(names, one.actions.map((values, i) => [values, 0.25 + 0.75 * one.near[i][2]]), one.predicted, one.true),
        make("p", { class: "wb-muted" }, "Blue: what was done in the nearest frames. Bar: their weighted mean, the prediction. Cross: what was demonstrated here. In standard deviations."))));
    thumbnails();
  }

  async function loadAtlas(wanted) {
    const say = (told) => {
      wanted.words = told;
      body.querySelector("[data-atlas]")?.replaceChildren(told);
    };
    wanted.image = await fetchImage(wanted.url, () => atlas === wanted && element.isConnected, say);
    if (wanted.image) say("");
    if (kind === "why" && answer?.why) thumbnails();
  }

  function thumbnails() {
    const sheet = answer.why.atlas;
    if (!atlas.image) return;
    const one = answer.why.frames[Math.min(state.frame, answer.why.frames.length - 1)];
    for (const canvas of body.querySelectorAll("[data-near]")) {
      const [episode, frame] = one.near[canvas.dataset.near];
      const at = sheet.starts[episode] + Math.floor(frame / sheet.step);
      canvas.getContext("2d").drawImage(atlas.image, (at % sheet.columns) * sheet.tile, Math.floor(at / sheet.columns) * sheet.tile,
        sheet.tile, sheet.tile, 0, 0, sheet.tile, sheet.tile);
    }
  }

  /* One row a dimension on a common axis of ±RANGE standard deviations. */
  function dots(names, clouds, bar, cross) {
    const all = [...clouds.flatMap(([values]) => values), ...bar, ...cross].map(Math.abs);
    const range = Math.max(2, ...all);
    const at = (v) => `${50 + 48 * v / range}%`;
    return make("div", { class: "wb-dims", role: "img", "aria-label": names.map((name, d) => `${name}: predicted ${bar[d]}, demonstrated ${cross[d]}`).join("; ") },
      ...names.map((name, d) => make("div", { class: "wb-dim" }, make("span", {}, name), make("div", {},
        ...clouds.map(([values, weight]) => make("i", { style: `left:${at(values[d])};opacity:${weight.toFixed(2)}` })),
        make("b", { style: `left:${at(bar[d])}` }), make("u", { style: `left:${at(cross[d])}` }, "×")))));
  }

  /* -- gain --------------------------------------------------------------------------------------------------- */
  function gains() {
    const { gains: steps, names, mean, demonstrated, change, paths } = answer.gain;
    const index = () => steps.reduce((best, g, i) => Math.abs(g - gain) < Math.abs(steps[best] - gain) ? i : best, 0);
    const own = steps.indexOf(1);
    const output = make("output", { "data-testid": "gain" });
    const rows = make("div", {});
    const said = make("p", { class: "wb-lab-said", "aria-live": "polite" });
    const knob = make("input", { type: "range", min: steps[0], max: steps[steps.length - 1], step: 0.25, value: gain, "aria-label": "Gain of the head", "data-testid": "gain-knob" });
    const mirrors = Object.keys(paths).length ? cameras.map((camera) => make("canvas", { width: camera.width, height: camera.height, role: "img", "aria-label": "Predicted path" })) : [];
    const set = (value) => { gain = value; knob.value = value; update(); };
    function update() {
      const i = index();
      output.textContent = gain === 0 ? "off" : `× ${gain}`;
      rows.replaceChildren(dots(names, [[mean[own], 1]], mean[i], demonstrated));
      const moved = change[i];
      said.textContent = i === own ? "The head as it is." : moved < 0.005
        ? `${gain === 0 ? "Without" : "With"} this head the action is the same to within 0.005 standard deviations.`
        : `${gain === 0 ? "Switched off" : `At ${gain} times`}, the predicted actions change by ${moved.toFixed(2)} standard deviations.`;
      state.drawOver = (context, canvas, camera) => path(context, canvas, paths[camera], i, own);
      emit("redraw");
      mirrors.forEach((mirror, c) => cameras[c]?.width && mirror.getContext("2d").drawImage(cameras[c], 0, 0, mirror.width, mirror.height));
    }
    knob.addEventListener("input", () => { gain = Number(knob.value); update(); });
    const button = (title, value) => make("button", { type: "button", class: "wb-button wb-quiet", onclick: () => set(value) }, title);
    body.replaceChildren(make("div", { class: "wb-lab-two" },
      make("section", {}, heading(`${label()} at frame ${state.frame + 1}`),
        make("label", { class: "wb-knob" }, make("span", {}, "Gain"), knob, output),
        make("div", { class: "wb-buttons" }, button("Switch off", 0), button("As it is", 1), button("Twice", 2), button("Three times", 3)), said,
        mirrors.length ? make("div", { class: "wb-mirrors" }, ...mirrors) : null,
        make("p", { class: "wb-muted" }, Object.keys(paths).length
          ? "On the cameras: the path of the gripper that the policy predicts, white as it is, orange at this gain."
          : "The path cannot be drawn on these images: they come from outside the simulator, or from another version of it.")),
      make("section", {}, heading("Mean action of the predicted chunk"), rows,
        make("p", { class: "wb-muted" }, "Blue: the policy as it is. Bar: at this gain. Cross: demonstrated. In standard deviations."))));
    update();
  }

  function path(context, canvas, places, changed, own) {
    if (!places) return;
    const scale = canvas.width / 384;
    const line = (points, colour, given) => {
      const width = given * scale;
      context.beginPath();
      points.forEach(([x, y], i) => x >= 0 && (i ? context.lineTo(x * canvas.width, y * canvas.height) : context.moveTo(x * canvas.width, y * canvas.height)));
      context.lineCap = context.lineJoin = "round";
      context.lineWidth = width + 3 * scale;
      context.strokeStyle = "rgb(0 0 0 / 65%)";
      context.stroke();
      context.lineWidth = width;
      context.strokeStyle = colour;
      context.stroke();
      const [x, y] = points[points.length - 1];
      context.beginPath();
      context.arc(x * canvas.width, y * canvas.height, width + 2 * scale, 0, 7);
      context.fillStyle = colour;
      context.fill();
    };
    line(places[own], "#ffffff", 4);
    if (changed !== own) line(places[changed], "#ff8c32", 4);
  }

  /* -- words -------------------------------------------------------------------------------------------------- */
  function words() {
    const { words: text, weight, rest } = answer.words;
    const mine = weight[state.pinned];
    const total = mine.reduce((a, b) => a + b, 0);
    const most = Math.max(...mine, 1e-9);
    const bar = (name, value) => make("div", { class: "wb-bar" }, make("span", {}, name),
      make("div", { class: "wb-bar-track" }, make("i", { style: `width:${(100 * value).toFixed(1)}%` })), make("span", { class: "wb-bar-value" }, `${Math.round(100 * value)} %`));
    body.replaceChildren(make("div", { class: "wb-lab-two" },
      make("section", {}, heading(`${label()} at frame ${state.frame + 1}`), make("p", { class: "wb-words" }, ...text.map((word, i) =>
        make("span", { style: `--weight:${(mine[i] / most).toFixed(3)}` }, word, make("small", {}, `${(100 * mine[i]).toFixed(mine[i] < 0.1 ? 1 : 0)} %`)))),
        make("p", { class: "wb-muted" }, "Stronger: more of this head's attention, beside its other words.")),
      make("section", {}, heading("All of its attention"), bar("Words", total),
        ...Object.entries(rest).map(([name, values]) => bar(name[0].toUpperCase() + name.slice(1), values[state.pinned])))));
  }

  /* -- figures ------------------------------------------------------------------------------------------------ */
  const target = make("div", { class: "wb-figure", "data-testid": "lab-figure" });

  async function everyFrame() {
    const drawn = answer, place = make("div", {});
    body.replaceChildren(place);
    const { allFrames } = await import("../frames/frames.js");
    if (answer !== drawn || kind !== "frames") return;
    board = allFrames(answer.frames, label());
    place.replaceWith(board.element);
  }

  async function two() {
    const { names } = state.heads;
    const index = ([stack, layer, head]) => {
      const { layers, heads, stacks } = state.heads;
      return (stacks.findIndex((one) => one.name === stack) * layers + layer) * heads + head;
    };
    body.replaceChildren(make("div", { class: "wb-agreements" }, ...answer.lines.map((line) => make("p", {}, line))), target);
    const drawn = answer;
    await plot(target, answer.figure, props.plotly);
    if (answer !== drawn || target.dataset.lasso) return;
    target.dataset.lasso = "1";
    target.on("plotly_selected", (event) => {
      const flat = (event?.points ?? []).map(({ customdata }) => index(customdata));
      if (flat.length) { headSet.add(flat); toast(`${flat.length} head${flat.length === 1 ? "" : "s"} from the loop selected.`); }
    });
    target.on("plotly_click", (event) => {
      const i = index(event.points[0].customdata);
      if (names[i]) pin(i);
    });
  }

  const forget = () => { asked = ""; answer = null; draw(); };
  /* What is open changed: an answer about what was open before is shown no longer. */
  function follow() {
    if (subject() === asked && answer) return;
    if (answer) forget();
    else draw();
    soon();
  }

  const moved = () => {
    if (!seen || !state.heads || answer?.stopped) return;  // what is out of sight is drawn when it comes into sight
    if (!answer || answer.empty || answer.pending) {
      if (timer === null || PER_FRAME.includes(kind)) soon();  // while it plays, every frame would put the rest off
      return;
    }
    if (kind === "why") why();
    else if (PER_FRAME.includes(kind) && subject() !== asked) {
      state.drawOver = null;  // it belonged to another frame
      body.replaceChildren(note("Pause on a frame to ask about it."));
      soon();
    }
  };
  const observer = new IntersectionObserver((entries) => {
    seen = entries.some((entry) => entry.isIntersecting);
    if (!seen) return;
    moved();
    if (subject() !== asked) soon(0);
  }, { rootMargin: "-40px" });
  observer.observe(element);
  on(element, "frame", moved);
  on(element, "player", (canvases) => { cameras = canvases; });
  on(element, "heads", () => {
    if (!state.heads || answer?.empty) { asked = ""; answer = null; }  // what was missing may be there now
    follow();
  });
  on(element, "player", follow);
  on(element, "action", (sent) => { if (sent.action === "open") forget(); });  // other demonstrations are on their way
  on(element, "pin", () => {
    if (kind === "words" && answer?.words) words();
    else if (subject() !== asked) soon();
  });
  on(element, "theme", () => { if (kind === "two") draw(); });
  watch("value", take);
  show();
};

/* What the set would cost: asks after every change of the set, and shows the server's markup. */
export const whatIf = (element, props, trigger, watch) => {
  const show = () => {
    const { heads } = state;
    const missing = heads ? "Select heads to see what training them would take." : "Once heads are scored, what training the selected ones would take stands here.";
    element.innerHTML = (heads && props.value) || `<p class="wb-whatif">${missing}</p>`;
    tell();
  };
  const tell = () => {
    const { of, parameters, lora } = element.querySelector(".wb-whatif").dataset;
    const current = of === [...state.selected].sort((a, b) => a - b).join(",");  // else the answer is about a set before
    state.cost = current ? { parameters: Number(parameters), lora: Number(lora) } : null;
    emit("cost", state.cost);
  };
  const put = latest(trigger, "ask");
  let timer = null;
  const ask = () => {
    clearTimeout(timer);
    if (state.heads) timer = setTimeout(() => put({ selected: [...state.selected] }), 40);
  };
  on(element, "selection", () => { tell(); ask(); });
  on(element, "heads", () => { show(); ask(); });
  watch("value", show);
  show();
};

/* Relevance of the head shown by time in the episode, under the scrubber. */
const paint = () => {
  /** @type {HTMLElement} */
  const box = document.querySelector(".wb-strip");
  const { heads } = state;
  if (!box || !(heads || isReady())) return;
  const i = state.hover ?? state.pinned;
  const row = i === null ? null : heads?.strip?.score[i];
  box.classList.toggle("wb-strip-missing", !row);
  if (!row) {
    for (const name of ["role", "aria-label", "title"]) box.removeAttribute(name);
    box.replaceChildren(make("small", {}, "Relevance by time shows here after a k-NN measure (Measure…, below)."));
    return;
  }
  const tone = (v) => v === null ? "transparent" : v >= 0 ? `color-mix(in srgb, var(--wb-accent) ${Math.min(100, 12 + 160 * v)}%, var(--wb-sunken))`
    : `color-mix(in srgb, var(--wb-lora) ${Math.min(60, -60 * v)}%, var(--wb-sunken))`;
  box.title = `${heads.names[i]}: k-NN relevance by time, over ${heads.strip.zero} (k = ${heads.strip.k}). Blue: tells the action better; orange: worse.`;
  box.setAttribute("role", "img");
  box.setAttribute("aria-label", box.title);
  box.replaceChildren(...row.map((v) => make("i", { style: `background:${tone(v)}`, title: v === null ? "no frames" : number(v) })));
};
for (const name of ["heads", "focus", "player"]) bus.addEventListener(name, paint);
