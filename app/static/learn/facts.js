/* What is open, as the facts that lessons name; `answer` is the right choice, null where the data do not say, and `figure`
   what the reveal draws. Runs are those that the learner started in the lesson, never others. Nothing here draws. */
import { meanMass } from "../heads/inspector.js";
import { number, whole } from "../shared/numbers.js";
import { state } from "../shared/page.js";
import { PLACES } from "../shared/words.js";

const TIE = 0.01, TENTH = 0.1;
const GROUPS = { exterior: "Exterior camera", wrist: "Wrist camera", instruction: "Instruction", state: "Joint state", actions: "Action tokens" };
const percent = (share) => `${share < 0 ? "\u2212" : ""}${Math.abs(Math.round(100 * share))}\u00a0%`;
const error = (value) => (typeof value === "number" ? value.toFixed(3) : "not measured");

/* The chance that a fair coin splits `n` scenes at least as unevenly as `wins` against the rest, either way. */
export function coin(wins, n) {
  const least = Math.min(wins, n - wins);
  let one = 1, sum = 0;
  for (let k = 0; k <= least; k++) { sum += one; one = (one * (n - k)) / (k + 1); }
  return Math.min(1, (2 * sum) / 2 ** n);
}

function head(own) {
  const { focus, names } = state.heads;
  const mass = meanMass(focus);
  if (!mass) return { best: names[focus], answer: null, missing: "Attention of this episode is not computed yet. Press Compute attention, under the cameras." };
  const { groups } = state.episode;
  const most = mass.indexOf(Math.max(...mass));
  const each = Object.fromEntries(Object.keys(GROUPS).map((group) => [group, percent(groups.includes(group) ? mass[groups.indexOf(group)] : 0)]));
  return { ...each, best: names[focus], place: PLACES[groups[most]], share: percent(mass[most]), answer: groups[most],
    figure: { bars: { rows: groups.map((group, g) => ({ label: GROUPS[group], value: mass[g], text: percent(mass[g]), own: group === own })) } } };
}

function baseline() {
  const { explains, score, inert, metric, measure } = state.heads;
  const known = (name) => (explains[name] === undefined ? "not measured" : percent(explains[name]));
  const { time } = explains;
  const missing = time === undefined ? "The measure that is shown has no baselines. Choose strict or paper in the line above the map." : undefined;
  const best = Math.max(...score.filter((value, i) => value !== null && !inert[i]));
  const strict = state.heads.term === "gain";
  const rows = [["Clock alone", "time"], ["Joint state", "state"], ["State and time", "state_time"]]
    .filter(([, name]) => explains[name] !== undefined).map(([label, name]) => ({ label, value: explains[name], text: known(name) }));
  if (!strict && time !== undefined) rows.push({ label: "Best head", value: best, text: percent(best) });
  return { time: known("time"), state_time: known("state_time"), measure, missing,
    paces: time < 0 ? "at the same moment other episodes do other things, and the average of a few misses by more than the mean does" : "at the same moment other episodes do partly the same",
    best: strict ? `The strict score asks only for what these leave open; of that the best head tells ${percent(best)}.`
      : `The best head comes to ${number(best)} (${metric.toLowerCase()}). Only what lies above the baselines is its own.`,
    answer: time === undefined ? null : time < 0 ? "worse" : time < 0.25 ? "little" : time <= 0.75 ? "half" : "much",
    figure: { bars: { rows } } };
}

function inertHeads() {
  const { inert, layers, heads, stacks, names } = state.heads;
  const first = inert.indexOf(true);
  if (first < 0) return { answer: null, missing: "In this policy something reads every head: none is inert. Open the embedded policy to see some." };
  const s = Math.floor(first / (layers * heads));
  const stack = stacks[s];
  const rows = Array.from({ length: stack.layers }, (_, l) => Array.from({ length: stack.heads }, (_head, h) => inert[(s * layers + l) * heads + h]));
  const found = rows.flatMap((row, l) => (row.some(Boolean) ? [l] : []));
  const where = found.length === 1 ? { 0: "first", [stack.layers - 1]: "last" }[found[0]] ?? "middle" : null;
  const count = inert.filter((is, i) => is && names[i]).length;
  return { inert: count, inert_layer: where === "last" ? "last" : found.join(", "), answer: where,
    figure: { cells: { rows, label: `${stack.label}: ${count} inert heads, in layer ${found.join(", ")} of ${stack.layers}, counted from 0` } } };
}

function choose() {
  const { parameters, lora } = state.cost ?? {};
  const { inert, names } = state.heads;
  if (!parameters) return { answer: null, missing: "Select heads first: what training them would take stands under the map." };
  const times = lora / parameters;
  return { trainable: whole(parameters), lora: whole(lora), times: times < 10 ? times.toFixed(1) : times.toFixed(0), heads: state.selected.size,
    all: names.filter((name, i) => name && !inert[i]).length,
    answer: times < 4 ? "half" : times <= 20 ? "tenth" : "hundredth",
    figure: { bars: { rows: [{ label: "Chosen heads", value: parameters, text: whole(parameters), kind: "steering" },
      { label: "LoRA", value: lora, text: whole(lora), kind: "lora" }] } } };
}

/* Held-out errors of the learner's own runs, the untouched policy first. */
const errors = (runs) => ({ bars: { rows: [{ label: "Untouched", value: runs[0][1].untouched, text: error(runs[0][1].untouched), kind: "zero" },
  ...runs.map(([label, run, kind]) => ({ label, value: run.heldout, text: error(run.heldout), kind }))] } });

function train(own, { runs: [steering, lora] }) {
  const known = [steering, lora].every((run) => typeof run?.heldout === "number");
  if (!known) return { answer: null, missing: "Held-out errors were not measured. Hold at least one episode out (More options) and train again." };
  const gap = Math.abs(steering.heldout - lora.heldout);
  return { untouched: error(steering.untouched), steering: error(steering.heldout), lora_error: error(lora.heldout), gap: error(gap), steps: steering.steps,
    answer: gap <= TIE ? "tie" : steering.heldout < lora.heldout ? "steering" : "lora",
    figure: errors([["Chosen heads", steering, "steering"], ["LoRA", lora, "lora"]]) };
}

function control(own, { runs: [chosen, random] }) {
  const known = [chosen, random].every((run) => typeof run?.heldout === "number");
  if (!known) return { answer: null, missing: "Held-out errors were not measured. Hold at least one episode out (More options) and train again." };
  const ratio = random.heldout / chosen.heldout;
  return { untouched: error(chosen.untouched), before: error(chosen.heldout), after: error(random.heldout), steps: chosen.steps,
    answer: ratio > 1 + TENTH ? "worse" : ratio < 1 - TENTH ? "better" : "same",
    figure: errors([["Chosen heads", chosen, "steering"], ["Random heads", random, "random"]]) };
}

function evidence(own, { vote }) {
  const tries = [1, 2, 3, 4, 5, 6, 7];
  const rows = tries.map((n) => ({ label: `${n} of ${n} scene${n > 1 ? "s" : ""}`, value: coin(n, n), text: percent(coin(n, n)), own: own === { 2: "two", 4: "four", 6: "six" }[n] }));
  return { vote: vote ? `In scene ${vote.number} you voted for ${vote.label}${vote.won === null ? "" : `, which ${vote.won ? "succeeded" : "failed"} there`}.` : "",
    differ: differing(), answer: "six", figure: { bars: { rows, line: { at: 0.05, text: "5 %" } } } };
}

/* The open comparison's own scenes, in a sentence. */
function differing() {
  const { methods = [], squares = [] } = state.compared ?? {};
  const trained = methods.map((_, m) => m).filter((m) => methods[m].name !== "zero_shot" && squares[m]);
  const [a, b] = trained.length > 1 ? trained : methods.map((_, m) => m);
  if (!squares[a] || !squares[b]) return "";
  const of = new Map(squares[b].map(([seed, , won]) => [seed, won]));
  const both = squares[a].filter(([seed]) => of.has(seed));
  const [wins, losses] = [1, 0].map((won) => both.filter(([seed, , here]) => Boolean(here) === Boolean(won) && Boolean(of.get(seed)) !== Boolean(won)).length);
  const n = wins + losses;
  const said = `In the comparison that is open ${methods[a].label} and ${methods[b].label} differ in ${n} of ${both.length} scenes`;
  return n ? `${said}, ${wins} to ${losses}: a fair coin does that in ${percent(coin(wins, n))} of all tries.` : `${said}.`;
}

export const facts = { head, baseline, inert: inertHeads, choose, train, control, evidence };
