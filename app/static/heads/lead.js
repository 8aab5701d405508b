/* The sentence that leads the Heads step: what the map says, drawn with it, and what the selected heads share, which follows
   from the server after every change of the set. Until heads are scored: what the step is for. */
import { make, on, state } from "../shared/page.js";

export const lead = (element, props) => {
  const sentence = make("p", { class: "wb-lead-first", "data-testid": "lead" }, props.value.purpose);
  const set = make("p", { "data-testid": "lead-set" });
  element.replaceChildren(make("div", { class: "wb-lead" }, sentence, set));
  const tell = (line, words) => { if (line.textContent !== words) line.textContent = words; };  // the same anew is laid out anew
  const draw = () => {
    const { heads, origin, selected } = state;
    tell(sentence, heads?.lead || props.value.purpose);
    tell(set, (heads && selected.size && origin?.shared) || "");
  };
  for (const name of ["heads", "origin", "selection"]) on(element, name, draw);
  draw();
};
