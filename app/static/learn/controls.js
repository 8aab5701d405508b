/* What a teacher's link hides (`?hide=…`) or locks (`?lock=…`), names with commas between. A help for teaching, no wall: the
   address can be changed. What is locked stays in sight; pressing it says why nothing happens. */
import { make, state, toast } from "../shared/page.js";

const tab = (name) => `#steps [role=tab][data-tab-id=${name}]`;
/* Name -> [what it is, in words; selector]. docs/TEACHING.md lists them. */
export const CONTROLS = {
  demonstrations: ["the Demonstrations step", tab("demonstrations")],
  heads: ["the Heads step", tab("heads")],
  finetune: ["the Finetune step", tab("finetune")],
  compare: ["the Compare step", tab("compare")],
  learn: ["the Learn step", tab("learn")],
  chips: ["the chips of what is open", ".wb-chips"],
  policy: ["the policy", ".wb-chip[data-name=Policy]"],
  export: ["exports", "[data-testid=export], .wb-figure-tools, .wb-summary .wb-menu"],
  measure: ["the choice of the measure", "[data-testid=measure-line], .wb-choosers"],
  rule: ["the rule that selects", ".wb-rule"],
  selection: ["the selection of heads", ".wb-cell-tick, .wb-head-tick, .wb-all, .wb-summary .wb-buttons"],
  questions: ["questions about a head", "#measures"],
  settings: ["settings of the training", ".wb-settings .wb-field, .wb-settings .wb-fold"],
  methods: ["the choice of methods", ".wb-methods"],
  labels: ["the button that shows all labels", "[data-testid=show-labels]"],
};
const DEEDS = ["click", "pointerdown", "change", "input", "keydown"];

const named = (parameter) => (new URL(location.href).searchParams.get(parameter) ?? "").split(",").filter(Boolean);

export function applyControls() {
  const hidden = named("hide"), locked = named("lock");
  const unknown = [...hidden, ...locked].filter((name) => !CONTROLS[name]);
  if (unknown.length) toast(`This link hides or locks ${unknown.join(", ")}, which is not known here. Known are ${Object.keys(CONTROLS).join(", ")}.`);
  const rules = [...hidden.filter((name) => CONTROLS[name]).map((name) => `:is(${CONTROLS[name][1]}) { display: none !important; }`),
    ...locked.filter((name) => CONTROLS[name]).map((name) => `:is(${CONTROLS[name][1]}) { opacity: .5; cursor: not-allowed !important; }`)];
  if (!rules.length) return;
  document.head.append(make("style", { "data-controls": true }, rules.join("\n")));
  state.locked = new Set([...hidden, ...locked]);  // the set of heads has keys of its own
  const walls = locked.filter((name) => CONTROLS[name]);
  const deed = (event) => {
    if (event.type === "keydown" && !["Enter", " "].includes(event.key)) return;
    const name = walls.find((one) => event.target.closest?.(CONTROLS[one][1]));
    if (!name) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (event.type === "click" || event.type === "keydown") said(name);
  };
  for (const kind of DEEDS) window.addEventListener(kind, deed, true);
  const mark = () => {
    for (const name of walls) {
      for (const one of document.querySelectorAll(CONTROLS[name][1])) if (one.getAttribute("aria-disabled") !== "true") one.setAttribute("aria-disabled", "true");
    }
  };
  new MutationObserver(mark).observe(document.body, { childList: true, subtree: true });
  mark();
}

let last = 0;
function said(name) {
  if (Date.now() - last < 2000) return;
  last = Date.now();
  toast(`Your teacher's link has locked ${CONTROLS[name][0]}.`);
}
