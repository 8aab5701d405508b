/* The head map: layers down, heads across, both stacks. Paints in the same frame as the click; the server hears
   of the new set afterwards. Arrows move, Space toggles, hovering previews a head in the inspector and cameras. */
wb.mounts.headMap = (element, props, trigger, watch) => {
  const { make, state } = wb;
  let cells = [];
  let tooltip = null;

  const flat = (s, l, h) => (s * state.heads.layers + l) * state.heads.heads + h;
  const place = (i) => {
    const { layers, heads } = state.heads;
    return [Math.floor(i / (layers * heads)), Math.floor(i / heads) % layers, i % heads];
  };

  function build() {
    const data = props.value;
    if (!data || !data.score) { element.replaceChildren(); return; }
    state.heads = data;
    if (state.seen.heads !== data.version) {
      if (state.seen.key === data.key) state.history.push([...state.selected]);
      else { state.history = []; state.pinned = data.focus; }
      state.seen.heads = data.version;
      state.seen.key = data.key;
      state.selected = new Set(data.selected);
    }
    if (state.pinned === null) state.pinned = data.focus;
    cells = [];
    const stacks = data.stacks.map((stack, s) => buildStack(data, stack, s));
    tooltip = make("div", { class: "wb-tooltip", role: "tooltip", hidden: true });
    element.replaceChildren(
      buildSummary(),
      make("div", { class: "wb-map", "data-testid": "head-map" }, ...stacks, tooltip),
      buildLegend(data),
      make("div", { class: "wb-next" }, make("button", { type: "button", class: "wb-button wb-primary", "data-next": true,
        onclick: () => wb.openTab("finetune") })));
    paint();
    wb.emit("heads", data);
    wb.emit("focus", state.pinned);
  }

  function buildStack(data, stack, s) {
    const grid = make("div", { class: "wb-grid", role: "grid", "aria-multiselectable": "true",
      "aria-label": `${stack.label}: ${data.layers} layers of ${data.heads} heads`,
      style: `--columns:${data.heads}` });
    const columns = make("div", { class: "wb-row wb-columns", "aria-hidden": "true" }, make("span", {}));
    for (let h = 0; h < data.heads; h++) columns.append(make("span", {}, String(h)));
    grid.append(columns);
    for (let l = 0; l < data.layers; l++) {
      const row = make("div", { class: "wb-row", role: "row" },
        make("span", { class: "wb-layer", "aria-hidden": "true" }, String(l)));
      for (let h = 0; h < data.heads; h++) {
        const i = flat(s, l, h);
        const cell = make("div", { class: `wb-cell${data.inert[i] ? " wb-inert" : ""}`, role: "gridcell",
          tabindex: "-1", "data-testid": "head-cell", "data-stack": stack.name, "data-layer": l, "data-head": h,
          "data-index": i });
        if (!data.inert[i]) cell.style.setProperty("--score", wb.colour(fraction(i, s)));
        cells[i] = cell;
        row.append(cell);
      }
      grid.append(row);
    }
    return make("section", { class: "wb-stack" },
      make("header", {}, make("h3", {}, stack.label), make("span", {}, stack.reads)), grid, scale(data, stack));
  }

  const fraction = (i, s) => {
    const { low, high } = state.heads.stacks[s];
    return high > low ? (state.heads.score[i] - low) / (high - low) : 0.5;
  };

  function scale(data, stack) {
    const stops = Array.from({ length: 11 }, (_, i) => wb.colour(i / 10)).join(",");
    return make("div", { class: "wb-scale", "aria-label":
        `${data.metric}, from ${wb.number(stack.low)} to ${wb.number(stack.high)}` },
      make("span", {}, wb.number(stack.low)),
      make("i", { style: `background:linear-gradient(90deg,${stops})` }),
      make("span", {}, wb.number(stack.high)));
  }

  function buildSummary() {
    const button = (command, label, title) =>
      make("button", { type: "button", class: "wb-button wb-quiet", "data-command": command, title }, label);
    return make("div", { class: "wb-summary" },
      make("p", { "aria-live": "polite", "data-testid": "selection-summary" }),
      make("div", { class: "wb-buttons" }, button("all", "All", "Select every head that can move an action"),
        button("clear", "Clear", "Select none"), button("undo", "Undo", "Take back the last change")));
  }

  /* Trainable parameters of low-rank q and o adapters: see views/head_map.py for where the coefficients come from. */
  function parameters() {
    const { cost, layers, heads } = state.heads;
    const touched = new Set([...state.selected].map((i) => Math.floor(i / heads)));
    let total = 0;
    for (const i of state.selected) total += cost[Math.floor(i / (layers * heads))].per_head;
    for (const row of touched) total += cost[Math.floor(row / layers)].per_layer;
    return total * state.heads.rank_of_adapter;
  }

  function summarise() {
    const count = [0, 0];
    for (const i of state.selected) count[place(i)[0]] += 1;
    const total = state.selected.size;
    const line = element.querySelector(".wb-summary p");
    line.replaceChildren(
      make("b", {}, String(total)), ` head${total === 1 ? "" : "s"} selected`,
      make("span", {}, total === 0 ? "Click cells, or let the rule above choose."
        : `${count[0]} VLM, ${count[1]} expert; ${wb.whole(parameters())} trainable parameters at rank ${state.heads.rank_of_adapter}`));
    const next = element.querySelector("[data-next]");
    next.textContent = total ? `Finetune ${total === 1 ? "this head" : `these ${total} heads`}` : "Finetune";
    next.disabled = total === 0;
    element.querySelector("[data-command=undo]").disabled = state.history.length === 0;
    element.querySelector("[data-command=clear]").disabled = total === 0;
  }

  function buildLegend(data) {
    return make("div", { class: "wb-legend" },
      make("span", {}, make("i", { class: "wb-key wb-key-ring" }), "selected"),
      make("span", {}, make("i", { class: "wb-key wb-key-dot" }), "shown beside"),
      make("span", {}, make("i", { class: "wb-key wb-inert" }), "inert: cannot move an action"),
      make("span", { class: "wb-legend-metric" }, `Colour: ${data.metric.toLowerCase()}, each stack on its own scale`));
  }

  function describe(i) {
    const [s, l, h] = place(i);
    const data = state.heads;
    const what = data.inert[i] ? "inert" : `${data.metric} ${wb.number(data.score[i])}, rank ${data.rank[i]} of ${data.ranked[s]}`;
    return `${data.stacks[s].label}, layer ${l}, head ${h}: ${what}${state.selected.has(i) ? ", selected" : ""}`;
  }

  function paint() {
    cells.forEach((cell, i) => {
      const chosen = state.selected.has(i);
      cell.setAttribute("aria-selected", String(chosen));
      cell.setAttribute("aria-label", describe(i));
      cell.classList.toggle("wb-pinned", i === state.pinned);
      cell.tabIndex = i === state.pinned ? 0 : -1;
    });
    summarise();
    wb.emit("selection", state.selected);
  }

  function change(next) {
    state.history.push([...state.selected]);
    state.selected = next;
    paint();
    trigger("toggle", { selected: [...next] });
  }

  function toggle(i) {
    const next = new Set(state.selected);
    if (!next.delete(i)) {
      if (state.heads.inert[i]) return;
      next.add(i);
    }
    change(next);
  }

  function pin(i, focus) {
    state.pinned = i;
    state.hover = null;
    paint();
    if (focus && document.activeElement !== cells[i]) cells[i].focus({ preventScroll: false });
    wb.emit("focus", i);
  }

  function showTooltip(i) {
    if (i === null) { tooltip.hidden = true; return; }
    const [s, l, h] = place(i);
    const data = state.heads;
    tooltip.replaceChildren(
      make("b", {}, `${data.stacks[s].label} ${l}.${h}`),
      make("span", {}, data.inert[i] ? "inert" : `${wb.number(data.score[i])}`),
      make("span", {}, data.inert[i] ? "cannot move an action" : `rank ${data.rank[i]} of ${data.ranked[s]}`));
    tooltip.hidden = false;
    const box = cells[i].getBoundingClientRect();
    const outer = tooltip.parentElement.getBoundingClientRect();
    const x = Math.min(Math.max(box.left + box.width / 2 - outer.left, 78), outer.width - 78);
    tooltip.style.transform = `translate(${x}px, ${box.top - outer.top - 8}px) translate(-50%, -100%)`;
  }

  const indexOf = (event) => {
    const cell = event.target.closest?.(".wb-cell");
    return cell ? Number(cell.dataset.index) : null;
  };

  element.addEventListener("click", (event) => {
    const i = indexOf(event);
    if (i === null) return;
    if (!event.shiftKey) toggle(i);
    pin(i, true);
  });
  let last = [0, 0];
  element.addEventListener("pointerover", (event) => {
    // A pointer that rests while the page moves under it is not hovering on purpose: arrow keys have the word then.
    const rests = event.clientX === last[0] && event.clientY === last[1];
    last = [event.clientX, event.clientY];
    if (event.pointerType === "touch" || !tooltip || rests) return;
    const i = indexOf(event);
    showTooltip(i);
    if (i !== state.hover) { state.hover = i; wb.emit("focus", i ?? state.pinned); }
  });
  element.addEventListener("pointermove", (event) => { last = [event.clientX, event.clientY]; });
  element.addEventListener("pointerleave", () => {
    if (!tooltip) return;
    showTooltip(null);
    if (state.hover !== null) { state.hover = null; wb.emit("focus", state.pinned); }
  });
  element.addEventListener("focusin", (event) => { const i = indexOf(event); if (i !== null) showTooltip(i); });
  element.addEventListener("focusout", () => tooltip && showTooltip(null));
  element.addEventListener("keydown", (event) => {
    const i = indexOf(event);
    if (i === null) return;
    const { layers, heads, stacks } = state.heads;
    let [s, l, h] = place(i);
    if (event.key === " " || event.key === "Enter") { event.preventDefault(); event.stopPropagation(); toggle(i); showTooltip(i); return; }
    if (event.key === "ArrowUp") l = Math.max(l - 1, 0);
    else if (event.key === "ArrowDown") l = Math.min(l + 1, layers - 1);
    else if (event.key === "ArrowLeft") { if (h > 0) h -= 1; else if (s > 0) { s -= 1; h = heads - 1; } }
    else if (event.key === "ArrowRight") { if (h < heads - 1) h += 1; else if (s < stacks.length - 1) { s += 1; h = 0; } }
    else if (event.key === "Home") h = 0;
    else if (event.key === "End") h = heads - 1;
    else return;
    event.preventDefault();
    event.stopPropagation();
    pin(flat(s, l, h), true);
  });

  element.addEventListener("click", (event) => {
    const command = event.target.closest?.("[data-command]")?.dataset.command;
    if (command === "undo" && state.history.length) {
      const before = state.history.pop();
      state.selected = new Set(before);
      paint();
      trigger("toggle", { selected: before });
    } else if (command === "clear" && state.selected.size) change(new Set());
    else if (command === "all") change(new Set(cells.map((_, i) => i).filter((i) => !state.heads.inert[i])));
  });
  watch("value", build);
  build();
};
