/* Tables of the page as comma-separated values, numbers as numbers: a cell may say its values apart from what is seen, and its
   heading the names of their columns (app/views/pieces.html: th, td). */

/* Thousands' commas and the typographic minus are for readers. A text that a spreadsheet would take for a formula is quoted by
   an apostrophe; signed numbers stay numbers. */
function field(text) {
  const plain = text.replaceAll("\u2212", "-");
  const number = /^[+-]?\d{1,3}(,\d{3})+$/.test(plain) ? plain.replaceAll(",", "") : plain;
  if (/^[+-]?\d+(\.\d+)?(e[+-]?\d+)?$/.test(number)) return number.replace(/^\+/, "");
  const formula = /^[=@+\t-]/.test(plain);
  return `"${(formula ? `'${text}` : text).replaceAll('"', '""')}"`;
}

const shown = (cell) => cell.innerText.replace(/\s+/g, " ").trim();

export const tableText = (table) => {
  const [head, ...body] = [...table.rows].map((row) => [...row.cells]);
  const names = head.map((cell) => cell.dataset.names?.split("|") ?? [shown(cell)]);
  const line = (row, own) => row.flatMap((cell, i) => {
    if (i in names && names[i].length === 1 && names[i][0] === "") return [];  // a column of buttons
    const values = own(cell, i);
    return Array.from({ length: Math.max(names[i]?.length ?? 1, 1) }, (_, v) => field(values[v] ?? ""));
  }).join(",");
  return `${[line(head, (_, i) => names[i]), ...body.map((row) => line(row, (cell) => cell.dataset.values?.split("|") ?? [shown(cell)]))].join("\n")}\n`;
};

/* Curves as comma-separated values, one row a point: curve, x, y; maps with their value as z. */
export const tableOf = (curves, unpacked) => {
  const quote = (text) => `"${String(text).replaceAll('"', '""')}"`;
  const maps = curves.some((curve) => curve.z);
  const rows = curves.flatMap((curve, c) => {
    const name = quote(`${curve.name ?? `curve ${c + 1}`}${maps ? "" : ` (${curve.yaxis ?? "y"})`}`);
    const [x, y, z] = [curve.x, curve.y, curve.z].map(unpacked);
    if (!curve.z) return Array.from(y, (value, i) => [name, x[i] ?? i, value, ...(maps ? [""] : [])].join(","));
    return z.flatMap((line, row) => Array.from(line, (value, column) => [name, x[column] ?? column, y[row] ?? row, value ?? ""].join(",")));
  });
  return `${[maps ? "curve,x,y,z" : "curve,x,y", ...rows].join("\n")}\n`;
};
