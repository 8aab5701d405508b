/* A panel of markup made by a Python view. A click on [data-action], or a change inside [data-live], is sent with
   the values of the panel's form fields; [data-tab] opens a step. [data-emit] tells the page's other components what [data-emitted]
   holds. */
wb.mounts.panel = (element, props, trigger, watch) => {
  const fields = () => {
    const values = {};
    for (const field of element.querySelectorAll("[name]")) {
      if (field.type === "checkbox") {
        values[field.name] = values[field.name] ?? [];
        if (field.checked) values[field.name].push(field.value);
      } else if (field.type === "radio") {
        if (field.checked) values[field.name] = field.value;
      } else values[field.name] = field.value;
    }
    return values;
  };
  const send = (action, value) => {
    const sent = { action, value, form: fields() };
    trigger("action", sent);
    wb.emit("action", sent);
  };
  element.addEventListener("click", (event) => {
    const target = event.target.closest("[data-action],[data-tab],[data-theme-toggle],[data-copy-link],[data-shortcuts]");
    if (!target || target.disabled) return;
    if (target.hasAttribute("data-theme-toggle")) wb.theme(wb.isDark() ? "light" : "dark");
    else if (target.hasAttribute("data-copy-link")) wb.copyLink();
    else if (target.hasAttribute("data-shortcuts")) wb.showShortcuts();
    else if (target.dataset.action) send(target.dataset.action, target.dataset.value ?? "");
    target.closest(".wb-menu")?.removeAttribute("open");
    if (target.dataset.tab) wb.openTab(target.dataset.tab);
  });
  const showValue = (field) => {
    const output = field.type === "range" && field.parentElement.querySelector("output");
    if (output) output.textContent = field.value;
  };
  element.addEventListener("input", (event) => showValue(event.target));
  element.addEventListener("change", (event) => {
    if (event.target.closest("[data-live]")) send("change", "");
  });
  const read = () => {
    element.querySelectorAll("input[type=range]").forEach(showValue);  // what was set stays when the form is drawn anew
    const query = element.querySelector("[data-query]");
    if (query) wb.link(JSON.parse(query.dataset.query));
    for (const told of element.querySelectorAll("[data-emit]")) wb.emit(told.dataset.emit, JSON.parse(told.dataset.emitted));
  };
  watch("value", read);
  read();
};
