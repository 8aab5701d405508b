/* Keeps a file that the server made for this page. */
wb.mounts.download = (element, props, trigger, watch) => {
  watch("value", () => {
    const file = props.value;
    if (file?.url) wb.keep(file.url, file.name);
  });
};

wb.keep = (url, name) => {
  const anchor = wb.make("a", { href: url, download: name, hidden: true });
  document.body.append(anchor);
  anchor.click();
  anchor.remove();
  wb.toast(`${name} is in your downloads.`);
};

wb.keepText = (text, name, type) => {
  const url = URL.createObjectURL(new Blob([text], { type }));
  wb.keep(url, name);
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
};

/* A table of the page as comma-separated values. A text that a spreadsheet would take for a formula is quoted by an
   apostrophe; signed numbers stay numbers. */
wb.tableText = (table) => [...table.rows].map((row) => [...row.cells].map((cell) => {
  const text = cell.innerText.replace(/\s+/g, " ").trim();
  const formula = /^[=@\t]|^[+-](?![\d.])/.test(text);
  return `"${(formula ? `'${text}` : text).replaceAll('"', '""')}"`;
}).join(",")).join("\n") + "\n";

wb.keepTable = (table, name) => wb.keepText(wb.tableText(table), `${name}.csv`, "text/csv");

/* A canvas as an image, on the page's background. */
wb.keepCanvas = (canvas, name) => {
  const solid = wb.make("canvas", { width: canvas.width, height: canvas.height });
  const pen = solid.getContext("2d");
  pen.fillStyle = wb.css("--wb-surface");
  pen.fillRect(0, 0, solid.width, solid.height);
  pen.drawImage(canvas, 0, 0);
  solid.toBlob((blob) => {
    const url = URL.createObjectURL(blob);
    wb.keep(url, name);
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  });
};
