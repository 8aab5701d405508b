/* Words that open their meaning: every [data-term] on the page, by its key in app/glossary.py, which `glossary` holds as
   {key: [name, meaning]}. One popover serves all of them; Esc and a click elsewhere close it. */
import { make } from "./page.js";
import { glossary } from "./words.js";

let box = null;

/* A word with its meaning behind it; plain text where the glossary has no such key. */
export const term = (key, shown) => (glossary[key]
  ? make("button", { type: "button", class: "wb-term", "data-term": key }, shown ?? glossary[key][0]) : shown);

/* [name, meaning] of all, by name. */
export const allTerms = () => Object.values(glossary).sort(([a], [b]) => a.localeCompare(b));

function open(word) {
  const [name, meaning] = glossary[word.dataset.term];
  box ??= make("div", { class: "wb-meaning wb-html", popover: "auto", role: "status", "data-testid": "meaning" });
  if (!box.isConnected) document.querySelector(".gradio-container").append(box);
  box.replaceChildren(make("b", {}, name[0].toUpperCase() + name.slice(1)), make("p", {}, meaning));
  box.showPopover();
  const at = word.getBoundingClientRect();
  const left = Math.max(8, Math.min(at.left, innerWidth - box.offsetWidth - 8));
  const below = at.bottom + 6 + box.offsetHeight <= innerHeight;
  Object.assign(box.style, { left: `${left}px`, top: `${below ? at.bottom + 6 : Math.max(8, at.top - 6 - box.offsetHeight)}px` });
}

document.addEventListener("click", (/** @type {any} */ event) => {
  const word = event.target.closest?.("[data-term]");
  if (word && glossary[word.dataset.term]) open(word);
});
window.addEventListener("scroll", () => { if (box?.matches(":popover-open")) box.hidePopover(); }, { passive: true, capture: true });
