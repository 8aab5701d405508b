/* Gives a test what the page's modules export, as `wb`: they leave nothing global. And as `toasts` all that was said in a
   corner, for a slow test comes when it is gone. */
addEventListener("DOMContentLoaded", async () => {
  const found = document.getElementsByTagName("link"), ours = (one) => one.rel === "modulepreload" && one.href.includes("/scripts/");
  while (![...found].some(ours)) await new Promise((done) => setTimeout(done, 20));
  window.wb = Object.assign({}, ...await Promise.all([...found].filter(ours).map((one) => import(one.href))));
});
window.toasts = new Set();
new MutationObserver((changes) => {
  for (const node of changes.flatMap((change) => [...change.addedNodes])) {
    if (node.nodeType !== 1) continue;
    const told = ".wb-toasts p, .toast-body";
    for (const one of node.matches(told) ? [node] : node.querySelectorAll(told)) window.toasts.add(one.textContent);
  }
}).observe(document, { subtree: true, childList: true });
