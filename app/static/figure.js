/* A Plotly figure of steering.figures, kept in place at every update. plotly.js is served by this server and loads
   with the first figure only; colours of text and grid follow the page's theme. Exports as image and as table. */
wb.mounts.figure = (element, props, trigger, watch) => {
  const load = () => wb.plotlyFrom(props.plotly);
  const target = wb.make("div", { class: "wb-figure" });
  const tools = wb.figureTools(
    async () => {
      const Plotly = await load();
      const size = { format: "png", scale: 2, width: target.clientWidth, height: target.clientHeight };
      target.layout.paper_bgcolor = wb.css("--wb-surface");
      wb.keep(await Plotly.toImage(target, size), "figure.png");
      target.layout.paper_bgcolor = "transparent";
    },
    () => wb.keepText(wb.tableOf(target.data), "figure.csv", "text/csv"));  // Plotly unpacks long arrays there

  async function draw() {
    const figure = props.value;
    if (!figure?.data) { element.replaceChildren(); return; }
    if (!target.isConnected) element.replaceChildren(tools, target);
    await wb.plot(target, figure, props.plotly);
  }

  wb.on(element, "theme", draw);
  watch("value", draw);
  draw();
};

/* Buttons that keep a figure as an image and as a table. */
wb.figureTools = (image, table) => {
  const keep = (label, title, act) =>
    wb.make("button", { type: "button", class: "wb-button wb-quiet", title, onclick: act }, label);
  return wb.make("div", { class: "wb-figure-tools" },
    keep("PNG", "Keep the figure as an image", image), keep("CSV", "Keep the figure's numbers as a table", table));
};

/* Curves as comma-separated values, one row a point: curve, x, y. */
wb.tableOf = (curves) => {
  const quote = (text) => `"${String(text).replaceAll('"', '""')}"`;
  const rows = curves.flatMap((curve, c) => Array.from(curve.y ?? [], (y, i) =>
    [quote(`${curve.name ?? `curve ${c + 1}`} (${curve.yaxis ?? "y"})`), curve.x?.[i] ?? i, y].join(",")));
  return `${["curve,x,y", ...rows].join("\n")}\n`;
};

/* plotly.js, once; and a figure in the page's colours, made or updated in place. */
wb.plotlyFrom = (address) => {
  wb.plotly ??= new Promise((resolve, reject) => {
    document.head.append(wb.make("script", { src: address, onload: () => resolve(window.Plotly), onerror: reject }));
  });
  return wb.plotly;
};
wb.plot = async (target, figure, address) => {
  const Plotly = await wb.plotlyFrom(address);
  const axis = { gridcolor: wb.css("--wb-line"), zerolinecolor: wb.css("--wb-line"), linecolor: wb.css("--wb-line") };
  const layout = { ...figure.layout, paper_bgcolor: "transparent", plot_bgcolor: "transparent", autosize: true,
    font: { family: "system-ui, sans-serif", size: 12, color: wb.css("--wb-ink-2") } };
  for (const name of Object.keys(layout)) if (/^[xy]axis/.test(name)) layout[name] = { ...layout[name], ...axis };
  layout.annotations = layout.annotations?.map((note) => ({ ...note, font: { ...note.font, color: wb.css("--wb-ink-2") } }));
  delete layout.width;
  delete layout.height;
  return Plotly.react(target, figure.data, layout, { displaylogo: false, responsive: true, displayModeBar: false });
};
