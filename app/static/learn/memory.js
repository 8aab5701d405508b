/* How far the learner is, kept by the browser for all its tabs: {id, folded, lessons: {id: progress}}. Which lesson is on
   is said by a tab's own address, so two tabs may hold two lessons; a tab without one goes on with the last. */
import { link } from "../shared/address.js";
import { store, stored } from "../shared/page.js";

const KEY = "learning";
const FRESH = { predicted: null, ticked: 0, seen: [], before: {}, asked: null, runs: [], watched: [], vote: null, revealed: null };

const read = () => ({ id: null, folded: false, lessons: {}, ...stored(KEY, {}) });
export const asked = () => new URL(location.href).searchParams.get("lesson");

let here = asked() ?? read().id;

export const memory = {
  /* The lesson that is on in this tab; null for none. */
  get id() { return here; },
  get folded() { return read().folded; },
  fold(folded) { store(KEY, { ...read(), folded }); },
  open(id) {
    here = id;
    store(KEY, { ...read(), id });
    link({ lesson: id ?? "" });
  },
  of: (id) => ({ ...FRESH, ...read().lessons[id] }),
  /* Other tabs may have written meanwhile: only what changed of one lesson is. */
  set(id, changes) {
    const all = read();
    store(KEY, { ...all, lessons: { ...all.lessons, [id]: { ...FRESH, ...all.lessons[id], ...changes } } });
  },
  again(id) {
    const all = read();
    store(KEY, { ...all, lessons: { ...all.lessons, [id]: { ...FRESH } } });
  },
  isKey: (key) => key === `steering-${KEY}`,
};
