/* The address always says what is shown, so copying it shares the screen and reloading keeps it. What changes under a
   held key is gathered: browsers refuse many writes a second. `asked` is what the address asked of this browser alone when the page opened: whole numbers or null. */
import { bus, emit, make, openTab, state, toast } from "./page.js";

const LIMIT = 1e6;
const GATHERED = ["frame", "head"];
let waiting = {};
let told = {};  // all parameters, as they are now
let timer = null;

const whole = (name) => {
  const text = new URL(location.href).searchParams.get(name) ?? "";
  return /^\d{1,7}$/.test(text) && Number(text) < LIMIT ? Number(text) : null;
};
export const asked = { frame: whole("frame"), head: whole("head"), scene: whole("scene") };

function write() {
  clearTimeout(timer);
  timer = null;
  const url = new URL(location.href);
  for (const [key, value] of Object.entries(waiting)) {
    if (value) url.searchParams.set(key, value);
    else url.searchParams.delete(key);
  }
  const before = new URL(location.href).searchParams.get("tab");
  const moved = waiting.tab && before && waiting.tab !== before;  // to another step, from which Back leads here
  waiting = {};
  if (url.href === location.href) return;
  if (moved) history.pushState(history.state, "", url);
  else history.replaceState(history.state, "", url);
}

/* The head that was chosen to be shown: on the map, over the cameras, beside them and in the address. */
export function pin(i) {
  state.pinned = i;
  state.hover = null;
  emit("focus", i);
  emit("pin", i);
  link({ head: String(i) });
}

/* The first screen stands. The address follows the step that is shown, whoever opened it. */
export function ready() {
  const steps = document.querySelector("#steps > .tab-wrapper");
  const tell = () => {
    /** @type {HTMLElement} */
    const shown = steps.querySelector("[role=tab][aria-selected=true]");
    if (shown) link({ tab: shown.dataset.tabId });
  };
  new MutationObserver(tell).observe(steps, { subtree: true, attributeFilter: ["aria-selected"] });
  tell();
  document.documentElement.dataset.ready = "1";
  if (!state.heads) emit("heads", null);
}

/* Every step is filled: nothing of the page's own opening is under way. */
export function filled() {
  document.documentElement.dataset.filled = "1";
}

export const link = (parameters) => {
  Object.assign(waiting, parameters);
  told = { ...told, ...parameters };
  if (Object.keys(parameters).every((name) => GATHERED.includes(name))) timer ??= setTimeout(write, 200);
  else write();
};
window.addEventListener("pagehide", write);
/* Back and Forward move between steps; what else is open stays, so the address says that of now. */
window.addEventListener("popstate", () => {
  const tab = new URL(location.href).searchParams.get("tab");
  Object.assign(waiting, told, { tab });
  write();
  told.tab = tab;
  if (tab) openTab(tab);
});

/* Where the chosen heads come from, as the header says it, and what they share: {words, remark, shared}. */
bus.addEventListener("opened", (/** @type {any} */ event) => { state.opened = event.detail; });
bus.addEventListener("origin", (/** @type {any} */ event) => { state.origin = event.detail; });

bus.addEventListener("notes", (/** @type {any} */ event) => event.detail.forEach(toast));

export const copyLink = async () => {
  write();
  try {
    await navigator.clipboard.writeText(location.href);
  } catch {
    if (!copyBySelection(location.href)) {
      toast("The browser does not allow copying. Copy the address from the address bar: it restores this screen.");
      return;
    }
  }
  toast("Link copied. Whoever opens it on this server sees this screen: demonstrations, heads, episode and frame.");
};

/* For pages without a secure context, where there is no clipboard interface. */
function copyBySelection(text) {
  const field = make("textarea", { style: "position:fixed;opacity:0" });
  field.value = text;
  document.body.append(field);
  field.select();
  const copied = document.execCommand("copy");
  field.remove();
  return copied;
}
