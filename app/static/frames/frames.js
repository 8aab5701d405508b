/* One head over all frames: its outputs as points that a box brushes, what each tenth of the frames adds to its score, and
   where it fails. Loaded when it is asked for; drawn from one answer (app/views/head_frames.py), without a request a frame. */
import { keepCanvas, keepText } from "../shared/download.js";
import { colour, number } from "../shared/numbers.js";
import { css, emit, make, on, state } from "../shared/page.js";
import { fetchImage } from "../shared/pictures.js";
import { addStyle } from "../shared/style.js";
import { term } from "../shared/terms.js";
import { scatter } from "./scatter.js";

addStyle("frames/frames.css");

const SHOWN = 12;  // pictures of what is brushed
const PICTURES_MS = 120;  // between two changes of them while a box is dragged: faster than that nobody sees them
const SUCCEEDED = "#0072B2", FAILED = "#D55E00";
const KEYS = "Drag a box over points to see their frames; a click takes one. By keys: arrows move a box, with Shift they size it, Esc clears it.";
const { format: whole } = new Intl.NumberFormat("en");
const score = (value) => number(value).replace("-", "−");

/* At most `most` of `rows`, evenly spaced from first to last. */
export const spaced = (rows, most) => (rows.length <= most ? rows
  : Array.from({ length: most }, (_, i) => rows[Math.round(i * (rows.length - 1) / (most - 1))]));

/* What is brushed in words; all frames where `rows` is null. */
export const summed = (found, rows) => {
  if (rows && !rows.length) return "No frame is in the box.";
  const all = rows ?? found.frame.map((_, i) => i);
  const seen = new Set();
  let sum = 0;
  for (const i of all) { seen.add(found.episode[i]); sum += found.share?.[i] ?? 0; }
  const episodes = seen.size;
  const mean = found.share ? `, mean score ${score(sum / all.length)}` : "";
  return `${rows ? `${whole(all.length)} of ${whole(found.frame.length)}` : `All ${whole(all.length)}`} frames, of ${episodes} episode${episodes === 1 ? "" : "s"}${mean}.`;
};

/* found: of the server; name: of the head. Gives the element, and what keeps it as picture and table. */
export const allFrames = (found, name) => {
  const { atlas } = found;
  const rows = found.frame.map((_, i) => i);
  let sheet = null;

  function tile(canvas, episode, frame) {
    if (!sheet) return;
    const at = atlas.starts[episode] + Math.floor(frame / atlas.step);
    canvas.getContext("2d").drawImage(sheet, (at % atlas.columns) * atlas.tile, Math.floor(at / atlas.columns) * atlas.tile,
      atlas.tile, atlas.tile, 0, 0, atlas.tile, atlas.tile);
  }
  /* A picture that plays its episode from where `put` last placed it. */
  function thumbnail(said = "") {
    const canvas = make("canvas", { width: atlas.tile, height: atlas.tile, "aria-hidden": "true" }), label = make("span");
    const button = make("button", { type: "button", class: "wb-moment", onclick: () => emit("visit", whereOf(button)) }, canvas, label, said && make("b", {}, said));
    return button;
  }
  const whereOf = ({ dataset }) => ({ episode: Number(dataset.episode), frame: Number(dataset.frame) });
  function put(button, episode, frame, said = "") {
    const [canvas, label] = button.children;
    Object.assign(button.dataset, { episode, frame });
    button.setAttribute("aria-label", `Play episode ${episode + 1} from frame ${frame + 1}${said && `: ${said}`}`);
    label.textContent = `${episode + 1} · ${frame + 1}`;
    tile(canvas, episode, frame);
    return button;
  }

  /* -- the plane ----------------------------------------------------------------------------------------------- */
  const ways = [["phase", "Phase"], ...(found.outcomes ? [["outcome", "Outcome"]] : []), ["episode", "Episode"]];
  const legend = make("p", { class: "wb-frames-legend" });
  const colours = make("div", { class: "wb-segments", role: "group", "aria-label": "Colour by" });
  const key = (tone, text, mark = "●") => make("span", {}, make("i", { style: `color:${tone}`, "aria-hidden": "true" }, mark), text);
  const last = Math.max(...found.episode, 1);
  const ofEpisode = (episode) => colour(0.05 + 0.85 * episode / last);
  function colourBy(way) {
    for (const button of colours.children) button.setAttribute("aria-pressed", String(/** @type {HTMLElement} */ (button).dataset.way === way));
    if (way === "phase") {
      plane.colour(found.phase.map((i) => found.phases[i][1]));
      legend.replaceChildren(...found.phases.filter((_, i) => found.phase.includes(i)).map(([text, tone]) => key(tone, text)));
    } else if (way === "outcome") {
      const won = found.episode.map((i) => found.outcomes[i]);
      plane.colour(won.map((one) => (one === null ? css("--wb-zero") : one ? SUCCEEDED : FAILED)), won.map((one) => one === false));
      legend.replaceChildren(key(SUCCEEDED, "of an episode that succeeds"), key(FAILED, "of one that fails", "✕"),
        ...(won.includes(null) ? [key(css("--wb-zero"), "not known")] : []));
    } else {
      plane.colour(found.episode.map(ofEpisode));
      const ramp = Array.from({ length: 9 }, (_, i) => ofEpisode(last * i / 8)).join(",");
      legend.replaceChildren("Episode 1 ", make("i", { class: "wb-ramp", style: `background:linear-gradient(to right,${ramp})` }), ` ${last + 1}`);
    }
  }
  for (const [way, text] of ways) colours.append(make("button", { type: "button", "data-way": way, onclick: () => colourBy(way) }, text));

  /* -- what is brushed ----------------------------------------------------------------------------------------- */
  const sum = make("p", { class: "wb-lab-said", "data-testid": "brushed" });
  const said = make("p", { class: "wb-frames-said", role: "status" });
  const pictures = make("div", { class: "wb-moments", "data-testid": "brushed-frames" });
  const counts = found.phases.map(() => document.createTextNode(""));
  const ofPhase = (chosen) => {
    const count = found.phases.map(() => 0);
    for (const i of chosen) count[found.phase[i]] += 1;
    return count;
  };
  const total = ofPhase(rows);
  let drawn = [], due = null;  // due: the timer of the next pictures
  function showPictures(chosen) {
    clearTimeout(due);
    due = null;
    const some = spaced(chosen, SHOWN), { children } = pictures;
    while (children.length > some.length) pictures.lastChild.remove();
    while (children.length < some.length) pictures.append(thumbnail());
    some.forEach((i, n) => { if (drawn[n] !== i) put(children[n], found.episode[i], found.frame[i]); });
    drawn = some;
  }
  let latest = rows;
  function brushed(chosen, rests) {
    latest = chosen ?? rows;
    const text = summed(found, chosen);
    if (sum.textContent !== text) sum.textContent = text;
    if (rests && said.textContent !== text) said.textContent = text;
    ofPhase(latest).forEach((n, i) => { counts[i].data = whole(n); });
    if (rests) showPictures(latest);
    else due ??= setTimeout(() => showPictures(latest), PICTURES_MS);
    for (const bar of bars) if (rests && bar.rows !== chosen) bar.button.setAttribute("aria-pressed", "false");
  }
  const phases = make("table", { class: "wb-table wb-frames-table" },
    make("thead", {}, make("tr", {}, ...["Phase", "Frames", "Brushed", ...(found.share ? ["Mean score"] : [])].map((text) =>
      make("th", { scope: "col" }, text === "Phase" ? term("phase", text) : text)))),
    make("tbody", {}, ...found.phases.map(([text], i) => [text, i]).filter(([, i]) => total[i]).map(([text, i]) => make("tr", {},
      make("td", {}, text), make("td", {}, whole(total[i])), make("td", { "data-brushed": text }, counts[i]),
      ...(found.share ? [make("td", {}, score(found.by_phase[i]))] : [])))));

  /* -- tenths and failures ------------------------------------------------------------------------------------- */
  const bars = [];
  function tenths() {
    const means = found.tenths.map(([mean]) => mean ?? 0);
    const high = Math.max(...means, 0), low = Math.min(...means, 0), span = high - low || 1;
    return make("div", { class: "wb-tenths", role: "group", "aria-label": "Tenths of the frames, by what each adds to the score", style: `--zero:${(high / span).toFixed(4)}` },
      ...found.tenths.map(([, frames], i) => {
        const mean = means[i];
        const one = { rows: rows.filter((row) => found.tenth[row] === i), button: null };
        const place = i === 0 ? ", the worst" : i === 9 ? ", the best" : "";
        one.button = make("button", { type: "button", "data-tenth": i, "aria-pressed": "false", title: `${whole(frames)} frames, mean ${score(mean)}`,
          "aria-label": `Tenth ${i + 1} of 10${place}: ${whole(frames)} frames, mean score ${score(mean)}`, onclick: () => {
            const off = one.button.getAttribute("aria-pressed") === "true";
            plane.choose(off ? null : one.rows);
            one.button.setAttribute("aria-pressed", String(!off));
          } }, make("i", { "data-below": mean < 0, style: `top:${100 * (high - Math.max(mean, 0)) / span}%;height:${100 * Math.abs(mean) / span}%` }),
        make("small", {}, mean.toFixed(2).replace("-", "−")));
        bars.push(one);
        return one.button;
      }));
  }
  const failures = () => found.worst.map(([episode, frame, share, phase]) => {
    const words = `${score(share)} ${found.phases[phase][0]}`;
    return put(thumbnail(words), episode, frame, words);
  });

  const plane = scatter({ x: found.x, y: found.y, brushed,
    label: `Outputs of ${name} on ${whole(found.frame.length)} frames. Arrow keys move a box, with Shift they size it, Escape clears it. What is in it is counted beside it.` });
  const [first, second] = found.explained.map((one) => `${Math.round(100 * one)}\u00a0%`);
  const every = atlas.step > 1 ? ` Every ${atlas.step}th of ${whole(found.total)} frames is drawn.` : "";
  const picturesTold = make("p", { class: "wb-muted", role: "status" });
  const element = make("div", { class: "wb-frames", "data-testid": "all-frames" },
    ...(found.lines ?? ["These demonstrations cannot be scored by k-NN, so only the outputs show."]).map((line) => make("p", { class: "wb-lab-said" }, line)),
    make("div", { class: "wb-lab-two" },
      make("section", {}, make("header", {}, make("h3", {}, `${name}: what it says, frame by frame`), colours), plane.element, legend,
        make("p", { class: "wb-muted" }, `Near points: frames in which it says similar things. Across ${first} of the variance, up ${second}; ring: the frame that is shown.${every} ${KEYS}`)),
      make("section", {}, make("h3", {}, "Frames brushed"), sum, said, pictures, picturesTold, phases)),
    found.share ? make("div", { class: "wb-lab-two" },
      make("section", {}, make("h3", {}, "Tenths of the frames, worst to best"), tenths(),
        make("p", { class: "wb-muted" }, `What the frames of each tenth add to the score, on average. 0: no better than ${found.zero}; the mean of the bars is the score. A click shows a tenth's frames above.`)),
      make("section", {}, make("h3", {}, "Where it fails"),
        found.worst.length ? make("div", { class: "wb-moments", "data-testid": "failures" }, ...failures()) : make("p", {}, "Nowhere: in no frame it does worse."),
        make("p", { class: "wb-muted" }, `Its largest losses against ${found.zero}, at least ten frames apart: episode · frame, score, phase. A click plays the episode from there.`))) : "");
  colourBy("phase");

  const at = new Map(rows.map((i) => [`${found.episode[i]}/${found.frame[i]}`, i]));
  const mark = () => plane.mark(at.get(`${state.episode?.episode}/${state.frame - state.frame % atlas.step}`) ?? null);
  for (const event of ["frame", "player"]) on(element, event, mark);
  mark();
  fetchImage(atlas.url, () => element.isConnected, (words) => { picturesTold.textContent = words; }).then((image) => {
    if (!image) return;
    sheet = image;
    picturesTold.textContent = "";
    for (const button of /** @type {NodeListOf<HTMLElement>} */ (element.querySelectorAll(".wb-moment"))) {
      const { episode, frame } = whereOf(button);
      tile(button.querySelector("canvas"), episode, frame);
    }
  });

  return {
    element,
    keepPicture: (what) => keepCanvas(plane.picture(css("--wb-surface")), what, `${name} over all frames`),
    keepTable: (what) => keepText(`${["episode,frame,phase,first,second,score", ...rows.map((i) =>
      [found.episode[i] + 1, found.frame[i] + 1, found.phases[found.phase[i]][0], found.x[i], found.y[i], found.share?.[i] ?? ""].join(","))].join("\n")}\n`, what, "csv"),
  };
};
