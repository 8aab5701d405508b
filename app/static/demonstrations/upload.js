/* Takes files from the user's disk: a drop zone, buttons for files and for a folder, and a field for a dataset on the
   hub. Files are announced to the server, which says yes or why not, and then sent one by one; what the server keeps
   of them it shows in the panel below. */
import { make } from "../shared/page.js";

export const uploader = (element, props, trigger, watch) => {
  const AT_ONCE = 3, TRIES = 3, REDRAW_MS = 200;
  let serial = 0, waiting = null, sending = null;

  const line = make("div", { class: "wb-upload-line", "aria-live": "polite" });
  const files = make("input", { type: "file", multiple: true, hidden: true, "data-testid": "choose-files", onchange: () => chosen(files.files, files) });
  const folder = make("input", { type: "file", webkitdirectory: true, hidden: true, "data-testid": "choose-folder", onchange: () => chosen(folder.files, folder) });
  const name = make("input", { type: "text", placeholder: "owner/name", "aria-label": "A LeRobot dataset on the Hugging Face hub", autocomplete: "off", spellcheck: "false", "data-testid": "hub-id" });
  const hub = make("form", { class: "wb-hub", onsubmit: (event) => { event.preventDefault(); ask("hub", { name: name.value.trim() }); } },
    name, make("button", { type: "submit", class: "wb-button wb-quiet" }, "Fetch"));
  const zone = make("div", { class: "wb-zone", "data-testid": "drop-zone" },
    make("h3", {}, "Bring your own recordings"),
    make("p", {}, "Drop files or a folder here: LeRobot datasets (v2, v3), LIBERO, robomimic, DROID or ALOHA HDF5, the Robotic Steering release's HDF5, NPZ, recordings of this workbench, or a zip of one of them."),
    make("div", { class: "wb-buttons" },
      make("button", { type: "button", class: "wb-button", onclick: () => files.click() }, "Choose files"),
      make("button", { type: "button", class: "wb-button", onclick: () => folder.click() }, "Choose a folder"),
      ...(props.value?.hub === false ? [] : [make("span", { class: "wb-or" }, "or from the hub"), hub])),
    make("small", { class: "wb-muted" }, props.value?.limits ?? ""), files, folder, line);
  element.replaceChildren(zone);

  zone.addEventListener("dragover", (event) => { event.preventDefault(); zone.classList.add("wb-over"); });
  zone.addEventListener("dragleave", (event) => { if (!zone.contains(event.relatedTarget)) zone.classList.remove("wb-over"); });
  zone.addEventListener("drop", async (event) => {
    event.preventDefault();
    zone.classList.remove("wb-over");
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    if (entries.length) begin((await Promise.all(entries.map(walked))).flat());
    else begin([...event.dataTransfer.files].map((file) => ({ file, path: file.name })));
  });

  /* Every file below a dropped folder. */
  async function walked(entry) {
    if (entry.isFile) {
      const file = await new Promise((done) => entry.file(done, () => done(null)));
      return file ? [{ file, path: entry.fullPath.replace(/^\//, "") }] : [];
    }
    const reader = entry.createReader(), found = [];
    for (;;) {
      const some = await new Promise((done) => reader.readEntries(done, () => done([])));
      if (!some.length) break;
      found.push(...some);
    }
    return (await Promise.all(found.map(walked))).flat();
  }

  function chosen(list, input) {
    begin([...list].map((file) => ({ file, path: file.webkitRelativePath || file.name })));
    input.value = "";  // the same file may be chosen again
  }

  /* Hidden files (of systems and of caches) belong to no dataset. */
  const hidden = (path) => path.split("/").some((part) => part.startsWith(".") || part === "__MACOSX");

  function begin(all) {
    if (sending) return;
    waiting = all.filter(({ path }) => !hidden(path));
    say("Asking whether there is room.");
    ask("begin", { files: waiting.map(({ file, path }) => ({ name: path, size: file.size })) });
  }

  function ask(event, payload) {
    serial += 1;
    trigger(event, { ...payload, serial });
  }

  watch("value", () => {
    const answer = props.value;
    if (!answer || answer.serial !== serial) return;
    if (answer.error) { waiting = null; say(answer.error, true); }
    else if (answer.upload && waiting) send(answer.upload);
    else { say(""); name.value = ""; }
  });

  function say(words, bad = false) {
    line.replaceChildren(...(words ? [make("p", { class: bad ? "wb-bad-words" : "", role: bad ? "alert" : null, "data-testid": "upload-words" }, words)] : []));
  }

  async function send(upload) {
    const list = waiting, total = list.reduce((sum, { file }) => sum + file.size, 0);
    const began = performance.now(), done = new Array(list.length).fill(0);
    waiting = null;
    sending = { requests: new Set(), stopped: false };
    const mine = sending;
    const bar = make("i"), words = make("span", { "data-testid": "upload-progress" });
    const progress = make("div", { class: "wb-progress", role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100, "aria-label": "Sending files" }, bar);
    const stop = make("button", { type: "button", class: "wb-button wb-quiet", onclick: () => cancel(upload) }, "Cancel");
    line.replaceChildren(make("div", { class: "wb-job" }, make("header", {}, make("b", {}, "Sending"), words), progress, stop));
    let drawn = 0;
    const draw = (force) => {
      const now = performance.now();
      if (!force && now - drawn < REDRAW_MS) return;
      drawn = now;
      const sent = done.reduce((sum, bytes) => sum + bytes, 0), share = total ? sent / total : 1;
      const left = share > 0 ? ((now - began) / 1000) * (1 / share - 1) : null;
      bar.style.width = `${100 * share}%`;
      progress.setAttribute("aria-valuenow", Math.round(100 * share));
      words.textContent = `${size(sent)} of ${size(total)}${left === null ? "" : `, ${duration(left)} left`}`;
    };
    draw(true);
    let next = 0;
    const work = async () => {
      while (next < list.length && !mine.stopped) {
        const number = next++;
        await put(upload, number, list[number].file, mine, (bytes) => { done[number] = bytes; draw(); });
      }
    };
    try {
      await Promise.all(Array.from({ length: AT_ONCE }, work));
      if (mine.stopped) return;
      say("");
      ask("sent", { upload });
    } catch (error) {
      if (mine.stopped) return;
      halt(mine);
      trigger("abandon", { upload });
      say(error.message, true);
    } finally {
      if (sending === mine) sending = null;
    }
  }

  function put(upload, number, file, mine, report, tries = TRIES) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      const failed = (words) => {
        mine.requests.delete(request);
        if (tries > 1 && !words && !mine.stopped) setTimeout(() => put(upload, number, file, mine, report, tries - 1).then(resolve, reject), 500);
        else reject(new Error(words || "The connection broke. Send the files again."));
      };
      mine.requests.add(request);
      request.upload.onprogress = (event) => report(event.loaded);
      request.onload = () => {
        if (request.status === 204) { mine.requests.delete(request); report(file.size); resolve(null); return; }
        let words = null;
        try { words = JSON.parse(request.responseText).words; } catch { /* not of ours: a proxy's page */ }
        failed(words ?? `The server refused a file (${request.status}). Send the files again.`);
      };
      request.onerror = () => failed(null);
      request.onabort = () => failed("Stopped.");
      request.open("PUT", new URL(`uploads/${upload}/${number}`, document.baseURI));
      request.send(file);
    });
  }

  function halt(mine) {
    mine.stopped = true;
    for (const request of mine.requests) request.abort();
  }

  function cancel(upload) {
    if (sending) halt(sending);
    sending = null;
    trigger("abandon", { upload });
    say("Stopped. Nothing was kept.");
  }

  const size = (bytes) => bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`;
  const duration = (seconds) => seconds < 100 ? `${Math.ceil(seconds)} s` : `${Math.ceil(seconds / 60)} min`;
};
