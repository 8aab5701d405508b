import assert from "node:assert/strict";
import { test } from "node:test";
import { playTogether } from "../../../app/static/heads/films.js";

const film = (duration, currentTime = 0) => ({
  duration, currentTime, paused: true,
  get ended() { return this.currentTime >= duration; },
  play() { this.paused = false; return Promise.resolve(); },
  pause() { this.paused = true; },
});
const around = (...films) => ({ querySelectorAll: () => films });

test("films start together, pause together, and go on at the same time", () => {
  const [long, short] = [film(7), film(4)];
  playTogether(around(long, short));
  assert.ok(!long.paused && !short.paused);
  long.currentTime = 2.1; short.currentTime = 2;
  playTogether(around(long, short));
  assert.ok(long.paused && short.paused);
  playTogether(around(long, short));
  assert.deepEqual([long.currentTime, short.currentTime], [2.1, 2.1]);
  assert.ok(!long.paused && !short.paused);
});

test("a film that has ended stands while the others go on, and all begin anew at the end", () => {
  const [long, short] = [film(7, 5), film(4, 4)];
  playTogether(around(long, short));
  assert.deepEqual([long.paused, short.paused, short.currentTime], [false, true, 4]);
  long.paused = true; long.currentTime = 7;
  playTogether(around(long, short));
  assert.deepEqual([long.currentTime, short.currentTime, long.paused, short.paused], [0, 0, false, false]);
});
