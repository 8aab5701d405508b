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
