import assert from "node:assert/strict";
import { test } from "node:test";

import { tableText } from "../../../app/static/shared/download.js";
import { tableOf, unpacked } from "../../../app/static/shared/figure.js";

const packed = (values, dtype, shape) => ({ dtype, shape, bdata: Buffer.from(values.buffer).toString("base64") });

test("packed numbers become lists, and tables rows", () => {
  assert.deepEqual(unpacked(packed(new Float32Array([1, 2.5]), "f4")), [1, 2.5]);
  assert.deepEqual(unpacked(packed(new Int16Array([1, 2, 3, 4]), "i2", "2, 2")), [[1, 2], [3, 4]]);
  assert.deepEqual(unpacked(undefined), []);
});

test("curves are kept point by point, maps cell by cell", () => {
  assert.equal(tableOf([{ name: "loss", x: [0, 1], y: [3, 2] }]), 'curve,x,y\n"loss (y)",0,3\n"loss (y)",1,2\n');
  assert.equal(tableOf([{ name: 'a "b"', x: [5], y: [7], z: [[9]] }]), 'curve,x,y,z\n"a ""b""",5,7,9\n');
});

test("a table's text is no formula for a spreadsheet, and signed numbers stay numbers", () => {
  const table = { rows: [{ cells: ["=1+1", "-0.5", "+cmd", 'say "hi"'].map((innerText) => ({ innerText })) }] };
  assert.equal(tableText(table), `"'=1+1","-0.5","'+cmd","say ""hi"""\n`);
});
