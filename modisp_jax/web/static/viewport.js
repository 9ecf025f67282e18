// Where a picture lies on the canvas: pure geometry. A viewport is {width, height, size, zoom, x, y}: the canvas in
// device pixels, the picture's [height, width], device pixels a picture's pixel or "fit", and the picture's point, in
// its pixels, that is in the canvas's middle.

import { clamp } from "./dom.js";

const MARGIN = 12;
const SMALLEST = 1 / 32;
const LARGEST = 8;

/** Zooms that keys step through. */
export const STEPS = [1 / 16, 1 / 8, 1 / 4, 1 / 3, 1 / 2, 2 / 3, 1, 2, 3, 4, 6, 8];

/** Device pixels a picture's pixel. */
export function scaleOf({ width, height, size, zoom }) {
  if (zoom !== "fit") return zoom;
  return Math.max(Math.min((width - 2 * MARGIN) / size[1], (height - 2 * MARGIN) / size[0]), 1e-3);
}

/** The picture's rectangle on the canvas, in device pixels; on whole pixels from 1:1 on, so that none is smeared. */
export function rectOf(port) {
  const scale = scaleOf(port);
  const [height, width] = port.size;
  const x = port.zoom === "fit" ? (port.width - width * scale) / 2 : port.width / 2 - port.x * scale;
  const y = port.zoom === "fit" ? (port.height - height * scale) / 2 : port.height / 2 - port.y * scale;
  return { x: Math.round(x), y: Math.round(y), width: width * scale, height: height * scale, scale };
}

/** The picture's point, in its pixels, under a point of the canvas. */
export function pointAt(port, px, py) {
  const rect = rectOf(port);
  return { x: (px - rect.x) / rect.scale, y: (py - rect.y) / rect.scale };
}

/** Keeps the picture in sight: centred where it is smaller than the canvas, else without a gap at its edges. */
export function settle(port) {
  if (port.zoom === "fit") return port;
  const half = { x: port.width / 2 / port.zoom, y: port.height / 2 / port.zoom };
  const [height, width] = port.size;
  const x = 2 * half.x >= width ? width / 2 : clamp(port.x, half.x, width - half.x);
  const y = 2 * half.y >= height ? height / 2 : clamp(port.y, half.y, height - half.y);
  return { ...port, x, y };
}

/** Another zoom that leaves the point under (px, py) where it is. */
export function zoomAt(port, zoom, px = port.width / 2, py = port.height / 2) {
  if (zoom === "fit") return { ...port, zoom };
  const point = pointAt(port, px, py);
  const next = clamp(zoom, SMALLEST, LARGEST);
  const x = point.x - (px - port.width / 2) / next;
  const y = point.y - (py - port.height / 2) / next;
  return settle({ ...port, zoom: next, x, y });
}

/** Moves the picture by so many device pixels. */
export function panBy(port, dx, dy) {
  if (port.zoom === "fit") return port;
  return settle({ ...port, x: port.x - dx / port.zoom, y: port.y - dy / port.zoom });
}

/** The next of STEPS above (1) or below (-1) the zoom of now. */
export function nextZoom(port, direction) {
  const scale = scaleOf(port);
  if (direction > 0) return STEPS.find((step) => step > scale * 1.01) ?? STEPS.at(-1);
  return STEPS.findLast((step) => step < scale / 1.01) ?? STEPS[0];
}

/**
 * What of the picture is to be rendered at 1:1, {top, left, height, width}, or null where the proxy has all that is
 * seen. Sizes are multiples of 256 and places of 64, so that few sizes have to be compiled and small moves need no new
 * frame. Below 1:1 only where it is at most `most` pixels: there the proxy is nearly as good.
 */
export function regionOf(port, proxy, most = 2.5e6) {
  const [height, width] = port.size;
  const scale = scaleOf(port);
  if (proxy >= Math.max(height, width) || scale <= (proxy / Math.max(height, width)) * 1.02) return null;
  const rect = rectOf(port);
  const [top, tall] = span(-rect.y / scale, port.height / scale, height);
  const [left, wide] = span(-rect.x / scale, port.width / scale, width);
  if (scale < 1 && tall * wide > most) return null;
  return { top, left, height: tall, width: wide };
}

function span(start, length, side) {
  const first = clamp(Math.floor(start / 64) * 64, 0, side);
  const last = clamp(Math.ceil(start + length), 0, side);
  const extent = Math.min(Math.ceil((last - first) / 256) * 256, side);
  return [Math.min(first, side - extent), extent];
}
