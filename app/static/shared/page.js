/* Shared by every component of the page: one bus, the head and frame shown, elements, theme, what this browser remembers.
   Components read what is open here; the server is told only of what must outlive the page. */
export const bus = new EventTarget();
export const state = { heads: null, selected: new Set(), undo: [], redo: [], pinned: null, hover: null, origin: null, opened: null, cost: null,
  episode: null, attention: null, frame: 0, drawOver: null, runs: null, compared: null, locked: new Set(), seen: {} };

export const emit = (name, detail) => bus.dispatchEvent(new CustomEvent(name, { detail }));

/* The newest finetunes, as the results tell them. */
bus.addEventListener("runs", (/** @type {any} */ event) => { state.runs = event.detail; });

/* Listens until `element` leaves the page: a hidden and shown component mounts again. */
export function on(element, name, handle) {
  const listener = (event) => {
    if (element.isConnected) handle(event.detail);
    else bus.removeEventListener(name, listener);
  };
  bus.addEventListener(name, listener);
}

export function make(tag, attributes = {}, ...children) {
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

export const css = (name) => getComputedStyle(document.body).getPropertyValue(name).trim();
export const isDark = () => document.body.classList.contains("dark");

export function theme(mode) {
  document.body.classList.toggle("dark", mode === "dark");
  store("theme", mode);
  emit("theme", mode);
}

export function stored(key, fallback) {
  try { return JSON.parse(localStorage.getItem(`steering-${key}`)) ?? fallback; } catch { return fallback; }
}

export function store(key, value) {
  try { localStorage.setItem(`steering-${key}`, JSON.stringify(value)); } catch { /* private windows have no storage */ }
}

/* A short message in a corner, read aloud, gone after a while. */
export function toast(message) {
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
export const scrollTo = (element, block) => element.scrollIntoView(
  { block, behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });

export function openTab(name) {
  for (const tab of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("#steps .tab-container:not(.visually-hidden) button[role=tab]"))) {
    if (tab.textContent.trim().toLowerCase() === name) { tab.click(); return; }
  }
}

/* Before it is, what is missing may still be on its way, and its place stays free. */
export const isReady = () => document.documentElement.dataset.ready === "1";

/* A component's properties, whose value comes as JSON (see components.py): parsed once a change. */
export function data(props) {
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
export function latest(trigger, name) {
  const payload = {};
  return (given) => trigger(name, Object.assign(payload, given));
}
