import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

/* As much of a browser as the modules need to be read. */
globalThis.window = globalThis;
globalThis.document = { getElementById: () => null, addEventListener() {} };
globalThis.addEventListener = () => {};
globalThis.requestAnimationFrame = (act) => setTimeout(act, 0);

const { headSet } = await import("../../../app/static/heads/head_set.js");
const { bus, state } = await import("../../../app/static/shared/page.js");

const selected = () => [...state.selected].sort();
let chosen = 0;
bus.addEventListener("chosen", () => { chosen += 1; });

beforeEach(() => {
  state.heads = { names: ["a", "b", "c", "d"], inert: [false, false, false, true], score: [1, 2, 3, 4] };
  headSet.begin([0]);
});

test("changes are taken back and done again, and a new one forgets what was taken back", () => {
  headSet.toggle(1);
  headSet.toggle(0);
  assert.deepEqual(selected(), [1]);
  headSet.undo();
  assert.deepEqual(selected(), [0, 1]);
  headSet.redo();
  assert.deepEqual(selected(), [1]);
  headSet.undo();
  headSet.toggle(2);
  headSet.redo();
  assert.deepEqual(selected(), [0, 1, 2]);
});

test("a head that cannot move an action is never selected", () => {
  headSet.toggle(3);
  headSet.all();
  assert.deepEqual(selected(), [0, 1, 2]);
});

test("a row is selected whole, then dropped whole", () => {
  headSet.flip([1, 2, 3]);
  assert.deepEqual(selected(), [0, 1, 2]);
  headSet.flip([1, 2, 3]);
  assert.deepEqual(selected(), [0]);
});

test("what the server drew before a click does not undo it; what a rule chose does count", () => {
  headSet.toggle(1);
  headSet.take([0], false);
  assert.deepEqual(selected(), [0, 1]);
  headSet.take([2], true);
  assert.deepEqual(selected(), [2]);
  assert.equal(chosen, 1);
});
