/* A learner's side of a class: joins by the link, and tells the class what is predicted, voted and trained, without a name.
   Each is told once; what the server did not take is told again when something else is. */
import { ask } from "../shared/ask.js";
import { link } from "../shared/address.js";
import { make, store, stored, toast } from "../shared/page.js";

const KEY = "class";
let joined = null;  // the class's card
let redraw = () => {};
const told = new Set();  // of runs

/* One after the other, for of two answers to a question the one that comes last counts. */
let last = Promise.resolve();
const send = (name, ...values) => (last = last.then(async () => {
  if (!joined?.since_s) return;
  try {
    await ask(name, joined.code, ...values);
  } catch (error) {
    toast(`Your class was not told. ${error.message}`);
  }
}));

export const classroom = {
  async begin(changed) {
    redraw = changed;
    const code = new URL(location.href).searchParams.get("class") ?? stored(KEY, null);
    if (!code) return;
    try {
      joined = await ask("join_class", code);
      store(KEY, joined.since_s ? code : null);
    } catch {  // the page's own notes say why, where a link asked for it
      store(KEY, null);
      link({ class: "" });
    }
  },
  predicted: (lesson, choice, found = null, revealed = false) => send("class_prediction", lesson, choice, found ?? "", revealed),
  voted: (vote) => send("class_vote", vote.comparison, vote.scene, vote.method),
  ran(runs) {
    for (const run of runs) {
      if (!joined?.since_s || run.asked_s <= joined.since_s || told.has(run.id)) continue;
      told.add(run.id);
      send("class_run", run.id);
    }
  },
  /* What the column says of it; null without a class. */
  line() {
    if (!joined) return null;
    if (!joined.since_s) return make("p", { class: "wb-class-line", "data-testid": "class-line" }, `You teach “${joined.title}”: your own answers do not count there.`);
    return make("div", { class: "wb-class-line", "data-testid": "class-line" },
      make("p", {}, make("b", {}, joined.title), ": your predictions, blind votes and finetunes show in the class's chart, without your name."),
      make("button", { type: "button", class: "wb-button wb-quiet", "data-part": "leave", onclick: leave }, "Leave the class"));
  },
};

async function leave() {
  try {
    await ask("leave_class", joined.code);
  } catch (error) {
    toast(error.message);
    return;
  }
  toast(`You left ${joined.title}. What you answered there is deleted.`);
  joined = null;
  store(KEY, null);
  link({ class: "" });
  redraw();
}
