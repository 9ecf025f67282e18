// The picture on its canvas: fits, zooms, pans; before and after beside a divider; clipped pixels marked.

import { clamp, el } from "./dom.js";
import { frameKey } from "./frames.js";
import { nextZoom, panBy, pointAt, rectOf, regionOf, scaleOf, settle, zoomAt } from "./viewport.js";

const BACKGROUND = "#141414";
const HIGH = [255, 40, 40, 255];
const LOW = [50, 120, 255, 255];

/** Colours of clipped pixels: red where a channel is at 255, else blue where one is at 0; transparent elsewhere. */
export function clippedMask(data) {
  const mask = new Uint8ClampedArray(data.length);
  for (let k = 0; k < data.length; k += 4) {
    if (Math.max(data[k], data[k + 1], data[k + 2]) === 255) mask.set(HIGH, k);
    else if (Math.min(data[k], data[k + 1], data[k + 2]) === 0) mask.set(LOW, k);
  }
  return mask;
}

export function createView(holder, { changed, picked, readout }) {
  const canvas = el("canvas", { class: "picture", tabindex: "0", role: "img", "aria-label": "No photo" });
  const divider = el("div", {
    class: "divider", tabindex: "0", role: "slider", hidden: true, "aria-label": "Divider between before and after",
    "aria-valuemin": "0", "aria-valuemax": "100", "aria-orientation": "horizontal",
    "data-tip": "Before is left of it, after right. Drag, or use the arrow keys.",
  });
  const tags = ["Before", "After"].map((text) => el("div", { class: `tag ${text.toLowerCase()}`, text, hidden: true }));
  holder.append(canvas, ...tags, divider);
  const context = canvas.getContext("2d", { alpha: false });

  let port = { width: 1, height: 1, size: [3, 4], zoom: "fit", x: 0, y: 0 };
  let layers = {};
  let order = 0;
  let split = null; // share of the canvas's width where "after" begins; null: after alone
  let overlay = false;
  let onlyBefore = false;
  let mode = "pan";
  let waiting = []; // whom to tell that it has been drawn

  const ratio = () => window.devicePixelRatio || 1;
  const device = (event) => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * ratio(), (event.clientY - box.top) * ratio()];
  };

  // --- drawing ----------------------------------------------------------------------------------------------------

  function redraw() {
    return new Promise((done) => {
      waiting.push(done);
      if (waiting.length === 1) requestAnimationFrame(draw);
    });
  }

  function draw() {
    context.fillStyle = BACKGROUND;
    context.fillRect(0, 0, port.width, port.height);
    const rect = rectOf(port);
    if (layers.stage) drawPart(layers.stage.whole, rect);
    else if (onlyBefore && layers.before) drawRole("before", rect, 0, port.width);
    else {
      const middle = split === null || !layers.before ? 0 : Math.round(split * port.width);
      if (middle > 0) drawRole("before", rect, 0, middle);
      drawRole("after", rect, middle, port.width);
    }
    const done = waiting;
    waiting = [];
    done.forEach((tell) => tell());
  }

  function drawRole(role, rect, from, to) {
    const layer = layers[role];
    if (!layer) return;
    context.save();
    context.beginPath();
    context.rect(from, 0, to - from, port.height);
    context.clip();
    if (layer.whole) drawPart(layer.whole, rect);
    if (layer.part && isFresh(layer) && region()) drawPart(layer.part, rect);
    context.restore();
  }

  // A crop of older settings than the whole picture's would be a patch of another picture.
  const isFresh = ({ whole, part }) => !whole || part.order > whole.order || part.settings === whole.settings;

  function drawPart({ bitmap, mask, view, size, quality }, rect) {
    const crop = view.kind === "crop";
    const scale = crop ? (rect.scale * port.size[1]) / size[1] : 1;
    const box = crop
      ? [rect.x + view.left * scale, rect.y + view.top * scale, view.width * scale, view.height * scale]
      : [rect.x, rect.y, rect.width, rect.height];
    context.imageSmoothingEnabled = box[2] / bitmap.width < 2;
    context.imageSmoothingQuality = quality === "live" ? "low" : "high"; // what follows a slider is gone in a moment
    context.drawImage(bitmap, ...box);
    if (overlay && mask) context.drawImage(mask, ...box);
  }

  function maskOf(bitmap) {
    const sheet = new OffscreenCanvas(bitmap.width, bitmap.height);
    const pencil = sheet.getContext("2d", { willReadFrequently: true });
    pencil.drawImage(bitmap, 0, 0);
    const image = pencil.getImageData(0, 0, bitmap.width, bitmap.height);
    image.data.set(clippedMask(image.data));
    pencil.putImageData(image, 0, 0);
    return sheet;
  }

  // --- what is on it ----------------------------------------------------------------------------------------------

  /** Puts a frame where it belongs; resolves when it has been drawn. */
  function put(frame, step) {
    const slot = step.view.kind === "crop" ? "part" : "whole";
    const layer = (layers[step.role] ??= {});
    const { bitmap, size } = frame;
    layer[slot]?.bitmap.close();
    const settings = JSON.stringify(step.settings);
    const mask = overlay && step.role === "after" ? maskOf(bitmap) : null;
    layer[slot] = { bitmap, mask, size, settings, view: step.view, key: frameKey(step), quality: frame.waiting ? "live" : step.quality, order: ++order };
    if (step.role === "stage") resize([bitmap.height, bitmap.width]);
    else if (step.role === "after") resize(size);
    return redraw();
  }

  function resize(size) {
    if (size[0] === port.size[0] && size[1] === port.size[1]) return;
    const share = [port.x / port.size[1], port.y / port.size[0]];
    move({ ...port, size, x: share[0] * size[1], y: share[1] * size[0] });
  }

  const holds = (step) => {
    const held = layers[step.role]?.[step.view.kind === "crop" ? "part" : "whole"];
    return held?.key === frameKey(step) && (step.quality === "live" || held.quality === "exact");
  };

  /** Forgets pictures: of one role, or all of them. */
  function clear(...roles) {
    for (const role of roles.length ? roles : Object.keys(layers)) {
      for (const held of Object.values(layers[role] ?? {})) held.bitmap.close();
      delete layers[role];
    }
    // A stage has pixels of its own; behind it the picture may be there already.
    if (layers.after?.whole) resize(layers.after.whole.size);
    redraw();
  }

  const region = (proxy = view.proxy) => (layers.stage ? null : regionOf(port, proxy));

  function move(next) {
    port = settle(next);
    redraw();
    place();
    changed();
  }

  function place() {
    divider.hidden = split === null;
    tags.forEach((tag) => (tag.hidden = split === null && !onlyBefore));
    if (onlyBefore) tags[1].hidden = true;
    if (split === null) return;
    divider.style.left = `${split * 100}%`;
    divider.setAttribute("aria-valuenow", Math.round(split * 100));
    divider.setAttribute("aria-valuetext", `${Math.round(split * 100)} % before`);
  }

  // --- hands ------------------------------------------------------------------------------------------------------

  canvas.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      move(zoomAt(port, scaleOf(port) * Math.exp(-clamp(event.deltaY, -120, 120) / 300), ...device(event)));
    },
    { passive: false },
  );
  canvas.addEventListener("dblclick", (event) => {
    if (mode === "pan") view.toggle(...device(event));
  });
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    if (mode === "pick") {
      const point = pointAt(port, ...device(event));
      const at = { x: point.x / port.size[1], y: point.y / port.size[0] };
      if (Math.min(at.x, at.y) >= 0 && Math.max(at.x, at.y) <= 1) picked(at);
      return;
    }
    drag(canvas, event, (dx, dy) => move(panBy(port, dx * ratio(), dy * ratio())));
  });
  canvas.addEventListener("pointermove", (event) => {
    const [px, py] = device(event);
    const { x, y } = pointAt(port, px, py);
    const inside = x >= 0 && y >= 0 && x < port.size[1] && y < port.size[0];
    if (inside) readout({ x: Math.floor(x), y: Math.floor(y), rgb: [...context.getImageData(px, py, 1, 1).data].slice(0, 3) });
    else readout(null);
  });
  canvas.addEventListener("pointerleave", () => readout(null));
  canvas.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!way || event.ctrlKey || event.altKey) return;
    event.preventDefault();
    move(panBy(port, way[0] * 80 * ratio(), way[1] * 80 * ratio()));
  });
  divider.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    divider.focus({ preventScroll: true });
    const width = holder.clientWidth;
    drag(divider, event, (dx) => view.setSplit(split + dx / width));
  });
  divider.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -0.02, ArrowRight: 0.02, ArrowUp: -0.02, ArrowDown: 0.02, Home: -1, End: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    event.stopPropagation();
    view.setSplit(split + by);
  });
  new ResizeObserver(() => {
    const width = Math.max(Math.round(holder.clientWidth * ratio()), 1);
    const height = Math.max(Math.round(holder.clientHeight * ratio()), 1);
    if (width === port.width && height === port.height) return;
    Object.assign(canvas, { width, height });
    move({ ...port, width, height });
  }).observe(holder);

  const view = {
    canvas,
    proxy: 1500,
    put,
    holds,
    clear,
    region,
    redraw,
    port: () => port,
    rect: () => {
      const rect = rectOf(port); // in CSS pixels, for what is laid over the canvas
      return Object.fromEntries(Object.entries(rect).map(([name, value]) => [name, value / ratio()]));
    },
    has: (role) => Boolean(layers[role]),
    zoomTo: (zoom, ...at) => move(zoomAt(port, zoom, ...at)),
    zoomBy: (direction) => move(zoomAt(port, nextZoom(port, direction))),
    toggle: (...at) => move(zoomAt(port, port.zoom === "fit" ? 1 : "fit", ...at)),
    split: () => split,
    setSplit(share) {
      split = share === null ? null : clamp(share, 0, 1);
      place();
      redraw();
    },
    showBefore(on) {
      onlyBefore = on;
      place();
      redraw();
    },
    setOverlay(on) {
      overlay = on;
      for (const held of Object.values(layers.after ?? {})) held.mask = on ? (held.mask ?? maskOf(held.bitmap)) : null;
      redraw();
    },
    setMode(next) {
      mode = next;
      holder.dataset.mode = next;
    },
  };
  view.setMode("pan");
  return view;
}

/** Follows a pointer from its press to its release; `moved(dx, dy)` in CSS pixels since the last call. */
export function drag(node, event, moved, ended = () => {}) {
  let last = [event.clientX, event.clientY];
  node.setPointerCapture(event.pointerId);
  const onMove = (next) => {
    moved(next.clientX - last[0], next.clientY - last[1], next);
    last = [next.clientX, next.clientY];
  };
  const onEnd = () => {
    node.removeEventListener("pointermove", onMove);
    node.removeEventListener("pointerup", onEnd);
    node.removeEventListener("pointercancel", onEnd);
    ended();
  };
  node.addEventListener("pointermove", onMove);
  node.addEventListener("pointerup", onEnd);
  node.addEventListener("pointercancel", onEnd);
}
