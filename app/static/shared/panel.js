/* A panel of markup made by a Python view. A click on [data-action], or a change inside [data-live], is sent with
   the values of the panel's form fields and the selected heads, of which the server may not have heard yet; [data-tab] opens a step; a file of an input[data-send] is announced by that action and
   goes where the server's [data-send-to] says. [data-emit] tells the page's other components what [data-emitted]
   holds. */
import { copyLink, link } from "./address.js";
import { keepTable } from "./download.js";
import { showShortcuts } from "./keyboard.js";
import { emit, isDark, openTab, state, theme } from "./page.js";

export const panel = (element, props, trigger, watch) => {
  const fields = () => {
    const values = {};
    for (const field of element.querySelectorAll("[name]")) {
      if (field.type === "checkbox") {
        values[field.name] = values[field.name] ?? [];
        if (field.checked) values[field.name].push(field.value);
      } else if (field.type === "radio") {
        if (field.checked) values[field.name] = field.value;
      } else values[field.name] = field.value;
    }
    return values;
  };
  const send = (action, value) => {
    const sent = { action, value, form: fields(), selected: [...state.selected], demonstrations: state.heads?.demonstrations ?? "" };
    trigger("action", sent);
    emit("action", sent);
  };
  const folds = new Map();  // [data-fold] -> whether the visitor has it open, which drawing anew would close
  element.addEventListener("click", (event) => {
    const fold = event.target.closest("summary")?.closest("details[data-fold]");
    if (fold) folds.set(fold.dataset.fold, !fold.open);  // the click opens it afterwards
    const target = event.target.closest("[data-action],[data-tab],[data-theme-toggle],[data-copy-link],[data-shortcuts],[data-keep-table],[data-play-films]");
    if (!target || target.disabled) return;
    if (target.hasAttribute("data-theme-toggle")) theme(isDark() ? "light" : "dark");
    else if (target.hasAttribute("data-copy-link")) copyLink();
    else if (target.hasAttribute("data-shortcuts")) showShortcuts();
    else if (target.dataset.keepTable) keepTable(target.closest(".wb-kept").querySelector("table"), target.dataset.keepTable, target.dataset.of);
    else if (target.hasAttribute("data-play-films")) import("../heads/films.js").then(({ playTogether }) => playTogether(target.closest("section")));
    else if (target.dataset.action) send(target.dataset.action, target.dataset.value ?? "");
    target.closest(".wb-menu, .wb-measuring")?.removeAttribute("open");
    if (target.dataset.tab) openTab(target.dataset.tab);
  });
  /* Drawing anew goes child by child, so a field may become another one: each gets its value by name. What the visitor
     set stays until the server's own choice for that field changes. */
  const set = new Map(), given = new Map();
  const keyOf = (field) => (field.type === "checkbox" ? `${field.name}=${field.value}` : field.name);
  const defaultOf = (field) => {
    if (field.type === "checkbox") return field.defaultChecked;
    if (field.type === "radio") return element.querySelector(`[name="${CSS.escape(field.name)}"][checked]`)?.value;
    if (field.tagName !== "SELECT") return field.defaultValue;
    return ([...field.options].find((option) => option.defaultSelected) ?? field.options[0])?.value;
  };
  const put = (field, value) => {
    if (field.type === "checkbox") field.checked = value;
    else if (field.type === "radio") field.checked = field.value === value;
    else if (field.value !== value) field.value = value;
  };
  const showValue = (field) => {
    const output = field.type === "range" && field.parentElement.querySelector("output");
    if (output) output.textContent = field.value;
  };
  /* What a form holds, as attributes of the [data-reflect] around it, for the style sheets: :has(:checked) over a descendant
     makes the browser style the whole page anew at every click. */
  const reflect = (field) => {
    const around = field.closest("[data-reflect]");
    if (!around || !field.matches("select, [type=checkbox], [type=radio]:checked")) return;
    around.setAttribute(`data-of-${field.name.replace(/-\d+$/, "")}`, field.type === "checkbox" ? field.checked : field.value);
  };
  const restore = (field) => {
    const key = keyOf(field), value = defaultOf(field);
    const gone = field.tagName === "SELECT" && ![...field.options].some((option) => option.value === set.get(key));
    if (gone || given.get(key) !== value) set.delete(key);
    given.set(key, value);
    put(field, set.has(key) ? set.get(key) : value);
    showValue(field);
    reflect(field);
  };
  element.addEventListener("input", ({ target }) => {
    if (target.name) set.set(keyOf(target), target.type === "checkbox" ? target.checked : target.value);
    showValue(target);
    reflect(target);
    if (target.dataset.follow !== undefined) import("../strength/strength.js").then(({ follow }) => follow(target));
  });
  element.addEventListener("change", (event) => {
    if (event.target.closest("[data-live]")) send("change", "");
    if (event.target.dataset.send) import("./sending.js").then(({ announce }) => announce(event.target, send));
  });
  const read = () => {
    const drawn = [...element.querySelectorAll("[name]")], keys = new Set(drawn.map(keyOf));
    for (const key of given.keys()) if (!keys.has(key)) { given.delete(key); set.delete(key); }
    drawn.forEach(restore);
    for (const fold of element.querySelectorAll("details[data-fold]")) fold.open = folds.get(fold.dataset.fold) ?? fold.hasAttribute("open");
    const going = element.querySelector("[data-send-to]");
    if (going) import("./sending.js").then(({ go }) => go(going.dataset.sendTo, send));
    const query = element.querySelector("[data-query]");
    if (query) link(JSON.parse(query.dataset.query));
    for (const told of element.querySelectorAll("[data-emit]")) emit(told.dataset.emit, JSON.parse(told.dataset.emitted));
  };
  watch("value", read);
  read();
};
