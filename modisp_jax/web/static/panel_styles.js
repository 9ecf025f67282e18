// Styles: one alone, a mix with a strength each, strengths of single stages, and a pad between four of them.

import { select, slider } from "./controls.js";
import { button, clamp, el } from "./dom.js";
import { drag } from "./canvas.js";
import { STAGES, mixOf, padWeights, withMix } from "./settings.js";

const STAGE_TITLES = { gain: "Gain", gtm: "Global tone", ltm: "Local tone", rgb_lut: "Colour table", chroma: "Chroma", gamma: "Gamma" };
const CORNERS = ["top left", "top right", "bottom left", "bottom right"];

export function createStyles(store, state) {
  const ranges = state.edits;
  const styles = state.styles.map((style) => style.name);
  const standard = state.default_style ?? (styles.includes("natural") ? "natural" : styles[0]);
  const stages = STAGES.filter((name) => name !== "rgb_lut" || state.styles.some((style) => style.has_lut));

  const entries = () => mixOf(store.settings(), styles, standard);
  const changed = (change) => withMix(store.settings(), entries().map(change), standard, ranges);
  const only = (name) => (entry) => ({ style: entry.style, weight: entry.style === name ? 1 : 0, weights: {} });
  const weigh = (name, weight) => (entry) => (entry.style === name ? { ...entry, weight } : entry);
  const weighStage = (name, stage, value) => (entry) => {
    if (entry.style !== name) return entry;
    const weights = { ...entry.weights, [stage]: value };
    if (value === null) delete weights[stage];
    return { ...entry, weights };
  };

  const bind = (put, title, neutral) => ({
    input: (value) => store.preview(changed(put(value))),
    commit: () => store.commit(title),
    mark: store.mark,
    reset(mark) {
      if (mark !== null) store.rewind(mark);
      store.change(changed(put(neutral)), `Reset ${title}`);
    },
  });

  const rows = new Map(state.styles.map((style) => [style.name, makeRow(style)]));

  function makeRow({ name, description, own }) {
    const neutral = name === standard ? 1 : 0;
    const alone = button({
      text: name, class: `style-name${own ? " own" : ""}`, "aria-pressed": "false",
      tip: `${own ? `Your own style ${name}${description ? `: ${description}` : ""}` : description || name}. Press: this style alone.`,
      press: () => store.change(changed(only(name)), `Style ${name}`),
    });
    const weight = slider(
      { name: `style.${name}`, title: `Strength of ${name}`, low: 0, high: 1, neutral, step: 0.01, tip: `Share of ${name} in the mix; of a single style its strength. Double-click: ${100 * neutral} %.` },
      bind((value) => weigh(name, value), `Style ${name}`, neutral),
    );
    const parts = stages.map((stage) => {
      const control = slider(
        {
          name: `style.${name}.${stage}`, title: STAGE_TITLES[stage], low: 0, high: 1, neutral: null, step: 0.01,
          tip: `Weight of ${name} in this stage alone. Double-click: as the style's strength.`,
        },
        bind((value) => weighStage(name, stage, value), `${name}: ${STAGE_TITLES[stage]}`, null),
      );
      return [stage, control];
    });
    const fold = el("div", { class: "style-stages", hidden: true, role: "group", "aria-label": `Stages of ${name}` }, ...parts.map(([, control]) => control.element));
    const opener = button({
      text: "\u203a", class: "opener", label: `Stages of ${name}`, "aria-expanded": "false", tip: `Weights of ${name} in single stages.`,
      press: () => {
        fold.hidden = !fold.hidden;
        opener.setAttribute("aria-expanded", String(!fold.hidden));
      },
    });
    const element = el("div", { class: "style-row", "data-style": name }, opener, alone, weight.element, fold);
    return { element, alone, weight, parts };
  }

  const pad = createPad(store, styles, standard, changed);
  const more = el("details", { class: "fold pad-fold" }, el("summary", { text: "Pad between four styles", "data-tip": "One point in a square mixes four styles." }), pad.element);
  const element = el("div", { class: "styles" }, ...[...rows.values()].map((row) => row.element), more);

  function update() {
    const mix = entries();
    const used = mix.filter((entry) => entry.weight > 0 || Object.keys(entry.weights).length);
    for (const entry of mix) {
      const row = rows.get(entry.style);
      if (!row) continue;
      row.weight.set(entry.weight);
      row.parts.forEach(([stage, control]) => control.set(entry.weights[stage] ?? entry.weight, entry.weight));
      const single = used.length === 1 && used[0] === entry && entry.weight === 1 && !Object.keys(entry.weights).length;
      row.alone.setAttribute("aria-pressed", String(single));
      row.element.classList.toggle("used", used.includes(entry));
    }
    pad.update(mix);
  }
  return { element, update };
}

/** A square with a style at each corner; its point gives them bilinear weights. */
function createPad(store, styles, standard, changed) {
  const wanted = ["vivid", "warm", "moody", "mono"].filter((name) => styles.includes(name));
  const corners = [...wanted, ...styles.filter((name) => !wanted.includes(name))].slice(0, 4);
  let at = { x: 0.5, y: 0.5 };
  const thumb = el("div", { class: "pad-thumb", tabindex: "0", role: "slider", "aria-label": "Point between four styles", "aria-valuemin": "0", "aria-valuemax": "100", "data-tip": "Drag, or use the arrow keys: the nearer a corner, the more of its style." });
  const field = el("div", { class: "pad" }, thumb);
  const lists = corners.map((name, k) => {
    const list = select(
      { title: `Style at the ${CORNERS[k]}`, hideLabel: true, options: styles.map((value) => ({ value, title: value })), tip: `Style at the ${CORNERS[k]}.` },
      (value) => {
        corners[k] = value;
        apply();
        store.commit("Style pad");
      },
    );
    list.set(name);
    return list.element;
  });
  const element = el("div", { class: "pad-box" }, el("div", { class: "pad-ends" }, lists[0], lists[1]), field, el("div", { class: "pad-ends" }, lists[2], lists[3]));

  const shares = () => {
    const sums = {};
    padWeights(at.x, at.y).forEach((weight, k) => (sums[corners[k]] = (sums[corners[k]] ?? 0) + weight));
    return sums;
  };

  function apply() {
    const sums = shares();
    store.preview(changed((entry) => ({ style: entry.style, weight: Math.round(100 * (sums[entry.style] ?? 0)) / 100, weights: {} })));
  }

  function moveTo(x, y) {
    at = { x: clamp(x, 0, 1), y: clamp(y, 0, 1) };
    apply();
  }

  field.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    thumb.focus({ preventScroll: true }); // the place of the press must not move away
    const box = field.getBoundingClientRect();
    const follow = (next) => moveTo((next.clientX - box.left) / box.width, (next.clientY - box.top) / box.height);
    follow(event);
    drag(field, event, (dx, dy, next) => follow(next), () => store.commit("Style pad"));
  });
  thumb.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!way) return;
    event.preventDefault();
    moveTo(at.x + 0.05 * way[0], at.y + 0.05 * way[1]);
  });
  thumb.addEventListener("keyup", () => store.commit("Style pad"));

  function update(mix) {
    const sums = shares();
    const onPad = mix.every((entry) => Math.abs(entry.weight - (sums[entry.style] ?? 0)) < 0.006 && !Object.keys(entry.weights).length);
    thumb.classList.toggle("off", !onPad);
    thumb.style.left = `${100 * at.x}%`;
    thumb.style.top = `${100 * at.y}%`;
    const words = Object.entries(sums).filter(([, weight]) => weight > 0).map(([name, weight]) => `${name} ${Math.round(100 * weight)} %`);
    thumb.setAttribute("aria-valuenow", Math.round(100 * at.x));
    thumb.setAttribute("aria-valuetext", words.join(", "));
  }
  return { element, update };
}
