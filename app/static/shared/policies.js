/* The policy chooser is a popover of the header's chip: the browser itself closes it on Escape or a click elsewhere. */
const arm = () => {
  const box = document.getElementById("policy-chooser");
  if (box) box.popover = "auto";
  else setTimeout(arm, 100);
};
arm();
