/* A style sheet of what is loaded later, once. It lies beside the one that the page links; the static twin has all inside. */
import { make } from "./page.js";

const added = new Set();

/** @param {string} name - below static/, as in "learn/learn.css" */
export const addStyle = (name) => {
  const linked = /** @type {HTMLLinkElement} */ (document.querySelector("link[href$='/narrow.css']"));
  if (!linked || added.has(name)) return;
  added.add(name);
  document.head.append(make("link", { rel: "stylesheet", href: linked.href.replace("narrow.css", name) }));
};
