// White balance: as shot, automatic, by networks, by temperature and tint, or picked in the picture.

import { MIRED, select, slider } from "./controls.js";
import { button, el } from "./dom.js";
import { fieldOf, withField } from "./settings.js";

const MODES = {
  "as-shot": "As shot",
  auto: "Automatic",
  "cross-camera": "Network: the light",
  preferred: "Network: preferred",
  custom: "Custom",
  picked: "Picked in the picture",
};

export function createLight(store, state, { togglePicker }) {
  const { modes = ["as-shot", "auto"], cct = [1800, 10000], tint = [-100, 100] } = state.white_balance ?? {};
  const ranges = state.edits;
  let seen = { cct: 5500, tint: 0 }; // the light of the last frame, from which the sliders start

  const offered = [...new Set([...modes, "custom", "picked"])];
  const mode = select(
    {
      title: "Light", name: "white_balance",
      tip: "As the camera chose, estimated from the photo, by networks where the server has them, or by the sliders.",
      options: offered.map((value) => ({ value, title: MODES[value] ?? value })),
    },
    (value) => {
      if (value === "picked") {
        mode.set(fieldOf(store.settings(), "white_balance").mode);
        return togglePicker(true);
      }
      const chosen = value === "custom" ? custom({}) : { mode: value };
      return store.change(withField(store.settings(), "white_balance", chosen, ranges), `Light: ${MODES[value] ?? value}`);
    },
  );
  const picker = button({
    glyph: "picker", text: "Pick", class: "small", "aria-pressed": "false", press: () => togglePicker(),
    tip: "Pick a grey or white place in the picture (key W): its colour becomes neutral.",
  });

  const custom = (part) => {
    const known = fieldOf(store.settings(), "white_balance");
    const from = known.mode === "custom" ? known : { cct: Math.round(seen.cct), tint: Math.round(seen.tint) };
    return { mode: "custom", cct: from.cct, tint: from.tint, ...part };
  };
  const bind = (name, title) => ({
    input: (value) => store.preview(withField(store.settings(), "white_balance", custom({ [name]: value }), ranges)),
    commit: () => store.commit(title),
    mark: store.mark,
    reset(mark) {
      if (mark !== null) store.rewind(mark);
      store.change(withField(store.settings(), "white_balance", { mode: "as-shot" }, ranges), "Light: as shot");
    },
  });
  const temperature = slider(
    {
      name: "cct", title: "Temperature", low: cct[0], high: cct[1], neutral: null, step: 10, unit: "K", scale: MIRED,
      tip: "Colour temperature of the light in kelvin; higher makes the picture warmer. Double-click: as shot.",
    },
    bind("cct", "Temperature"),
  );
  const green = slider(
    {
      name: "tint", title: "Tint", low: tint[0], high: tint[1], neutral: null, step: 1, unit: "",
      tip: "Tint of the light, positive greener: the picture becomes more magenta. Double-click: as shot.",
    },
    bind("tint", "Tint"),
  );
  temperature.element.classList.add("temperature");
  green.element.classList.add("tint");
  const note = el("p", { class: "note", hidden: true });
  const element = el("div", {}, el("div", { class: "row" }, mode.element, picker), temperature.element, green.element, note);

  function update(settings) {
    const light = fieldOf(settings, "white_balance");
    mode.set(light.mode);
    const shown = light.mode === "custom" ? light : seen;
    temperature.set(shown.cct);
    green.set(shown.tint);
  }

  return {
    element,
    update,
    pressPicker: (on) => picker.setAttribute("aria-pressed", String(on)),
    /** What a frame of the whole picture says of its light. */
    frame(frame) {
      if (frame.light?.cct) seen = { cct: frame.light.cct, tint: frame.light.tint ?? 0 };
      note.textContent = frame.note ?? "";
      note.hidden = !frame.note;
      update(store.settings());
    },
  };
}
