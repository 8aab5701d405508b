/* Every method's rollout of one scene, side by side, on one play button; above, a square for every scene and method, which plays
   where it was filmed. Scenes where methods differ come first, and pinned ones before them. Until the labels are shown, a scene asks for a vote: methods stand in an order drawn from
   the scene's seed, without name, colour and outcome. Predicted paths are drawn into the pictures and in space
   (compare_paths.js). */
import { methodColour, pathOverlay, pathSpace, traceAt } from "./paths.js";
import { asked, link } from "../shared/address.js";
import { emit, make, on, state, store, stored } from "../shared/page.js";

export const rolloutPlayer = (element, props, trigger, watch) => {
  const letter = (at) => (at < 26 ? "" : letter(Math.floor(at / 26) - 1)) + String.fromCharCode(65 + at % 26);  // A … Z, AA …
  const WATCHED = 0.9;  // of the longest video, played and not leapt over: the scene was seen
  let watched = false;  // whether this was told of what plays now
  let leaping = false;  // the bar was moved while a film did not say yet how long it is
  let scene = null;  // the chosen scene's seed
  let videos = [];
  let shown = null;
  let memory = null;  // {votes: {seed: method name or "same"}, pins: [seed], open: labels are shown everywhere}
  let views = [];  // what draws paths at a time: one a video, and the view in space
  let frame = null;
  let camera = "exterior";  // videos show both cameras side by side; the page shows one half at a time, larger

  /* Totals are hidden, here and in what the server drew, until a blind vote is cast or all labels are shown. */
  function veil(data) {
    const key = data?.key;
    const kept = key ? { votes: {}, open: false, ...stored(`votes-${key}`, {}) } : null;
    const hidden = Boolean(kept && data.scenes?.length && data.methods.length > 1 && !kept.open && !Object.keys(kept.votes).length);
    document.documentElement.dataset.veiled = hidden ? "1" : "0";
  }

  /* A row of squares a method, filled where it succeeded. A scene that still waits for its vote keeps its outcome. */
  function squares(data) {
    if (!data?.squares?.length || document.documentElement.dataset.veiled === "1") return null;
    const played = new Map(data.scenes.map((one) => [one.seed, one]));
    const waits = (seed) => memory && played.has(seed) && blind(played.get(seed));
    return make("div", { class: "wb-squares", "data-testid": "squares", role: "group", "aria-label": "Every scene and method" },
      ...data.squares.map((row, m) => {
        const { name, label } = data.methods[m];
        return make("div", { "data-method": name }, make("span", {}, make("i", { class: "wb-swatch" }), label),
          make("div", {}, ...row.map(([seed, number, success, filmed]) => {
            const how = waits(seed) ? "vote first" : success ? "success" : "failure";
            const said = `${label}, scene ${number}: ${how}${filmed ? "" : ", not filmed"}`;
            return make("button", { type: "button", class: waits(seed) ? "wb-waits" : success ? "wb-won" : "wb-lost", "aria-label": said, title: said,
              disabled: !played.has(seed), "aria-pressed": String(seed === scene), onclick: () => open(seed) });
          })));
      }));
  }

  function open(seed) {
    scene = seed;
    link({ scene: String(scene) });
    build();
    start();
  }

  const keepMemory = () => store(`votes-${shown}`, memory);
  const blind = (entry) => !memory.open && memory.votes[entry.seed] === undefined && props.value.methods.length > 1;
  const sorted = () => [...props.value.scenes].sort((a, b) =>
    memory.pins.includes(b.seed) - memory.pins.includes(a.seed));  // stable: otherwise the server's order

  /* The order of methods in a blind scene, the same whenever it is shown. */
  function order(entry) {
    const methods = props.value.methods.map((_, m) => m);
    if (!blind(entry)) return methods;
    let at = entry.seed % 2147483647 || 1;
    for (let m = methods.length - 1; m > 0; m--) {
      at = (at * 48271) % 2147483647;  // Lehmer's generator: enough to hide an order
      const other = at % (m + 1);
      [methods[m], methods[other]] = [methods[other], methods[m]];
    }
    return methods;
  }

  function build() {
    const data = props.value;
    veil(data);
    state.compared = data;
    if (!data || !data.scenes?.length) { element.replaceChildren(...[squares(data)].filter(Boolean)); shown = null; return; }
    if (shown !== data.key) {
      shown = data.key;
      memory = { votes: {}, pins: [], open: false, ...stored(`votes-${shown}`, {}) };
      scene = asked.scene;  // of the address, for the first comparison that is shown
      asked.scene = null;
    }
    const entry = data.scenes.find((one) => one.seed === scene) ?? sorted()[0];
    scene = entry.seed;
    watched = leaping = false;
    const places = order(entry);
    videos = places.map((m, at) => make("video", { src: entry.videos[m], muted: true, playsinline: true, preload: "auto",
      "aria-label": `${blind(entry) ? `Method ${letter(at)}` : data.methods[m].label}, scene ${entry.number}` }));
    videos.forEach((video) => { video.muted = true; });
    const look = (m, at) => blind(entry) ? { label: letter(at), colour: "--wb-ink-2" }
      : { label: data.methods[m].label, colour: methodColour(data.methods[m].name) };
    const overlays = places.map((m, at) => entry.traces[m] ? pathOverlay(videos[at], look(m, at), () => camera) : null);
    const traced = places.filter((m) => entry.traces[m]);
    const space = traced.length ? pathSpace(places.map((m, at) => ({ ...look(m, at), hidden: !entry.traces[m] })), `scene ${entry.number}`, data.task.replaceAll("_", " ")) : null;
    views = [...overlays, space].filter(Boolean);
    places.forEach((m, at) => {
      if (entry.traces[m]) traceAt(entry.traces[m]).then((trace) => { if (trace) { overlays[at].show(trace); space.show(at, trace); paint(); } });
    });
    const play = make("button", { type: "button", class: "wb-button wb-primary", "data-testid": "rollout-play" }, "Play");
    const bar = make("input", { type: "range", min: 0, max: 1000, value: 0, "aria-label": "Time" });
    cancelAnimationFrame(frame);
    element.replaceChildren(make("div", { class: "wb-rollouts", "data-testid": "rollout-player", "data-camera": camera,
        "data-blind": String(blind(entry)) },
      make("div", { class: "wb-rollouts-head" }, make("h2", {}, "The same scene, method by method ",
        data.of > data.scenes.length ? make("small", {}, `${data.scenes.length} of ${data.of} scenes filmed`) : null), tools(data, entry)),
      squares(data),
      make("div", { class: "wb-scenes", role: "group", "aria-label": "Scene" }, ...sorted().map((one) => sceneButton(data, one))),
      make("div", { class: "wb-videos" }, ...places.map((m, at) => figure(data, entry, m, at, overlays[at]))),
      make("div", { class: "wb-controls" }, play, bar, space ? pathSwitch() : null),
      entry.words === null ? null : make("p", { class: "wb-told" }, "Told: ", make("b", {}, entry.words ? `\u201c${entry.words}\u201d` : "nothing")),
      space ? make("details", { class: "wb-more wb-space", open: stored("space", false), ontoggle: (event) => {
        store("space", event.target.open); paint(); } }, make("summary", {}, "In space"), space.element) : null,
      blind(entry) ? vote(data, entry, places) : verdict(data, entry)));
    wire(play, bar);
  }

  function figure(data, entry, m, at, overlay) {
    const hidden = blind(entry);
    const caption = hidden ? [make("b", {}, `Method ${letter(at)}`)] : [make("b", {}, data.methods[m].label),
      make("span", { class: entry.success[m] ? "wb-good" : "wb-bad" },
        entry.success[m] ? `succeeds in ${entry.seconds[m]} s` : "fails",
        entry.how[m].length ? make("small", {}, entry.how[m].join(", ")) : null),
      entry.videos[m] ? make("a", { href: entry.videos[m], class: "wb-keep", title: `Keep the video of ${data.methods[m].label}`,
        download: `${[data.methods[m].name, data.task].map((name) => name.replaceAll("_", "-")).join("_")}_scene-${entry.number}.mp4` }, "Video") : null];
    return make("figure", { "data-method": hidden ? "hidden" : data.methods[m].name }, make("figcaption", {}, ...caption),
      make("div", { class: "wb-screen" }, entry.videos[m] ? videos[at] : make("div", { class: "wb-novideo" }, "No video kept"),
        overlay?.element));
  }

  function vote(data, entry, places) {
    const cast = (name) => () => {
      const m = data.methods.findIndex((one) => one.name === name);
      memory.votes[entry.seed] = name;
      keepMemory();
      emit("vote", { comparison: data.key, scene: entry.seed, number: entry.number, method: name,
        label: data.methods[m]?.label ?? "no difference", won: m < 0 ? null : entry.success[m] });
      build();
    };
    return make("div", { class: "wb-vote", "data-testid": "vote" }, make("p", {}, make("b", {}, "Which did it best? "),
        "Names and outcomes show after your vote."),
      make("div", { class: "wb-buttons" },
        ...places.map((m, at) => make("button", { type: "button", class: "wb-button", onclick: cast(data.methods[m].name) }, letter(at))),
        make("button", { type: "button", class: "wb-button", onclick: cast("same") }, "No difference"),
        make("button", { type: "button", class: "wb-button wb-quiet", "data-testid": "show-labels",
          onclick: () => { memory.open = true; keepMemory(); build(); } }, "Show all labels")));
  }

  function verdict(data, entry) {
    const cast = Object.values(memory.votes);
    if (data.methods.length < 2) return null;
    const again = make("button", { type: "button", class: "wb-button wb-quiet", "data-testid": "vote-again", onclick: () => {
      memory.votes = {}; memory.open = false; keepMemory(); build(); } }, "Vote again");
    if (!cast.length) return make("div", { class: "wb-vote" }, make("p", {}, "All labels are shown. Hide them to vote blind."), again);
    const own = memory.votes[entry.seed];
    const label = (name) => name === "same" ? "no difference" : data.methods.find((one) => one.name === name)?.label ?? name;
    const counts = [...data.methods.map((one) => one.name), "same"].map((name) =>
      `${label(name)} ${cast.filter((one) => one === name).length}`);
    return make("div", { class: "wb-vote", "data-testid": "votes" },
      make("p", {}, own === undefined ? "" : make("b", {}, `You voted for ${label(own)}. `),
        `Your blind votes: ${counts.join(", ")}.`),
      again);
  }

  function tools(data, entry) {
    const pinned = memory.pins.includes(entry.seed);
    const pin = make("button", { type: "button", class: "wb-button wb-quiet", "aria-pressed": String(pinned), "data-testid": "pin",
      title: "Pinned scenes come first", onclick: () => {
        memory.pins = pinned ? memory.pins.filter((seed) => seed !== entry.seed) : [...memory.pins, entry.seed];
        keepMemory();
        build();
      } }, pinned ? "Unpin scene" : "Pin scene");
    const report = make("button", { type: "button", class: "wb-button wb-quiet", "data-testid": "report-comparison",
      title: "Keep this comparison as one page that opens offline", onclick: () => trigger("report", { id: data.key }) }, "Report");
    return make("div", { class: "wb-buttons" }, cameras(), pin, report);
  }

  function cameras() {
    const choose = (name) => {
      camera = name;
      element.querySelector(".wb-rollouts").dataset.camera = name;
      for (const button of group.children) button.setAttribute("aria-pressed", String(button.dataset.name === name));
      paint();
    };
    const group = make("div", { class: "wb-segments", role: "group", "aria-label": "Camera" });
    for (const [name, label] of [["exterior", "Exterior"], ["wrist", "Wrist"]]) {
      group.append(make("button", { type: "button", "data-name": name, "aria-pressed": String(name === camera),
        onclick: () => choose(name) }, label));
    }
    return group;
  }

  function sceneButton(data, entry) {
    const hidden = blind(entry);
    const known = entry.differs ? "The methods differ here" : "Same outcome for every method";
    return make("button", { type: "button", "aria-pressed": String(entry.seed === scene), "data-testid": "scene",
        class: entry.differs ? "wb-differs" : "", title: hidden ? `Vote first (seed ${entry.seed})` : `${known} (seed ${entry.seed})`,
        onclick: () => open(entry.seed) },
      make("span", {}, `${memory.pins.includes(entry.seed) ? "★ " : ""}Scene ${entry.number}`),
      make("span", { class: "wb-dots" }, ...(hidden ? [make("small", {}, entry.differs ? "they differ" : "vote")]
        : entry.success.map((won, m) => make("i", { "data-method": data.methods[m].name, class: won ? "wb-won" : "",
          title: `${data.methods[m].label}: ${won ? "success" : "failure"}` })))));
  }

  function pathSwitch() {
    const drawn = stored("paths", true);
    element.dataset.paths = String(drawn);
    const box = make("input", { type: "checkbox", checked: drawn, "data-testid": "paths", onchange: () => {
      store("paths", box.checked); element.dataset.paths = String(box.checked); } });
    return make("label", { class: "wb-switch", title: "Where every predicted chunk would have taken the gripper" }, box, make("i"), "Predicted paths");
  }

  /* Draws the paths at the videos' time; again on every frame while they play. */
  function paint() {
    cancelAnimationFrame(frame);
    const at = longest()?.currentTime ?? 0;
    for (const view of views) view.paint(at);
    if (playing() && element.isConnected) frame = requestAnimationFrame(paint);
  }

  const longest = () => videos.reduce((best, video) => (video.duration || 0) > (best?.duration || 0) ? video : best, null);
  const playing = () => videos.some((video) => !video.paused && !video.ended);

  function start() {
    leaping = false;
    if (longest()?.ended) { watched = false; videos.forEach((video) => { video.currentTime = 0; }); }
    for (const video of videos) if (video.src && !video.ended) video.play().catch(() => {});
  }

  /* Seconds of a video that were played. */
  const played = ({ played: parts }) => Array.from({ length: parts.length }, (_, i) => parts.end(i) - parts.start(i)).reduce((sum, one) => sum + one, 0);

  function flip() {
    if (playing()) videos.forEach((video) => video.pause());
    else start();
  }

  function wire(play, bar) {
    play.onclick = flip;
    for (const video of videos) {
      for (const name of ["play", "pause", "ended", "seeked", "loadeddata"]) {
        video.addEventListener(name, () => { play.textContent = playing() ? "Pause" : "Play"; paint(); });
      }
      video.addEventListener("loadedmetadata", () => leap(bar));
      video.addEventListener("timeupdate", () => {
        if (video === longest() && !watched && played(video) > WATCHED * video.duration) {
          watched = true;
          emit("watched", scene);
        }
        if (video === longest() && !leaping) bar.value = 1000 * video.currentTime / (video.duration || 1);
      });
    }
    bar.oninput = () => { leaping = true; leap(bar); };
  }

  /* To where the bar stands, if it was moved; until a film says how long it is, that is not known. */
  function leap(bar) {
    const whole = longest()?.duration;
    if (!leaping || !whole) return;
    seek(bar.value / 1000 * whole);
    leaping = videos.some((video) => video.src && !video.duration);
  }

  function seek(to) {
    for (const video of videos) { video.pause(); video.currentTime = Math.min(Math.max(to, 0), video.duration || Infinity); }
  }

  on(element, "theme", paint);
  const abort = new AbortController();
  document.addEventListener("keydown", (event) => {
    if (!element.isConnected) { abort.abort(); return; }
    if (event.target !== document.body || element.offsetParent === null || !videos.length) return;
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === " ") flip();
    else if (step) seek((longest()?.currentTime || 0) + step * (event.shiftKey ? 1 : 0.1));
    else return;
    event.preventDefault();
  }, { signal: abort.signal });

  watch("value", build);
  build();
};
