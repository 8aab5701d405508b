/* The policy chooser is a popover of the header's chip: the browser itself closes it on Escape or a click elsewhere. A page
   that stands without one has none. */
import { isReady } from "./page.js";

const arm = () => {
  const box = document.getElementById("policy-chooser");
  if (box) box.popover = "auto";
  else if (!isReady()) setTimeout(arm, 100);
};
arm();
