/* Films that stand side by side, played from their beginnings together, or paused together. */

/** @param {HTMLElement} around What holds the films. */
export const playTogether = (around) => {
  const films = [...around.querySelectorAll("video")];
  if (films.some((film) => !film.paused && !film.ended)) {
    for (const film of films) film.pause();
    return;
  }
  if (films.every((film) => film.ended)) for (const film of films) film.currentTime = 0;
  const at = Math.max(...films.map((film) => film.currentTime));
  for (const film of films) {
    film.currentTime = Math.min(at, film.duration || 0);
    if (!film.ended) film.play().catch(() => {});
  }
};
