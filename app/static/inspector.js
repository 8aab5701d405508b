/* The chosen head in words: value, rank, one plain sentence, and where its attention goes. */
wb.mounts.inspector = (element, props, trigger, watch) => {
  const { make, state } = wb;
  const GROUPS = { exterior: "Exterior camera", wrist: "Wrist camera", instruction: "Instruction", state: "Joint state",
                   actions: "Action tokens" };
  let bars = null;
  let moving = null;  // what changes with the frame: [bar, value] of every group

  function build() {
    const data = state.heads;
    const i = state.hover ?? state.pinned;
    if (!data || i === null) { element.replaceChildren(); return; }
    const s = Math.floor(i / (data.layers * data.heads));
    bars = make("div", { class: "wb-mass" });
    element.replaceChildren(make("div", { class: "wb-inspector", "data-testid": "head-inspector" },
      make("header", {}, make("h3", {}, data.names[i]),
        make("span", { class: "wb-tag" }, data.inert[i] ? "inert" : state.selected.has(i) ? "selected" : "not selected")),
      make("dl", {},
        make("div", {}, make("dt", {}, data.metric), make("dd", {}, data.inert[i] ? "—" : wb.number(data.score[i]))),
        make("div", {}, make("dt", {}, "Rank in its stack"),
          make("dd", {}, data.inert[i] ? "—" : String(data.rank[i]), make("small", {}, data.inert[i] ? "" : ` of ${data.ranked[s]}`)))),
      trusted(data, i),
      make("p", { class: "wb-sentence" }, data.sentence[i]),
      make("h4", {}, "Where its attention goes"), bars));
    buildBars(i);
    drawBars();
  }

  /* How far the value can be trusted, where that was measured. */
  function trusted(data, i) {
    const { trust } = data;
    if (!trust || data.inert[i]) return null;
    const rank = trust.rank_low ? `; rank ${Math.round(trust.rank_low[i])} to ${Math.round(trust.rank_high[i])}` : "";
    const p = trust.p ? `; p ${trust.p[i] < 0.001 ? "< 0.001" : `= ${trust.p[i].toPrecision(2)}`} over all heads` : "";
    return make("p", { class: "wb-muted", "data-testid": "trusted" },
      `95 % interval ${wb.number(trust.low[i])} to ${wb.number(trust.high[i])}${rank}${p}${trust.doubtful[i] ? ". Unstable: do not lean on it" : ""}.`);
  }

  /* Bars are built once a head and only stretched afterwards, 60 times a second while scrubbing. */
  function buildBars(i) {
    const { heads } = state;
    const mean = heads.mass ? heads.mass[i] : null;
    moving = null;
    if (!mean) { bars.replaceChildren(make("p", { class: "wb-muted" }, "Not computed for this episode.")); return; }
    moving = heads.groups.map(() => [make("i", { style: "width:100%" }), document.createTextNode("")]);
    bars.replaceChildren(...heads.groups.map((group, g) => make("div", { class: "wb-bar" }, make("span", {}, GROUPS[group]),
      make("div", { class: "wb-bar-track" }, moving[g][0],
        make("b", { style: `left:${(100 * mean[g]).toFixed(1)}%`, title: "mean over the episode" })),
      make("span", { class: "wb-bar-value" }, moving[g][1]))), make("p", { class: "wb-muted" }, "Bar: this frame. Tick: mean of the episode."));
  }

  function drawBars() {
    const i = state.hover ?? state.pinned;
    const { attention, heads } = state;
    if (!moving || !heads || i === null) return;
    moving.forEach(([bar, value], g) => {
      const now = attention ? attention.mass[(i * heads.groups.length + g) * attention.frames + state.frame] / 255 : heads.mass[i][g];
      bar.style.clipPath = `inset(0 ${(100 - 100 * now).toFixed(1)}% 0 0 round 5px)`;  // painted anew, not laid out
      const text = `${Math.round(100 * now)} %`;
      if (value.data !== text) value.data = text;
    });
  }

  let waiting = false;  // a click changes both head and set: one build shows both
  const soon = () => {
    if (waiting) return;
    waiting = true;
    queueMicrotask(() => { waiting = false; build(); });
  };
  for (const name of ["heads", "focus", "selection"]) wb.on(element, name, soon);
  for (const name of ["frame", "attention"]) wb.on(element, name, drawBars);
  watch("value", build);
  build();
};
