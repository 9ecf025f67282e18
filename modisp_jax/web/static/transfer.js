// Settings from photo to photo, and from and to style files.

import { download } from "./api.js";
import { toggle } from "./controls.js";
import { button, el, fill } from "./dom.js";
import { GROUPS, changedGroups, groupsFor, withField, withGroups } from "./settings.js";

/** Bytes of a style file; the server takes no more. */
const LARGEST_STYLE = 2 ** 18;

/** @param given presets ({name, settings}) that the editor was started with */
export function createTransfer({ dialog, presetBox, fileInput }, store, ranges, api, notices, look, given = []) {
  let copied = null; // {settings, groups, name}
  const presets = []; // {name, settings}: of this session

  // --- copy and paste ---------------------------------------------------------------------------------------------

  function copy(groups = Object.keys(GROUPS)) {
    const photo = store.photo();
    if (!photo) return;
    copied = { settings: store.settings(), groups: groupsFor(photo, groups), name: photo.name };
    const words = groups.length === Object.keys(GROUPS).length ? "All settings" : groups.map((group) => GROUPS[group].title).join(", ");
    notices.say(`${words} of ${photo.name} copied`);
  }

  async function paste(photos = store.selected()) {
    if (!copied) return notices.notify("Nothing has been copied yet: Ctrl+C copies the settings of this photo.");
    const { settings, groups } = copied;
    // Photos that nobody has looked at may bring settings, of which those that are not pasted stay.
    for (const photo of photos) if (!store.isKnown(photo.id) && photo.kind !== "raw") await look(photo);
    const ids = photos.filter((photo) => !photo.error).map((photo) => photo.id);
    const groupsOf = (id) => groupsFor(store.photos().find((photo) => photo.id === id), groups);
    store.changeAll(ids, (own, id) => withGroups(own, settings, groupsOf(id), ranges), "Paste settings");
    store.emit("others");
    return notices.say(`Settings pasted to ${ids.length} photo${ids.length === 1 ? "" : "s"}`);
  }

  const switches = Object.fromEntries(
    Object.entries(GROUPS).map(([name, { title }]) => [name, toggle({ title, name: `copy.${name}`, tip: `Take over: ${title}.` }, () => {})]),
  );
  const chosen = () => Object.keys(GROUPS).filter((name) => switches[name].element.querySelector("input").checked);
  const act = (then) => () => {
    const groups = chosen();
    dialog.close();
    if (groups.length) then(groups);
  };
  fill(
    dialog,
    el("h2", { text: "Copy settings", id: "copy-title" }),
    el("p", { class: "note", text: "Which settings of this photo are taken over?" }),
    el("div", { class: "checks" }, ...Object.values(switches).map((one) => one.element)),
    el("div", { class: "buttons" },
      button({ text: "Cancel", press: () => dialog.close() }),
      button({ text: "Apply to all", "data-name": "copy.all", tip: "To all open photos.", press: act((groups) => { copy(groups); paste(store.photos()); }) }),
      button({ text: "Copy", class: "primary", "data-name": "copy.copy", tip: "To paste them with Ctrl+V to the selected photos.", press: act(copy) }),
    ),
  );
  dialog.setAttribute("aria-labelledby", "copy-title");

  function openDialog() {
    if (!store.photo()) return;
    const changed = changedGroups(store.settings());
    for (const [name, one] of Object.entries(switches)) one.set(changed.includes(name) && name !== "geometry");
    dialog.showModal();
  }

  // --- presets ----------------------------------------------------------------------------------------------------

  const name = el("input", { type: "text", id: "preset-name", class: "text", maxlength: "80", placeholder: "Name of the preset", "aria-label": "Name of the preset", autocomplete: "off" });
  const list = el("ul", { class: "presets", "aria-label": "Presets of this session" });

  /** Mix and sliders of a preset; light, frame and how it is computed stay those of the photo. */
  function apply({ name: title, settings }) {
    const frame = ["rotation", "crop"].filter((edit) => store.settings().edits?.[edit] !== undefined);
    const kept = Object.fromEntries(frame.map((edit) => [edit, store.settings().edits[edit]]));
    const edits = { ...settings.edits, ...kept };
    store.change(withField({ ...store.settings(), edits }, "mix", settings.mix ?? [], ranges), `Preset ${title}`);
  }

  function add(preset) {
    const place = presets.findIndex((known) => known.name === preset.name);
    if (place >= 0) presets.splice(place, 1);
    presets.push(preset);
    fill(list, ...presets.map((one) => el("li", {}, button({ text: one.name, class: "wide", tip: "Apply this preset to the photo.", press: () => apply(one) }))));
  }

  async function save() {
    const title = name.value.trim() || "preset";
    const edits = { ...store.settings().edits };
    delete edits.crop;
    delete edits.rotation;
    const settings = { edits, mix: store.settings().mix ?? [] };
    try {
      const text = await api.writeStyle(settings, title);
      download(new Blob([text], { type: "application/json" }), `${title.replace(/[^\p{L}\p{N}._ -]/gu, "_")}.json`);
      add({ name: title, settings });
      notices.say(`Preset ${title} saved`);
    } catch (error) {
      notices.fail(error);
    }
  }

  async function load(files) {
    for (const file of files) {
      try {
        if (file.size > LARGEST_STYLE) throw new Error("expected a style file, which is a small JSON, got a large file");
        const { settings, description } = await api.readStyle(await file.text());
        const preset = { name: description || file.name.replace(/\.json$/i, ""), settings };
        add(preset);
        if (store.photo()) apply(preset);
        notices.notify(`Preset ${preset.name} ${store.photo() ? "applied" : "loaded"}; it is listed under Presets.`, { good: true });
      } catch (error) {
        notices.failFile(file.name, error.message);
      }
    }
  }

  fileInput.addEventListener("change", () => {
    load([...fileInput.files]);
    fileInput.value = "";
  });
  fill(
    presetBox,
    el("div", { class: "row" }, name, button({ text: "Save", class: "small", "data-name": "preset.save", tip: "Save style and sliders as a style file, which modisp render --style reads, too.", press: save })),
    button({ text: "Load a style file ...", class: "wide", "data-name": "preset.load", tip: "Apply a style file (.json) to this photo.", press: () => fileInput.click() }),
    list,
  );
  given.forEach(add);
  return { copy, paste, openDialog, load };
}
