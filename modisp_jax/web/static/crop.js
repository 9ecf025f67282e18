// Cropping: a rectangle with handles over the whole picture, aspect ratios, thirds; and its part of the panel.

import { select } from "./controls.js";
import { drag } from "./canvas.js";
import { button, clamp, el } from "./dom.js";
import { editOf, withEdit } from "./settings.js";

const LEAST = 0.02;
const HANDLES = {
  nw: "top left corner", n: "top edge", ne: "top right corner", e: "right edge",
  se: "bottom right corner", s: "bottom edge", sw: "bottom left corner", w: "left edge",
};
const RATIOS = [["free", "free"], ["original", "as the photo"], ["1:1", "1 : 1"], ["5:4", "5 : 4"], ["4:3", "4 : 3"], ["3:2", "3 : 2"], ["16:9", "16 : 9"], ["2:1", "2 : 1"]];

/** A rectangle [top, left, height, width] in fractions of the picture, moved but kept inside. */
export function moved([top, left, height, width], dx, dy) {
  return [clamp(top + dy, 0, 1 - height), clamp(left + dx, 0, 1 - width), height, width];
}

/** A rectangle with a handle dragged by (dx, dy); `ratio` of width and height, both fractions, or null. */
export function resized(rect, handle, dx, dy, ratio = null) {
  const has = (side) => handle.includes(side);
  let [top, left, height, width] = rect;
  let [bottom, right] = [top + height, left + width];
  if (has("n")) top = clamp(top + dy, 0, bottom - LEAST);
  if (has("s")) bottom = clamp(bottom + dy, top + LEAST, 1);
  if (has("w")) left = clamp(left + dx, 0, right - LEAST);
  if (has("e")) right = clamp(right + dx, left + LEAST, 1);
  if (!ratio) return [top, left, bottom - top, right - left];
  // The side that was dragged decides; what lies opposite stays where it is, of an edge the middle.
  let [tall, wide] = [bottom - top, right - left];
  if (has("e") || has("w")) tall = wide / ratio;
  else wide = tall * ratio;
  const place = (before, after, start, end, extent) => {
    const anchor = before ? end : after ? start : (start + end) / 2;
    const room = before ? anchor : after ? 1 - anchor : 2 * Math.min(anchor, 1 - anchor);
    return { room, at: (size) => (before ? anchor - size : after ? anchor : anchor - size / 2), extent };
  };
  const y = place(has("n"), has("s"), top, bottom, tall);
  const x = place(has("w"), has("e"), left, right, wide);
  const shrink = Math.min(1, y.room / tall, x.room / wide);
  [tall, wide] = [tall * shrink, wide * shrink];
  return [Math.max(y.at(tall), 0), Math.max(x.at(wide), 0), tall, wide];
}

/** The largest rectangle of a ratio within another one, about its middle. */
export function fitted([top, left, height, width], ratio) {
  const wide = Math.min(width, height * ratio);
  const tall = wide / ratio;
  return [top + (height - tall) / 2, left + (width - wide) / 2, tall, wide];
}

export function createCrop(holder, view, store, ranges, { modeChanged }) {
  let active = false;
  let rect = [0, 0, 1, 1];
  let turned = false;

  const box = el("div", { class: "crop", tabindex: "0", role: "group", hidden: true });
  for (const line of ["v1", "v2", "h1", "h2"]) box.append(el("i", { class: `third ${line}` }));
  for (const [name, words] of Object.entries(HANDLES)) {
    box.append(el("button", { type: "button", class: `handle ${name}`, "data-handle": name, "aria-label": `Crop, ${words}: arrow keys move it` }));
  }
  holder.append(box);

  const switcher = button({
    glyph: "crop", text: "Crop", class: "small", "aria-pressed": "false", press: () => setActive(!active),
    tip: "Show the whole picture and a rectangle to drag (key C). Enter or Escape: done.",
  });
  const ratios = select(
    { title: "Ratio", name: "crop_ratio", tip: "Width : height of the crop.", options: RATIOS.map(([value, title]) => ({ value, title })) },
    () => fit(),
  );
  const swap = button({ glyph: "swap", label: "Swap width and height", tip: "Portrait or landscape: swaps width and height of the ratio.", class: "small icon-only", press: () => { turned = !turned; fit(); } });
  const none = button({ text: "Whole", class: "small", tip: "Take the crop back: the whole picture.", press: () => save([0, 0, 1, 1], "Crop off") });
  const size = el("output", { class: "note", "data-name": "crop_size" });
  const element = el("div", {}, el("div", { class: "row" }, switcher, none), el("div", { class: "row" }, ratios.element, swap), size);

  const full = () => store.photo()?.size ?? view.port().size;
  function ratio() {
    const [height, width] = full();
    const name = ratios.value();
    if (name === "free") return null;
    const [a, b] = name === "original" ? [width, height] : name.split(":").map(Number);
    return ((turned ? b / a : a / b) * height) / width;
  }

  const cropOf = () => editOf(store.settings(), "crop", ranges) ?? [0, 0, 1, 1];

  function save(next, label = "Crop") {
    const round = next.map((x) => Math.round(x * 1e4) / 1e4);
    const crop = round[2] >= 0.9999 && round[3] >= 0.9999 ? null : round;
    store.change(withEdit(store.settings(), "crop", crop, ranges), label);
  }

  function fit() {
    const wanted = ratio();
    if (!wanted) return;
    save(fitted([0, 0, 1, 1], wanted));
    if (!active) setActive(true);
  }

  function place() {
    box.hidden = !active;
    const [height, width] = full();
    const pixels = [Math.round(rect[3] * width), Math.round(rect[2] * height)];
    const text = `${pixels[0]} x ${pixels[1]} pixels`;
    if (size.textContent !== text) size.textContent = text;
    box.setAttribute("aria-label", `Crop of ${pixels[0]} by ${pixels[1]} pixels: arrow keys move it`);
    if (!active) return;
    const area = view.rect();
    box.style.left = `${area.x + rect[1] * area.width}px`;
    box.style.top = `${area.y + rect[0] * area.height}px`;
    box.style.width = `${rect[3] * area.width}px`;
    box.style.height = `${rect[2] * area.height}px`;
  }

  function setActive(on) {
    if (on === active || (on && !store.photo())) return;
    active = on;
    rect = cropOf();
    switcher.setAttribute("aria-pressed", String(on));
    if (on) view.zoomTo("fit");
    modeChanged(on);
    place();
    if (on) {
      element.scrollIntoView({ block: "nearest" });
      box.focus();
    }
  }

  const change = (handle, dx, dy) => {
    rect = handle ? resized(rect, handle, dx, dy, ratio()) : moved(rect, dx, dy);
    place();
  };

  box.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    event.preventDefault();
    const handle = event.target.dataset.handle;
    event.target.focus({ preventScroll: true });
    const area = view.rect();
    const start = rect;
    const sum = [0, 0]; // from the start of the drag, so that a rectangle held at the edge follows the pointer back
    drag(box, event, (dx, dy) => {
      sum[0] += dx / area.width;
      sum[1] += dy / area.height;
      rect = start;
      change(handle, ...sum);
    }, () => save(rect));
  });
  box.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === "Escape") {
      event.preventDefault(); // Enter would press the button that gets the focus
      event.stopPropagation();
      setActive(false);
      switcher.focus();
      return;
    }
    const step = event.shiftKey ? 0.05 : 0.01;
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!way) return;
    event.preventDefault();
    change(event.target.dataset.handle, way[0] * step, way[1] * step);
  });
  box.addEventListener("keyup", (event) => event.key.startsWith("Arrow") && save(rect));

  return {
    element,
    active: () => active,
    setActive,
    place,
    update() {
      rect = cropOf();
      place();
    },
  };
}
