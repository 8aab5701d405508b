/* Numbers as people read them, and as colours. Nothing here touches the page. */
const VIRIDIS = [[68, 1, 84], [72, 36, 117], [65, 68, 135], [53, 95, 141], [42, 120, 142], [33, 145, 140],
                 [34, 168, 132], [68, 191, 112], [122, 209, 81], [189, 223, 38], [253, 231, 37]];
/* Viridis (van der Walt and Smith, 2015): uniform in lightness, safe for colour-blind eyes. 0..1 -> css colour. */
export function colour(fraction) {
  const at = Math.min(Math.max(fraction, 0), 1) * (VIRIDIS.length - 1);
  const low = Math.min(Math.floor(at), VIRIDIS.length - 2);
  const part = at - low;
  return `rgb(${VIRIDIS[low].map((v, i) => Math.round(v + (VIRIDIS[low + 1][i] - v) * part)).join(",")})`;
}

/* Where a value lies on a colour scale {low, high}, 0..1; the middle where the scale is a point. */
export const onScale = ({ low, high }, value) => (high > low ? ((value ?? low) - low) / (high - low) : 0.5);

export const number = (value) => value === null || value === undefined ? "not known" : (Math.abs(value) >= 0.1 || value === 0 ? value.toFixed(2) : Math.abs(value) >= 0.001 ? value.toFixed(3) : value.toExponential(1)).replaceAll("-", "\u2212");
/* A p-value with its sign: "< .001", "= .02"; no zero before the point, for it never passes 1. */
export const p = (value) => (value < 0.001 ? "< .001" : `= ${value.toFixed(value < 0.01 ? 3 : 2).replace(/^0/, "").replace("1.00", "1")}`);
export const whole = (value) => Math.round(value).toLocaleString("en-US");
