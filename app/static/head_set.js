/* The selected heads, with undo and redo. The map paints from here at once; the server hears of each set afterwards. */
wb.headSet = (() => {
  const { state } = wb;
  const DEPTH = 100;
  const PAINT_MS = 16;
  let sender = () => {};
  let waiting = false;

  /* After the paint: handing an event to Gradio takes longer than painting. Several changes in between go as one. */
  function send() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => setTimeout(() => { waiting = false; sender([...state.selected]); }, PAINT_MS));
  }

  const movable = (indices) => [...indices].filter((i) => state.heads && !state.heads.inert[i]);

  function show(next) {
    state.selected = new Set(next);
    wb.emit("selection", state.selected);
  }

  function change(next) {
    state.undo.push([...state.selected]);
    state.undo.splice(0, state.undo.length - DEPTH);
    state.redo = [];
    show(next);
    send();
    wb.emit("changed");
  }

  function step(from, to, name) {
    if (!from.length) return;
    to.push([...state.selected]);
    show(from.pop());
    send();
    wb.emit(name);
  }

  return {
    connect(given) { sender = given; },
    /* A set that the server chose: by a rule, a link or a file. */
    replace(next, fresh) {
      if (fresh) state.undo = [];
      else { state.undo.push([...state.selected]); wb.emit("chosen", next); }
      state.redo = [];
      show(next);
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
      if (able.every((i) => state.selected.has(i))) wb.headSet.remove(able);
      else wb.headSet.add(able);
    },
    all() { wb.headSet.add(state.heads.score.keys()); },
    clear() { if (state.selected.size) change([]); },
    undo() { step(state.undo, state.redo, "undo"); },
    redo() { step(state.redo, state.undo, "redo"); },
  };
})();
