import assert from "node:assert/strict";
import { test } from "node:test";

import { tableOf, tableText } from "../../../app/static/exports/tables.js";
import { unpacked } from "../../../app/static/shared/figure.js";

const packed = (values, dtype, shape) => ({ dtype, shape, bdata: Buffer.from(values.buffer).toString("base64") });

test("packed numbers become lists, and tables rows", () => {
  assert.deepEqual(unpacked(packed(new Float32Array([1, 2.5]), "f4")), [1, 2.5]);
  assert.deepEqual(unpacked(packed(new Int16Array([1, 2, 3, 4]), "i2", "2, 2")), [[1, 2], [3, 4]]);
  assert.deepEqual(unpacked(undefined), []);
});

test("curves are kept point by point, maps cell by cell", () => {
  assert.equal(tableOf([{ name: "loss", x: [0, 1], y: [3, 2] }], unpacked), 'curve,x,y\n"loss (y)",0,3\n"loss (y)",1,2\n');
  assert.equal(tableOf([{ name: 'a "b"', x: [5], y: [7], z: [[9]] }], unpacked), 'curve,x,y,z\n"a ""b""",5,7,9\n');
});

const row = (...cells) => ({ cells: cells.map((given) => (typeof given === "string" ? { innerText: given, dataset: {} } : given)) });

test("a table's text is no formula for a spreadsheet, and numbers are numbers", () => {
  const table = { rows: [row("a", "b", "c", "d", "e", "f"), row("=1+1", "-0.5", "+cmd", 'say "hi"', "1,234,567", "\u22123")] };
  assert.equal(tableText(table), `"a","b","c","d","e","f"\n"'=1+1",-0.5,"'+cmd","say ""hi""",1234567,-3\n`);
});

test("a cell of several numbers has a column for each, and one of buttons none", () => {
  const two = (innerText, values) => ({ innerText, dataset: { values } });
  const table = { rows: [row("Method", { innerText: "Success", dataset: { names: "successes|scenes" } }, ""),
    row("LoRA", two("3 of 4", "3|4"), "Report"), row("none", "", "Report")] };
  assert.equal(tableText(table), '"Method","successes","scenes"\n"LoRA",3,4\n"none","",""\n');
});
