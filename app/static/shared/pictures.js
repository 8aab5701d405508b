/* Fetches a picture that the server may be making still, and asks again until it is there. `wanted` says whether anybody
   waits for it; `say` is told how far it is, or why there is none. Gives an ImageBitmap, decoded once, or null. */
const AGAIN_MS = 700;
const MAKING = 503;

export const fetchImage = async (address, wanted, say) => {
  for (;;) {
    const answer = await fetch(address).catch(() => null);
    const picture = answer?.ok ? await answer.blob().catch(() => null) : null;
    if (picture) {
      const image = await createImageBitmap(picture);
      if (wanted()) return image;
      image.close();
      return null;
    }
    const told = answer && !answer.ok ? await answer.text().catch(() => "") : "";
    const words = told || "The server does not answer. Reload the page once it runs again.";
    if (!wanted()) return null;
    say(words);
    if (answer?.status !== MAKING) return null;
    await new Promise((done) => setTimeout(done, AGAIN_MS));
  }
};
