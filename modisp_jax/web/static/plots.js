// Drawings of what the networks chose: tone curves and the chroma map.

const GRID = "#ffffff1a";
const TEXT = "#a8a8a8";

function prepare(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = "11px system-ui, sans-serif";
  return context;
}

/**
 * Draws curves of [[x, y], ...] within [0, 1] squared, over the line of no change.
 * @param curves [{title, points, colour}]
 */
export function drawCurves(canvas, curves, { width, height }) {
  const context = prepare(canvas, width, height);
  const box = { left: 26, right: width - 8, top: 8, bottom: height - 20 };
  const x = (value) => box.left + value * (box.right - box.left);
  const y = (value) => box.bottom - value * (box.bottom - box.top);
  context.strokeStyle = GRID;
  context.fillStyle = TEXT;
  context.lineWidth = 1;
  for (const tick of [0, 0.25, 0.5, 0.75, 1]) {
    context.beginPath();
    context.moveTo(x(tick), y(0));
    context.lineTo(x(tick), y(1));
    context.moveTo(x(0), y(tick));
    context.lineTo(x(1), y(tick));
    context.stroke();
  }
  for (const tick of [0, 0.5, 1]) {
    context.textAlign = tick === 1 ? "right" : tick === 0 ? "left" : "center";
    context.fillText(String(tick), x(tick), height - 6);
    context.textAlign = "right";
    context.fillText(String(tick), box.left - 5, y(tick) + (tick === 1 ? 9 : tick === 0 ? 0 : 4));
  }
  context.setLineDash([3, 4]);
  context.beginPath();
  context.moveTo(x(0), y(0));
  context.lineTo(x(1), y(1));
  context.strokeStyle = "#ffffff40";
  context.stroke();
  context.setLineDash([]);
  context.lineWidth = width > 300 ? 2 : 1.5;
  curves.forEach(({ title, points, colour }, k) => {
    context.strokeStyle = colour;
    context.beginPath();
    points.forEach(([a, b], n) => context[n ? "lineTo" : "moveTo"](x(a), y(Math.min(Math.max(b, 0), 1.02))));
    context.stroke();
    context.fillStyle = colour;
    context.textAlign = "left";
    context.fillText(title, box.left + 8, box.top + 14 + 15 * k);
  });
}

/** Y'CbCr (BT.601, full range) to sRGB values of 0 to 255. */
export function rgbOf(luma, cb, cr) {
  const values = [luma + 1.402 * cr, luma - 0.344136 * cb - 0.714136 * cr, luma + 1.772 * cb];
  return values.map((value) => Math.round(255 * Math.min(Math.max(value, 0), 1)));
}

/**
 * Draws a chroma map as arrows from each node to where it sends its colour; behind them the colours themselves.
 * @param lut [n][n][2]: new (Cb, Cr) at nodes of [-.5, .5]; Cb along the first axis, to the right; Cr upwards
 */
export function drawLut(canvas, lut, side) {
  const context = prepare(canvas, side, side);
  const cells = 64;
  const size = side / cells;
  for (let i = 0; i < cells; i++) {
    for (let j = 0; j < cells; j++) {
      const [red, green, blue] = rgbOf(0.4, (i + 0.5) / cells - 0.5, 0.5 - (j + 0.5) / cells);
      context.fillStyle = `rgb(${red} ${green} ${blue})`;
      context.fillRect(i * size, j * size, size + 0.6, size + 0.6);
    }
  }
  context.fillStyle = "#141414b0";
  context.fillRect(0, 0, side, side);
  const at = (cb, cr) => [(cb + 0.5) * side, (0.5 - cr) * side];
  context.strokeStyle = GRID;
  context.beginPath();
  context.moveTo(...at(0, -0.5));
  context.lineTo(...at(0, 0.5));
  context.moveTo(...at(-0.5, 0));
  context.lineTo(...at(0.5, 0));
  context.stroke();
  const last = lut.length - 1;
  const every = side < 300 ? 2 : 1;
  context.lineWidth = side < 300 ? 1 : 1.4;
  for (let i = 0; i <= last; i += every) {
    for (let j = 0; j <= last; j += every) {
      const from = [i / last - 0.5, j / last - 0.5];
      const [red, green, blue] = rgbOf(0.62, ...lut[i][j]);
      context.strokeStyle = context.fillStyle = `rgb(${red} ${green} ${blue})`;
      arrow(context, at(...from), at(...lut[i][j]));
    }
  }
  context.fillStyle = TEXT;
  context.textAlign = "right";
  context.fillText("Cb \u2192", side - 6, side / 2 - 5);
  context.textAlign = "left";
  context.fillText("\u2191 Cr", side / 2 + 6, 14);
}

function arrow(context, [x0, y0], [x1, y1]) {
  context.beginPath();
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
  context.stroke();
  context.beginPath();
  context.arc(x1, y1, context.lineWidth * 1.2, 0, 2 * Math.PI);
  context.fill();
}
