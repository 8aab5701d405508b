/* The head map to keep, drawn as on the page: every stack on one scale, squares as large as their scores are sure, the ring of
   selected heads, and words. */
import { cellInset } from "../heads/head_set.js";
import { colour, number, onScale } from "../shared/numbers.js";
import { css, state } from "../shared/page.js";
import { keepPicture, words } from "./picture.js";

const CELL = 26, GAP = 6, LEFT = 22, TOP = 46, BETWEEN = 34;
const SIDE = CELL + GAP;

export const keepHeadMap = (format) => {
  const { heads: data, selected } = state;
  const { low, high, clipped } = data.scale;
  const zero = low < 0 && high > 0;
  const widths = data.stacks.map((stack) => LEFT + stack.heads * SIDE);
  const width = widths.reduce((sum, one) => sum + one + BETWEEN, -BETWEEN);
  const tall = TOP + data.layers * SIDE;
  const stops = Array.from({ length: 11 }, (_, i) => `<stop offset="${i / 10}" stop-color="${colour(i / 10)}"/>`).join("");
  const body = [`<defs><linearGradient id="scale">${stops}</linearGradient><pattern id="inert" width="8" height="8" patternUnits="userSpaceOnUse" `
    + `patternTransform="rotate(45)"><rect width="8" height="8" fill="${css("--wb-inert")}"/><rect width="4" height="8" fill="${css("--wb-surface")}"/></pattern></defs>`];
  data.stacks.forEach((stack, s) => {
    const x0 = widths.slice(0, s).reduce((sum, one) => sum + one + BETWEEN, LEFT);
    body.push(words(stack.label, x0, 16, { size: 13, ink: "--wb-ink", weight: 600 }));
    for (let h = 0; h < stack.heads; h++) body.push(words(h, x0 + h * SIDE + CELL / 2, TOP - 8, { size: 10, ink: "--wb-ink-3", anchor: "middle" }));
    for (let l = 0; l < stack.layers; l++) {
      body.push(words(l, x0 - 8, TOP + l * SIDE + CELL / 2 + 4, { size: 10, ink: "--wb-ink-3", anchor: "end" }));
      for (let h = 0; h < stack.heads; h++) body.push(cell((s * data.layers + l) * data.heads + h, x0 + h * SIDE, TOP + l * SIDE));
    }
  });
  const long = Math.min(width - LEFT, 320), at = LEFT + long * onScale(data.scale, 0);
  body.push(`<rect x="${LEFT}" y="${tall + 12}" width="${long}" height="8" rx="4" fill="url(#scale)"/>`,
    words(`${clipped ? "\u2264 " : ""}${number(low)}`, LEFT, tall + 36), words(number(high), LEFT + long, tall + 36, { anchor: "end" }));
  if (zero) body.push(`<rect x="${at - 0.75}" y="${tall + 9}" width="1.5" height="14" fill="${css("--wb-ink")}"/>`, words("0", at, tall + 36, { anchor: "middle" }));
  const notes = [`${data.metric}; one scale for all stacks${zero && data.zero ? `; 0: ${data.zero}` : ""}. Ring: the ${selected.size} selected heads`,
    state.origin?.words && selected.size ? `${state.origin.words}.` : "",
    data.trust ? "Smaller: less sure (the 95 % interval reaches nearer to 0)" : "", data.inert.includes(true) ? "Striped: inert, cannot move an action" : "",
    data.second ? `Below the diagonal: ${data.second.name}` : ""].filter(Boolean);
  return keepPicture({ title: `${data.metric} of every attention head (${data.named})`, width, height: tall + 44, body: body.join(""), notes },
    ["head map", data.named], format);
};

function cell(i, x, y) {
  const { heads: data, selected } = state;
  const inset = data.inert[i] ? 0 : cellInset(i) * CELL, size = CELL - 2 * inset, r = Math.min(5, size / 2);
  const [left, top, right, bottom] = [x + inset, y + inset, x + inset + size, y + inset + size];
  const fill = data.inert[i] ? "url(#inert)" : colour(onScale(data.scale, data.score[i]));
  const half = data.second && !data.inert[i]
    ? `<path d="M${right} ${top + r}V${bottom - r}A${r} ${r} 0 0 1 ${right - r} ${bottom}H${left + r}Z" fill="${colour(onScale(data.second.scale, data.second.score[i]))}"/>` : "";
  const ring = selected.has(i) ? `<rect x="${x - 1}" y="${y - 1}" width="${CELL + 2}" height="${CELL + 2}" rx="6" fill="none" stroke="${css("--wb-ring")}" stroke-width="2.5"/>` : "";
  return `<rect x="${left}" y="${top}" width="${size}" height="${size}" rx="${r}" fill="${fill}"/>${half}${ring}`;
}
