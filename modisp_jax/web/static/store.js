// What the page knows: photos, which is shown, which are selected, and each photo's settings with undo without limit.
// The functions on histories are pure; the store adds who wants to hear of changes.

import { equal } from "./settings.js";

/** A photo's settings and how they came: `open` are those before a drag that is not over. */
export const startHistory = (settings) => ({ past: [], present: settings, future: [], open: null });

/** Settings that are tried out, as during a drag; nothing is remembered yet. */
export const preview = (history, settings) => ({ ...history, present: settings, open: history.open ?? history.present });

/** Makes one step of all previews since the last one; none where nothing changed. */
export function commit(history, label) {
  const { past, present, open } = history;
  if (open === null || equal(open, present)) return { ...history, open: null };
  return { past: [...past, { settings: open, label }], present, future: [], open: null };
}

/** Takes back previews, else the last step. */
export function undo(history) {
  if (history.open !== null && !equal(history.open, history.present)) {
    return { ...history, present: history.open, open: null };
  }
  const last = history.past.at(-1);
  if (!last) return history;
  const future = [{ settings: history.present, label: last.label }, ...history.future];
  return { past: history.past.slice(0, -1), present: last.settings, future, open: null };
}

export function redo(history) {
  const [next, ...future] = history.future;
  if (!next) return history;
  const past = [...history.past, { settings: history.present, label: next.label }];
  return { past, present: next.settings, future, open: null };
}

/** Forgets the steps after the first `length`, as if what they did were one drag: a double click is one step. */
export function rewind(history, length) {
  if (length >= history.past.length) return history;
  return { ...history, past: history.past.slice(0, length), open: history.past[length].settings };
}

/** The store. `persist(id, settings)` is called when a photo's settings rest. */
export function createStore(persist = () => {}) {
  const listeners = new Map();
  const histories = new Map();
  const selected = new Set();
  let photos = [];
  let current = null;

  const on = (topic, listener) => listeners.set(topic, [...(listeners.get(topic) ?? []), listener]);
  const emit = (topic, detail) => (listeners.get(topic) ?? []).forEach((listener) => listener(detail));
  const history = () => histories.get(current);

  function replace(id, next, detail = {}) {
    const before = histories.get(id);
    histories.set(id, next);
    if (id === current) emit("settings", { moved: !equal(before.present, next.present), ...detail });
    if (next.open === null) persist(id, next.present);
  }

  const store = {
    on,
    emit,
    photos: () => photos,
    selected: () => photos.filter((photo) => selected.has(photo.id)),
    photo: () => photos.find((photo) => photo.id === current) ?? null,
    history,
    settings: () => history()?.present ?? {},
    settingsOf: (id) => histories.get(id)?.present ?? {},

    /** Adds photos, or replaces what is known of them. */
    add(more) {
      for (const photo of more) {
        const place = photos.findIndex((known) => known.id === photo.id);
        photos = place < 0 ? [...photos, photo] : photos.with(place, photo);
        if (!histories.has(photo.id)) histories.set(photo.id, startHistory(photo.settings ?? {}));
      }
      emit("photos");
    },
    /** Whether a photo's settings are known here: of one that nobody has looked at, the server knows more. */
    isKnown(id) {
      const { past, future } = histories.get(id);
      return past.length > 0 || future.length > 0 || Boolean(photos.find((photo) => photo.id === id).size);
    },
    /** Settings with which a photo begins, unless it has been edited here already. */
    begin(id, settings) {
      const { past, future, open } = histories.get(id);
      if (past.length || future.length || open !== null) return;
      histories.set(id, startHistory(settings));
      if (id === current) emit("settings", { moved: true });
    },
    remove(id) {
      const place = photos.findIndex((photo) => photo.id === id);
      photos = photos.filter((photo) => photo.id !== id);
      histories.delete(id);
      selected.delete(id);
      emit("photos");
      if (id === current) store.show((photos[place] ?? photos.at(-1))?.id ?? null);
    },
    /** Shows a photo and selects it alone. */
    show(id) {
      selected.clear();
      if (id !== null) selected.add(id);
      const changed = id !== current;
      current = id;
      emit("selection");
      if (changed) emit("photo");
    },
    /** Adds to the selection or takes away; `through`: all from the shown photo to this one. */
    select(id, { through = false } = {}) {
      if (through) {
        const ends = [current, id].map((end) => photos.findIndex((photo) => photo.id === end));
        for (const photo of photos.slice(Math.min(...ends), Math.max(...ends) + 1)) selected.add(photo.id);
      } else if (selected.has(id) && id !== current) selected.delete(id);
      else selected.add(id);
      emit("selection");
    },
    selectAll() {
      for (const photo of photos) selected.add(photo.id);
      emit("selection");
    },

    preview(settings) {
      if (current !== null) replace(current, preview(history(), settings));
    },
    commit(label) {
      if (current !== null) replace(current, commit(history(), label));
    },
    change(settings, label) {
      if (current !== null) replace(current, commit(preview(history(), settings), label));
    },
    /** Changes several photos, a step in each one's history; `change` gets settings and id. */
    changeAll(ids, change, label) {
      for (const id of ids) {
        const known = histories.get(id);
        replace(id, commit(preview(known, change(known.present, id)), label));
      }
    },
    undo() {
      if (current !== null) replace(current, undo(history()));
    },
    redo() {
      if (current !== null) replace(current, redo(history()));
    },
    mark: () => history()?.past.length ?? 0,
    rewind(mark) {
      if (current !== null) histories.set(current, rewind(history(), mark));
    },
  };
  return store;
}
