/* The cameras of a frame to keep, labelled: the pictures as they are, and below them, where they are shown, where the head looks. */
import { state } from "../shared/page.js";
import { keepPicture, words } from "./picture.js";

const SIDE = 256, GAP = 12, LABEL = 24;

/* rows: [[canvas, ...], ...], the pictures and then those with lines; looks: whose lines they are, in words. */
export const keepCameras = (rows, looks) => {
  const { cameras, episode, instruction, told } = state.episode;
  const canvases = rows.flatMap((row, r) => row.map((canvas, c) =>
    ({ canvas, x: c * (SIDE + GAP), y: r * (SIDE + LABEL + GAP), width: SIDE, height: SIDE })));
  const body = canvases.map(({ x, y }, i) => {
    const label = cameras[i % cameras.length].label;
    return words(i < cameras.length ? label : `${label}: ${looks}`, x, y + SIDE + 17);
  });
  const frame = `frame ${state.frame + 1}`;
  const said = told.find((part) => state.frame < part.end)?.text ?? instruction;
  return keepPicture({ title: `\u201c${said}\u201d, episode ${episode + 1}, ${frame}`, width: cameras.length * (SIDE + GAP) - GAP,
    height: rows.length * (SIDE + LABEL + GAP) - GAP, body: body.join(""), canvases }, ["cameras", `episode ${episode + 1}`, frame], "png");
};
