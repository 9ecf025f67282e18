// The stage view: every intermediate of a rendering, the maps, the curves and the chroma map, to see what went where.

import { el, fill } from "./dom.js";
import { drawCurves, drawLut } from "./plots.js";

const COLOURS = { gtm: "#e0a84f", gamma: "#6fb7c9" };
const CURVE_TITLES = { gtm: "Global tone curve", gamma: "Power curve at the end" };

const PLOTS = [{ name: "curves", title: "Tone curves, large", kind: "curve" }, { name: "chroma_lut", title: "Chroma map, large", kind: "lut" }];

export function createStages(panel, holder, store, api, { chosen, failed }) {
  const list = el("div", { class: "stage-list", role: "radiogroup", "aria-label": "Stage that is shown" });
  const curves = el("canvas", { class: "plot", role: "img", "aria-label": "Tone curves" });
  const lut = el("canvas", { class: "plot", role: "img", "aria-label": "Chroma map" });
  const gain = el("output", { class: "note" });
  fill(panel, el("h2", { text: "Stages" }), list, el("h3", { text: "Tone curves" }), curves, gain, el("h3", { text: "Chroma map" }), lut);

  const large = el("canvas", { class: "plot large", role: "img", "aria-label": "Plot", tabindex: "0" });
  const sheet = el("div", { class: "sheet", hidden: true }, large);
  holder.append(sheet);

  let open = false;
  let stage = null; // name of the chosen one; null: the finished picture
  let known = { stages: [], curves: null };
  let seen = null;

  const entry = () => known.stages.find(({ name }) => name === stage);
  const isPlot = () => ["curve", "lut"].includes(entry()?.kind);

  function choose(name) {
    stage = name;
    drawAll();
    chosen();
  }

  function build() {
    const rows = [{ name: null, title: "Finished picture" }, ...known.stages.filter(({ name }) => name !== "srgb")].map(({ name, title, kind }) => {
      const id = `stage-${name ?? "finished"}`;
      const input = el("input", { type: "radio", name: "stage", id, value: name ?? "", on: { change: () => choose(name) } });
      input.checked = name === stage;
      const hint = { curve: "plot", lut: "plot", map: "map" }[kind] ?? "";
      return el("div", { class: "stage" }, input, el("label", { for: id }, el("span", { text: title }), el("small", { text: hint })));
    });
    const focused = list.contains(document.activeElement) ? document.activeElement.id : null;
    fill(list, ...rows);
    if (focused) document.getElementById(focused)?.focus();
  }

  const number = (value) => Number(value).toPrecision(3).replace(/\.?0+$/, "");

  function curvesOf(names) {
    return names.filter((name) => known.curves?.[name]).map((name) => ({ title: CURVE_TITLES[name] ?? name, points: known.curves[name], colour: COLOURS[name] ?? "#e0e0e0" }));
  }

  function drawAll() {
    if (!open) return;
    const width = Math.max(panel.clientWidth - 28, 120);
    if (known.curves) {
      drawCurves(curves, curvesOf(["gtm", "gamma"]), { width, height: Math.round(width * 0.72) });
      if (known.curves.chroma_lut) drawLut(lut, known.curves.chroma_lut, width);
      const value = known.curves.gain;
      gain.textContent = value === undefined || value === null ? "" : `Digital gain ${number(value)} (${(Math.log2(value) >= 0 ? "+" : "\u2212") + Math.abs(Math.log2(value)).toFixed(2)} EV)`;
    }
    sheet.hidden = !isPlot();
    if (sheet.hidden) return;
    const side = Math.min(holder.clientWidth, holder.clientHeight) - 48;
    large.setAttribute("aria-label", entry().title);
    if (entry().kind === "lut") drawLut(large, known.curves.chroma_lut, side);
    else drawCurves(large, curvesOf(["gtm", "gamma"]), { width: side * 1.2, height: side });
  }

  /** Asks for the stages of the settings of now, where they are not known. */
  async function refresh() {
    const photo = store.photo();
    if (!open || !photo || photo.error) return;
    const key = JSON.stringify([photo.id, store.settings()]);
    if (key === seen) return;
    seen = key;
    try {
      const answer = await api.stages(photo.id, store.settings());
      if (key !== seen) return;
      known = { ...answer, stages: [...answer.stages, ...PLOTS] };
      if (stage !== null && !entry()) stage = null;
      build();
      drawAll();
    } catch (error) {
      seen = null;
      failed(error);
    }
  }

  function setOpen(on) {
    open = on;
    panel.hidden = !on;
    if (!on && stage !== null) choose(null);
    sheet.hidden = !on || !isPlot();
    build();
    refresh();
  }

  new ResizeObserver(drawAll).observe(holder);
  return {
    isOpen: () => open,
    setOpen,
    refresh,
    /** The intermediate that the canvas is to show, or null. */
    image: () => (open && stage !== null && !isPlot() ? stage : null),
    title: () => (open && stage !== null ? (entry()?.title ?? null) : null),
  };
}
