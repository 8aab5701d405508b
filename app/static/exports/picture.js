/* A figure to keep: its title, what it is of, and the drawing, as SVG or as PNG made from that, in the page's own colours. */
import { css } from "../shared/page.js";
import { about, keepContent } from "./about.js";

const SCALE = 2, SIDE = 20, TOP = 62, NOTE = 17, LETTER = 0.56;  // the last: width of a letter, in font sizes
const escaped = (text) => String(text).replace(/[&<>"]/g, (one) => `&#${one.charCodeAt(0)};`);

export const words = (text, x, y, { size = 12, ink = "--wb-ink-2", weight = 400, anchor = "start" } = {}) =>
  `<text x="${x}" y="${y}" font-size="${size}" font-weight="${weight}" text-anchor="${anchor}" fill="${css(ink)}">${escaped(text)}</text>`;

/* The lines that a text takes in `width` pixels. */
function lines(text, size, width) {
  const most = Math.max(Math.floor(width / (LETTER * size)), 12);
  return text.split(" ").reduce((all, word) => {
    const last = all[all.length - 1];
    if (last && last.length + word.length < most) all[all.length - 1] = `${last} ${word}`;
    else all.push(word);
    return all;
  }, []);
}

/* drawing: {title, width, height, body, canvases, notes, of}. body: SVG; canvases: [{canvas, x, y, width, height}] over it. */
function framed({ title, width, height, body = "", notes = [], of = "" }) {
  const room = Math.max(width, 260);
  const under = [...about(of)];
  const head = [...lines(title, 15, room).map((line) => [line, 15, "--wb-ink", 640]), ...lines(under.join(" \u00b7 "), 12, room).map((line) => [line, 12, "--wb-ink-2", 400])];
  const top = Math.max(TOP, 24 + 19 * head.length);
  const told = notes.flatMap((note) => lines(note, 11, room));
  const whole = [room + 2 * SIDE, top + height + SIDE + NOTE * told.length];
  const text = head.map(([line, size, ink, weight], i) => words(line, SIDE, 28 + 19 * i, { size, ink, weight })).join("")
    + told.map((line, i) => words(line, SIDE, top + height + 16 + NOTE * i, { size: 11, ink: "--wb-ink-3" })).join("");
  return { top, whole, svg: (inside) => `<svg xmlns="http://www.w3.org/2000/svg" width="${whole[0]}" height="${whole[1]}" viewBox="0 0 ${whole[0]} ${whole[1]}" `
    + `font-family="system-ui, sans-serif"><title>${escaped([title, ...under].join(", "))}</title><rect width="100%" height="100%" fill="${css("--wb-surface")}"/>${text}`
    + `<g transform="translate(${SIDE} ${top})">${body}${inside}</g></svg>` };
}

export async function keepPicture(drawing, what, format) {
  const { canvases = [], of } = drawing;
  const { top, whole, svg } = framed(drawing);
  if (format === "svg") {
    const inside = canvases.map(({ canvas, x, y, width, height }) =>
      `<image x="${x}" y="${y}" width="${width}" height="${height}" href="${canvas.toDataURL("image/png")}"/>`);
    keepContent(svg(inside.join("")), what, "svg", of);
    return;
  }
  const image = new Image();
  image.src = URL.createObjectURL(new Blob([svg("")], { type: "image/svg+xml" }));
  await image.decode();
  const picture = Object.assign(document.createElement("canvas"), { width: SCALE * whole[0], height: SCALE * whole[1] });
  const pen = picture.getContext("2d");
  pen.drawImage(image, 0, 0, picture.width, picture.height);
  URL.revokeObjectURL(image.src);
  pen.scale(SCALE, SCALE);
  for (const { canvas, x, y, width, height } of canvases) pen.drawImage(canvas, SIDE + x, top + y, width, height);
  picture.toBlob((blob) => keepContent(blob, what, "png", of));
}

/* A drawn Plotly figure in the same frame. of: instead of the demonstrations that are open. */
export async function keepPlot(target, what, title, format, Plotly, of) {
  const { data, layout, clientWidth: width, clientHeight: height } = target;
  const drawing = { title, width, height, of };
  const drawn = await Plotly.toImage({ data, layout: { ...layout, paper_bgcolor: "transparent" } }, { format, width, height, scale: format === "svg" ? 1 : SCALE });
  if (format === "svg") {
    const body = decodeURIComponent(drawn.slice(drawn.indexOf(",") + 1));
    return keepPicture({ ...drawing, body }, what, format);
  }
  const canvas = Object.assign(new Image(), { src: drawn });
  await canvas.decode();
  return keepPicture({ ...drawing, canvases: [{ canvas, x: 0, y: 0, width, height }] }, what, format);
}
