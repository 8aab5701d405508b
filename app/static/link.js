/* The address always says what is shown, so copying it shares the screen and reloading keeps it. What changes under a
   held key is gathered: browsers refuse many writes a second. `wb.asked` is what the address asked of this browser alone when the page opened: whole numbers or null. */
(() => {
  const LIMIT = 1e6;
  const GATHERED = ["frame", "head"];
  let waiting = {};
  let timer = null;

  const whole = (name) => {
    const text = new URL(location.href).searchParams.get(name) ?? "";
    return /^\d{1,7}$/.test(text) && Number(text) < LIMIT ? Number(text) : null;
  };
  wb.asked = { frame: whole("frame"), head: whole("head"), scene: whole("scene") };

  function write() {
    clearTimeout(timer);
    timer = null;
    const url = new URL(location.href);
    for (const [key, value] of Object.entries(waiting)) {
      if (value) url.searchParams.set(key, value);
      else url.searchParams.delete(key);
    }
    waiting = {};
    if (url.href !== location.href) history.replaceState(history.state, "", url);
  }

  wb.link = (parameters) => {
    Object.assign(waiting, parameters);
    if (Object.keys(parameters).every((name) => GATHERED.includes(name))) timer ??= setTimeout(write, 200);
    else write();
  };
  window.addEventListener("pagehide", write);

  /* Where the chosen heads come from, as the header says it, and what they share: {words, remark, shared}. */
  wb.bus.addEventListener("origin", (event) => { wb.state.origin = event.detail; });

  wb.bus.addEventListener("notes", (event) => event.detail.forEach(wb.toast));

  wb.copyLink = async () => {
    write();
    try {
      await navigator.clipboard.writeText(location.href);
    } catch {
      if (!copyBySelection(location.href)) {
        wb.toast("The browser does not allow copying. Copy the address from the address bar: it restores this screen.");
        return;
      }
    }
    wb.toast("Link copied. Whoever opens it on this server sees this screen: demonstrations, heads, episode and frame.");
  };

  /* For pages without a secure context, where there is no clipboard interface. */
  function copyBySelection(text) {
    const field = wb.make("textarea", { style: "position:fixed;opacity:0" });
    field.value = text;
    document.body.append(field);
    field.select();
    const copied = document.execCommand("copy");
    field.remove();
    return copied;
  }
})();
