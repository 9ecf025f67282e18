// The photos that are open: a list of thumbnails. One is shown, several may be selected.

import { el, fill, icon } from "./dom.js";
import { isEdited } from "./settings.js";

export function createFilmstrip(list, store, api, { close }) {
  const cells = new Map();
  let queue = Promise.resolve();
  // Thumbnails are asked for when they come into sight, one after the other: the frames have the server first.
  const watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) if (isIntersecting) request(target);
  }, { root: list, rootMargin: "0px 400px" });

  function request(frame) {
    watcher.unobserve(frame);
    const { photo } = frame.firstChild.dataset;
    queue = queue.then(() => load(photo, cells.get(photo))).catch(() => frame.classList.add("blank"));
  }

  function make(photo) {
    const image = el("img", { alt: "", draggable: "false" });
    const name = el("span", { class: "name", text: photo.name });
    const option = el(
      "div",
      { role: "option", class: "thumb", tabindex: "-1", "data-photo": photo.id, on: { click: (event) => press(photo.id, event) } },
      image, el("i", { class: "edited", "aria-hidden": "true" }), name,
    );
    const cross = el("button", { type: "button", class: "close", tabindex: "-1", "aria-label": `Close ${photo.name}`, "data-tip": "Close this photo. The file stays.", on: { click: () => close(photo.id) } }, icon("close"));
    const frame = el("div", { class: "cell", role: "presentation" }, option, cross);
    if (!photo.error) watcher.observe(frame);
    return { frame, option, image, url: null };
  }

  async function load(id, cell) {
    if (!cell) return; // closed meanwhile
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
      option.setAttribute("aria-selected", String(chosen.has(photo.id)));
      option.tabIndex = photo.id === shown?.id ? 0 : -1;
      option.classList.toggle("shown", photo.id === shown?.id);
      describe(photo);
    }
    const frames = photos.map((photo) => cells.get(photo.id).frame);
    if (frames.length !== list.children.length || frames.some((frame, k) => list.children[k] !== frame)) fill(list, ...frames);
  }

  /** What a cell says of its photo. */
  function describe(photo) {
    const { option } = cells.get(photo.id);
    const edited = isEdited(photo, store.settingsOf(photo.id));
    option.classList.toggle("changed", edited);
    option.classList.toggle("broken", Boolean(photo.error));
    const state = photo.error ? `cannot be read: ${photo.error}` : photo.kind;
    option.setAttribute("aria-label", [photo.name, state, edited ? "edited" : ""].filter(Boolean).join(", "));
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
  for (const topic of ["photos", "photo", "selection", "others"]) store.on(topic, update);
  store.on("settings", () => store.photo() && describe(store.photo()));
  update();
  return { step: (by) => step(by, false), update };
}
