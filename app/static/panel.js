/* A panel of markup made by a Python view. A click on [data-action], or a change inside [data-live], is sent with
   the values of the panel's form fields; [data-tab] opens a step; [data-copy-link] copies the address. */
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
  element.addEventListener("click", (event) => {
    const target = event.target.closest("[data-action],[data-tab],[data-theme-toggle],[data-copy-link]");
    if (!target || target.disabled) return;
    if (target.hasAttribute("data-theme-toggle")) wb.theme(wb.isDark() ? "light" : "dark");
    else if (target.hasAttribute("data-copy-link")) copyLink(target);
    else if (target.dataset.action) {
      trigger("action", { action: target.dataset.action, value: target.dataset.value ?? "", form: fields() });
    }
    if (target.dataset.tab) wb.openTab(target.dataset.tab);
  });
  const showValue = (field) => {
    const output = field.type === "range" && field.parentElement.querySelector("output");
    if (output) output.textContent = field.value;
  };
  element.addEventListener("input", (event) => showValue(event.target));
  element.addEventListener("change", (event) => {
    if (event.target.closest("[data-live]")) trigger("action", { action: "change", value: "", form: fields() });
  });
  const readQuery = () => {
    const query = element.querySelector("[data-query]");
    if (query) wb.link(JSON.parse(query.dataset.query));
  };
  watch("value", readQuery);
  readQuery();

  async function copyLink(button) {
    const label = button.querySelector("span");
    const before = label.textContent;
    try {
      await navigator.clipboard.writeText(location.href);
      label.textContent = "Link copied";
    } catch {
      label.textContent = "Copy it from the address bar";
    }
    setTimeout(() => { label.textContent = before; }, 1800);
  }
};
