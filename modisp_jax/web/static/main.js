// The page: makes its parts and connects them. Everything else is in the modules that it names.

import { createApi } from "./api.js";
import { createView } from "./canvas.js";
import { createCrop } from "./crop.js";
import { button, el, fill } from "./dom.js";
import { createExport } from "./export.js";
import { createFilmstrip } from "./filmstrip.js";
import { createHistogram } from "./histogram.js";
import { createKeeping } from "./keeping.js";
import { startKeys } from "./keys.js";
import { createNotices } from "./notices.js";
import { createOpening } from "./opening.js";
import { createLight } from "./panel_light.js";
import { createStyles } from "./panel_styles.js";
import { createPanels } from "./panels.js";
import { createScreen } from "./screen.js";
import { section } from "./controls.js";
import { editOf, untouched, withField } from "./settings.js";
import { createStages } from "./stages.js";
import { createStore } from "./store.js";
import { startTips } from "./tips.js";
import { createTransfer } from "./transfer.js";
import { scaleOf } from "./viewport.js";

const byId = (id) => document.getElementById(id);
const root = document.documentElement;
const notices = createNotices(byId("status"), byId("notices"));
const api = createApi(new URLSearchParams(location.search).get("token") ?? "");

start().catch((error) => {
  fill(byId("welcome"), el("h1", { text: "The editor cannot start" }), el("p", { class: "bad", role: "alert", text: error.message }));
});

async function start() {
  const state = await api.state();
  const ranges = state.edits;
  const keeping = createKeeping(api, notices, root);
  const store = createStore(keeping.keep);
  const looked = new Set();

  // --- the parts --------------------------------------------------------------------------------------------------

  const holder = byId("stage");
  const quality = el("span", { class: "quality", "data-quality": "none", text: " " });
  const about = el("span", { class: "grow" });
  const work = el("span", { class: "work", "data-name": "later", "data-tip": "Programs are compiled while you rest. Sliders go first; what is compiled is kept for the next start." });
  const pixel = el("span", { class: "pixel" });
  fill(byId("line"), quality, about, work, pixel);
  let later = ""; // what is compiled while nobody waits
  let waits = false; // whether the frame waits for it
  let range = null; // of a map: what black and white stand for
  const line = {
    range(next) {
      range = next;
      updateLine();
    },
    /** What an exact frame waits for; what is seen meanwhile is the small picture, enlarged. */
    waiting(words) {
      waits = Boolean(words);
      if (words && !later) followLater();
      updateLine();
    },
    quality(kind, ms) {
      quality.dataset.quality = kind;
      const words = { failed: "no frame", none: " ", reading: "reading ..." }[kind];
      quality.textContent = words ?? `${kind}, ${ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`}`;
    },
  };

  let overlay = false;
  const histogram = createHistogram(() => setOverlay(!overlay));
  const view = createView(holder, { changed: viewChanged, picked, readout });
  view.proxy = state.proxy ?? 1500;
  const stages = createStages(byId("stages"), holder, store, api, { chosen: stageChosen, failed: notices.fail });
  const crop = createCrop(holder, view, store, ranges, { modeChanged: cropChanged });
  const light = createLight(store, state, { togglePicker });
  const styles = createStyles(store, state);
  const panels = createPanels(store, state, { light, styles, geometry: crop });
  const presetBox = el("div", { class: "preset-box" });
  const presets = section({ name: "presets", title: "Presets", tip: "Style and sliders, saved as style files.", open: Boolean(state.presets?.length) }, () => {}, presetBox);
  presets.element.querySelector(".clear").remove();
  panels.element.append(presets.element);
  fill(byId("side"), histogram.element, panels.element);
  const transfer = createTransfer({ dialog: byId("copy"), presetBox, fileInput: byId("style-files") }, store, ranges, api, notices, look, state.presets);
  const exporter = createExport(byId("export"), store, state, api, { notices });
  const opening = createOpening({ files: byId("files"), folder: byId("folder"), drop: byId("drop") }, store, api, { notices, transfer, suffixes: state.suffixes });
  const strip = createFilmstrip(byId("strip"), store, api, { close: closePhoto });
  const screen = createScreen({ store, api, ranges, view, stages, crop, histogram, light, line, notices, proxy: view.proxy });
  let picking = false;
  let following = false;

  // --- the bar ----------------------------------------------------------------------------------------------------

  const zoomText = el("output", { "aria-label": "Zoom", "data-name": "zoom" });
  const tool = (name, props) => button({ "data-name": name, ...props });
  const bar = {
    undo: tool("undo", { glyph: "undo", label: "Undo", tip: "Undo (Ctrl+Z)", press: undo }),
    redo: tool("redo", { glyph: "redo", label: "Redo", tip: "Redo (Ctrl+Shift+Z)", press: redo }),
    copy: tool("copy", { glyph: "copy", label: "Copy settings", tip: "Choose settings of this photo to copy or to apply to all (Ctrl+Shift+C)", press: transfer.openDialog }),
    paste: tool("paste", { glyph: "paste", label: "Paste settings", tip: "Paste settings to the selected photos (Ctrl+V)", press: () => transfer.paste() }),
    split: tool("split", { glyph: "split", text: "Before / after", "aria-pressed": "false", tip: "Before and after side by side (B); hold \\ for before alone", press: toggleSplit }),
    stages: tool("stages", { glyph: "stages", text: "Stages", "aria-pressed": "false", tip: "Every intermediate of the rendering (S)", press: toggleStages }),
    fit: tool("fit", { text: "Fit", "aria-pressed": "true", tip: "The whole picture (F)", press: () => view.zoomTo("fit") }),
    full: tool("full", { text: "1 : 1", "aria-pressed": "false", tip: "A pixel of the picture on each of the screen (1); double-click in the picture", press: () => view.zoomTo(1) }),
    export: tool("export", { glyph: "export", text: "Export ...", class: "primary", tip: "Save pictures (Ctrl+E)", press: exporter.open }),
    help: tool("help", { glyph: "help", label: "Keys", tip: "Keys (?)", press: () => byId("help").showModal() }),
  };
  const rule = () => el("span", { class: "rule" });
  fill(
    document.querySelector(".bar"),
    el("span", { class: "brand", text: "modisp" }),
    tool("open", { glyph: "open", text: "Open ...", tip: "Open photos (Ctrl+O); or drop files and folders anywhere", press: opening.ask }),
    rule(), bar.undo, bar.redo, rule(), bar.copy, bar.paste, el("span", { class: "gap" }),
    bar.split, bar.stages, rule(), bar.fit, bar.full, zoomText, el("span", { class: "gap" }), bar.help, bar.export,
  );
  const press = (node, on) => node.setAttribute("aria-pressed", String(on));

  // --- acts -------------------------------------------------------------------------------------------------------

  function undo() {
    const label = store.history()?.past.at(-1)?.label;
    store.undo();
    if (label) notices.say(`Undone: ${label}`);
  }

  function redo() {
    const label = store.history()?.future[0]?.label;
    store.redo();
    if (label) notices.say(`Redone: ${label}`);
  }

  function toggleSplit() {
    const on = view.split() === null;
    view.setSplit(on ? 0.5 : null);
    press(bar.split, on);
    screen.wish();
  }

  function toggleStages() {
    stages.setOpen(!stages.isOpen());
    press(bar.stages, stages.isOpen());
  }

  function stageChosen() {
    if (crop.active()) crop.setActive(false);
    updateLine();
    screen.wish();
  }

  function setOverlay(on) {
    overlay = on;
    view.setOverlay(on);
    histogram.press(on);
    notices.say(on ? "Clipped pixels are marked" : "Clipped pixels are not marked");
  }

  function togglePicker(on = !picking) {
    picking = on && Boolean(store.photo());
    view.setMode(picking ? "pick" : "pan");
    light.pressPicker(picking);
    if (picking) notices.say("Click on something grey or white in the picture");
  }

  async function picked({ x, y }) {
    const photo = store.photo();
    const [top, left, height, width] = (!crop.active() && editOf(store.settings(), "crop", ranges)) || [0, 0, 1, 1];
    try {
      const answer = await api.pick(photo.id, store.settings(), left + x * width, top + y * height);
      if (store.photo()?.id !== photo.id) return;
      store.change(withField(store.settings(), "white_balance", answer.white_balance, ranges), "Pick the light");
      togglePicker(false);
    } catch (error) {
      notices.fail(error);
    }
  }

  function cropChanged(on) {
    if (on && stages.image()) stages.setOpen(false);
    press(bar.stages, stages.isOpen());
    if (on && view.split() !== null) toggleSplit();
    screen.wish();
  }

  async function closePhoto(id) {
    try {
      await api.close(id);
      keeping.drop(id);
      store.remove(id);
    } catch (error) {
      notices.fail(error);
    }
  }

  function resetAll() {
    if (store.photo()) store.change(untouched(store.photo()), "Reset all");
  }

  function readout(at) {
    pixel.textContent = at ? `x ${at.x}  y ${at.y}   R ${at.rgb[0]}  G ${at.rgb[1]}  B ${at.rgb[2]}` : "";
  }

  // --- what follows from what -------------------------------------------------------------------------------------

  function viewChanged() {
    const port = view.port();
    zoomText.textContent = `${Math.round(100 * scaleOf(port))} %`;
    press(bar.fit, port.zoom === "fit");
    press(bar.full, port.zoom === 1);
    crop.place();
    updateLine();
    screen.wish();
  }

  function updateLine() {
    const photo = store.photo();
    const [height, width] = view.port().size;
    const size = photo?.size && !photo.error ? `${width} x ${height}` : "";
    const stage = stages.title();
    work.textContent = waits ? `enlarged until the exact view is there: ${later || "compiling"}` : later;
    about.textContent = photo ? [photo.name, photo.kind, stage ? `stage: ${stage}${stages.image() && range ? `, black ${range[0].toPrecision(3)}, white ${range[1].toPrecision(3)}` : ""}` : size].filter(Boolean).join("  \u00b7  ") : "";
    view.canvas.setAttribute("aria-label", photo ? `${stage ?? "Picture"} of ${photo.name}` : "No photo");
    document.title = photo ? `${photo.name} \u2013 modisp` : "modisp";
  }

  function updateHistory() {
    const history = store.history();
    bar.undo.disabled = !history?.past.length;
    bar.redo.disabled = !history?.future.length;
    bar.undo.dataset.tip = history?.past.length ? `Undo: ${history.past.at(-1).label} (Ctrl+Z)` : "Nothing to undo";
    bar.redo.dataset.tip = history?.future.length ? `Redo: ${history.future[0].label} (Ctrl+Shift+Z)` : "Nothing to redo";
  }

  function welcome() {
    const photo = store.photo();
    byId("welcome").hidden = Boolean(photo && !photo.error);
    if (photo?.error) {
      fill(byId("welcome"), el("h1", { text: photo.name }), el("p", { class: "bad", text: `This file cannot be read. ${notices.wordsOf(photo.name, photo.error)}` }));
      return;
    }
    fill(
      byId("welcome"),
      el("h1", { text: "Open a photo" }),
      el("p", { text: "Raw files of any camera, JPEGs that carry their raw, and finished photos. Drop files or folders anywhere." }),
      el("div", { class: "row" },
        button({ text: "Open photos ...", class: "primary", tip: "Ctrl+O", press: opening.ask }),
        button({ text: "Open a folder ...", tip: "All photos in a folder", press: opening.askFolder })),
    );
  }

  const anyPhoto = () => {
    for (const name of ["copy", "paste", "split", "stages", "fit", "full", "export"]) bar[name].disabled = !store.photo();
  };

  store.on("settings", ({ moved }) => {
    updateHistory();
    if (moved) screen.wish();
  });
  store.on("photo", () => {
    look(store.photo());
    if (crop.active()) crop.setActive(false);
    togglePicker(false);
    screen.stop();
    view.clear();
    view.zoomTo("fit");
    histogram.clear();
    line.quality("none");
    welcome();
    anyPhoto();
    updateHistory();
    updateLine();
    screen.wish();
    stages.refresh();
  });
  /**
   * Has the server look at a photo when it is shown first: takes the settings that its file brings, and waits until what
   * a photo of its size needs is compiled.
   */
  async function look(photo) {
    if (!photo || photo.error || (photo.size && looked.has(photo.id))) return;
    looked.add(photo.id);
    try {
      const known = await api.photo(photo.id);
      if (!known.ready) await ready();
      if (photo.size) return;
      store.add([known]);
      store.begin(known.id, known.settings ?? {});
      if (known.note) notices.notify(`${known.name}: ${known.note}`);
    } catch (error) {
      store.add([{ ...photo, error: error.message }]);
    }
    if (store.photo()?.id === photo.id) store.emit("known");
  }

  store.on("known", () => {
    welcome();
    updateLine();
    panels.update();
    screen.wish();
    stages.refresh();
  });
  store.on("opening", (now) => {
    byId("veil").hidden = !now;
    byId("veil").firstChild.textContent = now ? `Opening ${now.name}${now.count > 1 ? ` (${now.number} of ${now.count})` : ""} ...` : "";
  });

  startTips();
  startKeys(
    [
      { group: "Files", keys: ["Ctrl+o"], words: "open photos", act: opening.ask },
      { group: "Files", keys: ["Ctrl+e"], words: "export", act: exporter.open },
      { group: "Files", keys: [","], words: "the photo before", act: () => strip.step(-1), repeats: true },
      { group: "Files", keys: ["."], words: "the next photo", act: () => strip.step(1), repeats: true },
      { group: "Files", keys: ["Ctrl+a"], words: "select all photos", act: store.selectAll },
      { group: "Editing", keys: ["Ctrl+z"], words: "undo", act: undo, repeats: true },
      { group: "Editing", keys: ["Ctrl+Shift+z", "Ctrl+y"], words: "redo", act: redo, repeats: true },
      { group: "Editing", keys: ["Ctrl+c"], words: "copy all settings", act: () => transfer.copy() },
      { group: "Editing", keys: ["Ctrl+Shift+c"], words: "choose what to copy, or apply to all", act: transfer.openDialog },
      { group: "Editing", keys: ["Ctrl+v"], words: "paste to the selected photos", act: () => transfer.paste() },
      { group: "Editing", keys: ["Shift+r"], words: "make everything neutral", act: resetAll },
      { group: "Editing", keys: ["w"], words: "pick the light in the picture", act: () => togglePicker() },
      { group: "Editing", keys: ["c"], words: "crop; Enter or Escape: done", act: () => crop.setActive(!crop.active()) },
      { group: "View", keys: ["f", "0"], words: "the whole picture", act: () => view.zoomTo("fit") },
      { group: "View", keys: ["1"], words: "1 : 1", act: () => view.zoomTo(1) },
      { group: "View", keys: ["2"], words: "2 : 1", act: () => view.zoomTo(2) },
      { group: "View", keys: ["z"], words: "between whole and 1 : 1", act: () => view.toggle() },
      { group: "View", keys: ["+", "="], words: "closer", act: () => view.zoomBy(1), repeats: true },
      { group: "View", keys: ["-"], words: "farther", act: () => view.zoomBy(-1), repeats: true },
      { group: "View", keys: ["b"], words: "before and after side by side", act: toggleSplit },
      { group: "View", keys: ["\\"], words: "before, while it is held", act: () => screen.hold(true), up: () => screen.hold(false) },
      { group: "View", keys: ["o"], words: "mark clipped pixels", act: () => setOverlay(!overlay) },
      { group: "View", keys: ["s"], words: "stages", act: toggleStages },
      { group: "View", keys: ["Escape"], words: "leave crop and picking", act: () => { crop.setActive(false); togglePicker(false); } },
      { group: "View", keys: ["?"], words: "this list", act: () => byId("help").open || byId("help").showModal() },
    ],
    byId("help"),
  );

  // --- go ---------------------------------------------------------------------------------------------------------

  for (const name of ["files", "folder", "style-files"]) byId(name).tabIndex = -1;
  store.add(state.photos);
  anyPhoto();
  updateHistory();
  welcome();
  store.show(state.photos.find((photo) => !photo.error)?.id ?? state.photos[0]?.id ?? null);
  for (const photo of state.photos) if (photo.error) notices.failFile(photo.name, photo.error);
  viewChanged();
  await ready();

  /** Waits until the server has compiled what frames need; nothing is asked for meanwhile. */
  async function ready() {
    root.dataset.ready = "false";
    screen.stop();
    let now = await api.progress();
    for (; !now.ready; now = await api.progress()) {
      byId("veil").hidden = false;
      byId("veil").firstChild.textContent = now.message || "The server is getting ready ...";
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    byId("veil").hidden = true;
    if (/could not/.test(now.message)) notices.notify(now.message);
    root.dataset.ready = "true";
    screen.wish();
    followLater();
  }

  /** Follows what the server compiles while nobody waits; then the exact frame that waited for it is asked for. */
  async function followLater() {
    if (following) return;
    following = true;
    try {
      do {
        ({ later } = await api.progress());
        updateLine();
        if (later) await new Promise((resolve) => setTimeout(resolve, 500));
      } while (later);
      if (screen.waits()) screen.wish();
    } catch {
      later = ""; // the next request says in words what is wrong
    } finally {
      following = false;
    }
  }
}
