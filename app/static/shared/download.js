/* Keeps files: those that the server made for this page, and those that the page makes (static/exports, loaded with the first). */
import { make, toast } from "./page.js";

export const download = (element, props, trigger, watch) => {
  watch("value", () => {
    const file = props.value;
    if (file?.url) keep(file.url, file.name);
  });
};

export const keep = (url, name) => {
  const anchor = make("a", { href: url, download: name, hidden: true });
  document.body.append(anchor);
  anchor.click();
  anchor.remove();
  toast(`${name} is in your downloads.`);
};

/* A text under the name of what it holds, see exports/about.js. kind: csv, json or html; of: instead of the open
   demonstrations, null for what is of none. */
export const keepText = async (text, what, kind, of = "") => (await import("../exports/about.js")).keepContent(text, what, kind, of);

export const keepTable = async (table, what, of) => {
  const { tableText } = await import("../exports/tables.js");
  return keepText(tableText(table), what, "csv", of);
};

/* A canvas as an image, with a title and what it is of above it; of: instead of the open demonstrations. */
export const keepCanvas = async (canvas, what, title, of = "") => {
  const { keepPicture } = await import("../exports/picture.js");
  const width = canvas.clientWidth || canvas.width, height = canvas.clientHeight || canvas.height;
  return keepPicture({ title, of, width, height, canvases: [{ canvas, x: 0, y: 0, width, height }] }, what, "png");
};
