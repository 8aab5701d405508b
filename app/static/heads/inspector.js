/* The head shown, in words, with its tick: value, rank, one plain sentence, and where its attention goes in the open episode. */
import { headTick } from "./head_set.js";
import { number, p } from "../shared/numbers.js";
import { isReady, make, on, state } from "../shared/page.js";
import { term } from "../shared/terms.js";
import { PLACES } from "../shared/words.js";

/* Where head `i` looks on average over the open episode, by token group; null while its attention is not here. */
export const meanMass = (i) => {
  const { attention, episode } = state;
  return attention && episode.groups.map((_, g) => {
    const start = (i * episode.groups.length + g) * attention.frames;
    return attention.mass.subarray(start, start + attention.frames).reduce((sum, v) => sum + v, 0) / attention.frames / 255;
  });
};

export const inspector = (element) => {
  const GROUPS = { exterior: "Exterior camera", wrist: "Wrist camera", instruction: "Instruction", state: "Joint state",
                   actions: "Action tokens" };
  const MOSTLY = 0.6;  // of its attention in one place
  const about = make("div", { class: "wb-about" }), bars = make("div", { class: "wb-mass" });
  const whole = make("div", { class: "wb-inspector", "data-testid": "head-inspector" }, about, make("h4", {}, "Where its attention goes"), bars);
  let moving = null;  // what changes with the frame: [bar, value, tick of the mean] of every group
  let barred = {};  // what the bars were built for

  const percent = (share) => `${Math.round(100 * share)}\u00a0%`;

  function build() {
    const data = state.heads;
    const i = state.hover ?? state.pinned;
    if (!data || i === null) {
      moving = null;
      barred = {};
      if (isReady()) element.replaceChildren(make("div", { class: "wb-inspector", "data-testid": "head-inspector" },
        make("p", { class: "wb-muted" }, "Once heads are scored, the one shown is described here.")));
      return;
    }
    const s = Math.floor(i / (data.layers * data.heads));
    const mean = meanMass(i);
    const ticked = document.activeElement?.closest(".wb-inspector") && document.activeElement.matches("[data-testid=head-tick]");
    about.replaceChildren(...[
      make("header", {}, make("h3", {}, data.names[i]),
        headTick(i)),
      make("dl", {},
        make("div", {}, make("dt", {}, term(data.term, data.metric)), make("dd", {}, data.inert[i] ? "—" : number(data.score[i]))),
        make("div", {}, make("dt", {}, term("rank", "Rank in its stack")),
          make("dd", {}, data.inert[i] ? "—" : String(data.rank[i]), make("small", {}, data.inert[i] ? "" : ` of ${data.ranked[s]}`)))),
      trusted(data, i),
      make("p", { class: "wb-sentence" }, mean && !data.inert[i] ? `${looks(mean)} ${data.sentence[i]}` : data.sentence[i]),
    ].filter(Boolean));
    if (whole.parentElement !== element) element.replaceChildren(whole);
    if (ticked) element.querySelector("[data-testid=head-tick]")?.focus({ preventScroll: true });
    buildBars(mean);
    drawBars();
  }

  function looks(mean) {
    const { groups } = state.episode;
    const [first, second] = mean.map((_, g) => g).sort((a, b) => mean[b] - mean[a]);
    const said = (g) => PLACES[groups[g]];
    return mean[first] >= MOSTLY ? `Looks mostly at ${said(first)} (${percent(mean[first])}).`
      : `Divides its attention: ${said(first)} ${percent(mean[first])}, ${said(second)} ${percent(mean[second])}.`;
  }

  /* How far the value can be trusted, where that was measured. */
  function trusted(data, i) {
    const { trust } = data;
    if (!trust || data.inert[i]) return null;
    const rank = trust.rank_low ? `; rank ${Math.round(trust.rank_low[i])} to ${Math.round(trust.rank_high[i])}` : "";
    return make("p", { class: "wb-muted", "data-testid": "trusted" }, term("interval", "95 % interval"),
      ` ${number(trust.low[i])} to ${number(trust.high[i])}${rank}`,
      ...(trust.p ? [`; p ${p(trust.p[i])} `, term("p", "over all heads")] : []),
      ...(trust.doubtful[i] ? [". ", term("unstable", "Unstable"), ": do not lean on it"] : []), ".");
  }

  /* Bars are built once an episode and only stretched afterwards, 60 times a second while scrubbing. */
  function buildBars(mean) {
    const { episode, attention } = state;
    if (barred.episode !== episode || barred.attention !== attention) buildTracks(episode, attention);
    barred = { episode, attention };
    mean?.forEach((share, g) => { moving[g][2].style.left = `${(100 * share).toFixed(1)}%`; });
  }

  function buildTracks(episode, attention) {
    moving = null;
    bars.replaceChildren();
    if (!episode) return;
    if (!episode.attention) {
      bars.replaceChildren(make("p", { class: "wb-muted" }, "Not computed for this episode. Press Compute attention, under the cameras."));
      return;
    }
    moving = episode.groups.map(() => [make("i", { style: "width:100%;clip-path:inset(0 100% 0 0)" }), document.createTextNode(""),
      attention && make("b", { title: "mean over the episode" })]);
    bars.replaceChildren(...episode.groups.map((group, g) => make("div", { class: "wb-bar" }, make("span", {}, GROUPS[group]),
      make("div", { class: "wb-bar-track" }, moving[g][0], moving[g][2]),
      make("span", { class: "wb-bar-value" }, moving[g][1]))),
      make("p", { class: "wb-muted" }, attention ? "Bar: this frame. Tick: mean of the episode." : "On its way."));
  }

  function drawBars() {
    const i = state.hover ?? state.pinned;
    const { attention } = state;
    if (!moving || !attention || i === null) return;
    moving.forEach(([bar, value], g) => {
      const now = attention.mass[(i * moving.length + g) * attention.frames + state.frame] / 255;
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
  for (const name of ["heads", "focus", "selection", "player", "attention"]) on(element, name, soon);
  on(element, "frame", drawBars);
  if (state.heads) build();
};
