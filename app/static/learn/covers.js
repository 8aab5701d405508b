/* Covers what shows the answer of a question until it is predicted: out of sight, and out of a screen reader's. */
import { make } from "../shared/page.js";

let sheet = null;

export function addCovers(selectors) {
  sheet ??= document.head.appendChild(make("style", { "data-covers": true }));
  const rule = selectors.length ? `:is(${selectors.join(",")}) { visibility: hidden !important; }` : "";
  if (sheet.textContent !== rule) sheet.textContent = rule;
}

export function uncover() {
  if (sheet?.textContent) sheet.textContent = "";
}
