/* What main.js loads when the Learn step is opened, or a link or a lesson that is on asks for it. */
import { all, begin, drawList } from "./lessons.js";
import { teach } from "./teach.js";
import { make } from "../shared/page.js";
import { addStyle } from "../shared/style.js";

addStyle("learn/learn.css");

export { begin };

/* The step itself: the list of lessons, what is known so far, and classes where there is a server. */
export const learn = async (element, props) => {
  const teaching = make("div", {});
  element.replaceChildren(make("div", { "data-lessons": true }), make("div", { "data-known": true }), make("div", { "data-class": true }), teaching);
  await begin();
  drawList();
  if (props.value?.classes !== false) await teach(teaching, all());
};
