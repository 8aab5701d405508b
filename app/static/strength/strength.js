/* The slider over an adapter's strengths: its row of the table, and its place in the chart. Loaded when it is first moved. */

/** @param {HTMLInputElement} knob */
export const follow = (knob) => {
  const card = knob.closest("section");
  const rows = /** @type {NodeListOf<HTMLElement>} */ (card.querySelectorAll("tr[data-x]"));
  rows.forEach((row, i) => {
    if (i === Number(knob.value)) row.setAttribute("aria-current", "true");
    else row.removeAttribute("aria-current");
  });
  const row = rows[Number(knob.value)];
  const share = row.querySelector("td").textContent;
  card.querySelector("[data-share]").textContent = share;
  knob.setAttribute("aria-valuetext", share);
  const here = card.querySelector("[data-here]");
  here.setAttribute("d", here.getAttribute("d").replace(/^M[\d.]+/, `M${row.dataset.x}`));
};
