/* The selected heads, with undo and redo. The map paints from here at once; the server hears of each set afterwards. */
import { emit, make, state } from "../shared/page.js";
import { term } from "../shared/terms.js";

export const headSet = (() => {
  const DEPTH = 100;
  const PAINT_MS = 16;
  const ECHO_MS = 10_000;  // what the server drew with the set of before a click comes within this time
  /** @type {(selected: number[]) => void} */
  let sender = () => {};
  let waiting = false;
  let left = [];  // [set, when the page left it], of late

  /* After the paint: handing an event to Gradio takes longer than painting. Several changes in between go as one. */
  function send() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => setTimeout(() => { waiting = false; sender([...state.selected]); }, PAINT_MS));
  }

  const same = (a, b) => a.size === b.size && [...a].every((i) => b.has(i));
  const movable = (indices) => [...indices].filter((i) => state.heads?.names[i] && !state.heads.inert[i]);

  function show(next) {
    const now = performance.now();
    left = [...left.filter(([, when]) => now - when < ECHO_MS), [state.selected, now]];
    state.selected = new Set(next);
    emit("selection", state.selected);
  }

  function change(next) {
    if (state.locked.has("selection")) return;  // by a teacher's link
    state.undo.push([...state.selected]);
    state.undo.splice(0, state.undo.length - DEPTH);
    state.redo = [];
    show(next);
    send();
    emit("changed");
  }

  function step(from, to, name) {
    if (!from.length || state.locked.has("selection")) return;
    to.push([...state.selected]);
    show(from.pop());
    send();
    emit(name);
  }

  return {
    connect(given) { sender = given; },
    /* The set that other demonstrations begin with: there is nothing to take back. */
    begin(next) {
      state.undo = [];
      state.redo = [];
      show(next);
      left = [];
    },
    /* The set that came with a drawing of the same demonstrations. chosen: the visitor asked for it, by a rule or a
       file. Else a set that the page has just left is older than the page's, which the server has not heard of yet. */
    take(next, chosen) {
      const given = new Set(next);
      const now = performance.now();
      const differs = !same(given, state.selected);
      const echoes = !chosen && left.some(([one, when]) => now - when < ECHO_MS && same(one, given));
      if (differs && echoes) send();
      else if (differs) {
        state.undo.push([...state.selected]);
        state.redo = [];
        show(given);
      }
      if (chosen) emit("chosen", next);
    },
    toggle(i) {
      const next = new Set(state.selected);
      if (!next.delete(i)) {
        if (state.heads.inert[i]) return;
        next.add(i);
      }
      change(next);
    },
    add(indices) {
      const next = new Set([...state.selected, ...movable(indices)]);
      if (next.size !== state.selected.size) change(next);
    },
    remove(indices) {
      const gone = new Set(indices);
      const next = [...state.selected].filter((i) => !gone.has(i));
      if (next.length !== state.selected.size) change(next);
    },
    /* All of a row or column, or none of it where all of it is selected. */
    flip(indices) {
      const able = movable(indices);
      if (able.every((i) => state.selected.has(i))) headSet.remove(able);
      else headSet.add(able);
    },
    all() { headSet.add(state.heads.score.keys()); },
    clear() { if (state.selected.size) change([]); },
    undo() { step(state.undo, state.redo, "undo"); },
    redo() { step(state.redo, state.undo, "redo"); },
  };
})();

/* The tick of a head: whether it is in the set. */
export const headTick = (i) => {
  const { heads, selected } = state;
  if (heads.inert[i]) return make("span", { class: "wb-tag" }, term("inert", "inert"));
  return make("label", { class: "wb-head-tick" },
    make("input", { type: "checkbox", checked: selected.has(i), "data-testid": "head-tick", "aria-label": `Selected: ${heads.names[i]}`,
      onchange: () => headSet.toggle(i) }), "Selected");
};

/* How far a square stands in from its cell's edge, as a share of the cell: more where its score is less sure. */
export const cellInset = (i) => {
  const { trust } = state.heads;
  return trust ? 0.22 * (1 - trust.sure[i]) : 0;
};
