/* Stands in for the server where there is none: mounts the page's components and answers their events from what was
   published with the page (app/twin/parts.py). What would need the policy says so. */
import { filled, mount, ready } from "../static/main.js";
import { link } from "../static/shared/address.js";
import { known } from "../static/shared/ask.js";
import { keep } from "../static/shared/download.js";
import { bus, emit, openTab, state, toast } from "../static/shared/page.js";

const page = JSON.parse(document.getElementById("wb-twin").textContent);
const query = new URL(location.href).searchParams;
const parts = {};
known.lessons = page.lessons;
const needs = () => toast(page.needs);

/* What a component is given, as Gradio gives it: a value, and who is told when it changes. */
function put(name, script, { value = null, markup = false, events = {} } = {}) {
  const element = document.querySelector(`[data-part="${name}"]`);
  const told = [];
  const props = { value };
  parts[name] = { show(next) {
    props.value = next;
    if (markup) element.innerHTML = next;
    for (const tell of told) tell();
  } };
  const trigger = (event, sent) => (events[event] ?? needs)(sent);
  mount(script, markup, element, props, trigger, (_, tell) => told.push(tell));
}
const panel = (name, action) => put(name, "panel", { markup: true, events: { action } });

/* -- heads -------------------------------------------------------------------------------------------------------- */
let measure = page.maps[query.get("metric")] ? query.get("metric") : page.measure;
let beside = "";

function showHeads(next, second) {
  const { map, second: others, choosers } = page.maps[next];
  measure = next;
  beside = others[second] ? second : "";
  parts.map.show({ ...map, second: others[beside], selected: [...state.selected] });
  parts.choosers.show(choosers[beside]);
  link({ metric: measure });
}

/* The field that was changed leads to the published measure that has its new value and most of the rest. */
function changeMeasure({ form }) {
  let wanted = measure;
  for (const [field, value] of Object.entries(form)) {
    const there = page.moves[measure][field];
    if (!there || there[value] === measure) continue;
    if (!there[value]) { needs(); continue; }
    wanted = there[value];
  }
  showHeads(wanted, form.beside);
}

/* Files that were made with the published head set; of another one the workbench makes them. */
function keepFile({ kind }) {
  const { map, files } = page.maps[measure];
  const same = state.selected.size === map.selected.length && map.selected.every((i) => state.selected.has(i));
  if (!files[kind] || (!same && kind !== "relevance.csv")) needs();
  else keep(files[kind].url, files[kind].name);
}

function showEpisode(index) {
  if (!page.episodes[index]) return;
  parts.player.show(page.episodes[index]);
  link({ episode: index ? String(index) : "" });
  for (const one of document.querySelectorAll("[data-part=grid] [data-action=episode]")) {
    one.setAttribute("aria-current", String(/** @type {HTMLElement} */ (one).dataset.value === String(index)));
  }
}

/* Where the set comes from is known of the published one alone. */
const published = (set) => { const { selected } = page.maps[page.measure].map; return set.size === selected.length && selected.every((i) => set.has(i)); };
let origin = null;
bus.addEventListener("origin", (/** @type {any} */ event) => { origin ??= event.detail; });
bus.addEventListener("selection", (/** @type {any} */ event) => {
  if (origin) emit("origin", published(event.detail) ? origin : { words: "", remark: "", shared: "" });
});

/* -- comparisons -------------------------------------------------------------------------------------------------- */
let comparison = page.comparisons[query.get("comparison")] ? query.get("comparison") : Object.keys(page.comparisons)[0];

function showComparison(id) {
  const one = page.comparisons[id];
  if (!one) return;
  comparison = id;
  parts.shown.show(one.chooser);
  parts.compareLead.show(one.lead);
  parts.rollouts.show(one.player);
  parts.success.show(one.success);
  parts.tables.show(one.tables);
  link({ comparison: id === Object.keys(page.comparisons)[0] ? "" : id });
}

/* -- steps -------------------------------------------------------------------------------------------------------- */
const tabs = [.../** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("#steps [role=tab]"))];

function showStep(tab) {
  for (const one of tabs) {
    const chosen = one === tab;
    one.setAttribute("aria-selected", String(chosen));
    one.classList.toggle("selected", chosen);
    one.tabIndex = chosen ? 0 : -1;
    document.getElementById(one.getAttribute("aria-controls")).hidden = !chosen;
  }
}
for (const tab of tabs) {
  tab.addEventListener("click", () => showStep(tab));
  tab.addEventListener("keydown", ({ key }) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[key];
    if (!step) return;
    const other = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length];
    showStep(other);
    other.focus();
  });
}
showStep(tabs.find((tab) => tab.dataset.tabId === "heads"));

/* -- everything, in the page's order ------------------------------------------------------------------------------ */
const first = page.episodes[query.get("episode")] ? query.get("episode") : Object.keys(page.episodes)[0];
put("lead", "lead", { value: { purpose: "" } });
put("player", "framePlayer", { value: page.episodes[first], events: { episode: ({ index }) => showEpisode(index) } });
panel("choosers", changeMeasure);
put("map", "headMap", { value: page.maps[measure].map, events: { toggle() {}, keep: keepFile } });
put("inspector", "inspector");
panel("header", ({ action, value }) => { if (action === "keep" && page.maps[measure].files[value]) keepFile({ kind: value }); });
panel("grid", ({ action, value }) => { if (action === "episode") showEpisode(Number(value)); });
panel("compareLead", () => {});
panel("shown", ({ form }) => showComparison(form.comparison));
put("rollouts", "rolloutPlayer", { value: page.comparisons[comparison]?.player ?? null, events: {
  report() { const { report } = page.comparisons[comparison]; if (report) keep(report.url, report.name); else needs(); } } });
panel("success", () => {});
panel("tables", () => {});
put("learn", "learn", { value: { classes: false } });
parts.choosers.show(page.maps[measure].choosers[beside]);
if (comparison && query.get("comparison")) showComparison(comparison);
ready();
if (query.get("tab")) openTab(query.get("tab"));
filled();
