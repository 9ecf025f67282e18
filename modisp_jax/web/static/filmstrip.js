// The photos that are open: a list of thumbnails. One is shown, several may be selected.

import { el, fill, icon } from "./dom.js";

export function createFilmstrip(list, store, api, { close }) {
  const cells = new Map();
  let queue = Promise.resolve();

  function make(photo) {
    const image = el("img", { alt: "", draggable: "false" });
    const name = el("span", { class: "name", text: photo.name });
    const option = el(
      "div",
      { role: "option", class: "thumb", tabindex: "-1", "data-photo": photo.id, on: { click: (event) => press(photo.id, event) } },
      image, el("i", { class: "edited", "aria-hidden": "true" }), name,
    );
    const cross = el("button", { type: "button", class: "close", tabindex: "-1", "aria-label": `Close ${photo.name}`, "data-tip": "Close this photo. The file stays.", on: { click: () => close(photo.id) } }, icon("close"));
    const cell = { frame: el("div", { class: "cell", role: "presentation" }, option, cross), option, image, url: null };
    // One thumbnail after the other: the frames have the server first.
    if (!photo.error) queue = queue.then(() => load(photo.id, cell)).catch(() => option.classList.add("blank"));
    return cell;
  }

  async function load(id, cell) {
    if (!cells.has(id)) return;
    cell.url = URL.createObjectURL(await api.thumbnail(id));
    cell.image.src = cell.url;
  }

  function press(id, event) {
    if (event.ctrlKey || event.metaKey) store.select(id);
    else if (event.shiftKey) store.select(id, { through: true });
    else store.show(id);
  }

  function update() {
    const photos = store.photos();
    const shown = store.photo();
    const chosen = new Set(store.selected().map((photo) => photo.id));
    for (const [id, cell] of cells) {
      if (photos.some((photo) => photo.id === id)) continue;
      if (cell.url) URL.revokeObjectURL(cell.url);
      cells.delete(id);
    }
    for (const photo of photos) {
      if (!cells.has(photo.id)) cells.set(photo.id, make(photo));
      const { option } = cells.get(photo.id);
      const edited = Object.keys(store.settingsOf(photo.id)).length > 0;
      option.setAttribute("aria-selected", String(chosen.has(photo.id)));
      option.tabIndex = photo.id === shown?.id ? 0 : -1;
      option.classList.toggle("shown", photo.id === shown?.id);
      option.classList.toggle("changed", edited);
      option.classList.toggle("broken", Boolean(photo.error));
      option.setAttribute("aria-label", [photo.name, photo.error ? `cannot be read: ${photo.error}` : photo.kind, edited ? "edited" : ""].filter(Boolean).join(", "));
    }
    const frames = photos.map((photo) => cells.get(photo.id).frame);
    if (frames.length !== list.children.length || frames.some((frame, k) => list.children[k] !== frame)) fill(list, ...frames);
  }

  function step(by, focus = true) {
    const photos = store.photos();
    const place = photos.findIndex((photo) => photo.id === store.photo()?.id);
    const next = photos[place + by];
    if (!next) return;
    store.show(next.id);
    const { option } = cells.get(next.id);
    option.scrollIntoView({ block: "nearest", inline: "nearest" });
    if (focus) option.focus();
  }

  list.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    if (by) {
      event.preventDefault();
      step(by);
    } else if (event.key === "Delete") close(store.photo().id);
    else if (event.key === " ") {
      event.preventDefault();
      store.select(event.target.dataset.photo);
    }
  });
  for (const topic of ["photos", "photo", "selection", "settings", "others"]) store.on(topic, update);
  update();
  return { step: (by) => step(by, false), update };
}
