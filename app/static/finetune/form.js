/* The Finetune form: fills in what the server counts beside the fields, asks for it while a number is being typed, and
   copies commands. Slots are filled in place, so neither focus nor what was typed is lost. */
import { bus, toast } from "../shared/page.js";

const ASK_MS = 120;
let newest = null;
let timer = null;

function fill() {
  if (!newest) return;
  for (const slot of /** @type {NodeListOf<any>} */ (document.querySelectorAll(".wb-training [data-slot]"))) {
    const markup = newest.slots[slot.dataset.slot] ?? "";
    if (slot.filled !== markup) { slot.innerHTML = markup; slot.filled = markup; }
  }
  for (const box of /** @type {NodeListOf<any>} */ (document.querySelectorAll(".wb-training [name=methods]"))) {
    const off = newest.off.includes(box.value);
    box.disabled = off;
    if (off) box.checked = false;
    box.closest(".wb-method").toggleAttribute("data-off", off);
  }
}

bus.addEventListener("training", (/** @type {any} */ event) => { newest = event.detail; fill(); });
bus.addEventListener("training-form", fill);

document.addEventListener("input", (/** @type {any} */ event) => {
  if (event.target.type !== "number" || !event.target.closest(".wb-training")) return;
  clearTimeout(timer);
  timer = setTimeout(() => event.target.dispatchEvent(new Event("change", { bubbles: true })), ASK_MS);
});

document.addEventListener("click", async (/** @type {any} */ event) => {
  const copy = event.target.closest?.("[data-copy-code]");
  if (!copy) return;
  event.preventDefault();
  const code = copy.closest(".wb-code").querySelector("code");
  try {
    await navigator.clipboard.writeText(code.textContent);
    toast("Copied. It does the same outside the page.");
  } catch {  // a page without a secure context has no clipboard
    getSelection().selectAllChildren(code);
    toast("The browser does not allow copying. The text is selected: press Ctrl+C.");
  }
});
