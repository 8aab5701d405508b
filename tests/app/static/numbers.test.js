import assert from "node:assert/strict";
import { test } from "node:test";

import { colour, number, onScale, p, whole } from "../../../app/static/shared/numbers.js";

test("numbers are said with as many digits as they have", () => {
  assert.deepEqual([0, 0.123, -0.5, 0.0123, 0.00012, null].map(number), ["0.00", "0.12", "\u22120.50", "0.012", "1.2e\u22124", "not known"]);
  assert.equal(whole(1234567.8), "1,234,568");
});

test("a p-value never passes 1 and has no zero before its point", () => {
  assert.deepEqual([0.0004, 0.004, 0.05, 1].map(p), ["< .001", "= .004", "= .05", "= 1"]);
});

test("a colour scale is closed at both ends, and a point lies in its middle", () => {
  assert.equal(colour(-1), colour(0));
  assert.equal(colour(2), "rgb(253,231,37)");
  assert.deepEqual([onScale({ low: 1, high: 3 }, 2), onScale({ low: 1, high: 1 }, 1), onScale({ low: 0, high: 2 }, null)], [0.5, 0.5, 0]);
});
