// Sliders, choices, switches and sections: native elements, so that keys and screen readers work as everywhere.

import { button, clamp, el, uniqueId } from "./dom.js";

/** How numbers of a slider are written: hundredths as per cent, signs where it has two sides, and the unit. */
export function formatOf({ low, high, step = 0.01, unit = "" }) {
  const hundredfold = Math.max(-low, high) <= 1;
  const factor = hundredfold ? 100 : 1;
  const suffix = hundredfold ? " %" : unit === "°" ? "°" : unit ? ` ${unit}` : "";
  const digits = clamp(Math.ceil(-Math.log10(step * factor) - 1e-9), 0, 2);
  const write = (value) => {
    const number = Number((value * factor).toFixed(digits)) + 0; // no -0
    const sign = low < 0 && number > 0 ? "+" : number < 0 ? "\u2212" : "";
    return `${sign}${Math.abs(number).toFixed(digits)}${suffix}`;
  };
  const read = (text) => {
    const number = parseFloat(text.replace(/[\u2212\u2013]/g, "-").replace(",", "."));
    return Number.isFinite(number) ? clamp(number / factor, low, high) : null;
  };
  return { write, read };
}

const LINEAR = { to: (value) => value, from: (position) => position };

/** Even steps in mired (a million by kelvin), as the eye sees colour temperatures. */
export const MIRED = { to: (kelvin) => -1e6 / kelvin, from: (position) => -1e6 / position };

/**
 * A slider with its label and its number.
 *
 * @param spec {name, title, tip, low, high, neutral, step, unit, scale}
 * @param input (value) while it moves; `commit(label)` when it rests; `reset(mark)` on a double click, with what
 *   `mark()` gave at the first press
 */
export function slider(spec, { input, commit, reset, mark = () => null }) {
  const { low, high, step = 0.01, scale = LINEAR } = spec;
  const { write, read } = formatOf(spec);
  const id = uniqueId("slider");
  const [first, last] = [scale.to(low), scale.to(high)];
  const grain = scale === LINEAR ? step : (last - first) / 400;
  const range = el("input", { type: "range", id, min: first, max: last, step: grain, "data-name": spec.name, "data-tip": spec.tip });
  const number = el("input", {
    type: "text", inputmode: "decimal", class: "number", spellcheck: false, autocomplete: "off",
    "aria-label": `${spec.title}, as a number`,
  });
  const label = el("label", { for: id, text: spec.title, "data-tip": spec.tip });
  const element = el("div", { class: "slider", "data-control": spec.name }, label, range, number);
  let neutral = spec.neutral;
  let value = neutral;
  let marked = null;
  let painted = "";

  function paint() {
    // A drag sets every slider at each event; what stands there already is left alone, or the page is laid out anew.
    const wanted = JSON.stringify([value, neutral]);
    if (document.activeElement !== number && number.value !== write(value)) number.value = write(value);
    if (wanted === painted) return;
    painted = wanted;
    const share = (x) => (scale.to(x) - first) / (last - first);
    const [a, b] = [share(clamp(neutral ?? low, low, high)), share(clamp(value, low, high))];
    // The middle of the thumb keeps half a thumb off the ends.
    range.style.setProperty("--from", `calc(0.54rem + ${Math.min(a, b)} * (100% - 1.08rem))`);
    range.style.setProperty("--to", `calc(0.54rem + ${Math.max(a, b)} * (100% - 1.08rem))`);
    range.setAttribute("aria-valuetext", write(value));
    element.classList.toggle("moved", neutral !== null && Math.abs(value - neutral) > grain / 2);
  }

  function set(next, base = neutral) {
    value = next;
    neutral = base;
    range.value = scale.to(clamp(next, low, high));
    paint();
  }

  const snap = (position) => {
    const exact = scale.from(position);
    return clamp(Number((Math.round(exact / step) * step).toFixed(6)), low, high);
  };

  range.addEventListener("input", () => {
    value = snap(Number(range.value));
    paint();
    input(value);
  });
  range.addEventListener("mousedown", (event) => {
    if (event.detail <= 1) marked = mark(); // the first press of a double click
  });
  // The browser says "change" after each key; keys held down are one step, which ends when the key is let go.
  let keyed = false;
  range.addEventListener("keydown", (event) => {
    if (event.key.startsWith("Arrow") || ["PageUp", "PageDown", "Home", "End"].includes(event.key)) keyed = true;
    if (event.shiftKey && ["ArrowLeft", "ArrowRight"].includes(event.key)) {
      event.preventDefault();
      range.value = Number(range.value) + grain * (event.key === "ArrowLeft" ? -10 : 10);
      range.dispatchEvent(new Event("input"));
    }
  });
  const rest = () => {
    keyed = false;
    commit(spec.title);
  };
  range.addEventListener("change", () => keyed || rest());
  range.addEventListener("keyup", () => keyed && rest());
  range.addEventListener("blur", () => keyed && rest());
  const toNeutral = (event) => {
    event.preventDefault();
    reset(marked);
  };
  range.addEventListener("dblclick", toNeutral);
  label.addEventListener("dblclick", (event) => {
    marked = null;
    toNeutral(event);
  });

  number.addEventListener("focus", () => number.select());
  number.addEventListener("keydown", (event) => {
    if (event.key === "Enter") number.blur();
    if (event.key === "Escape") {
      number.value = write(value);
      number.blur();
    }
    if (event.key === "ArrowUp" || event.key === "ArrowDown") {
      event.preventDefault();
      value = clamp(Number((value + (event.key === "ArrowUp" ? step : -step)).toFixed(6)), low, high);
      number.value = write(value);
      set(value);
      input(value);
    }
  });
  number.addEventListener("blur", () => {
    const typed = read(number.value);
    if (typed !== null && Math.abs(typed - value) > 1e-9 && number.value !== write(value)) {
      set(typed);
      input(typed);
    }
    paint();
    commit(spec.title);
  });
  paint();
  return {
    element,
    set,
    value: () => value,
    enable: (on) => [range, number].forEach((node) => (node.disabled = !on)),
  };
}

/** Several buttons of which one is pressed: a group of radio buttons. `options`: [{value, title, tip}]. */
export function choice({ title, options, tip }, changed) {
  const name = uniqueId("choice");
  const inputs = options.map((option) =>
    el("input", { type: "radio", name, value: option.value, id: uniqueId(name), on: { change: () => changed(option.value) } }),
  );
  const cells = options.map((option, k) =>
    el("span", { class: "option" }, inputs[k], el("label", { for: inputs[k].id, text: option.title, "data-tip": option.tip ?? tip })),
  );
  const element = el("div", { class: "choice", role: "radiogroup", "aria-label": title }, ...cells);
  return { element, set: (value) => inputs.forEach((input) => (input.checked = input.value === value)) };
}

/** A check box with its label. */
export function toggle({ title, tip, name }, changed) {
  const input = el("input", { type: "checkbox", id: uniqueId("toggle"), "data-name": name, on: { change: () => changed(input.checked) } });
  const element = el("div", { class: "toggle" }, input, el("label", { for: input.id, text: title, "data-tip": tip }));
  return { element, set: (on) => (input.checked = on) };
}

/** A list to choose from, with its label. */
export function select({ title, tip, options, hideLabel = false, name }, changed = () => {}) {
  const id = uniqueId("select");
  const list = el("select", { id, "data-name": name, "data-tip": tip, on: { change: () => changed(list.value) } });
  list.append(...options.map(({ value, title: text }) => el("option", { value, text })));
  const label = el("label", { for: id, text: title, class: hideLabel ? "unseen" : "", "data-tip": tip });
  const element = el("div", { class: "select" }, label, list);
  return { element, list, value: () => list.value, set: (value) => (list.value = value) };
}

/** A part of the panel that folds, with a button that makes all in it neutral. */
export function section({ name, title, tip, open = true }, reset, ...children) {
  const clear = button({
    glyph: "reset", class: "clear", label: `Reset ${title}`, tip: `Make all of "${title}" neutral.`,
    press: (event) => {
      event.preventDefault();
      reset();
    },
  });
  const head = el("summary", { "data-tip": tip }, el("h2", { text: title }));
  const element = el("details", { class: "section", open, "data-section": name }, head, clear, el("div", { class: "body" }, ...children));
  return { element, mark: (changed) => element.classList.toggle("changed", changed) };
}
