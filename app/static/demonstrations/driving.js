/* Drives the arm by keys and held buttons. The next command leaves when the last one's answer is here, and not more
   often than the bench's rate; nothing is sent while nothing is held and all stands still. One answer brings both
   pictures and the state. What is held counts, not key repeats, so that several directions add up. */
import { make, scrollTo, toast } from "../shared/page.js";

export const driving = (element, props, trigger, watch) => {
  const TURN = 0.5, SLOW = 0.35, MOST_COAST = 25, LEAST_COAST = 3;
  const HOLD = { KeyW: "away", KeyS: "near", KeyA: "left", KeyD: "right", KeyR: "up", KeyF: "down", KeyQ: "turn_left", KeyE: "turn_right",
                 KeyI: "tilt_away", KeyK: "tilt_near", KeyJ: "tilt_left", KeyL: "tilt_right",
                 ArrowUp: "away", ArrowDown: "near", ArrowLeft: "left", ArrowRight: "right" };
  const PRESS = { Space: "gripper", Enter: "keep", Backspace: "again" };
  let drive = null;

  const build = (given) => {
    const value = props.value;
    if (value && !value.id) toast(value.note ?? value.error);
    if (value?.id && value.id === drive?.id) {
      drive.busy(false);
      if (value.error) drive.say(value.error);
      return;
    }
    drive?.end();
    drive = null;
    element.replaceChildren();
    if (!value?.markup) return;
    element.innerHTML = value.markup;
    drive = goesOn(value, given === "new");
  };

  function goesOn({ id, rate, idle_s }, isNew) {
    const root = element.firstElementChild, view = root.querySelector(".wb-drive-view");
    const shown = (name) => root.querySelector(`[data-show=${name}]`);
    const by = (name) => root.querySelector(`[data-testid=driving-${name}]`);
    const pens = ["exterior", "wrist"].map((camera) => root.querySelector(`[data-camera=${camera}]`).getContext("2d"));
    const speed = by("speed"), held = new Map();
    let state = null, gripper = -1, coast = 0, running = false, over = false, occupied = false, drawn = 0, asked = 0, silence = null;
    let last = Promise.resolve();
    const times = [];

    /* One wish at a time, in order; null where it was refused, in words on the panel. */
    const ask = (wish) => (last = last.then(async () => {
      if (over) return null;
      clearTimeout(silence);
      try {
        const answer = await fetch(new URL(`driving/${id}`, document.baseURI),
          { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(wish), cache: "no-store" });
        if (!answer.ok) {
          let words = null;
          try { words = (await answer.json()).words; } catch { /* not of ours: a proxy's page */ }
          say(words ?? `The server refused the command (${answer.status}).`);
          if (answer.status === 404) finish();
          return null;
        }
        read(await answer.arrayBuffer());
        return state;
      } catch {
        say("The connection broke. Press a key to try again.");
        held.clear();
        return null;
      } finally {
        if (!over) silence = setTimeout(() => ask({ do: "look" }), 1000 * idle_s + 4000);  // hears that the process has ended
      }
    }));

    function read(bytes) {
      const length = new DataView(bytes).getUint32(0);
      state = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 4, length)));
      if (state.frames === 0) gripper = state.gripper;
      let from = 4 + length;
      const turn = ++asked;
      const bitmaps = state.sizes.map((size) => {
        const part = new Blob([new Uint8Array(bytes, from, size)], { type: "image/jpeg" });
        from += size;
        return createImageBitmap(part);
      });
      Promise.all(bitmaps).then((found) => {
        if (turn < drawn) return;
        drawn = turn;
        found.forEach((bitmap, i) => { pens[i].drawImage(bitmap, 0, 0); bitmap.close(); });
        root.dataset.drawn = turn;
      }, () => {});
      show();
    }

    const put = (name, words) => { const node = shown(name); if (node.textContent !== words) node.textContent = words; };
    function show() {
      const won = state.kept.filter(Boolean).length, count = state.kept.length;
      put("instruction", `\u201c${state.instruction}\u201d`);
      put("scene", `Scene ${state.scene}`);
      put("steps", `${state.frames} of ${state.limit}`);
      put("gripper", state.opening > 0.9 ? "Open" : state.opening < 0.1 ? "Closed" : `${Math.round(100 * state.opening)} % open`);
      put("toggle", gripper > 0 ? "Open the gripper" : "Close the gripper");
      put("success", state.success ? "Reached" : "Not yet");
      shown("success").className = state.success ? "wb-good-words" : "";
      put("kept", count ? `${count} episode${count === 1 ? "" : "s"}${won < count ? `, ${won} succeed` : ""}` : "None yet");
      const verdict = state.success ? "Reached. Keep the episode." : state.ended ? "No steps are left. Try again or take the next scene." : "";
      put("verdict", verdict);
      shown("verdict").hidden = !verdict;
      shown("verdict").dataset.won = state.success;
      by("failure").hidden = state.success;
      by("save").textContent = count ? `Save the set of ${count}` : "Save the set";
      enable();
    }

    function enable() {
      const open = Boolean(state) && !over && !occupied;
      by("keep").disabled = !open || !state.success;
      by("failure").disabled = !open || state.frames < 10;
      by("again").disabled = !open || !state.frames;
      by("next").disabled = !open;
      by("save").disabled = !open || !state.kept.length;
      by("stop").disabled = occupied;
    }

    const say = (words) => { const line = shown("words"); line.textContent = words; line.hidden = !words; };
    const busy = (on) => { occupied = on; root.toggleAttribute("data-busy", on); if (state) enable(); };

    /* float [7] in -1..1: directions as the exterior camera sees them, turned into the robot's frame. */
    function command(slow) {
      const on = (name) => [...held.values()].includes(name) ? 1 : 0;
      const [ax, ay] = state.away, rx = ay, ry = -ax, pace = (Number(speed.value) / 100) * (slow ? SLOW : 1);
      const forth = on("away") - on("near"), side = on("right") - on("left");
      const flat = pace / Math.max(Math.hypot(forth, side), 1), turn = pace * TURN;
      const lean = on("tilt_away") - on("tilt_near"), roll = on("tilt_right") - on("tilt_left");
      return [flat * (forth * ax + side * rx), flat * (forth * ay + side * ry), pace * (on("up") - on("down")),
              turn * (-lean * ay - roll * ry), turn * (lean * ax + roll * rx), turn * (on("turn_left") - on("turn_right")), gripper];
    }

    let slow = false;
    const wanted = () => !over && !occupied && state && !state.ended && !document.hidden && element.isConnected
      && (held.size > 0 || coast > 0 || state.success);

    async function run() {
      if (running) return;
      running = true;
      let due = performance.now();
      times.length = 0;
      while (wanted()) {
        if (held.size) coast = MOST_COAST;  // afterwards time runs until all stands still
        const before = state;
        if (!await ask({ do: "step", action: command(slow) })) break;
        times.push(performance.now());
        if (times.length > 21) times.shift();
        if (times.length > 4) root.dataset.rate = ((1000 * (times.length - 1)) / (times.at(-1) - times[0])).toFixed(1);
        if (!held.size && before.frames === state.frames) coast = 0;  // nothing had moved yet
        else if (!held.size && (--coast <= MOST_COAST - LEAST_COAST) && state.still) coast = 0;
        due = Math.max(due + 1000 / rate, performance.now());
        await new Promise((done) => setTimeout(done, Math.max(due - performance.now(), 0)));
      }
      running = false;
    }

    function hold(source, name) {
      if (over || occupied) return;
      if (held.get(source) !== name) { held.set(source, name); say(""); light(); }
      run();
    }
    function release(source) { if (held.delete(source)) light(); }
    function letGo() { held.clear(); slow = false; light(); }
    function light() {
      for (const button of root.querySelectorAll("[data-hold]")) button.toggleAttribute("data-on", [...held.values()].includes(button.dataset.hold));
    }

    async function press(name) {
      if (over || occupied || !state) return;
      say("");
      if (name === "gripper") {
        if (state.ended) return;
        gripper = -Math.sign(gripper) || 1;
        coast = MOST_COAST;
        put("toggle", gripper > 0 ? "Open the gripper" : "Close the gripper");
        run();
        return;
      }
      if (name === "keep" && !state.success) { say("The task is not reached yet. Drive on, or keep the episode as a failure."); return; }
      letGo();
      coast = 0;
      busy(true);
      await ask(name === "failure" ? { do: "keep", failure: true } : { do: name });
      busy(false);
    }

    function leave(event) {
      trigger(event, {});
      busy(true);
      letGo();
    }

    function stop() {
      const count = state?.kept.length ?? 0;
      if (!count || over) { leave("end"); return; }
      const answer = (name) => { dialog.close(); if (name) leave(name); };
      const dialog = make("dialog", { class: "wb-dialog wb-html wb-drive-drop", "aria-labelledby": "wb-drop", "data-testid": "driving-confirm", onclose: () => dialog.remove() },
        make("h2", { id: "wb-drop" }, `Drop ${count === 1 ? "the kept episode" : `the ${count} kept episodes`}?`),
        make("p", {}, "Nothing of this drive will be saved."),
        make("div", { class: "wb-buttons" },
          make("button", { type: "button", class: "wb-button wb-primary", onclick: () => answer("save") }, "Save the set"),
          make("button", { type: "button", class: "wb-button", onclick: () => answer("end") }, "Drop and stop"),
          make("button", { type: "button", class: "wb-button", onclick: () => answer(null) }, "Go on driving")));
      document.querySelector(".gradio-container").append(dialog);
      dialog.showModal();
    }

    /* The process has ended: what it says stays, and one button closes the panel. */
    function finish() {
      over = true;
      letGo();
      clearTimeout(silence);
      root.toggleAttribute("data-over", true);
      by("stop").textContent = "Close";
      enable();
    }

    view.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.key === "Tab" || event.key === "?") return;
      event.stopPropagation();  // the page's own keys wait while the picture has the focus
      slow = event.shiftKey;
      if (event.key === "Escape") { view.blur(); return; }
      if (!HOLD[event.code] && !PRESS[event.code]) return;
      event.preventDefault();
      if (HOLD[event.code]) hold(event.code, HOLD[event.code]);
      else if (!event.repeat) press(PRESS[event.code]);
    });
    view.addEventListener("keyup", (event) => { slow = event.shiftKey; release(event.code); });
    view.addEventListener("blur", letGo);
    view.addEventListener("pointerdown", () => view.focus({ preventScroll: true }));

    for (const button of root.querySelectorAll("[data-hold]")) {
      const source = (event) => `pointer ${event.pointerId}`, let_go = (event) => release(source(event));
      button.addEventListener("pointerdown", (event) => {
        if (event.button) return;
        view.focus({ preventScroll: true });
        button.setPointerCapture(event.pointerId);
        slow = event.shiftKey;
        hold(source(event), button.dataset.hold);
      });
      for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) button.addEventListener(end, let_go);
      button.addEventListener("keydown", (event) => { if (event.code === "Space" || event.code === "Enter") { event.preventDefault(); hold("button", button.dataset.hold); } });
      button.addEventListener("keyup", () => release("button"));
      button.addEventListener("blur", () => release("button"));
    }
    for (const button of root.querySelectorAll("[data-hold], [data-press]")) {
      button.addEventListener("mousedown", (event) => event.preventDefault());  // the picture keeps the focus
      button.addEventListener("contextmenu", (event) => event.preventDefault());
    }
    root.querySelector("[data-press]").addEventListener("click", () => press("gripper"));
    speed.addEventListener("input", () => { speed.parentElement.querySelector("output").textContent = speed.value; });
    for (const name of ["keep", "failure", "again", "next"]) {
      by(name).addEventListener("click", () => { view.focus({ preventScroll: true }); press(name); });
    }
    by("save").addEventListener("click", () => leave("save"));
    by("stop").addEventListener("click", stop);

    const abort = new AbortController();
    document.addEventListener("visibilitychange", () => { if (document.hidden) letGo(); }, { signal: abort.signal });
    /** @type {any} */ (navigator).keyboard?.getLayoutMap?.().then((layout) => {  // the places count, the letters are those of this keyboard
      for (const button of root.querySelectorAll("[data-code]")) {
        const letter = layout.get(button.dataset.code);
        if (letter) button.querySelector("kbd").textContent = letter.toUpperCase();
      }
    }, () => {});
    ask({ do: "look" }).then(() => {
      if (!isNew) return;
      scrollTo(root, "start");
      view.focus({ preventScroll: true });
    });
    return { id, say, busy, end: () => { over = true; clearTimeout(silence); abort.abort(); } };
  }

  watch("value", () => build("new"));
  build();
};
