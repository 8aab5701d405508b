/* The teacher's side of a class, in the Learn step: makes it, builds the link that learners open, and shows one live chart of
   what they predict, vote and train. Only counts come here, never who. */
import { CONTROLS } from "./controls.js";
import { ask } from "../shared/ask.js";
import { keepText } from "../shared/download.js";
import { make, stored, store, toast } from "../shared/page.js";

const EVERY_MS = 3000;
let secrets = stored("teaching", {});  // code -> secret, of classes made in this browser or opened by their secret
let shown = null;
let timer = null;
let box = null;
let lessons = [];

const button = (label, act, look = "", more = {}) => make("button", { type: "button", class: `wb-button${look}`, onclick: act, ...more }, label);
const tried = async (act) => { try { return await act(); } catch (error) { toast(error.message); return null; } };

/* Draws it into the Learn step's place for it. */
export async function teach(element, given) {
  lessons = given;
  const query = new URL(location.href).searchParams;
  const [code, secret] = [query.get("class"), new URLSearchParams(location.hash.slice(1)).get("teach")];
  if (code && secret) {
    secrets = { ...secrets, [code]: secret };
    shown = code;
  }
  box = make("div", { class: "wb-teach" });
  element.replaceChildren(make("details", { class: "wb-card wb-section wb-fold", "data-testid": "teach", open: Boolean(secret),
    ontoggle: (event) => (event.target.open ? draw() : stop()) }, make("summary", {}, "Teach a class"), box));
}

async function draw() {
  const own = (await tried(() => ask("classes"))) ?? [];
  const codes = [...own.map((one) => one.code), ...Object.keys(secrets).filter((code) => !own.some((one) => one.code === code) && code === shown)];
  shown ??= own[0]?.code ?? null;
  box.replaceChildren(make("p", {}, "A class collects its learners' predictions, blind votes and finetunes in one chart, without names. Learners open your link; each sees their own runs and sets alone."),
    form(), codes.length > 1 ? chooser(own) : "", shown ? room(own.find((one) => one.code === shown)) : "");
  if (shown) follow();
}

function form() {
  const title = make("input", { type: "text", name: "class-title", maxlength: 80, placeholder: "Robot learning, week 3" });
  return make("form", { class: "wb-form", onsubmit: async (event) => {
    event.preventDefault();
    const made = await tried(() => ask("make_class", title.value));
    if (!made) return;
    secrets = { ...secrets, [made.code]: made.secret };
    store("teaching", secrets);
    title.value = "";
    shown = made.code;
    await draw();
  } }, make("label", { class: "wb-field wb-class-title" }, make("span", {}, "Name of the class"), title), make("button", { type: "submit", class: "wb-button", "data-testid": "make-class" }, "Make a class"));
}

function chooser(own) {
  const select = make("select", { name: "class-shown", onchange: () => { shown = select.value; draw(); } },
    ...own.map((one) => make("option", { value: one.code, selected: one.code === shown }, `${one.title} (${one.learners})`)));
  return make("label", { class: "wb-field" }, make("span", {}, "Class"), select);
}

/* The link, what it opens, hides and locks, and the chart. */
function room(card) {
  const address = make("input", { type: "text", readonly: true, name: "class-link", "data-testid": "class-link", onfocus: () => address.select() });
  const lesson = make("select", { name: "class-lesson" }, make("option", { value: "" }, "none"), ...lessons.map((one, i) => make("option", { value: one.id, selected: i === 0 }, `${i + 1}. ${one.title}`)));
  const ticks = (name) => make("fieldset", { class: "wb-field" }, make("legend", {}, name === "hide" ? "Hide" : "Lock"),
    make("div", { class: "wb-checks" }, ...Object.entries(CONTROLS).map(([key, [said]]) => make("label", {}, make("input", { type: "checkbox", name: `class-${name}`, value: key }), said.replace(/^the /, "")))));
  const how = make("div", { class: "wb-class-how" }, make("label", { class: "wb-field" }, make("span", {}, "Opens the lesson"), lesson),
    make("details", { class: "wb-fold" }, make("summary", {}, "Hide or lock controls"), ticks("hide"), ticks("lock")));
  const build = () => {
    const url = new URL(location.href);
    const wanted = ["policy", "demonstrations", "metric"];  // the same data for all; each has a selection of their own
    const query = new URLSearchParams([...url.searchParams].filter(([name]) => wanted.includes(name)));
    query.set("class", shown);
    if (lesson.value) query.set("lesson", lesson.value);
    for (const name of ["hide", "lock"]) {
      const ticked = [.../** @type {NodeListOf<HTMLInputElement>} */ (how.querySelectorAll(`[name=class-${name}]:checked`))].map((one) => one.value);
      if (ticked.length) query.set(name, ticked.join(","));
    }
    url.hash = "";
    url.search = query.toString().replaceAll("%2C", ",");
    address.value = url.href;
  };
  how.addEventListener("change", build);
  build();
  const copy = async (text, said) => {
    try { await navigator.clipboard.writeText(text); toast(said); } catch { toast("The browser does not allow copying. Select the address and press Ctrl+C."); }
  };
  const elsewhere = () => { const url = new URL(address.value); url.search = `?tab=learn&class=${shown}`; url.hash = `teach=${secrets[shown]}`; return url.href; };
  return make("div", { class: "wb-class-room" },
    make("div", { class: "wb-form" }, make("label", { class: "wb-field wb-class-link" }, make("span", {}, "Link for the learners"), address),
      button("Copy", () => copy(address.value, "Link copied. Send it to your class."), " wb-primary"),
      secrets[shown] ? button("Copy my own link", () => copy(elsewhere(), "Copied. It opens this chart in another browser: keep it to yourself."), " wb-quiet") : ""),
    how, make("div", { class: "wb-class-chart", "data-testid": "class-chart", "aria-live": "off" }),
    make("div", { class: "wb-buttons" },
      button("CSV", async () => { const table = await tried(() => ask("class_table", shown, secrets[shown] ?? "")); if (table) keepText(table, ["class", shown], "csv", null); }, " wb-quiet", { title: "Keep every answer as a table, without names", "data-testid": "class-csv" }),
      button("Close the class", close, " wb-quiet"),
      card ? make("span", { class: "wb-muted" }, `Kept until ${card.until}, longer while it is used.`) : ""));
}

async function close(event) {
  const pressed = event.target;
  if (pressed.dataset.sure === undefined) {
    pressed.dataset.sure = "";
    pressed.textContent = "Delete it with all answers";
    return;
  }
  if (await tried(async () => { await ask("close_class", shown, secrets[shown] ?? ""); return true; })) {
    delete secrets[shown];
    store("teaching", secrets);
    shown = null;
    stop();
    await draw();
  }
}

function stop() {
  clearTimeout(timer);
  timer = null;
}

async function follow() {
  stop();
  const place = box.querySelector(".wb-class-chart");
  if (!place?.isConnected) return;
  if (place.offsetParent !== null && !document.hidden) {
    const found = await ask("class_chart", shown, secrets[shown] ?? "").catch((error) => error);
    if (found instanceof Error) { place.replaceChildren(make("p", {}, found.message)); return; }
    chart(place, found);
  }
  timer = setTimeout(follow, EVERY_MS);
}

/* One block a question, a bar an answer; what the learners' data said is marked. Drawn anew only where something changed. */
function chart(place, found) {
  const text = JSON.stringify(found);
  if (place.dataset.drawn === text) return;
  place.dataset.drawn = text;
  const bar = (label, count, most, mark) => make("div", { class: "wb-class-bar" }, make("span", {}, label, mark ? make("small", {}, " data say so") : ""),
    make("i", {}, make("u", { style: `width:${most ? (100 * count) / most : 0}%` })), make("b", {}, String(count)));
  const block = (title, rows) => make("section", {}, make("h4", {}, title), ...rows);
  const answered = found.predictions.filter((one) => Object.values(one.answers).some(Boolean));
  const blocks = answered.map((one) => {
    const lesson = lessons.find(({ id }) => id === one.question);
    return block(lesson.question.replace("{best}", "the head shown"), lesson.choices.map(({ name, words }) => bar(words, one.answers[name], found.learners, one.found[name])));
  });
  const votes = Object.entries(found.votes);
  if (votes.length) blocks.push(block("Which did it best, by blind votes", votes.map(([name, count]) => bar(name === "same" ? "No difference" : name, count, Math.max(...votes.map(([, n]) => n))))));
  if (found.runs.length) blocks.push(block("Finetunes: held-out error", runs(found.runs)));
  place.replaceChildren(make("h3", {}, `${found.title}: ${found.learners} learner${found.learners === 1 ? "" : "s"}`),
    ...(blocks.length ? [make("div", { class: "wb-class-blocks" }, ...blocks)] : [make("p", { class: "wb-muted" }, "Nothing is answered yet. This chart follows by itself.")]));
}

/* A row a method and number of steps: every run a tick on one scale. */
function runs(all) {
  const known = all.filter((run) => typeof run.after === "number");
  const most = Math.max(...known.map((run) => run.after), 0) || 1;
  const groups = new Map();
  const name = (run) => `${run.control ? `Control: ${run.control}` : { steering: "Robotic Steering", lora: "LoRA" }[run.method] ?? run.method}, ${run.steps} steps`;
  for (const run of known) groups.set(name(run), [...(groups.get(name(run)) ?? []), run]);
  return [...groups].map(([label, own]) => {
    const mean = own.reduce((sum, run) => sum + run.after, 0) / own.length;
    return make("div", { class: "wb-class-bar" }, make("span", {}, label, make("small", {}, ` ${own.length} run${own.length === 1 ? "" : "s"}`)),
      make("i", { class: "wb-class-dots" }, ...own.map((run) => make("s", { style: `left:${(100 * run.after) / most}%`, title: run.after.toFixed(3) }))), make("b", {}, mean.toFixed(3)));
  });
}
