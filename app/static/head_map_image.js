/* The head map as an image to keep: every stack, the ring of selected heads, scales and words, on the page's theme. */
wb.headMapImage = () => {
  const { heads: data, selected } = wb.state;
  const SCALE = 2, CELL = 26, GAP = 6, LEFT = 40, TOP = 74;
  const side = CELL + GAP;
  const width = LEFT + data.heads * side + 24;
  const height = TOP + data.layers * side + 84;
  const canvas = wb.make("canvas", { width: SCALE * width * data.stacks.length, height: SCALE * height });
  const draw = canvas.getContext("2d");
  draw.scale(SCALE, SCALE);
  const words = (text, x, y, size = 12, colour = "--wb-ink-2", weight = 400, align = "left") => {
    draw.font = `${weight} ${size}px system-ui, sans-serif`;
    draw.fillStyle = wb.css(colour);
    draw.textAlign = align;
    draw.fillText(text, x, y);
  };
  const secondOf = (i, s) => {
    const { low, high } = data.second.scale[s];
    return ((data.second.score[i] ?? low) - low) / (high - low || 1);
  };
  /* Inside the cell's outline, which is the current path. */
  function clipped(paint) {
    draw.save();
    draw.clip();
    paint();
    draw.restore();
  }
  const lowerHalf = (x, y, colour) => clipped(() => { draw.fillStyle = colour; draw.fillRect(x, y + CELL / 2, CELL, CELL / 2); });
  const stripes = (x, y, colour, thick) => clipped(() => {
    draw.strokeStyle = wb.css(colour);
    draw.lineWidth = thick;
    for (let at = -CELL; at < CELL; at += 8) {
      draw.beginPath();
      draw.moveTo(x + at, y + CELL);
      draw.lineTo(x + at + CELL, y);
      draw.stroke();
    }
  });
  words(`${data.metric}; ring: ${selected.size} selected heads`, LEFT, 24, 13, "--wb-ink", 600);
  data.stacks.forEach((stack, s) => {
    const x0 = s * width + LEFT;
    words(stack.label, x0, 50, 13, "--wb-ink", 600);
    for (let h = 0; h < stack.heads; h++) words(String(h), x0 + h * side + CELL / 2, TOP - 8, 10, "--wb-ink-3", 400, "center");
    for (let l = 0; l < stack.layers; l++) {
      const y = TOP + l * side;
      words(String(l), x0 - 10, y + CELL / 2 + 4, 10, "--wb-ink-3", 400, "right");
      for (let h = 0; h < stack.heads; h++) {
        const i = (s * data.layers + l) * data.heads + h;
        const x = x0 + h * side;
        draw.beginPath();
        draw.roundRect(x, y, CELL, CELL, 5);
        const fraction = (data.score[i] - stack.low) / (stack.high - stack.low || 1);
        draw.fillStyle = data.inert[i] ? wb.css("--wb-inert") : wb.colour(fraction);
        draw.fill();
        if (data.inert[i]) stripes(x, y, "--wb-surface", 4);
        else {
          if (data.second) lowerHalf(x, y, wb.colour(secondOf(i, s)));
          if (data.trust?.doubtful[i]) stripes(x, y, "--wb-surface", 1.2);
        }
        draw.beginPath();
        draw.roundRect(x, y, CELL, CELL, 5);
        if (selected.has(i)) { draw.lineWidth = 2.5; draw.strokeStyle = wb.css("--wb-ring"); draw.stroke(); }
      }
    }
    const y = TOP + data.layers * side + 14;
    const long = data.heads * side - GAP;
    for (let x = 0; x < long; x++) { draw.fillStyle = wb.colour(x / long); draw.fillRect(x0 + x, y, 1.5, 8); }
    words(`${stack.clipped ? "≤ " : ""}${wb.number(stack.low)}`, x0, y + 24);
    words(wb.number(stack.high), x0 + long, y + 24, 12, "--wb-ink-2", 400, "right");
    words("thick stripes: inert, cannot move an action", x0, y + 44, 11, "--wb-ink-3");
    if (data.trust?.doubtful.includes(true)) words("thin stripes: unstable", x0, y + 58, 11, "--wb-ink-3");
    if (data.second) words(`lower half: ${data.second.name}`, x0, y + 72, 11, "--wb-ink-3");
  });
  wb.keepCanvas(canvas, "head-map.png");
};
