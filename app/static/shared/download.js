/* Keeps a file that the server made for this page. */
import { css, make, toast } from "./page.js";

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

export const keepText = (text, name, type) => {
  const url = URL.createObjectURL(new Blob([text], { type }));
  keep(url, name);
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
};

/* A table of the page as comma-separated values. A text that a spreadsheet would take for a formula is quoted by an
   apostrophe; signed numbers stay numbers. */
export const tableText = (table) => [...table.rows].map((row) => [...row.cells].map((cell) => {
  const text = cell.innerText.replace(/\s+/g, " ").trim();
  const formula = /^[=@\t]|^[+-](?![\d.])/.test(text);
  return `"${(formula ? `'${text}` : text).replaceAll('"', '""')}"`;
}).join(",")).join("\n") + "\n";

export const keepTable = (table, name) => keepText(tableText(table), `${name}.csv`, "text/csv");

/* A canvas as an image, on the page's background. */
export const keepCanvas = (canvas, name) => {
  const solid = make("canvas", { width: canvas.width, height: canvas.height });
  const pen = solid.getContext("2d");
  pen.fillStyle = css("--wb-surface");
  pen.fillRect(0, 0, solid.width, solid.height);
  pen.drawImage(canvas, 0, 0);
  solid.toBlob((blob) => {
    const url = URL.createObjectURL(blob);
    keep(url, name);
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  });
};
