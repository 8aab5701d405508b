/* Shared by every component of the page: one bus, the head and frame shown, colours, theme and link.
   Components read what is open here; the server is told only of what must outlive the page. */
window.wb = (() => {
  const bus = new EventTarget();
  const state = { heads: null, selected: new Set(), undo: [], redo: [], pinned: null, hover: null, origin: null, cost: null,
                  episode: null, attention: null, frame: 0, seen: {} };
  const mounts = {};

  const emit = (name, detail) => bus.dispatchEvent(new CustomEvent(name, { detail }));

  /* Listens until `element` leaves the page: a hidden and shown component mounts again. */
  function on(element, name, handle) {
    const listener = (event) => {
      if (element.isConnected) handle(event.detail);
      else bus.removeEventListener(name, listener);
    };
    bus.addEventListener(name, listener);
  }

  function make(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) {
      if (value === undefined || value === null || value === false) continue;
      if (key === "class") node.className = value;
      else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else node.setAttribute(key, value === true ? "" : value);
    }
    node.append(...children.filter((child) => child !== null && child !== undefined));
    return node;
  }

  const VIRIDIS = [[68, 1, 84], [72, 36, 117], [65, 68, 135], [53, 95, 141], [42, 120, 142], [33, 145, 140],
                   [34, 168, 132], [68, 191, 112], [122, 209, 81], [189, 223, 38], [253, 231, 37]];
  /* Viridis (van der Walt and Smith, 2015): uniform in lightness, safe for colour-blind eyes. 0..1 -> css colour. */
  function colour(fraction) {
    const at = Math.min(Math.max(fraction, 0), 1) * (VIRIDIS.length - 1);
    const low = Math.min(Math.floor(at), VIRIDIS.length - 2);
    const part = at - low;
    return `rgb(${VIRIDIS[low].map((v, i) => Math.round(v + (VIRIDIS[low + 1][i] - v) * part)).join(",")})`;
  }

  /* Where a value lies on a colour scale {low, high}, 0..1; the middle where the scale is a point. */
  const onScale = ({ low, high }, value) => (high > low ? ((value ?? low) - low) / (high - low) : 0.5);

  const css = (name) => getComputedStyle(document.body).getPropertyValue(name).trim();
  const isDark = () => document.body.classList.contains("dark");

  function theme(mode) {
    document.body.classList.toggle("dark", mode === "dark");
    store("theme", mode);
    emit("theme", mode);
  }

  /* The head that was chosen to be shown: on the map, over the cameras, beside them and in the address. */
  function pin(i) {
    state.pinned = i;
    state.hover = null;
    emit("focus", i);
    emit("pin", i);
    wb.link({ head: String(i) });
  }

  function stored(key, fallback) {
    try { return JSON.parse(localStorage.getItem(`steering-${key}`)) ?? fallback; } catch { return fallback; }
  }

  function store(key, value) {
    try { localStorage.setItem(`steering-${key}`, JSON.stringify(value)); } catch { /* private windows have no storage */ }
  }

  /* A short message in a corner, read aloud, gone after a while. */
  function toast(message) {
    let box = document.querySelector(".wb-toasts");
    if (!box) {
      box = make("div", { class: "wb-toasts", role: "status", "aria-live": "polite", "data-testid": "toasts" });
      document.querySelector(".gradio-container").append(box);
    }
    const note = make("p", {}, message);
    box.append(note);
    setTimeout(() => note.remove(), 8000);
  }

  /* Gradio has set the system's theme and drawn nothing yet: the chosen one shows from the first picture on. */
  const chosen = stored("theme", null);
  if (chosen && !new URL(location.href).searchParams.get("__theme")) document.body.classList.toggle("dark", chosen === "dark");

  /* Scrolls there, at once for whoever asked for less motion. */
  const scrollTo = (element, block) => element.scrollIntoView(
    { block, behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });

  function openTab(name) {
    for (const tab of document.querySelectorAll("#steps .tab-container:not(.visually-hidden) button[role=tab]")) {
      if (tab.textContent.trim().toLowerCase() === name) { tab.click(); return; }
    }
  }

  /* The first screen stands. The address follows the step that is shown, whoever opened it. */
  function ready() {
    const steps = document.querySelector("#steps > .tab-wrapper");
    const tell = () => {
      const shown = steps.querySelector("[role=tab][aria-selected=true]");
      if (shown) wb.link({ tab: shown.dataset.tabId });
    };
    new MutationObserver(tell).observe(steps, { subtree: true, attributeFilter: ["aria-selected"] });
    tell();
    document.documentElement.dataset.ready = "1";
    if (!state.heads) emit("heads", null);
  }

  /* Before it is, what is missing may still be on its way, and its place stays free. */
  const isReady = () => document.documentElement.dataset.ready === "1";

  /* A component's properties, whose value comes as JSON (see components.py): parsed once a change. */
  function data(props) {
    let text = null, value = null;
    return {
      get value() {
        // After gr.skip() Gradio rebuilds the component for this session and sends the value itself.
        if (props.value !== text) { text = props.value; value = text && typeof text === "string" ? JSON.parse(text) : text || null; }
        return value;
      },
      get plotly() { return props.plotly; },
    };
  }

  /* Sends an event of which only the last counts. Where the server is still busy with one, Gradio holds back the next
     and then sends it with the payload of the first, so all share one payload, filled anew each time. */
  function latest(trigger, name) {
    const payload = {};
    return (given) => trigger(name, Object.assign(payload, given));
  }

  const number = (value) => value === null || value === undefined ? "not known" : (Math.abs(value) >= 0.1 || value === 0 ? value.toFixed(2) : Math.abs(value) >= 0.001 ? value.toFixed(3) : value.toExponential(1)).replaceAll("-", "\u2212");
  /* A p-value with its sign: "< .001", "= .02"; no zero before the point, for it never passes 1. */
  const p = (value) => (value < 0.001 ? "< .001" : `= ${value.toFixed(value < 0.01 ? 3 : 2).replace(/^0/, "").replace("1.00", "1")}`);
  const whole = (number) => Math.round(number).toLocaleString("en-US");

  return { bus, state, emit, on, make, colour, onScale, css, isDark, theme, pin, stored, store, toast, scrollTo, openTab, ready, isReady, data, latest, number, p, whole, mounts,
           mount: (kind, ...rest) => mounts[kind](...rest) };
})();
