/* Where the arm went, and where every predicted chunk would have taken it: into the camera pictures and in space.
   Draws the traces that steering/rollout/tracing.py writes; all that moves is one small canvas a view. */
import { keepCanvas, keepText } from "../shared/download.js";
import { figureTools } from "../shared/figure.js";
import { css, make } from "../shared/page.js";

const SEEN = 8;       // chunks whose paths stay visible in the exterior picture, fading
const FRESH = 6;      // control steps for which a chunk's places in the moving wrist camera are near the truth
const traces = new Map();

/* A recorded path, fetched once; null where it does not come, and then asked for again when it is next wanted. */
export const traceAt = (address) => {
  const fetched = async () => {
    try {
      const answer = await fetch(address);
      if (answer.ok) return await answer.json();
    } catch { /* the connection broke, or the page is left */ }
    traces.delete(address);
    return null;
  };
  if (!traces.has(address)) traces.set(address, fetched());
  return traces.get(address);
};

export const methodColour = (name) => {
  const probe = make("i", { "data-method": name, hidden: true });
  document.body.append(probe);
  const colour = getComputedStyle(probe).getPropertyValue("--method").trim() || css("--wb-ink-2");
  probe.remove();
  return colour;
};
const ink = (colour) => colour.startsWith("--") ? css(colour) : colour;

/* The canvas in its size on the screen, cleared. */
function sheet(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.lineJoin = pen.lineCap = "round";
  return { pen, width, height };
}

function stroke(pen, points, colour, width, alpha = 1) {
  if (points.length < 2) return;
  pen.globalAlpha = alpha;
  pen.strokeStyle = colour;
  pen.lineWidth = width;
  pen.beginPath();
  points.forEach(([x, y], i) => i ? pen.lineTo(x, y) : pen.moveTo(x, y));
  pen.stroke();
  pen.globalAlpha = 1;
}

function dot(pen, /** @type {number[]} */ [x, y], radius, colour) {
  pen.fillStyle = colour;
  pen.beginPath();
  pen.arc(x, y, radius, 0, 2 * Math.PI);
  pen.fill();
}

const stepAt = (trace, seconds) => Math.min(Math.round(seconds * trace.rate_hz), trace.path_m.length - 1);
const chunksUpTo = (trace, step) => trace.chunks.filter((chunk) => chunk.step <= step);

/* Over a video: the chunk in force bright, those before it fading (exterior only: the wrist camera moves). */
export const pathOverlay = (video, look, camera) => {
  const element = make("canvas", { class: "wb-paths", "aria-hidden": "true" });
  let trace = null;
  return {
    element,
    show: (given) => { trace = given; },
    paint(seconds) {
      if (!trace || !element.clientWidth) return;
      const { pen, width, height } = sheet(element);
      const step = stepAt(trace, Math.min(seconds, video.duration || seconds));
      const name = camera();
      const chunks = chunksUpTo(trace, step);
      const moving = name !== "exterior";
      chunks.slice(moving ? -1 : -SEEN).forEach((chunk, i, shown) => {
        const newest = i === shown.length - 1;
        if (moving && step - chunk.step > FRESH) return;
        const points = chunk.path_px[name].filter(([x]) => x >= 0).map(([x, y]) => [x * width, y * height]);
        if (newest) stroke(pen, points, "#ffffff", 5, 0.9);
        stroke(pen, points, ink(look.colour), newest ? 3 : 1.5, newest ? 1 : 0.25 + 0.4 * i / shown.length);
        if (newest && points.length) dot(pen, points[points.length - 1], 4, ink(look.colour));
      });
      element.dataset.chunk = chunks.length ? String(chunks[chunks.length - 1].step) : "";
    },
  };
};

/* All methods of a scene in one picture of space, turned by dragging or arrow keys. scene, task: in words, for what is kept. */
export const pathSpace = (looks, scene, task) => {
  const canvas = make("canvas", { class: "wb-space-view", tabindex: 0, role: "img", "data-testid": "space",
    "aria-label": "Paths of the gripper in space, method by method. Arrow keys turn the view." });
  const shown = looks.map(() => null);
  let [turn, tilt, last] = [-0.7, 0.55, 0];
  let hold = null;
  const paint = (seconds = last) => { last = seconds; draw(); };

  function draw() {
    const known = shown.filter(Boolean);
    if (!known.length || !canvas.clientWidth) return;
    const { pen, width, height } = sheet(canvas);
    const every = known.flatMap((trace) => [...trace.path_m, ...trace.things.map((thing) => thing.path_m[0])]);
    const [low, high] = [Math.min, Math.max].map((pick) => [0, 1, 2].map((axis) => every.reduce((best, point) => pick(best, point[axis]), pick === Math.min ? Infinity : -Infinity)));
    const middle = [0, 1].map((axis) => (low[axis] + high[axis]) / 2);
    const reach = Math.max(high[0] - low[0], high[1] - low[1], high[2]) || 1;
    const [cos, sin, up, flat] = [Math.cos(turn), Math.sin(turn), Math.cos(tilt), Math.sin(tilt)];
    const flatten = ([x, y, z]) => {
      const [a, b] = [x - middle[0], y - middle[1]];
      return [-a * sin + b * cos, (a * cos + b * sin) * flat - z * up];
    };
    const half = 0.62 * reach;
    const corners = [[-1, -1], [-1, 1], [1, -1], [1, 1]].map(([a, b]) => [middle[0] + a * half, middle[1] + b * half, 0]);
    const seen = [...every, ...corners].map(flatten);
    const [left, right, top, bottom] = [0, 0, 1, 1].map((axis, i) => {
      const pick = i % 2 ? Math.max : Math.min;
      return seen.reduce((best, point) => pick(best, point[axis]), i % 2 ? -Infinity : Infinity);
    });
    const scale = Math.min((width - 60) / (right - left), (height - 44) / (bottom - top));
    const place = (point) => {
      const [a, b] = flatten(point);
      return [width / 2 + scale * (a - (left + right) / 2), height / 2 + scale * (b - (top + bottom) / 2)];
    };
    const line = (from, to) => stroke(pen, [place(from), place(to)], css("--wb-line-strong"), 1, 0.55);
    for (let i = -4; i <= 4; i++) {
      const at = half * i / 4;
      line([middle[0] + at, middle[1] - half, 0], [middle[0] + at, middle[1] + half, 0]);
      line([middle[0] - half, middle[1] + at, 0], [middle[0] + half, middle[1] + at, 0]);
    }
    const first = known[0];
    for (const thing of first.things) {
      const [x, y] = thing.path_m[0];
      for (const z of [0, thing.height_m]) {
        const ring = Array.from({ length: 25 }, (_, i) => place([x + thing.radius_m * Math.cos(i * Math.PI / 12), y + thing.radius_m * Math.sin(i * Math.PI / 12), z]));
        stroke(pen, ring, css("--wb-ink-3"), 1.3);
      }
      const [tx, ty] = place([x, y, 0]);
      pen.fillStyle = css("--wb-ink-2");
      pen.font = "12px system-ui, sans-serif";
      pen.textAlign = "center";
      pen.fillText(thing.phrase || thing.name, tx, ty + scale * thing.radius_m * flat + 14);
    }
    shown.forEach((trace, m) => {
      if (!trace) return;
      const step = stepAt(trace, last);
      const colour = ink(looks[m].colour);
      stroke(pen, trace.path_m.map(place), colour, 1.2, 0.3);
      stroke(pen, trace.path_m.slice(0, step + 1).map(place), colour, 2.6);
      const chunk = chunksUpTo(trace, step).pop();
      if (chunk) {
        pen.setLineDash([4, 4]);
        stroke(pen, chunk.path_m.map(place), colour, 2);
        pen.setLineDash([]);
      }
      const tip = place(trace.path_m[step]);
      dot(pen, tip, 4.5, colour);
    });
    pen.textAlign = "left";
    looks.forEach((look, m) => {
      dot(pen, [16, 18 + 18 * m], 4.5, ink(look.colour));
      pen.fillStyle = css("--wb-ink");
      pen.fillText(look.label, 28, 22 + 18 * m);
    });
    canvas.dataset.drawn = String(known.length);
  }

  canvas.addEventListener("pointerdown", (event) => { hold = [event.clientX, event.clientY]; canvas.setPointerCapture(event.pointerId); });
  canvas.addEventListener("pointermove", (event) => {
    if (!hold) return;
    turnBy((event.clientX - hold[0]) / 120, (event.clientY - hold[1]) / 160);
    hold = [event.clientX, event.clientY];
  });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => { hold = null; });
  canvas.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: [-0.15, 0], ArrowRight: [0.15, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] }[event.key];
    if (!by) return;
    event.preventDefault();
    turnBy(...by);
  });
  function turnBy(sideways, down) {
    turn += sideways;
    tilt = Math.min(Math.max(tilt + down, 0.08), 1.45);
    canvas.dataset.turn = turn.toFixed(2);
    draw();
  }
  const tools = figureTools({ png: () => keepCanvas(canvas, ["paths", scene], `Paths of the gripper in ${scene}`, task),
    json: () => keepText(JSON.stringify(looks.map((look, m) => ({ method: look.label, trace: shown[m] })), null, 1), ["paths", scene], "json", task) });
  const legend = make("p", { class: "wb-muted" }, "Bold: so far. Dashed: the chunk in force. Faint: the rest. Drag or use the arrow keys to turn.");
  return { element: make("div", {}, canvas, legend, tools), show: (m, trace) => { shown[m] = trace; }, paint };
};
