/* Keys that work on the whole page, and the list of all keys and words, shown by `?`. */
import { headSet } from "../heads/head_set.js";
import { make, openTab, stored } from "./page.js";
import { allTerms } from "./terms.js";

const STEPS = ["demonstrations", "heads", "finetune", "compare", "learn"];
/** @type {[string, string[][]][]} */
const KEYS = [
  ["Everywhere", [["?", "This list of keys and words"], ["1 to 5", "Open a step"], ["L", "Into the lesson that is on"], ["Esc", "Close a list"]]],
  ["Frames and videos", [["Space", "Play or pause"], ["← →", "Step a frame; with Shift ten"], ["[ ]", "Episode before, after"],
    ["A", "Attention on or off"]]],
  ["Head map", [["Click", "Show a head"], ["Its tick, Ctrl click", "Select or drop it"],
    ["Shift click", "Select the box from the head shown"],
    ["Drag", "Select a box; from a selected head, drop it"], ["Number", "Of a row or column: select or drop all of it"],
    ["Arrows", "Show the next head; with Shift select on the way"], ["Space", "Select or drop; with Shift the row, with Ctrl the column"],
    ["Ctrl Z", "Undo; with Shift redo"]]],
  ["Driving by hand, in its picture", [["W A S D", "Away, left, towards you, right; arrows too"], ["R F", "Up, down"],
    ["Q E", "Turn left, right"], ["I J K L", "Tilt away, left, near, right"], ["Space", "Gripper"], ["Shift", "Slow"],
    ["Enter", "Keep the episode"], ["Backspace", "Try the scene again"], ["Esc", "Leave the picture"]]],
  ["Trials on your robot, in view", [["S F V", "Success, failure, void"], ["U", "Undo"], ["N", "A note; Enter leaves it"]]],
];
let dialog = null;

export const showShortcuts = () => {
  if (dialog?.open) { dialog.close(); return; }
  dialog?.remove();
  const close = make("button", { type: "button", class: "wb-button", onclick: () => dialog.close() }, "Close");
  const begin = make("button", { type: "button", class: "wb-button", "data-testid": "tour-start", onclick: async () => {
    dialog.close();
    (await import("../tour/tour.js")).tour();
  } }, stored("tour", false) ? "Take the tour again" : "Take the 30-second tour");
  dialog = make("dialog", { class: "wb-dialog wb-html", "aria-labelledby": "wb-keys", "data-testid": "shortcuts" },
    begin, make("h2", { id: "wb-keys" }, "Keyboard and mouse"),
    ...KEYS.map(([title, rows]) => make("section", {}, make("h3", {}, title),
      make("dl", {}, ...rows.map(([key, what]) => make("div", {}, make("dt", {}, make("kbd", {}, key)), make("dd", {}, what)))))),
    make("h2", {}, "Words"), make("dl", { class: "wb-words-list", "data-testid": "glossary" }, ...allTerms().map(([name, meaning]) =>
      make("div", {}, make("dt", {}, name), make("dd", {}, meaning)))),
    close);
  document.querySelector(".gradio-container").append(dialog);
  dialog.showModal();
};

/* The letter of a button or field that is in view ([data-key]) presses or enters it. */
const pressed = (event) => {
  const inView = (/** @type {HTMLElement} */ node) => {
    const { top, bottom } = node.getBoundingClientRect();
    const middle = (top + bottom) / 2;
    return node.checkVisibility() && !node.hasAttribute("disabled") && middle > 0 && middle < innerHeight;
  };
  const found = /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll(`[data-key="${event.key.toLowerCase()}"]`));
  const one = [...found].find(inView);
  if (!one) return;
  event.preventDefault();
  if (one.matches("input")) one.focus();
  else one.click();
};

document.addEventListener("keydown", (/** @type {any} */ event) => {
  const target = event.target;
  const writes = target.matches?.("input:not([type=range],[type=checkbox],[type=radio]), textarea, select, [contenteditable]");
  if (writes && target.dataset.key && ["Enter", "Escape"].includes(event.key)) target.blur();
  if (writes || dialog?.open) return;
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") {
    event.preventDefault();
    if (event.shiftKey) headSet.redo();
    else headSet.undo();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "?") { event.preventDefault(); showShortcuts(); }
  else if (/^[1-5]$/.test(event.key)) openTab(STEPS[Number(event.key) - 1]);
  else if (/^[a-z]$/i.test(event.key) && !event.repeat) pressed(event);
});
