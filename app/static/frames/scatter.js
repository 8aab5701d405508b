/* Points in the plane under a box that is dragged, or moved by keys. Two layers: all points, painted once, and those in
   the box, painted at most once a frame of the screen. Colours come from outside; a point may be a cross. */
import { make } from "../shared/page.js";

const RADIUS = 2.8;
const REACH = RADIUS + 2;  // of what is drawn of a point, from its middle
const MARGIN = 0.04;  // of the plane, on every side
const FIRST = 0.3;  // side of a box that a key begins, of the plane
const STEP = 0.04;
const CLICK_PX = 4;
const NEAR_PX = 14;

/* Places of points on a plane of `width` × `height`, one scale for both axes. */
export const placed = (x, y, width, height) => {
  const span = (values) => {
    let low = Infinity, high = -Infinity;
    for (const value of values) { low = Math.min(low, value); high = Math.max(high, value); }
    return { middle: (low + high) / 2, size: high - low };
  };
  const across = span(x), up = span(y);
  const scale = (1 - 2 * MARGIN) * Math.min(width / (across.size || 1), height / (up.size || 1));
  return { px: Float32Array.from(x, (value) => width / 2 + scale * (value - across.middle)),
           py: Float32Array.from(y, (value) => height / 2 - scale * (value - up.middle)) };
};

/* Indices of the points in a box {left, top, right, bottom}. */
export const inside = ({ px, py }, box) => {
  const found = [];
  for (let i = 0; i < px.length; i += 1) {
    if (px[i] >= box.left && px[i] <= box.right && py[i] >= box.top && py[i] <= box.bottom) found.push(i);
  }
  return found;
};

/* The point nearest to a place, where one is near; else null. */
export const nearest = ({ px, py }, left, top, near = NEAR_PX) => {
  let best = null, least = near * near;
  for (let i = 0; i < px.length; i += 1) {
    const away = (px[i] - left) ** 2 + (py[i] - top) ** 2;
    if (away < least) { least = away; best = i; }
  }
  return best;
};

/** brushed: told the indices in the box, or null where there is none, and whether the box rests.
 * @param {{x: number[], y: number[], label: string, brushed: (chosen: number[] | null, rests: boolean) => void}} given */
export const scatter = ({ x, y, label, brushed }) => {
  const layers = [0, 1].map(() => make("canvas", { "aria-hidden": "true" }));
  const frame = make("i", { class: "wb-brush", hidden: true });
  const here = make("i", { class: "wb-here", hidden: true, title: "The frame that is shown above" });
  const element = make("div", { class: "wb-plane", tabindex: "0", role: "application", "aria-label": label, "data-testid": "plane" }, ...layers, here, frame);
  let points = placed(x, y, 1, 1), width = 0, height = 0, colours = [], crosses = [], box = null, chosen = null, marked = null, waiting = false;
  const dots = new Map();

  /* One drawn point of a colour, to be copied. */
  function dot(colour, cross) {
    const name = `${colour}${cross}`;
    if (!dots.has(name)) {
      const ratio = devicePixelRatio || 1, side = Math.ceil(2 * REACH * ratio);
      const canvas = make("canvas", { width: side, height: side }), context = canvas.getContext("2d");
      context.translate(side / 2, side / 2);
      context.scale(ratio, ratio);
      context.fillStyle = context.strokeStyle = colour;
      context.lineWidth = 1.8;
      context.beginPath();
      if (cross) {
        for (const [a, b] of [[-1, -1], [-1, 1]]) { context.moveTo(a * RADIUS, b * RADIUS); context.lineTo(-a * RADIUS, -b * RADIUS); }
        context.stroke();
      } else { context.arc(0, 0, RADIUS, 0, 7); context.fill(); }
      dots.set(name, canvas);
    }
    return dots.get(name);
  }

  function paint(canvas, rows) {
    const context = canvas.getContext("2d"), ratio = canvas.width / (width || 1);
    for (const i of rows) {
      const one = dot(colours[i], crosses[i]);
      context.drawImage(one, Math.round(points.px[i] * ratio - one.width / 2), Math.round(points.py[i] * ratio - one.height / 2));
    }
  }
  const clear = (canvas) => canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
  function paintAll() {
    clear(layers[0]);
    paint(layers[0], points.px.keys());
  }

  /* What lies wholly in the box is copied from the layer of all points; only those at its edges are drawn. */
  function paintBox() {
    const ratio = layers[0].width / width, { px, py } = points;
    const [left, top, right, bottom] = [box.left + REACH, box.top + REACH, box.right - REACH, box.bottom - REACH];
    const [x0, y0, x1, y1] = [Math.ceil(left * ratio), Math.ceil(top * ratio), Math.floor(right * ratio), Math.floor(bottom * ratio)];
    if (x1 <= x0 || y1 <= y0) { paint(layers[1], chosen); return; }
    const part = [x0, y0, x1 - x0, y1 - y0];
    layers[1].getContext("2d").drawImage(layers[0], ...part, ...part);
    paint(layers[1], chosen.filter((i) => px[i] < left + REACH || px[i] > right - REACH || py[i] < top + REACH || py[i] > bottom - REACH));
  }

  function paintChosen(rests) {
    element.classList.toggle("wb-brushed", chosen !== null);
    clear(layers[1]);
    if (box) paintBox();
    else if (chosen) paint(layers[1], chosen);
    frame.hidden = box === null;
    if (box) Object.assign(frame.style, { left: `${box.left}px`, top: `${box.top}px`, width: `${box.right - box.left}px`, height: `${box.bottom - box.top}px` });
    brushed(chosen, rests);
  }

  function mark(i) {
    marked = i;
    here.hidden = i === null;
    if (i !== null) here.style.transform = `translate(${points.px[i]}px, ${points.py[i]}px)`;
  }

  function fit() {
    const [across, up] = [element.clientWidth / (width || 1), element.clientHeight / (height || 1)];
    width = element.clientWidth;
    height = element.clientHeight;
    if (!width) return;
    if (box) box = { left: box.left * across, right: box.right * across, top: box.top * up, bottom: box.bottom * up };
    const ratio = devicePixelRatio || 1;
    for (const canvas of layers) { canvas.width = Math.round(width * ratio); canvas.height = Math.round(height * ratio); }
    dots.clear();
    points = placed(x, y, width, height);
    if (box) chosen = inside(points, box);
    if (colours.length) { paintAll(); paintChosen(true); }
    mark(marked);
  }
  new ResizeObserver(fit).observe(element);

  /* A box that changes again before the screen shows it is not painted. */
  function brush(given, rests = false) {
    box = given;
    chosen = box && inside(points, box);
    if (rests) { waiting = false; paintChosen(true); return; }
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { if (waiting) { waiting = false; paintChosen(false); } });
  }

  let from = null, corner = [0, 0];  // of the plane on the page, measured once a drag
  const at = (event) => [Math.min(Math.max(event.pageX - corner[0], 0), width), Math.min(Math.max(event.pageY - corner[1], 0), height)];
  const between = (/** @type {number[]} */ [a, b], /** @type {number[]} */ [c, d]) => ({ left: Math.min(a, c), top: Math.min(b, d), right: Math.max(a, c), bottom: Math.max(b, d) });
  element.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    element.setPointerCapture(event.pointerId);
    const { left, top } = element.getBoundingClientRect();
    corner = [left + scrollX, top + scrollY];
    from = at(event);
  });
  element.addEventListener("pointermove", (event) => { if (from) brush(between(from, at(event))); });
  element.addEventListener("pointerup", (event) => {
    if (!from) return;
    const drawn = between(from, at(event));
    from = null;
    if (drawn.right - drawn.left > CLICK_PX || drawn.bottom - drawn.top > CLICK_PX) { brush(drawn, true); return; }
    const one = nearest(points, drawn.left, drawn.top);
    choose(one === null ? null : [one]);
  });
  element.addEventListener("pointercancel", () => { from = null; });

  element.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.key === "Escape" && chosen) { event.preventDefault(); event.stopPropagation(); choose(null); }
    if (!move || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    if (!box) {
      const [w, h] = [FIRST * width, FIRST * height];
      brush({ left: (width - w) / 2, top: (height - h) / 2, right: (width + w) / 2, bottom: (height + h) / 2 }, true);
      return;
    }
    const [dx, dy] = [move[0] * STEP * width, move[1] * STEP * height];
    const moved = { ...box, right: box.right + dx, bottom: box.bottom + dy };
    if (!event.shiftKey) { moved.left += dx; moved.top += dy; }
    const fits = moved.left >= -0.5 && moved.top >= -0.5 && moved.right <= width + 0.5 && moved.bottom <= height + 0.5 && moved.right - moved.left > STEP * width / 2 && moved.bottom - moved.top > STEP * height / 2;
    if (fits) brush(moved, true);
  });

  /* Points chosen elsewhere, without a box; null for none. */
  function choose(rows) {
    box = null;
    chosen = rows;
    waiting = false;
    paintChosen(true);
  }

  return {
    element, choose, mark,
    /* A colour for every point, and whether it is a cross. */
    colour(given, asCrosses = []) {
      colours = given;
      crosses = asCrosses;
      if (width) { paintAll(); paintChosen(true); }
    },
    /* All points on a background, as one picture. */
    picture(background) {
      const canvas = make("canvas", { width: layers[0].width, height: layers[0].height }), context = canvas.getContext("2d");
      context.fillStyle = background;
      context.fillRect(0, 0, canvas.width, canvas.height);
      layers.forEach((layer) => context.drawImage(layer, 0, 0));
      return canvas;
    },
  };
};
