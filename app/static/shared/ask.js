/* A question of the server by its name, as docs/QUESTIONS.md lists them: answered at once, without the queue. */

/* Answers that came with the page, by name: all there is where no server is (app/twin/host.js). */
export const known = {};

/* The answer. Throws an Error whose message says, in words, what is wrong. */
export async function ask(name, ...values) {
  if (name in known) return known[name];
  const sent = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ data: [...values, ""] }) };
  const answer = await fetch(new URL(`gradio_api/run/${name}`, document.baseURI), sent).catch(() => null);
  if (!answer) throw new Error("The server does not answer. Look whether it runs, then try again.");
  const found = await answer.json();
  if (found.error) throw new Error(found.error);
  return found.data?.[0] ?? null;
}
