/* Where a head looks, as contours over the picture, which stays sharp. Patches become a smooth surface by quadratic B-splines, the
   largest weight of a frame and head being 1, and marching squares follow its levels. Both cameras share that scale; lines are
   fainter where the head puts little of its attention on the picture at all. About 1 ms for two cameras of 16 × 16 patches. */
import { state } from "../shared/page.js";

const FINE = 3;  // points of the surface to a patch
/** @type {[number, number, string][]} */
const LINES = [[0.16, 1.6, "#ffe9a8"], [0.4, 3, "#ffd21f"]];  // level, width and colour; a lone patch peaks at 0.56
const HALO = "rgb(10 12 18 / 62%)";
const CLEAR = 0.3;  // share of the attention on a picture from which its lines are drawn at full strength
let bases = {};  // patches a side -> [places 0..1, [first patch, weights] of each place]

/* Weights of the three patches around each place of a side; outside the picture there is nothing, so contours close. */
function basis(patches) {
  if (bases[patches]) return bases[patches];
  const places = [], weights = [];
  for (let at = 0; at <= patches * FINE; at++) {
    const x = at / FINE - 0.5;
    const middle = Math.round(x), t = x - middle;
    places.push(at / (patches * FINE));
    weights.push([middle - 1, [0.5 * (0.5 - t) ** 2, 0.75 - t * t, 0.5 * (0.5 + t) ** 2]]);
  }
  bases = { [patches]: [places, weights] };
  return bases[patches];
}

/* The surface at every place, [down][right]; 0 along the edges. value: (right, down) -> weight of a patch. */
function surface(patches, value) {
  const [places, weights] = basis(patches);
  const count = places.length;
  const rows = Array.from({ length: patches }, (_, down) => Float32Array.from(weights, ([first, share]) =>
    share.reduce((sum, w, i) => sum + (first + i >= 0 && first + i < patches ? w * value(first + i, down) : 0), 0)));
  return Array.from({ length: count }, (_, y) => {
    const line = new Float32Array(count);
    if (y === 0 || y === count - 1) return line;
    const [first, share] = weights[y];
    for (let x = 1; x < count - 1; x++) {
      for (let i = 0; i < 3; i++) if (first + i >= 0 && first + i < patches) line[x] += share[i] * rows[first + i][x];
    }
    return line;
  });
}

/* The path of a level: its crossings of the grid's lines, joined around each hill. Whole loops are stroked several times as
   fast as loose pieces, whose every end is drawn. */
function path(field, places, level, left, top, width, height) {
  const count = field.length;
  const across = (y, x) => 2 * (y * count + x), down = (y, x) => across(y, x) + 1;  // the line to the right, the line below
  const next = new Map();  // a crossed line -> the crossed lines that it is joined to
  const join = (one, other) => {
    for (const [a, b] of [[one, other], [other, one]]) {
      const known = next.get(a);
      if (known) known.push(b);
      else next.set(a, [b]);
    }
  };
  for (let y = 0; y + 1 < count; y++) {
    const upper = field[y], lower = field[y + 1];
    for (let x = 0; x + 1 < count; x++) {
      const a = upper[x] > level, b = upper[x + 1] > level, c = lower[x + 1] > level, d = lower[x] > level;
      if (a === b && b === c && c === d) continue;
      const crossed = [];
      if (a !== b) crossed.push(across(y, x));
      if (b !== c) crossed.push(down(y, x + 1));
      if (c !== d) crossed.push(across(y + 1, x));
      if (d !== a) crossed.push(down(y, x));
      for (let i = 0; i + 1 < crossed.length; i += 2) join(crossed[i], crossed[i + 1]);
    }
  }
  /** @returns {[number, number]} */
  const point = (line) => {
    const at = line >> 1, y = Math.floor(at / count), x = at % count;
    const here = field[y][x], there = line & 1 ? field[y + 1][x] : field[y][x + 1];
    const t = (level - here) / (there - here);
    const to = line & 1 ? [places[x], places[y] + t * (places[y + 1] - places[y])] : [places[x] + t * (places[x + 1] - places[x]), places[y]];
    return [left + to[0] * width, top + to[1] * height];
  };
  const drawn = new Path2D(), seen = new Set();
  for (const start of next.keys()) {
    if (seen.has(start)) continue;
    drawn.moveTo(...point(start));
    for (let line = start; line !== undefined; line = next.get(line).find((one) => !seen.has(one))) {
      seen.add(line);
      if (line !== start) drawn.lineTo(...point(line));
    }
    drawn.closePath();
  }
  return drawn;
}

/* Draws them for flat head index `head` over camera number `camera` of the episode at the frame shown. */
export const drawContours = (context, episode, head, camera) => {
  const { attention, frame } = state;
  const { patches, frames } = attention;
  const start = (head * episode.cameras.length + camera) * patches;
  const side = episode.grid;
  const pairs = Math.ceil(frames / 2), shift = frame % 2 ? 0 : 4;  // two frames a byte, see attention_file
  const field = surface(side, (right, down) => ((attention.image[(start + down * side + right) * pairs + (frame >> 1)] >> shift) & 15) / 15);
  const [places] = basis(side);
  const { width, height } = context.canvas;
  const { label, offset: [right, down] } = episode.cameras[camera];
  const group = episode.groups.indexOf(label.toLowerCase());
  const share = group < 0 ? CLEAR : attention.mass[(head * episode.groups.length + group) * frames + frame] / 255;
  context.save();
  context.globalAlpha = 0.4 + 0.6 * Math.min(share / CLEAR, 1);
  context.lineJoin = "round";
  for (const [level, thick, colour] of LINES) {
    const line = path(field, places, level, right * width, down * height, width, height);
    const scale = width / 192;
    context.lineWidth = (thick + 2) * scale;
    context.strokeStyle = HALO;
    context.stroke(line);
    context.lineWidth = thick * scale;
    context.strokeStyle = colour;
    context.stroke(line);
  }
  context.restore();
};
