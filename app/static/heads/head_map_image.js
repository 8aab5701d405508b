/* The head map as an image to keep. */
import { keepCanvas } from "../shared/download.js";
import { colour, number, onScale } from "../shared/numbers.js";
import { css, make, state } from "../shared/page.js";

/* How far a square stands in from its cell's edge, as a share of the cell: more where its score is less sure. */
export const cellInset = (i) => {
  const { trust } = state.heads;
  return trust ? 0.22 * (1 - trust.sure[i]) : 0;
};

/* The head map as an image to keep, drawn as on the page: every stack on one scale, squares as large as their scores are
   sure, the ring of selected heads, and words, on the page's theme. */
export const headMapImage = () => {
  const { heads: data, selected } = state;
  const { low, high, clipped: beyond } = data.scale;
  const SCALE = 2, CELL = 26, GAP = 6, LEFT = 40, TOP = 74;
  const side = CELL + GAP;
  const width = LEFT + data.heads * side + 24;
  const notes = [low < 0 && high > 0 && data.zero ? `0: ${data.zero}` : "", "one scale for all stacks; ring: selected",
    data.trust ? "smaller: less sure (the 95 % interval reaches nearer to 0)" : "", data.inert.includes(true) ? "striped: inert, cannot move an action" : "",
    data.second ? `below the diagonal: ${data.second.name}` : ""].filter(Boolean);
  const height = TOP + data.layers * side + 60 + 15 * notes.length;
  const canvas = make("canvas", { width: SCALE * width * data.stacks.length, height: SCALE * height });
  const draw = canvas.getContext("2d");
  draw.scale(SCALE, SCALE);
  const words = (text, x, y, size = 12, ink = "--wb-ink-2", weight = 400, align = "left") => {
    draw.font = `${weight} ${size}px system-ui, sans-serif`;
    draw.fillStyle = css(ink);
    draw.textAlign = align;
    draw.fillText(text, x, y);
  };
  /* Inside the cell's outline, which is the current path. */
  function clipped(paint) {
    draw.save();
    draw.clip();
    paint();
    draw.restore();
  }
  /* The half of a square below its diagonal, as on the page. */
  const lowerHalf = (x, y, size, shade) => clipped(() => {
    draw.beginPath();
    draw.moveTo(x + size, y);
    draw.lineTo(x + size, y + size);
    draw.lineTo(x, y + size);
    draw.fillStyle = shade;
    draw.fill();
  });
  const stripes = (x, y) => clipped(() => {
    draw.strokeStyle = css("--wb-surface");
    draw.lineWidth = 4;
    for (let at = -CELL; at < CELL; at += 8) {
      draw.beginPath();
      draw.moveTo(x + at, y + CELL);
      draw.lineTo(x + at + CELL, y);
      draw.stroke();
    }
  });
  words(`${data.metric}; ${selected.size} selected heads`, LEFT, 24, 13, "--wb-ink", 600);
  data.stacks.forEach((stack, s) => {
    const x0 = s * width + LEFT;
    words(stack.label, x0, 50, 13, "--wb-ink", 600);
    for (let h = 0; h < stack.heads; h++) words(String(h), x0 + h * side + CELL / 2, TOP - 8, 10, "--wb-ink-3", 400, "center");
    for (let l = 0; l < stack.layers; l++) {
      const y = TOP + l * side;
      words(String(l), x0 - 10, y + CELL / 2 + 4, 10, "--wb-ink-3", 400, "right");
      for (let h = 0; h < stack.heads; h++) {
        const i = (s * data.layers + l) * data.heads + h;
        const x = x0 + h * side;
        const inset = data.inert[i] ? 0 : cellInset(i) * CELL;
        const size = CELL - 2 * inset;
        draw.beginPath();
        draw.roundRect(x + inset, y + inset, size, size, 5);
        draw.fillStyle = data.inert[i] ? css("--wb-inert") : colour(onScale(data.scale, data.score[i]));
        draw.fill();
        if (data.inert[i]) stripes(x, y);
        else if (data.second) lowerHalf(x + inset, y + inset, size, colour(onScale(data.second.scale, data.second.score[i])));
        draw.beginPath();
        draw.roundRect(x, y, CELL, CELL, 5);
        if (selected.has(i)) { draw.lineWidth = 2.5; draw.strokeStyle = css("--wb-ring"); draw.stroke(); }
      }
    }
    const y = TOP + data.layers * side + 14;
    const long = data.heads * side - GAP;
    for (let x = 0; x < long; x++) { draw.fillStyle = colour(x / long); draw.fillRect(x0 + x, y, 1.5, 8); }
    words(`${beyond ? "≤ " : ""}${number(low)}`, x0, y + 24);
    words(number(high), x0 + long, y + 24, 12, "--wb-ink-2", 400, "right");
    if (low < 0 && high > 0) {
      const at = x0 + long * onScale(data.scale, 0);
      draw.fillStyle = css("--wb-ink");
      draw.fillRect(at - 0.75, y - 3, 1.5, 14);
      words("0", at, y + 24, 12, "--wb-ink-2", 400, "center");
    }
  });
  notes.forEach((line, n) => words(line, LEFT, TOP + data.layers * side + 58 + 15 * n, 11, "--wb-ink-3"));
  keepCanvas(canvas, "head-map.png");
};
