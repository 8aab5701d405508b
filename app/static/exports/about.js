/* What a kept file is of, for its name and for the line under a figure's title: policy, data and date, as the header says them. */
import { keep } from "../shared/download.js";
import { state } from "../shared/page.js";

const TYPES = { csv: "text/csv", json: "application/json", svg: "image/svg+xml", png: "image/png", html: "text/html" };
const slug = (text) => String(text).normalize("NFKD").toLowerCase().replaceAll("\u03c0", "pi").replaceAll(/[^a-z0-9.]+/g, "-").replaceAll(/^-+|-+$/g, "");
const today = () => new Date().toISOString().slice(0, 10);

/* of: instead of the demonstrations that are open. Only what is known is said. */
export const about = (of) => [state.opened?.policy, of || state.opened?.data, today()].filter(Boolean);

/* `what` may be several words: ["head map", "k-NN, strict"]. of: null for what is of no policy and no data. */
export const fileName = (what, extension, of) => {
  const data = (of || state.opened?.data || "").replace(/,.*$/, "");  // without the number of episodes
  const [first, ...more] = [what].flat();
  const named = of === null ? [first, ...more] : [first, data, ...more, state.opened?.policy];
  return `${[...named, today()].filter(Boolean).map(slug).join("_")}.${extension}`;
};

export function keepContent(content, what, extension, of) {
  const url = URL.createObjectURL(new Blob([content], { type: TYPES[extension] }));
  keep(url, fileName(what, extension, of));
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
