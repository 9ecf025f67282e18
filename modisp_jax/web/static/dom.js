// The few things that every module does with the document: making elements, icons, unique ids.

/** Makes an element. `on` holds listeners, `text` its text; booleans become properties, everything else an attribute. */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null) continue;
    if (name === "on") for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    else if (name === "text") node.textContent = value;
    else if (typeof value === "boolean" && !name.startsWith("aria-")) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

let count = 0;

/** An id that no other element has. */
export const uniqueId = (name) => `${name}-${++count}`;

// Outlines on a grid of 16 x 16, drawn with the text's colour.
const ICONS = {
  open: "M2 12.5v-9h4l1.5 2H14v7z",
  undo: "M6 3 2.5 6.500 6 10M2.500 6.500H10a3.500 3.500 0 0 1 0 7H7",
  redo: "M10 3l3.500 3.500L10 10M13.500 6.500H6a3.500 3.500 0 0 0 0 7h3",
  split: "M2 3h12v10H2zM8 1.500v13",
  stages: "M2 5.500 8 2.500l6 3-6 3zM2 8.300l6 3 6-3M2 11l6 3 6-3",
  copy: "M5.500 5.500h8v8h-8zM3.500 10.500h-1v-8h8v1",
  paste: "M4 3.500H2.500v10h11v-10H12M5.500 2h5v3h-5z",
  export: "M8 10V2M5 5l3-3 3 3M2.500 9v4.500h11V9",
  help: "M5.800 6a2.200 2.200 0 1 1 3.200 2c-.7.400-1 .8-1 1.600M8 12v.6",
  picker: "M9 4l3 3M10.500 2.500a1.600 1.600 0 0 1 3 3L11 8 8 5zM9 6 3.500 11.500 2.500 13.500l2-1L10 7",
  crop: "M4.500 1.500v10h10M1.500 4.500h10v10",
  close: "M4 4l8 8M12 4l-8 8",
  swap: "M3 6h9L9.500 3.500M13 10H4l2.500 2.500",
  reset: "M3 8a5 5 0 1 0 1.600-3.700M3 2.500v3h3",
};

/** A small picture that says nothing to screen readers: its button has a label. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("icon");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** A button with an icon, a text or both. `label` is what screen readers say where there is no text. */
export function button({ text, label, tip, glyph, press, class: className, ...rest }) {
  const props = { type: "button", class: className, "data-tip": tip, on: { click: press }, ...rest };
  if (label) props["aria-label"] = label;
  return el("button", props, glyph ? icon(glyph) : null, text ? el("span", { text }) : null);
}

/** Replaces what an element holds. */
export function fill(node, ...children) {
  node.replaceChildren(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export const clamp = (x, low, high) => Math.min(Math.max(x, low), high);
