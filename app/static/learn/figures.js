/* Figures of the reveals, as SVG in the colours around them, so that they stand on the page and in the file alike. */

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 320, LABEL = 118, VALUE = 58, ROW = 24;

function svg(name, attributes, text) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, String(value));
  if (text !== undefined) node.textContent = text;
  return node;
}

const picture = (height, said) => svg("svg", { viewBox: `0 0 ${WIDTH} ${height}`, width: WIDTH, height, role: "img", "aria-label": said, class: "wb-lesson-figure" });

/* Bars from 0, a row each: [{label, value, text, own}]; own: the learner's choice. line: {at, text}, across all rows. */
export function bars({ rows, line }) {
  const known = rows.filter((row) => Number.isFinite(row.value));
  const values = [0, ...known.map((row) => row.value), ...(line ? [line.at] : [])];
  const low = Math.min(...values), high = Math.max(...values);
  const room = WIDTH - LABEL - VALUE;
  const x = (value) => LABEL + (room * (value - low)) / (high - low || 1);
  const said = rows.map((row) => `${row.label} ${row.text}${row.own ? ", your prediction" : ""}`).join("; ") + (line ? `; ${line.text}` : "");
  const top = line ? 16 : 0;
  const drawn = picture(top + ROW * rows.length + 4, said);
  rows.forEach((row, i) => {
    const y = top + i * ROW;
    drawn.append(svg("text", { x: 0, y: y + 16, class: row.own ? "wb-own" : "" }, `${row.label}${row.own ? " \u25c2" : ""}`));
    if (Number.isFinite(row.value)) {
      const [a, b] = [x(Math.min(row.value, 0)), x(Math.max(row.value, 0))];
      drawn.append(svg("rect", { x: a, y: y + 5, width: Math.max(b - a, 1), height: 14, rx: 2, class: row.value < 0 ? "wb-below" : `wb-is-${row.kind ?? "plain"}` }));
    }
    drawn.append(svg("text", { x: WIDTH, y: y + 16, "text-anchor": "end", class: "wb-figure-value" }, row.text));
  });
  const bottom = top + ROW * rows.length;
  drawn.append(svg("line", { x1: x(0), x2: x(0), y1: top, y2: bottom, class: "wb-axis" }));
  if (line) {
    drawn.append(svg("line", { x1: x(line.at), x2: x(line.at), y1: top - 2, y2: bottom, class: "wb-limit" }),
      svg("text", { x: x(line.at) + 4, y: 10, class: "wb-figure-value" }, line.text));
  }
  return drawn;
}

/* A stack's cells, layers down, those that are inert crossed. cells: [layer][head], whether inert. */
export function cells({ rows, label }) {
  const side = Math.min(16, Math.floor(260 / Math.max(rows.length, 1)));
  const drawn = picture(rows.length * side + 4, label);
  rows.forEach((row, l) => {
    const marked = row.some(Boolean);
    drawn.append(svg("text", { x: 0, y: l * side + side - 3, class: marked ? "wb-own" : "" }, `Layer ${l}${marked ? ": inert" : ""}`));
    row.forEach((inert, h) => {
      drawn.append(svg("rect", { x: LABEL + h * side, y: l * side + 1, width: side - 2, height: side - 2, rx: 2, class: inert ? "wb-below" : "wb-is-plain" }));
    });
  });
  return drawn;
}

export const figureOf = (given) => (given.cells ? cells(given.cells) : bars(given.bars));
