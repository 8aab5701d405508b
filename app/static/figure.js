/* A Plotly figure of steering.figures, kept in place at every update. plotly.js is served by this server and loads
   with the first figure only; colours of text and grid follow the page's theme. */
wb.mounts.figure = (element, props, trigger, watch) => {
  const load = () => {
    wb.plotly ??= new Promise((resolve, reject) => {
      const script = wb.make("script", { src: props.plotly, onload: () => resolve(window.Plotly), onerror: reject });
      document.head.append(script);
    });
    return wb.plotly;
  };
  const target = wb.make("div", { class: "wb-figure" });

  async function draw() {
    const figure = props.value;
    if (!figure?.data) { target.remove(); return; }
    const Plotly = await load();
    if (!target.isConnected) element.replaceChildren(target);
    const axis = { gridcolor: wb.css("--wb-line"), zerolinecolor: wb.css("--wb-line"), linecolor: wb.css("--wb-line") };
    const layout = { ...figure.layout, paper_bgcolor: "transparent", plot_bgcolor: "transparent", autosize: true,
      font: { family: "system-ui, sans-serif", size: 12, color: wb.css("--wb-ink-2") } };
    for (const name of Object.keys(layout)) if (/^[xy]axis/.test(name)) layout[name] = { ...layout[name], ...axis };
    delete layout.width;
    delete layout.height;
    Plotly.react(target, figure.data, layout, { displaylogo: false, responsive: true, displayModeBar: false });
  }

  wb.on(element, "theme", draw);
  watch("value", draw);
  draw();
};
