/* The head map: layers down, heads across, every stack with its own. Paints in the same frame as the click (head_set.js holds the
   set). Looking is not choosing: a click and the arrows show a head, hovering previews it in the inspector and cameras; its tick,
   Space, Ctrl- or Shift-click and boxes select. */
import { cellInset, headSet, headTick } from "./head_set.js";
import { asked, link, pin as pinHead } from "../shared/address.js";
import { colour, number, onScale, p } from "../shared/numbers.js";
import { emit, latest, make, on, openTab, state, toast } from "../shared/page.js";
import { term } from "../shared/terms.js";

/* Of a report, which is a page with films in it, the data alone (steering/selection/report_file.py). */
const dataOf = (text) => /^\s*<!doctype html/i.test(text) ? /<script type="application\/json">(.*?)<\/script>/s.exec(text)?.[1] ?? text : text;

export const headMap = (element, props, trigger, watch) => {
  const SHOWN_MS = 16;  // from a cell's focus, once it is painted, to its tooltip
  const DENSE = 10;  // layers beyond which cells are flat, so that the whole map stays in sight
  let cells = [];
  let tooltip = null;
  let box = null;  // {from, to, drops} while the pointer drags over cells
  let boxed = new Set();
  let told = null;  // the head that the tooltip speaks of
  let roving = null;

  const toggle = latest(trigger, "toggle");
  const toggled = (selected) => toggle({ selected, demonstrations: state.heads.demonstrations });
  /* Cells are counted as if every stack were as large as the largest; those that a stack has not are never drawn. */
  const flat = (s, l, h) => (s * state.heads.layers + l) * state.heads.heads + h;
  const place = (i) => {
    const { layers, heads } = state.heads;
    return [Math.floor(i / (layers * heads)), Math.floor(i / heads) % layers, i % heads];
  };
  const row = (s, l) => Array.from({ length: state.heads.stacks[s].heads }, (_, h) => flat(s, l, h));
  const column = (s, h) => Array.from({ length: state.heads.stacks[s].layers }, (_, l) => flat(s, l, h));
  /* Every head in the rectangle between two of the same stack; the second alone otherwise. */
  function between(a, b) {
    const [s, l1, h1] = place(a);
    const [other, l2, h2] = place(b);
    if (s !== other) return [b];
    const found = [];
    for (let l = Math.min(l1, l2); l <= Math.max(l1, l2); l++) {
      for (let h = Math.min(h1, h2); h <= Math.max(h1, h2); h++) found.push(flat(s, l, h));
    }
    return found;
  }

  function build() {
    const data = props.value;
    const { index, command: button } = element.contains(document.activeElement) ? /** @type {HTMLElement} */ (document.activeElement).dataset : {};
    told = tooltip = null;
    boxed = new Set();
    cells = [];
    if (!data?.score) { forget(); return; }
    state.heads = data;
    headSet.connect(toggled);
    const map = [data.demonstrations, ...data.stacks.map((one) => `${one.name} ${one.layers} ${one.heads}`)].join("/");
    const fresh = state.seen.map !== map;
    const chosen = data.version !== 0 && data.version !== state.seen.version;
    Object.assign(state.seen, { map, version: data.version });
    if (fresh) {
      const { head } = asked;  // of the address, for the first map only
      asked.head = null;
      state.pinned = head !== null && data.names[head] ? head : data.focus;
      state.hover = null;
    }
    const stacks = data.stacks.map((stack, s) => buildStack(data, stack, s));
    tooltip = make("div", { class: "wb-tooltip", role: "tooltip", hidden: true });
    element.replaceChildren(
      buildSummary(),
      make("p", { class: "wb-origin", "data-testid": "origin", hidden: true }),
      make("div", { class: `wb-map${data.layers > DENSE ? " wb-dense" : ""}`, "data-testid": "head-map" }, ...stacks, scale(data), tooltip),
      make("div", { class: "wb-looked", "data-testid": "head-shown" }),
      buildLegend(data),
      make("div", { class: "wb-next" }, make("button", { type: "button", class: "wb-button wb-primary", "data-next": true,
        onclick: () => openTab("finetune") })));
    if (fresh) headSet.begin(data.selected);
    else headSet.take(data.selected, chosen);
    paint();
    (cells[index] ?? element.querySelector(`[data-command="${button}"]`))?.focus({ preventScroll: true });
    link({ beside: data.second?.key ?? "", head: String(state.pinned) });
    emit("heads", data);
    emit("focus", state.pinned);
  }

  /* What is open has no scores, so the heads of what was open before are not spoken of any more. */
  function forget() {
    element.replaceChildren();
    box = null;
    if (!state.heads) return;
    state.heads = state.pinned = state.hover = state.seen.map = null;
    headSet.begin([]);
    link({ beside: "", head: "" });
    emit("heads", null);
    emit("focus", null);
  }

  function buildStack(data, stack, s) {
    const grid = make("div", { class: "wb-grid", role: "grid", "aria-multiselectable": "true",
      "aria-label": `${stack.label}: ${stack.layers} layers of ${stack.heads} heads`, style: `--columns:${stack.heads}` });
    const all = (kind, label, name, attributes) => make("span", { role: kind },
      make("button", { type: "button", tabindex: "-1", class: "wb-all", "aria-label": name, title: name, ...attributes }, label));
    const columns = make("div", { class: "wb-row", role: "row" }, make("span", {}));
    for (let h = 0; h < stack.heads; h++) {
      columns.append(all("columnheader", String(h), `Head ${h} in every layer`, { "data-column": `${s},${h}` }));
    }
    grid.append(columns);
    for (let l = 0; l < stack.layers; l++) {
      const line = make("div", { class: "wb-row", role: "row" },
        all("rowheader", String(l), `Every head of layer ${l}`, { "data-row": `${s},${l}` }));
      for (let h = 0; h < stack.heads; h++) {
        const i = flat(s, l, h);
        const cell = make("div", { class: `wb-cell${data.inert[i] ? " wb-inert" : ""}`, role: "gridcell", tabindex: "-1", "data-testid": "head-cell",
          "data-stack": stack.name, "data-layer": l, "data-head": h, "data-index": i, "aria-label": describe(i) });
        if (!data.inert[i]) cell.style.setProperty("--score", colour(onScale(data.scale, data.score[i])));
        if (data.trust && !data.inert[i]) cell.style.setProperty("--inset", `${100 * cellInset(i)}%`);
        if (data.second && !data.inert[i]) {
          cell.classList.add("wb-split");
          cell.style.setProperty("--second", colour(onScale(data.second.scale, data.second.score[i])));
        }
        if (!data.inert[i]) cell.append(make("i", { class: "wb-cell-tick", "aria-hidden": "true", title: "Select or drop this head" }));
        cells[i] = cell;
        line.append(cell);
      }
      grid.append(line);
    }
    return make("section", { class: "wb-stack" },
      make("header", {}, make("h3", {}, term(stack.name, stack.label)), make("span", {}, stack.reads)), grid);
  }

  /* One scale for all stacks, with the place of 0 where it lies on it. */
  function scale(data) {
    const { low, high, clipped } = data.scale;
    const stops = Array.from({ length: 11 }, (_, i) => colour(i / 10)).join(",");
    const [least, most] = [`${clipped ? "≤ " : ""}${number(low)}`, number(high)];
    const zero = low < 0 && high > 0;
    const said = `${data.metric}, from ${least} to ${most}, the same scale in every stack${zero && data.zero ? `; 0: ${data.zero}` : ""}`;
    return make("div", { class: "wb-scale" },
      make("b", {}, term(data.term, data.metric)), make("span", {}, least),
      make("i", { role: "img", "aria-label": said, title: said, style: `background:linear-gradient(90deg,${stops})` }, zero ? make("u", { style: `left:${100 * onScale(data.scale, 0)}%` }) : ""),
      make("span", {}, most), zero && data.zero ? make("small", {}, make("u", {}), ` ${data.zero}`) : null);
  }

  function buildSummary() {
    const button = (does, label, title, name) =>
      make("button", { type: "button", class: "wb-button wb-quiet", "data-command": does, title, "aria-label": name }, label);
    const file = make("input", { type: "file", accept: ".json,.html,application/json,text/html", hidden: true, "aria-label": "Head set file",
      onchange: async (event) => {
        const [given] = event.target.files;
        if (given) trigger("take", { text: dataOf(await given.text()).slice(0, 2_000_000) });
        event.target.value = "";
      } });
    return make("div", { class: "wb-summary" },
      make("p", { "aria-live": "polite", "data-testid": "selection-summary" }),
      make("div", { class: "wb-buttons" }, button("all", "All", "Select every head that can move an action"),
        button("clear", "Clear", "Select none"), button("undo", "↶", "Take back the last change (Ctrl Z)", "Undo"),
        button("redo", "↷", "Do it again (Ctrl Shift Z)", "Redo"),
        make("details", { class: "wb-menu" }, make("summary", { class: "wb-button wb-quiet" }, "Export"), make("div", {},
          button("png", "Map as image (PNG)"), button("svg", "Map as drawing (SVG)"), button("relevance.csv", "Scores as table (CSV)"),
          button("relevance.json", "Scores and set (JSON)"), button("selection.json", "Head set, authors' keys (JSON)"),
          button("import", "Open a head set or a report…"), file))));
  }

  function summarise() {
    const count = state.heads.stacks.map(() => 0);
    for (const i of state.selected) count[place(i)[0]] += 1;
    const total = state.selected.size;
    element.querySelector(".wb-summary p").replaceChildren(
      make("b", {}, String(total)), ` head${total === 1 ? "" : "s"} selected`,
      make("span", {}, total === 0 ? "Tick heads, drag a box, or let the rule above choose."
        : count.map((n, s) => `${n} ${state.heads.stacks[s].short}`).join(", ")));
    sayOrigin();
    const next = element.querySelector("[data-next]");
    next.textContent = total ? `Finetune ${total === 1 ? "this head" : `these ${total} heads`}` : "Finetune";
    next.disabled = total === 0;
    element.querySelector("[data-command=undo]").disabled = state.undo.length === 0;
    element.querySelector("[data-command=redo]").disabled = state.redo.length === 0;
    element.querySelector("[data-command=clear]").disabled = total === 0;
  }

  /* Under the count: where the set comes from, and what is to be known of one that was not chosen on what is open. */
  function sayOrigin() {
    const said = element.querySelector(".wb-origin");
    if (!said) return;
    const { words, remark } = state.selected.size && state.origin ? state.origin : { words: "", remark: "" };
    said.hidden = !words;
    said.replaceChildren(`${words}.`, ...(remark ? [make("span", { class: "wb-elsewhere" }, remark)] : []));
  }

  function buildLegend(data) {
    const key = (look, ...label) => make("span", {}, make("i", { class: `wb-key ${look}` }), make("span", {}, ...label));
    return make("div", { class: "wb-legend" }, key("wb-key-ring", "selected"), key("wb-key-dot", "shown"),
      data.inert.includes(true) ? key("wb-inert", term("inert", "inert"), ": cannot move an action") : null,
      data.trust ? key("wb-key-sure", "smaller: less sure (the ", term("interval", "95 % interval"), " reaches nearer to 0)") : null,
      data.second ? key("wb-key-split", `below the diagonal: ${data.second.name}`) : null);
  }

  const describe = (i) => {
    const [s, l, h] = place(i);
    return `${state.heads.stacks[s].label}, layer ${l}, head ${h}: ${known(i).join(", ")}`;
  };

  /* What is known of a head, a line each: in the tooltip, and read aloud with the cell. */
  function known(i) {
    const { inert, metric, score, rank, ranked, gain, trust, second } = state.heads;
    if (inert[i]) return ["inert: cannot move an action"];
    const lines = [`${metric} ${number(score[i])}`];
    if (trust) lines.push(`95 % interval ${number(trust.low[i])} to ${number(trust.high[i])}`);
    if (trust?.doubtful[i]) lines.push("unstable");
    if (gain && gain[i] !== score[i]) lines.push(`over state and time ${number(gain[i])}`);
    const spread = trust?.rank_low ? ` (${Math.round(trust.rank_low[i])} to ${Math.round(trust.rank_high[i])})` : "";
    lines.push(`rank ${rank[i]} of ${ranked[place(i)[0]]}${spread}`);
    if (second) lines.push(`${second.name}: ${number(second.score[i])}`);
    if (trust?.p) lines.push(`p ${p(trust.p[i])} over all heads`);
    return lines;
  }

  function paint() {
    cells.forEach((cell, i) => {
      const selected = String(state.selected.has(i));
      if (cell.getAttribute("aria-selected") !== selected) cell.setAttribute("aria-selected", selected);
    });
    paintPinned();
    showName();
    summarise();
  }

  /* Where the inspector is out of sight, or cells too small for a tick of their own: the head shown, with its tick. */
  function showName() {
    const line = element.querySelector(".wb-looked");
    if (!line || state.pinned === null) return;
    const focused = line.contains(document.activeElement);
    line.replaceChildren(make("b", {}, state.heads.names[state.pinned]), headTick(state.pinned));
    if (focused) line.querySelector("input")?.focus();
  }

  function paintPinned() {
    const before = element.querySelector(".wb-pinned");
    const now = cells[state.pinned];
    if (before === now) return;
    before?.classList.remove("wb-pinned");
    before?.removeAttribute("aria-current");
    now?.classList.add("wb-pinned");
    now?.setAttribute("aria-current", "true");
    clearTimeout(roving);
    roving = setTimeout(() => {  // the browser styles the page anew where the focused cell's changes: not before the paint
      for (const cell of element.querySelectorAll('.wb-cell[tabindex="0"]')) if (cell !== now) cell.tabIndex = -1;
      if (now) now.tabIndex = 0;
    }, 50);
  }

  /* Focus and its tooltip measure the page, so they come before anything is changed. */
  function pin(i) {
    if (document.activeElement !== cells[i]) cells[i].focus({ preventScroll: false });
    pinHead(i);
  }

  function showTooltip(i) {
    if (i === told) return;
    told = i;
    if (i === null) { tooltip.hidden = true; return; }
    const at = cells[i].getBoundingClientRect();
    const outer = tooltip.parentElement.getBoundingClientRect();
    tooltip.replaceChildren(make("b", {}, state.heads.names[i]), ...known(i).map((line) => make("span", {}, line)));
    tooltip.hidden = false;
    const middle = at.left + at.width / 2 - outer.left;
    tooltip.style.transform = `translate(clamp(0px, calc(${middle}px - 50%), calc(${outer.width}px - 100%)),
      calc(${at.top - outer.top - 8}px - 100%))`;
  }

  const indexOf = (event) => {
    const cell = event.target.closest?.(".wb-cell");
    return cell ? Number(cell.dataset.index) : null;
  };

  function paintBox() {
    const inside = new Set(box && box.to !== box.from ? between(box.from, box.to) : []);
    for (const i of boxed) if (!inside.has(i)) cells[i]?.classList.remove("wb-boxed");
    for (const i of inside) if (!boxed.has(i)) cells[i].classList.add("wb-boxed");
    boxed = inside;
  }

  element.addEventListener("click", (event) => {
    const i = indexOf(event);
    const line = event.target.closest?.(".wb-all")?.dataset;
    if (i !== null) {
      const corner = state.pinned;
      pin(i);
      if (event.shiftKey && corner !== null && corner !== i) headSet.add(between(corner, i));
      else if (event.shiftKey || event.ctrlKey || event.metaKey || event.target.closest(".wb-cell-tick")) headSet.toggle(i);
    } else if (line?.row) headSet.flip(row(...line.row.split(",").map(Number)));
    else if (line?.column) headSet.flip(column(...line.column.split(",").map(Number)));
    else command(event.target.closest?.("[data-command]"));
  });

  async function keepPicture(format) {
    if (element.querySelector(".wb-summary")) (await import("../exports/head_map_picture.js")).keepHeadMap(format);
    else toast("There is no head map yet. Find heads first.");
  }

  function command(button) {
    const name = button?.dataset.command;
    if (!name) return;
    if (["all", "clear", "undo", "redo"].includes(name)) headSet[name]();
    else if (["png", "svg"].includes(name)) keepPicture(name);
    else if (name === "import") button.parentElement.querySelector("input").click();
    else trigger("keep", { kind: name, selected: [...state.selected], demonstrations: state.heads.demonstrations });
    const menu = button.closest(".wb-menu");
    if (menu) menu.open = false;
  }

  element.addEventListener("pointerdown", (event) => {
    const i = indexOf(event);
    if (i === null || event.button !== 0 || event.shiftKey || event.pointerType === "touch") return;
    event.preventDefault();  // no text selection; the click gives the focus
    box = { from: i, to: i, drops: state.selected.has(i) };
    window.addEventListener("pointerup", () => {
      const done = box;
      box = null;
      paintBox();
      if (!done || done.to === done.from) return;
      if (done.drops) headSet.remove(between(done.from, done.to));
      else headSet.add(between(done.from, done.to));
      pin(done.to);
    }, { once: true });
  });
  let last = [0, 0];
  element.addEventListener("pointerover", (event) => {
    // A pointer that rests while the page moves under it is not hovering on purpose: arrow keys have the word then.
    const rests = event.clientX === last[0] && event.clientY === last[1];
    last = [event.clientX, event.clientY];
    if (event.pointerType === "touch" || !tooltip || rests) return;
    const i = indexOf(event);
    if (box && i !== null && place(i)[0] === place(box.from)[0]) { box.to = i; paintBox(); }
    showTooltip(box ? null : i);
    if (i !== state.hover) { state.hover = i; emit("focus", i ?? state.pinned); }
  });
  element.addEventListener("pointermove", (event) => { last = [event.clientX, event.clientY]; });
  element.addEventListener("pointerleave", () => {
    if (!tooltip) return;
    showTooltip(null);
    if (state.hover !== null) { state.hover = null; emit("focus", state.pinned); }
  });
  element.addEventListener("focusin", (event) => {
    const i = indexOf(event);  // after the paint, for the tooltip measures the page
    if (i !== null) requestAnimationFrame(() => setTimeout(() => { if (document.activeElement === cells[i]) showTooltip(i); }, SHOWN_MS));
  });
  element.addEventListener("focusout", (event) => { if (tooltip && !event.relatedTarget?.closest(".wb-cell")) showTooltip(null); });
  element.addEventListener("keydown", (event) => {
    const i = indexOf(event);
    if (i === null) return;
    const { stacks } = state.heads;
    let [s, l, h] = place(i);
    const taken = () => { event.preventDefault(); event.stopPropagation(); };
    if (event.key === "Enter") { taken(); pin(i); return; }
    if (event.key === " ") {
      taken();
      if (event.shiftKey) headSet.flip(row(s, l));
      else if (event.ctrlKey) headSet.flip(column(s, h));
      else headSet.toggle(i);
      return;
    }
    if (event.key === "ArrowUp") l = Math.max(l - 1, 0);
    else if (event.key === "ArrowDown") l = Math.min(l + 1, stacks[s].layers - 1);
    else if (event.key === "ArrowLeft") { if (h > 0) h -= 1; else if (s > 0) { s -= 1; h = stacks[s].heads - 1; l = Math.min(l, stacks[s].layers - 1); } }
    else if (event.key === "ArrowRight") { if (h < stacks[s].heads - 1) h += 1; else if (s < stacks.length - 1) { s += 1; h = 0; l = Math.min(l, stacks[s].layers - 1); } }
    else if (event.key === "Home") h = 0;
    else if (event.key === "End") h = stacks[s].heads - 1;
    else return;
    taken();
    if (event.shiftKey) headSet.add([i, flat(s, l, h)]);
    pin(flat(s, l, h));
  });

  on(element, "action", (sent) => { if (sent.action === "keep" && sent.value === "map") keepPicture("png"); });
  on(element, "selection", () => cells.length && paint());
  on(element, "pin", () => { paintPinned(); showName(); });
  on(element, "origin", sayOrigin);
  watch("value", build);
  build();
};
