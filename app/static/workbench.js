/* Shared by every component of the page: one bus, the chosen head and frame, colours, theme and link.
   Components read what is open here; the server is told only of what must outlive the page. */
window.wb = (() => {
  const bus = new EventTarget();
  const state = { heads: null, selected: new Set(), history: [], pinned: null, hover: null,
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

  const css = (name) => getComputedStyle(document.body).getPropertyValue(name).trim();
  const isDark = () => document.body.classList.contains("dark");

  function theme(mode) {
    document.body.classList.toggle("dark", mode === "dark");
    try { localStorage.setItem("steering-theme", mode); } catch { /* private windows have no storage */ }
    emit("theme", mode);
  }

  function link(parameters) {
    const url = new URL(location.href);
    for (const [key, value] of Object.entries(parameters)) {
      if (value) url.searchParams.set(key, value);
      else url.searchParams.delete(key);
    }
    history.replaceState(history.state, "", url);
  }

  function openTab(name) {
    for (const tab of document.querySelectorAll("#steps .tab-container:not(.visually-hidden) button[role=tab]")) {
      if (tab.textContent.trim().toLowerCase() === name) { tab.click(); return; }
    }
  }

  function ready() {
    let stored = null;
    try { stored = localStorage.getItem("steering-theme"); } catch { /* see above */ }
    if (stored && !new URL(location.href).searchParams.get("__theme")) theme(stored);
    document.addEventListener("click", (event) => {
      const tab = event.target.closest?.("#steps button[role=tab]");
      if (tab) link({ tab: tab.textContent.trim().toLowerCase() });
    });
    document.documentElement.dataset.ready = "1";
  }

  const number = (value) => value.toFixed(2).replace("-", "\u2212");
  const whole = (number) => Math.round(number).toLocaleString("en-US");

  return { bus, state, emit, on, make, colour, css, isDark, theme, link, openTab, ready, number, whole, mounts,
           mount: (kind, ...rest) => mounts[kind](...rest) };
})();
