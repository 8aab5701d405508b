/* Where a head looks, as contours over the picture, which stays sharp. Patches become a smooth surface by quadratic B-splines, the
   largest weight of a frame and head being 1, and marching squares follow its levels. Both cameras share that scale; lines are
   fainter where the head puts little of its attention on the picture at all. About 1 ms for two cameras of 16 × 16 patches. */
(() => {
  const FINE = 4;  // points of the surface to a patch
  const LINES = [[0.16, 1.6, "#ffe9a8"], [0.4, 3, "#ffd21f"]];  // level, width and colour; a lone patch peaks at 0.56
  const HALO = "rgb(10 12 18 / 62%)";
  const CLEAR = 0.3;  // share of the attention on a picture from which its lines are drawn at full strength
  let bases = {};  // patches a side -> [places 0..1, [first patch, weights] of each place]

  /* Weights of the three patches around each place of a side; outside the picture there is nothing, so contours close. */
  function basis(patches) {
    if (bases[patches]) return bases[patches];
    const places = [], weights = [];
    for (let at = 0; at <= patches * FINE; at++) {
      const x = at / FINE - 0.5;
      const middle = Math.round(x), t = x - middle;
      places.push(at / (patches * FINE));
      weights.push([middle - 1, [0.5 * (0.5 - t) ** 2, 0.75 - t * t, 0.5 * (0.5 + t) ** 2]]);
    }
    bases = { [patches]: [places, weights] };
    return bases[patches];
  }

  /* The surface at every place, [down][right]; 0 along the edges. value: (right, down) -> weight of a patch. */
  function surface(patches, value) {
    const [places, weights] = basis(patches);
    const count = places.length;
    const rows = Array.from({ length: patches }, (_, down) => Float32Array.from(weights, ([first, share]) =>
      share.reduce((sum, w, i) => sum + (first + i >= 0 && first + i < patches ? w * value(first + i, down) : 0), 0)));
    return Array.from({ length: count }, (_, y) => {
      const line = new Float32Array(count);
      if (y === 0 || y === count - 1) return line;
      const [first, share] = weights[y];
      for (let x = 1; x < count - 1; x++) {
        for (let i = 0; i < 3; i++) if (first + i >= 0 && first + i < patches) line[x] += share[i] * rows[first + i][x];
      }
      return line;
    });
  }

  /* The path of a level: a piece in each square that it crosses. */
  function path(field, places, level, left, top, width, height) {
    const line = new Path2D();
    const cut = (a, b) => (level - a) / (b - a);
    for (let y = 0; y + 1 < field.length; y++) {
      for (let x = 0; x + 1 < field.length; x++) {
        const a = field[y][x], b = field[y][x + 1], c = field[y + 1][x + 1], d = field[y + 1][x];
        const inside = (a > level) + 2 * (b > level) + 4 * (c > level) + 8 * (d > level);
        if (inside === 0 || inside === 15) continue;
        const x0 = left + places[x] * width, x1 = left + places[x + 1] * width;
        const y0 = top + places[y] * height, y1 = top + places[y + 1] * height;
        const crossed = [];
        if ((a > level) !== (b > level)) crossed.push([x0 + (x1 - x0) * cut(a, b), y0]);
        if ((b > level) !== (c > level)) crossed.push([x1, y0 + (y1 - y0) * cut(b, c)]);
        if ((c > level) !== (d > level)) crossed.push([x1 - (x1 - x0) * cut(c, d), y1]);
        if ((d > level) !== (a > level)) crossed.push([x0, y1 - (y1 - y0) * cut(d, a)]);
        for (let i = 0; i + 1 < crossed.length; i += 2) {
          line.moveTo(...crossed[i]);
          line.lineTo(...crossed[i + 1]);
        }
      }
    }
    return line;
  }

  /* Draws them for flat head index `head` over camera number `camera` of the episode at the frame shown. */
  wb.drawContours = (context, episode, head, camera) => {
    const { attention, frame } = wb.state;
    const { patches, frames } = attention;
    const start = (head * episode.cameras.length + camera) * patches;
    const side = episode.grid;
    const field = surface(side, (right, down) => attention.image[(start + down * side + right) * frames + frame] / 255);
    const [places] = basis(side);
    const { width, height } = context.canvas;
    const { label, offset: [right, down] } = episode.cameras[camera];
    const group = episode.groups.indexOf(label.toLowerCase());
    const share = group < 0 ? CLEAR : attention.mass[(head * episode.groups.length + group) * frames + frame] / 255;
    context.save();
    context.globalAlpha = 0.4 + 0.6 * Math.min(share / CLEAR, 1);
    context.lineCap = context.lineJoin = "round";
    for (const [level, thick, colour] of LINES) {
      const line = path(field, places, level, right * width, down * height, width, height);
      const scale = width / 192;
      context.lineWidth = (thick + 2) * scale;
      context.strokeStyle = HALO;
      context.stroke(line);
      context.lineWidth = thick * scale;
      context.strokeStyle = colour;
      context.stroke(line);
    }
    context.restore();
  };
})();
