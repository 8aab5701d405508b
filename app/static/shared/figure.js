/* A Plotly figure of steering.figures, kept in place at every update. plotly.js is served by this server and loads
   with the first figure only; colours of text and grid follow the page's theme. Exports as image and as table. */
import { keepText } from "./download.js";
import { css, make, on } from "./page.js";

export const figure = (element, props, trigger, watch) => {
  const target = make("div", { class: "wb-figure" });
  const named = () => ({ what: props.value.name, title: props.value.name, of: props.value.of });
  const tools = figureTools(plotTools(target, props.plotly, named));

  async function draw() {
    const given = props.value;
    if (!given?.data) { element.replaceChildren(); return; }
    if (!target.isConnected) element.replaceChildren(tools, target);
    await plot(target, given, props.plotly);
  }

  on(element, "theme", draw);
  watch("value", draw);
  draw();
};

/** Buttons that keep a figure: its picture, its numbers as a table, or as JSON; those that are given.
   @param {{png?: () => void, svg?: () => void, csv?: () => void, json?: () => void}} given */
export const figureTools = ({ png, svg, csv, json }) => {
  const button = (label, title, act) => act &&
    make("button", { type: "button", class: "wb-button wb-quiet", title, onclick: act }, label);
  return make("div", { class: "wb-figure-tools" }, button("PNG", "Keep the figure as an image", png), button("SVG", "Keep the figure as a drawing", svg),
    button("CSV", "Keep the figure's numbers as a table", csv), button("JSON", "Keep the figure's numbers", json));
};

/* What keeps a drawn Plotly figure. named: when it is kept, {what, title, of}: what its files are called, what stands above it, and
   what it is of where that is not what is open. */
export const plotTools = (target, plotly, named) => {
  const picture = async (format) => {
    const { what, title, of } = named();
    return (await import("../exports/picture.js")).keepPlot(target, what, title, format, await plotlyFrom(plotly), of);
  };
  return { png: () => picture("png"), svg: () => picture("svg"), csv: () => keepCurves(target.data, named().what, named().of) };
};

/* Curves of a figure as a table. */
export const keepCurves = async (curves, what, of = "") => keepText((await import("../exports/tables.js")).tableOf(curves, unpacked), what, "csv", of);

/* Numbers of a figure as they came: a list, or Plotly's packed array {dtype, bdata, shape}; a table in rows. */
export const unpacked = (given) => {
  if (!given?.bdata) return given ?? [];
  const kinds = { f4: Float32Array, f8: Float64Array, i1: Int8Array, i2: Int16Array, i4: Int32Array, u1: Uint8Array, u2: Uint16Array, u4: Uint32Array };
  const values = Array.from(new kinds[given.dtype](Uint8Array.from(atob(given.bdata), (byte) => byte.charCodeAt(0)).buffer));
  const [rows, columns] = String(given.shape ?? "").split(",").map(Number);
  return columns ? Array.from({ length: rows }, (_, row) => values.slice(row * columns, (row + 1) * columns)) : values;
};

/* plotly.js, once; and a figure in the page's colours, made or updated in place. */
let plotly = null;
export const plotlyFrom = (address) => {
  plotly ??= new Promise((resolve, reject) => {
    document.head.append(make("script", { src: address, onload: () => resolve(/** @type {any} */ (window).Plotly), onerror: reject }));
  });
  return plotly;
};
export const plot = async (target, drawn, address) => {
  const Plotly = await plotlyFrom(address);
  const axis = { gridcolor: css("--wb-line"), zerolinecolor: css("--wb-line"), linecolor: css("--wb-line") };
  const layout = { ...drawn.layout, paper_bgcolor: "transparent", plot_bgcolor: "transparent", autosize: true,
    font: { family: "system-ui, sans-serif", size: 12, color: css("--wb-ink-2") } };
  for (const name of Object.keys(layout)) if (/^[xy]axis/.test(name)) layout[name] = { ...layout[name], ...axis };
  layout.annotations = layout.annotations?.map((note) => ({ ...note, font: { ...note.font, color: css("--wb-ink-2") } }));
  delete layout.width;
  delete layout.height;
  return Plotly.react(target, drawn.data, layout, { displaylogo: false, responsive: true, displayModeBar: false });
};
