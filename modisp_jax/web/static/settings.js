// Settings of a photo as plain objects: pure functions, nothing of the page. What is absent is neutral.

export const STAGES = ["gain", "gtm", "ltm", "rgb_lut", "chroma", "gamma"];

/** What can be copied from photo to photo by itself. `edits` are names of sliders, `keys` of the settings' own fields. */
export const GROUPS = {
  reading: { title: "How a finished photo is taken back", edits: [], keys: ["linearize"] },
  light: { title: "White balance", edits: [], keys: ["white_balance"] },
  exposure: { title: "Exposure", edits: ["exposure", "auto_exposure"], keys: [] },
  denoise: { title: "Denoising", edits: ["denoise", "luma_denoise", "chroma_denoise"], keys: [] },
  detail: { title: "Detail", edits: ["enhance", "sharpening"], keys: [] },
  styles: { title: "Style", edits: [], keys: ["mix"] },
  tone: { title: "Tone", edits: ["contrast", "highlights", "shadows", "gain", "gtm", "ltm"], keys: [] },
  colour: { title: "Colour", edits: ["saturation", "vibrance", "chroma", "gamma", "rgb_lut"], keys: [] },
  rendering: { title: "Halo fix and operators", edits: [], keys: ["halo_fix", "operators", "clipped_highlights"] },
  geometry: { title: "Rotation and crop", edits: ["rotation", "crop"], keys: [] },
};

/** What is not worth saying: the default of each field but `edits`. */
export const DEFAULTS = {
  white_balance: { mode: "as-shot" },
  mix: [],
  halo_fix: null,
  operators: "smooth",
  clipped_highlights: "neutral",
  linearize: "inverse",
};

/** The same text for equal settings, whatever the order of their names. */
export function keyOf(value) {
  if (Array.isArray(value)) return `[${value.map(keyOf).join()}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const names = Object.keys(value).filter((name) => value[name] !== undefined).sort();
  return `{${names.map((name) => `${JSON.stringify(name)}:${keyOf(value[name])}`).join()}}`;
}

export const equal = (a, b) => keyOf(a) === keyOf(b);

/** Settings without what is neutral, so that equal settings are equal objects. `ranges` as in the server's state. */
export function normalise(settings, ranges) {
  const result = {};
  const edits = Object.entries(settings.edits ?? {}).filter(
    ([name, value]) => value !== null && value !== undefined && value !== ranges[name]?.neutral,
  );
  if (edits.length) result.edits = Object.fromEntries(edits);
  for (const [name, neutral] of Object.entries(DEFAULTS)) {
    if (settings[name] !== undefined && !equal(settings[name], neutral)) result[name] = settings[name];
  }
  return result;
}

/** A slider's value. */
export const editOf = (settings, name, ranges) => settings.edits?.[name] ?? ranges[name]?.neutral ?? null;

/** Settings with another value of a slider, or of `crop` (null: none). */
export const withEdit = (settings, name, value, ranges) =>
  normalise({ ...settings, edits: { ...settings.edits, [name]: value } }, ranges);

/** A field other than `edits`. */
export const fieldOf = (settings, name) => settings[name] ?? DEFAULTS[name];

export const withField = (settings, name, value, ranges) => normalise({ ...settings, [name]: value }, ranges);

/** `target` with the named groups as in `source`; what `source` leaves neutral becomes neutral. */
export function withGroups(target, source, groups, ranges) {
  const result = { ...target, edits: { ...target.edits } };
  for (const group of groups) {
    for (const name of GROUPS[group].edits) {
      delete result.edits[name];
      if (source.edits?.[name] !== undefined) result.edits[name] = source.edits[name];
    }
    for (const name of GROUPS[group].keys) {
      delete result[name];
      if (source[name] !== undefined) result[name] = source[name];
    }
  }
  return normalise(result, ranges);
}

/** Which groups are not neutral. */
export function changedGroups(settings) {
  return Object.keys(GROUPS).filter(
    (group) =>
      GROUPS[group].edits.some((name) => settings.edits?.[name] !== undefined) ||
      GROUPS[group].keys.some((name) => settings[name] !== undefined),
  );
}

/** Of these groups those that mean something for a photo: only finished photos are taken back. */
export const groupsFor = (photo, groups) => groups.filter((group) => group !== "reading" || photo?.kind === "finished");

/** Settings of a photo that nobody has edited: finished photos have no sensor's noise to remove. */
export const untouched = (photo) => (photo?.kind === "finished" ? { edits: { denoise: 0 } } : {});

export const isEdited = (photo, settings) => !equal(settings, untouched(photo));

/** The picture before editing: only what decides its frame is kept, so that both halves show the same place. */
export function beforeSettings(photo, settings, ranges) {
  return withGroups(untouched(photo), settings, ["geometry"], ranges);
}

/** Every style's entry of the mix, by name; a style that is not in it has weight 0. */
export function mixOf(settings, styles, defaultStyle) {
  const mix = settings.mix?.length ? settings.mix : [{ style: defaultStyle, weight: 1 }];
  const names = [...new Set([...styles, ...mix.map((entry) => entry.style)])];
  return names.map((style) => {
    const found = mix.find((entry) => entry.style === style);
    return { style, weight: found?.weight ?? (found ? 1 : 0), weights: { ...found?.weights } };
  });
}

/** Settings with these entries as mix; styles without any weight are left out, the default style alone is no mix. */
export function withMix(settings, entries, defaultStyle, ranges) {
  let mix = entries
    .filter((entry) => entry.weight > 0 || Object.values(entry.weights ?? {}).some((weight) => weight > 0))
    .map(({ style, weight, weights }) => {
      const own = Object.fromEntries(Object.entries(weights ?? {}).filter(([, value]) => value !== weight));
      return Object.keys(own).length ? { style, weight, weights: own } : { style, weight };
    });
  if (!mix.length) mix = [{ style: defaultStyle, weight: 0 }]; // all stages off, which is not the default style
  const only = mix.length === 1 ? mix[0] : null;
  const isDefault = only && only.style === defaultStyle && only.weight === 1 && !only.weights;
  return normalise({ ...settings, mix: isDefault ? [] : mix }, ranges);
}

/** Bilinear weights of a pad's corners (top left, top right, bottom left, bottom right) at x, y in [0, 1]. */
export function padWeights(x, y) {
  const weights = [(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y];
  return weights.map((weight) => Math.round(weight * 100) / 100);
}
