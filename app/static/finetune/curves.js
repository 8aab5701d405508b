/* Curves of trainings that run: line charts one above the other on one canvas, from the figure that
   steering.figures.finetune_curves makes. It is drawn anew with every report, in a millisecond or two and only while it
   is seen, where Plotly takes some tens and half a second to load. Pointing reads the values; exports as elsewhere. */
import { keepCanvas } from "../shared/download.js";
import { figureTools, keepCurves } from "../shared/figure.js";
import { number } from "../shared/numbers.js";
import { css, make, on } from "../shared/page.js";

export const curves = (element, props, trigger, watch) => {
  const LEFT = 52, RIGHT = 14, GAP = 46, BOTTOM = 40;
  const canvas = make("canvas", { class: "wb-training-curves", role: "img", "data-testid": "training-curves" });
  const readout = make("p", { class: "wb-training-readout", "aria-live": "off" });
  const tools = figureTools({
    png: () => keepCanvas(canvas, "training", "Training: loss and held-out error by step"),
    csv: () => keepCurves(given(), "training") });
  let pointed = null, queued = false;

  const TYPES = { f8: Float64Array, f4: Float32Array, i4: Int32Array, i2: Int16Array, i1: Int8Array, u4: Uint32Array, u2: Uint16Array, u1: Uint8Array };
  let unpacked = [], from = null;

  /* Plotly's Python side packs arrays as {dtype, bdata}, in base64. */
  function unpack(values) {
    if (!values?.bdata) return Array.from(values ?? []);
    const bytes = Uint8Array.from(atob(values.bdata), (letter) => letter.charCodeAt(0));
    return Array.from(new TYPES[values.dtype](bytes.buffer));
  }

  function given() {
    if (props.value !== from) {
      from = props.value;
      unpacked = (from?.data ?? []).map((curve) => ({ ...curve, x: unpack(curve.x), y: unpack(curve.y) }));
    }
    return unpacked;
  }

  const plain = (html) => new DOMParser().parseFromString(html ?? "", "text/html").body.textContent;
  const panel = (curve) => (curve.yaxis ?? "y") === "y" ? 0 : 1;
  const read = (curve) => (curve.opacity ?? 1) >= 0.5;
  const largest = (values) => values.reduce((most, value) => Number.isFinite(value) && value > most ? value : most, 0);

  /* Round steps of which about `count` fit below `high`. */
  function ticks(high, count) {
    const rough = high / count, power = 10 ** Math.floor(Math.log10(rough));
    const step = power * ([1, 2, 5].find((factor) => factor * power >= rough) ?? 10);
    return Array.from({ length: Math.floor(high / step + 1e-9) + 1 }, (_, i) => i * step);
  }

  function draw() {
    queued = false;
    if (!given().length) { element.replaceChildren(); return; }
    if (!canvas.isConnected) element.replaceChildren(tools, canvas, readout);
    const width = canvas.clientWidth, height = canvas.clientHeight, scale = window.devicePixelRatio || 1;
    if (!width) return; // hidden: the observer draws it when it is shown
    Object.assign(canvas, { width: width * scale, height: height * scale });
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    const ink = css("--wb-ink-2"), line = css("--wb-line");
    const words = (text, x, y, align = "left", weight = 400, colour = ink) => {
      Object.assign(pen, { font: `${weight} 12px system-ui, sans-serif`, fillStyle: colour, textAlign: align });
      pen.fillText(text, x, y);
    };
    const last = largest(given().flatMap((curve) => curve.x)) || 1;
    let x = LEFT, y = 14;
    for (const curve of given().filter((one) => one.showlegend !== false)) {
      pen.font = "400 12px system-ui, sans-serif";
      const long = 24 + pen.measureText(curve.name).width;
      if (x > LEFT && x + long > width - RIGHT) { x = LEFT; y += 18; }
      Object.assign(pen, { fillStyle: curve.line.color });
      pen.fillRect(x, y - 6, 18, 4);
      words(curve.name, x + 24, y);
      x += long + 18;
    }
    const TOP = y + 32;
    const each = (height - TOP - GAP - BOTTOM) / 2;
    const across = (step) => LEFT + (step / last) * (width - LEFT - RIGHT);
    const titles = (props.value.layout?.annotations ?? []).map((note) => plain(note.text));
    const shown = [];
    for (const at of [0, 1]) {
      const own = given().filter((curve) => panel(curve) === at);
      const high = 1.06 * largest(own.flatMap((curve) => curve.y)) || 1;
      const floor = TOP + at * (each + GAP) + each;
      const up = (value) => floor - (value / high) * each;
      words(titles[at] ?? "", LEFT, floor - each - 10, "left", 600, css("--wb-ink"));
      Object.assign(pen, { lineWidth: 1, strokeStyle: line, globalAlpha: 1 });
      for (const value of ticks(high, 4)) {
        pen.beginPath(); pen.moveTo(LEFT, up(value)); pen.lineTo(width - RIGHT, up(value)); pen.stroke();
        words(value === 0 ? "0" : number(value), LEFT - 8, up(value) + 4, "right");
      }
      for (const curve of own) {
        Object.assign(pen, { lineWidth: read(curve) ? 2.5 : 1, strokeStyle: curve.line.color, fillStyle: curve.line.color,
                             globalAlpha: curve.opacity ?? 1, lineJoin: "round" });
        pen.beginPath();
        curve.x.forEach((step, i) => pen[i ? "lineTo" : "moveTo"](across(step), up(curve.y[i])));
        pen.stroke();
        if (curve.mode?.includes("markers")) curve.x.forEach((step, i) => {
          pen.beginPath(); pen.arc(across(step), up(curve.y[i]), 3.5, 0, 2 * Math.PI); pen.fill();
        });
      }
      pen.globalAlpha = 1;
      shown.push({ title: titles[at] ?? "", own: own.filter(read) });
    }
    for (const step of ticks(last, Math.max(2, width / 110))) words(String(Math.round(step)), across(step), height - BOTTOM + 18, "center");
    words("training step", LEFT + (width - LEFT - RIGHT) / 2, height - 6, "center");
    const at = pointed === null ? last : Math.min(Math.max((pointed - LEFT) / (width - LEFT - RIGHT), 0), 1) * last;
    if (pointed !== null) {
      Object.assign(pen, { lineWidth: 1, strokeStyle: ink });
      pen.beginPath(); pen.moveTo(across(at), TOP); pen.lineTo(across(at), height - BOTTOM); pen.stroke();
    }
    const said = shown.map(({ title, own }) => `${title}: ${own.filter((c) => c.x.length).map((c) => `${c.name} ${number(nearest(c, at))}`).join(", ") || "none yet"}`);
    readout.textContent = `Step ${Math.round(at)}. ${said.join(". ")}.`;
    canvas.setAttribute("aria-label", readout.textContent);
  }

  function nearest(curve, step) {
    let best = 0;
    curve.x.forEach((value, i) => { if (Math.abs(value - step) < Math.abs(curve.x[best] - step)) best = i; });
    return curve.y[best];
  }

  function redraw() {
    if (!queued) { queued = true; requestAnimationFrame(draw); }
  }

  canvas.addEventListener("pointermove", (event) => { pointed = event.offsetX; redraw(); });
  canvas.addEventListener("pointerleave", () => { pointed = null; redraw(); });
  new ResizeObserver(redraw).observe(canvas);
  on(element, "theme", redraw);
  watch("value", redraw);
  redraw();
};
