/* One file from a panel to the server: announced by name and size, which says where to, then put there. Loaded with the first file. */
import { toast } from "./page.js";

let waiting = null, under = null;

export const announce = (input, send) => {
  waiting = input.files[0] ?? null;
  input.value = "";  // the same file may be chosen again
  if (waiting) send(input.dataset.send, `${waiting.size} ${waiting.name.slice(-80)}`);
};

/* The panel is drawn anew while the file is on its way. */
export const go = async (address, send) => {
  const file = waiting;
  if (!file || under === address) return;
  under = address;
  try {
    const answer = await fetch(new URL(address, document.baseURI), { method: "PUT", body: file });
    if (!answer.ok) throw new Error((await answer.json()).words);
    send("sent", address);
  } catch (error) {
    toast(error instanceof TypeError ? "The connection broke. Choose the file again." : error.message);
    send("unsend", "");
  } finally {
    waiting = null;
  }
};
