// The panel of controls at the right: sliders by groups, and the groups that have a module of their own.

import { choice, formatOf, section, select, slider, toggle } from "./controls.js";
import { el } from "./dom.js";
import { GROUPS, changedGroups, editOf, fieldOf, withEdit, withField, withGroups } from "./settings.js";

const TITLES = {
  exposure: ["Exposure", "Manual exposure in EV: the raw is multiplied by 2^EV before denoising."],
  auto_exposure: ["Automatic", "Share of the exposure that automatic exposure finds."],
  denoise: ["Denoising", "Strength of the denoising network."],
  luma_denoise: ["Luma", "Classical denoising of brightness, beside the network's."],
  chroma_denoise: ["Chroma", "Classical denoising of colour, beside the network's."],
  enhance: ["Enhancement", "Strength of the network that brings back detail."],
  sharpening: ["Sharpening", "Sharpening of edges at the end."],
  contrast: ["Contrast", "Contrast about middle grey."],
  highlights: ["Highlights", "Bright tones; positive is brighter."],
  shadows: ["Shadows", "Dark tones; positive is brighter."],
  gain: ["Digital gain", "How much of the gain that the network chose is applied."],
  gtm: ["Global tone", "How much of the global tone curve is applied."],
  ltm: ["Local tone", "How much of the local tone maps is applied."],
  saturation: ["Saturation", "All colours; -100 % is grey."],
  vibrance: ["Vibrance", "Saturation of muted colours."],
  chroma: ["Chroma map", "How much of the chroma map is applied."],
  gamma: ["Gamma", "How much of the final power curve is applied."],
  rgb_lut: ["Colour table", "How much of the 3D colour table is applied, where the style has one."],
  rotation: ["Rotation", "Clockwise, in degrees; the picture is enlarged until no corner is empty."],
};

/** A slider's facts: the server's ranges, steps, units and words; ours where it says nothing. */
export function specOf(name, ranges) {
  const [title, tip] = TITLES[name] ?? [name.replaceAll("_", " "), ""];
  const { low, high, neutral, unit, step } = ranges[name];
  const words = ranges[name].tip || tip;
  return { name, title: TITLES[name] ? title : ranges[name].title || title, tip: `${words}${/[.!?]$/.test(words) ? "" : "."} Double-click: ${formatOf(ranges[name]).write(neutral)}.`, low, high, neutral, unit, step };
}

/** What a slider needs to change a field of the settings through the store: a drag is one step. */
export function bindEdit(store, ranges, name, title) {
  const put = (value) => withEdit(store.settings(), name, value, ranges);
  return {
    input: (value) => store.preview(put(value)),
    commit: () => store.commit(title),
    mark: store.mark,
    reset(mark) {
      if (mark !== null) store.rewind(mark);
      store.change(put(ranges[name].neutral), `Reset ${title}`);
    },
  };
}

/**
 * Builds the panel. `parts`: elements of other modules by section ({light, styles, geometry}), each with
 * {element, update(settings), neutral?}.
 */
export function createPanels(store, state, parts) {
  const ranges = state.edits;
  const sliders = {};
  const make = (name) => {
    const spec = specOf(name, ranges);
    sliders[name] = slider(spec, bindEdit(store, ranges, name, spec.title));
    return sliders[name].element;
  };
  const known = (names) => names.filter((name) => ranges[name]);
  const named = (names) => known(names).map(make);
  const stageTitle = (text) => el("h3", { text });

  const rendering = createRendering(store, ranges);
  const reading = createReading(store, state);
  const bodies = {
    reading: { title: "Finished photo", tip: "A finished photo is taken back to a raw one first; all else is as for raw photos.", content: [reading.element] },
    light: { title: "White balance", tip: "The light that is made white.", content: [parts.light.element] },
    exposure: { title: "Exposure", tip: "Brightness of the raw.", content: named(GROUPS.exposure.edits) },
    styles: { title: "Style", tip: "Which networks choose gain, tone and colour, and how they are mixed.", content: [parts.styles.element] },
    tone: {
      title: "Tone", tip: "Brightness and contrast of the picture.",
      content: [...named(["contrast", "highlights", "shadows"]), stageTitle("Strength of the style's stages"), ...named(["gain", "gtm", "ltm"])],
    },
    colour: {
      title: "Colour", tip: "Saturation of the picture.",
      content: [...named(["saturation", "vibrance"]), stageTitle("Strength of the style's stages"), ...named(["chroma", "gamma", "rgb_lut"])],
    },
    denoise: { title: "Denoising", tip: "Noise of the sensor.", content: named(GROUPS.denoise.edits) },
    detail: { title: "Detail", tip: "Fine structure.", content: named(GROUPS.detail.edits) },
    rendering: { title: "Halos and operators", tip: "How tone maps and sliders are computed.", content: [rendering.element] },
    geometry: { title: "Rotation and crop", tip: "The frame.", content: [...named(["rotation"]), parts.geometry.element] },
  };
  const rest = Object.keys(ranges).filter((name) => name !== "crop" && !sliders[name]);
  if (rest.length) bodies.more = { title: "More", tip: "Other sliders.", content: named(rest) };

  const sections = Object.fromEntries(
    Object.entries(bodies).map(([name, { title, tip, content }]) => {
      const reset = () => {
        const groups = GROUPS[name] ? [name] : [];
        store.change(withGroups(store.settings(), {}, groups, ranges), `Reset ${title}`);
      };
      return [name, section({ name, title, tip }, reset, ...content)];
    }),
  );
  const element = el("div", { class: "panels" }, ...Object.values(sections).map((part) => part.element));

  function update() {
    const settings = store.settings();
    for (const [name, control] of Object.entries(sliders)) control.set(editOf(settings, name, ranges));
    const changed = changedGroups(settings);
    for (const [name, part] of Object.entries(sections)) part.mark(changed.includes(name));
    rendering.update(settings);
    reading.update(settings);
    sections.reading.element.hidden = store.photo()?.kind !== "finished" || !store.photo().size;
    for (const part of Object.values(parts)) part.update(settings);
  }

  store.on("settings", update);
  store.on("photo", enable);
  store.on("known", enable);
  function enable() {
    element.inert = !store.photo() || Boolean(store.photo().error);
    update();
  }
  element.inert = true;
  return { element, update };
}

/** How a finished photo becomes a raw one. */
function createReading(store, state) {
  const ways = state.linearize ?? [{ name: "inverse", title: "inverse" }];
  const note = el("p", { class: "note" });
  const by = select(
    {
      title: "Taken back by", name: "linearize",
      tip: "How the photo becomes a raw one, of which the sliders then make a picture. It is read anew, which takes as long as opening it.",
      options: ways.map(({ name, title }) => ({ value: name, title })),
    },
    (value) => store.change(withField(store.settings(), "linearize", value, state.edits), `Taken back by ${titleOf(value)}`),
  );
  const titleOf = (name) => ways.find((way) => way.name === name)?.title ?? name;
  return {
    element: el("div", {}, by.element, note),
    update(settings) {
      const name = fieldOf(settings, "linearize");
      by.set(name);
      note.textContent = `${ways.find((way) => way.name === name)?.tip ?? "Not to be had in this installation"}.`;
    },
  };
}

/** Halo fix with its iterations, the operators, what becomes of clipped highlights. */
function createRendering(store, ranges) {
  const DEFAULT = 160;
  let last = DEFAULT;
  const set = (name, value, label) => store.change(withField(store.settings(), name, value, ranges), label);
  const fix = toggle(
    { title: "Halo fix", name: "halo_fix", tip: "Refines the local tone maps by the bilateral solver, so that they end where the scene's edges are. Slower." },
    (on) => set("halo_fix", on ? last : null, on ? "Halo fix on" : "Halo fix off"),
  );
  const iterations = slider(
    { name: "halo_iterations", title: "Iterations", tip: "Iterations of the halo fix's solver. Double-click: 160.", low: 10, high: 400, neutral: DEFAULT, step: 10, unit: "it." },
    {
      input: (value) => store.preview(withField(store.settings(), "halo_fix", value, ranges)),
      commit: () => store.commit("Halo fix iterations"),
      mark: store.mark,
      reset: (mark) => {
        if (mark !== null) store.rewind(mark);
        set("halo_fix", DEFAULT, "Reset iterations");
      },
    },
  );
  const operators = choice(
    {
      title: "Operators of the sliders",
      options: [
        { value: "smooth", title: "Smooth", tip: "Our operators: they keep hue and have no steps." },
        { value: "published", title: "Published", tip: "The formulas of the paper's editor." },
      ],
    },
    (value) => set("operators", value, "Operators"),
  );
  const clipped = select(
    {
      title: "Clipped whites", name: "clipped_highlights",
      tip: "What becomes of values at which the sensor saturates: colourless, or clipped as published, which leaves skies pink.",
      options: [{ value: "neutral", title: "neutral" }, { value: "clip", title: "clip as published" }],
    },
    (value) => set("clipped_highlights", value, "Clipped highlights"),
  );
  const row = el("div", { class: "row" }, el("span", { class: "row-title", text: "Operators" }), operators.element);
  const element = el("div", {}, fix.element, iterations.element, row, clipped.element);
  return {
    element,
    update(settings) {
      const value = fieldOf(settings, "halo_fix");
      if (value !== null) last = value;
      fix.set(value !== null);
      iterations.set(value ?? last);
      iterations.enable(value !== null);
      operators.set(fieldOf(settings, "operators"));
      clipped.set(fieldOf(settings, "clipped_highlights"));
    },
  };
}
