// The histogram of the whole picture: red, green, blue, luma, and the shares of clipped pixels.

import { button, el } from "./dom.js";

const WIDTH = 320;
const HEIGHT = 92;
const COLOURS = ["#e05a50", "#58b368", "#5a8fe8"];

/** Heights in [0, 1] of 256 counts: the square root, so that small numbers are seen; the ends do not set the scale. */
export function heights(counts, top) {
  return counts.map((count) => Math.min(Math.sqrt(count / Math.max(top, 1)), 1));
}

/** The largest count inside, without the ends, where clipped pixels pile up. */
export const topOf = (channels) => Math.max(1, ...channels.map((counts) => Math.max(...counts.slice(2, 254))));

const percent = (share) => {
  const value = 100 * (share ?? 0);
  return value === 0 ? "0 %" : value < 0.1 ? "< 0.1 %" : `${value.toFixed(1)} %`;
};

export function createHistogram(toggleOverlay) {
  const canvas = el("canvas", { class: "histogram", role: "img", "aria-label": "Histogram, no photo" });
  const context = canvas.getContext("2d");
  const mark = (side, title) =>
    button({
      text: "0 %", class: `clip ${side}`, press: toggleOverlay, "aria-pressed": "false", label: title,
      tip: `${title}. Press (or key O) to mark such pixels in the picture.`,
    });
  const low = mark("low", "Share of pixels with a channel at 0");
  const high = mark("high", "Share of pixels with a channel at 255");
  const light = el("span", { class: "light", text: " " });
  const element = el("div", { class: "histogram-box" }, canvas, el("div", { class: "clips" }, low, light, high));

  function clear() {
    canvas.width = WIDTH * 2;
    canvas.height = HEIGHT * 2;
    context.scale(2, 2);
    context.fillStyle = "#ffffff0d";
    for (const quarter of [1, 2, 3]) context.fillRect((quarter * WIDTH) / 4, 0, 1, HEIGHT);
  }

  function path(shares) {
    context.beginPath();
    context.moveTo(0, HEIGHT);
    shares.forEach((share, k) => context.lineTo((k * WIDTH) / 255, HEIGHT - share * (HEIGHT - 4)));
    context.lineTo(WIDTH, HEIGHT);
  }

  function draw(channels) {
    clear();
    const top = topOf(channels);
    context.globalCompositeOperation = "screen";
    context.globalAlpha = 0.62;
    channels.slice(0, 3).forEach((counts, k) => {
      context.fillStyle = COLOURS[k];
      path(heights(counts, top));
      context.fill();
    });
    context.globalCompositeOperation = "source-over";
    context.globalAlpha = 1;
    if (!channels[3]) return;
    context.strokeStyle = "#ffffffb0";
    context.lineWidth = 1;
    path(heights(channels[3], top));
    context.stroke();
  }

  function forget() {
    clear();
    for (const node of [low, high]) {
      node.lastChild.textContent = "0 %";
      node.classList.remove("some");
    }
    light.textContent = " ";
  }

  clear();
  return {
    element,
    show(frame) {
      if (!frame.histogram) return;
      draw(frame.histogram);
      const shares = [frame.clipped?.low, frame.clipped?.high];
      [low, high].forEach((node, k) => {
        node.lastChild.textContent = percent(shares[k]);
        node.classList.toggle("some", shares[k] > 0.0005);
      });
      low.setAttribute("aria-label", `${percent(shares[0])} of pixels have a channel at 0: mark them`);
      high.setAttribute("aria-label", `${percent(shares[1])} of pixels have a channel at 255: mark them`);
      const label = `Histogram; ${percent(shares[0])} of pixels have a channel at 0, ${percent(shares[1])} one at 255`;
      canvas.setAttribute("aria-label", label);
      if (frame.light?.cct) {
        const tint = Math.round(frame.light.tint ?? 0);
        light.textContent = `${Math.round(frame.light.cct)} K, tint ${tint > 0 ? "+" : ""}${tint || 0}`;
      }
    },
    clear: forget,
    press: (on) => [low, high].forEach((node) => node.setAttribute("aria-pressed", String(on))),
  };
}
