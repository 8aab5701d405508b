/* Both cameras on one clock, from sprite sheets: scrubbing draws from memory, no request per frame. Over the images
   lies the attention of the head shown; below, phases and the action and state curves share the time axis. */
import { drawContours } from "../heads/attention_contours.js";
import { asked, link } from "../shared/address.js";
import { keepText } from "../shared/download.js";
import { emit, latest, make, on, scrollTo, state, toast } from "../shared/page.js";
import { fetchImage } from "../shared/pictures.js";

export const framePlayer = (element, props, trigger, watch) => {
  const LINES = ["#4c78d0", "#e07b39", "#3a9d6e", "#9b6bcf", "#c9558a", "#8a7a4a", "#3aa0b5", "#7d8795"];
  const SAID = 12;  // runs of keyframes beyond which nobody listens to all their numbers
  const open = latest(trigger, "episode");
  let view = null;
  let sprites = [];
  let timer = null;
  let overlay = true;
  let curve = "action";
  let visited = null;  // {episode, frame} to play from, on its way

  function build() {
    const data = props.value;
    stop();
    if (!data || !data.cameras) { element.replaceChildren(); state.episode = state.attention = null; return; }
    const name = data.key.split("/").slice(0, 2).join("/");  // the same episode stays at its frame when attention arrives
    if (state.seen.episode === undefined) state.frame = asked.frame ?? 0;
    else if (state.seen.episode !== name) state.frame = visited?.episode === data.episode ? visited.frame : 0;
    if (state.seen.episode !== name) forgetSprites();  // before anything is drawn
    if (state.seen.attention !== data.attention) state.attention = null;
    state.seen.episode = name;
    state.seen.attention = data.attention;
    state.episode = data;
    // As many pixels as the screen shows: every drawn frame is copied to the screen, and twice as wide costs four times.
    const side = data.tile * (window.devicePixelRatio > 1 ? 2 : 1);
    const canvases = data.cameras.map((camera) => make("canvas", { width: side, height: side, role: "img",
      "aria-label": `${camera.label} camera` }));
    view = {
      canvases,
      contexts: canvases.map((canvas) => canvas.getContext("2d")),
      scrubber: make("input", { type: "range", min: 0, max: data.frames - 1, value: state.frame, step: 1,
        "data-testid": "scrubber", "aria-label": "Frame", oninput: (event) => { stop(); show(Number(event.target.value)); } }),
      play: make("button", { type: "button", class: "wb-round", "aria-label": "Play", onclick: () => toggle() }, icon("play")),
      time: make("output", { class: "wb-time" }, document.createTextNode("")),
      curves: make("div", { class: "wb-curves" }),
      cursors: [make("i", { class: "wb-cursor" }), make("i", { class: "wb-cursor" })],  // over the curves, over the strip
      overlay: make("input", { type: "checkbox", checked: overlay, onchange: (event) => { overlay = event.target.checked; draw(); } }),
      instruction: make("p", { class: "wb-instruction", "data-testid": "instruction" }, `“${data.instruction}”`),
      words: canvases.map(() => make("p", { class: "wb-camera-words", role: "status" })),
      caption: make("p", { class: "wb-caption", "aria-live": "polite" }),
    };
    view.overlayLabel = make("label", { class: "wb-switch" }, view.overlay, make("i", {}), make("span", {}, "Attention"));
    element.replaceChildren(make("div", { class: "wb-player", "data-testid": "frame-player", tabindex: "0",
        "aria-label": "Demonstration. Space plays, arrow keys step." },
      make("div", { class: "wb-player-head" }, view.instruction, chooser(data)),
      make("div", { class: "wb-cameras" }, ...data.cameras.map((camera, i) =>
        make("figure", {}, canvases[i], view.words[i], make("figcaption", {}, camera.label)))),
      make("div", { class: "wb-controls" }, view.play,
        make("div", { class: "wb-track" }, phases(data), keyframes(data), view.scrubber,
          make("div", { class: "wb-timed" }, make("div", { class: "wb-strip", "data-testid": "strip" }), view.cursors[1])), view.time),
      make("div", { class: "wb-under" }, view.caption, data.attention ? view.overlayLabel : attentionOffer()),
      curveTabs(), view.curves));
    view.curves.addEventListener("pointerdown", seek);
    view.curves.addEventListener("pointermove", (event) => event.buttons && seek(event));
    drawCurves();
    emit("player", view.canvases);
    loadSprites(data);
    loadAttention(data);
    show(Math.min(state.frame, data.frames - 1));
  }

  function chooser(data) {
    const select = make("select", { "aria-label": "Episode", onchange: (event) => open({ index: Number(event.target.value) }) });
    for (const episode of data.episodes) {
      select.append(make("option", { value: episode.index, selected: episode.index === data.episode },
        `Episode ${episode.index + 1}${episode.success === false ? " (failed)" : ""}`));
    }
    return select;
  }

  const attentionOffer = () => make("button", { type: "button", class: "wb-button wb-quiet",
    onclick: () => trigger("attention", {}) }, "Compute attention");

  function phases(data) {
    const strip = make("div", { class: "wb-phases" });
    for (const part of data.phases) {
      strip.append(make("span", { "data-phase": part.name, style: `flex:${part.end - part.start}`,
        title: `${part.name}: frames ${part.start}–${part.end - 1}` }, part.name));
    }
    return strip;
  }

  function keyframes(data) {
    const last = Math.max(data.frames - 1, 1);
    const runs = data.keyframes.map(([start, end]) => (end - start > 1 ? `${start + 1} to ${end}` : start + 1));
    const label = `Keyframes${runs.length > SAID ? "" : ` ${runs.join(", ")}`}: both ends, where the gripper changes, where the arm is nearly still`;
    return make("div", { class: "wb-keyframes", role: "img", "aria-label": label, title: label, "data-testid": "keyframes" },
      ...data.keyframes.map(([start, end]) => make("i", { style: `left:${100 * start / last}%;width:${100 * (end - 1 - start) / last}%` })));
  }

  function curveTabs() {
    const tabs = make("div", { class: "wb-curve-head" });
    const legend = make("div", { class: "wb-curve-legend" });
    const choose = (name) => {
      curve = name;
      for (const button of tabs.querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.dataset.curve === name));
      legend.replaceChildren(...state.episode[name].names.map((label, i) =>
        make("span", {}, make("i", { style: `background:${LINES[i % LINES.length]}` }), label)));
      if (view) { drawCurves(); draw(); }
    };
    const segments = make("div", { class: "wb-segments", role: "group", "aria-label": "Curve" });
    for (const [name, label] of [["action", "Action"], ["state", "State"]]) {
      segments.append(make("button", { type: "button", "data-curve": name, onclick: () => choose(name) }, label));
    }
    tabs.append(segments, legend);
    choose(curve);
    return tabs;
  }

  function drawCurves() {
    const { low, high, values } = state.episode[curve];
    const frames = state.episode.frames;
    const y = (v) => (96 - 88 * (v - low) / (high - low || 1) - 4).toFixed(1);
    const lines = values.map((series, i) => `<polyline points="${series.map((v, f) =>
      `${(1000 * f / Math.max(frames - 1, 1)).toFixed(1)},${y(v)}`).join(" ")}" stroke="${LINES[i % LINES.length]}"/>`);
    const zero = low < 0 && high > 0 ? `<line class="wb-zero" x1="0" x2="1000" y1="${y(0)}" y2="${y(0)}"/>` : "";
    view.curves.innerHTML = `<svg viewBox="0 0 1000 96" preserveAspectRatio="none" aria-hidden="true">${zero}${lines.join("")}</svg>`;
    view.curves.append(view.cursors[0]);
  }

  function seek(event) {
    stop();
    const box = view.curves.getBoundingClientRect();
    const fraction = (event.clientX - box.left) / box.width;
    show(Math.round(Math.min(Math.max(fraction, 0), 1) * (state.episode.frames - 1)));
  }

  function forgetSprites() {
    for (const sheet of sprites) sheet?.close();
    sprites = [];
  }

  async function loadSprites(data) {
    forgetSprites();
    await Promise.all(data.cameras.map(async (camera, i) => {
      const words = view.words[i];
      const sheet = await fetchImage(camera.sprite, () => state.episode === data, (said) => { words.textContent = said; });
      if (sheet) { words.textContent = ""; sprites[i] = sheet; draw(); }
    }));
    if (state.episode === data && sprites.filter(Boolean).length === data.cameras.length) begin();
  }

  async function fetchAttention(address) {
    try {
      const answer = await fetch(address);
      if (!answer.ok) { toast(await answer.text()); return null; }
      const unzipped = answer.body.pipeThrough(new DecompressionStream("gzip"));
      return new Uint8Array(await new Response(unzipped).arrayBuffer());
    } catch {  // the connection broke, or the page is left
      toast("Where the heads look did not arrive: the connection broke. Open the episode again.");
      return null;
    }
  }

  async function loadAttention(data) {
    if (!data.attention || state.attention?.key === data.attention) { draw(); return; }
    const bytes = await fetchAttention(data.attention);
    if (!bytes || state.episode !== data) return;
    const patches = data.grid * data.grid;
    const size = data.heads_total * data.cameras.length * patches * Math.ceil(data.frames / 2);
    state.attention = { key: data.attention, image: bytes.subarray(0, size), mass: bytes.subarray(size), patches, frames: data.frames };
    emit("attention", state.attention);
    draw();
  }

  /* The instruction of the frame, where it changes within the episode. */
  function tell(frame) {
    const { told } = state.episode;
    const at = told.findIndex((part) => frame < part.end);
    if (at < 0 || view.instruction.dataset.part === String(at)) return;
    view.instruction.dataset.part = at;
    const { text, start, end } = told[at];
    view.instruction.replaceChildren(`“${text}” `, make("small", {}, `${at + 1} of ${told.length}, frames ${start + 1} to ${end}`));
  }

  function show(frame) {
    state.frame = frame;
    tell(frame);
    if (Number(view.scrubber.value) !== frame) view.scrubber.value = frame;
    view.time.firstChild.data = `${frame + 1} / ${state.episode.frames}`;
    emit("frame", frame);
    draw();
    link({ frame: frame ? String(frame) : "" });
  }

  let waiting = false;  // a click changes head, set and answer: one drawing shows them all
  function soon() {
    if (waiting) return;
    waiting = true;
    queueMicrotask(() => { waiting = false; draw(); });
  }

  function draw() {
    const data = state.episode;
    if (!data || !view) return;
    const head = state.hover ?? state.pinned;
    view.contexts.forEach((context, c) => {
      if (!sprites[c]) return;
      const { canvas } = context;
      drawPicture(context, data, c);
      if (overlay && state.attention && head !== null) drawContours(context, data, head, c);
      state.drawOver?.(context, canvas, data.cameras[c].label.toLowerCase());
    });
    const at = `translateX(${100 * state.frame / Math.max(data.frames - 1, 1)}%)`;
    for (const cursor of view.cursors) cursor.style.transform = at;
    const caption = state.attention && state.heads && head !== null && overlay ? `Lines: where ${state.heads.names[head]} looks; thick: most${data.coarse}` : "";
    if (view.caption.textContent !== caption) view.caption.textContent = caption;
  }

  function drawPicture(context, { tile, columns }, c) {
    context.drawImage(sprites[c], (state.frame % columns) * tile, Math.floor(state.frame / columns) * tile, tile, tile,
      0, 0, context.canvas.width, context.canvas.height);
  }

  function icon(name) {
    const shape = name === "play" ? "M5 3.5v13l11-6.5z" : "M5 3.5h3.6v13H5zM11.4 3.5H15v13h-3.6z";
    const holder = make("span", {});
    holder.innerHTML = `<svg viewBox="0 0 20 20" aria-hidden="true"><path d="${shape}"/></svg>`;
    return holder.firstChild;
  }

  /* The page opens playing, once, and ends where it began; still for whoever asked for less motion, opened a frame by its link
     or has already moved. */
  function begin() {
    const first = !state.seen.played;
    state.seen.played = true;
    if (visited?.episode === state.episode.episode) play();
    else if (first && asked.frame === null && state.frame === 0) play(0);
    visited = null;
  }

  function play(last) {
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (!still && !timer && element.offsetParent !== null) toggle(last);
  }

  /* A moment that another panel points to: shown, and played from there. */
  function visit({ episode, frame }) {
    stop();
    state.seen.played = true;
    scrollTo(element.querySelector(".wb-cameras"), "nearest");
    if (episode === state.episode.episode) { show(frame); play(); return; }
    visited = { episode, frame };
    open({ index: episode });
  }

  function stop() {
    if (timer) cancelAnimationFrame(timer);
    timer = null;
    view?.play.replaceChildren(icon("play"));
    view?.play.setAttribute("aria-label", "Play");
  }

  /* last: the frame to rest on, unless it is stopped before. */
  function toggle(last = state.episode.frames - 1) {
    if (timer) { stop(); return; }
    if (state.frame >= state.episode.frames - 1) show(0);
    view.play.replaceChildren(icon("pause"));
    view.play.setAttribute("aria-label", "Pause");
    const began = performance.now() - 1000 * state.frame / state.episode.rate;
    const step = (now) => {
      if (!element.isConnected) { stop(); return; }
      const frame = Math.floor((now - began) / 1000 * state.episode.rate);
      if (frame >= state.episode.frames) { show(last); stop(); return; }
      if (frame !== state.frame && frame >= 0) show(frame);
      timer = requestAnimationFrame(step);
    };
    timer = requestAnimationFrame(step);
  }

  function key(event) {
    if (!state.episode || !element.isConnected || element.offsetParent === null) return;
    if (event.key === " ") { event.preventDefault(); toggle(); }
    else if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
      event.preventDefault();
      stop();
      const step = (event.key === "ArrowRight" ? 1 : -1) * (event.shiftKey ? 10 : 1);
      show(Math.min(Math.max(state.frame + step, 0), state.episode.frames - 1));
    } else if (event.key === "[" || event.key === "]") {
      const other = state.episode.episode + (event.key === "]" ? 1 : -1);
      if (state.episode.episodes[other]) open({ index: other });
    } else if (event.key.toLowerCase() === "a" && state.episode.attention && !event.ctrlKey && !event.metaKey) view.overlay.click();
  }

  element.addEventListener("keydown", (event) => {
    const pressed = [" ", "Enter"].includes(event.key) && event.target.matches("button, input[type=checkbox]");
    if (!pressed && !event.target.matches("select")) key(event);
  });
  const abort = new AbortController();
  document.addEventListener("keydown", (event) => {
    if (!element.isConnected) { abort.abort(); return; }
    if (event.target === document.body) key(event);
  }, { signal: abort.signal });
  on(element, "focus", soon);
  /* What is seen of the episode, to keep: the cameras as they are and, where they are shown, with the lines; or numbers. */
  async function keepCameras() {
    const data = state.episode, head = state.pinned;
    const row = (lined) => sprites.map((_, c) => {
      const pen = make("canvas", { width: 2 * data.tile, height: 2 * data.tile }).getContext("2d");
      drawPicture(pen, data, c);
      if (lined) drawContours(pen, data, head, c);
      return pen.canvas;
    });
    if (!data.cameras.every((_, c) => sprites[c])) { toast("The pictures are on their way. Try again in a moment."); return; }
    const lined = overlay && state.attention && state.heads && head !== null;
    const rows = [row(false), ...(lined ? [row(true)] : [])];
    (await import("../exports/cameras_picture.js")).keepCameras(rows, lined ? `where ${state.heads.names[head]} looks` : "");
  }
  function keepCurves() {
    const { action, state: measured, frames, rate, episode } = state.episode;
    const rows = Array.from({ length: frames }, (_, f) =>
      [f + 1, (f / rate).toFixed(3), ...[...action.values, ...measured.values].map((series) => series[f])].join(","));
    const head = ["frame", "time_s", ...action.names.map((name) => `action ${name}`), ...measured.names.map((name) => `state ${name}`)];
    keepText(`${[head.join(","), ...rows].join("\n")}\n`, ["state and actions", `episode ${episode + 1}`], "csv");
  }
  on(element, "action", (sent) => {
    const keep = sent.action === "keep" && { cameras: keepCameras, curves: keepCurves }[sent.value];
    if (!keep) return;
    if (state.episode) keep();
    else toast("There is no episode open yet. Open demonstrations first.");
  });
  on(element, "redraw", draw);
  on(element, "visit", (to) => { if (view) visit(to); });
  watch("value", build);
  build();
};
