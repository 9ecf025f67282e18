// Keys: one table from which both the listener and the help are made.

import { button, el, fill } from "./dom.js";

/** "Ctrl+Shift+z" and the like; letters are small, Cmd counts as Ctrl. */
export function nameOf(event) {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const shift = event.shiftKey && (key.length > 1 || /[a-z]/.test(key));
  return `${event.ctrlKey || event.metaKey ? "Ctrl+" : ""}${event.altKey ? "Alt+" : ""}${shift ? "Shift+" : ""}${key}`;
}

// A field of a dialog that was just closed has the focus until the next frame.
const typing = (node) => node.matches?.("input[type=text], textarea, select") && node.checkVisibility();

/** `table`: [{keys: [...], words, group, act, up?}]. */
export function startKeys(table, dialog) {
  const byName = new Map(table.flatMap((row) => row.keys.map((key) => [key, row])));
  const blocked = (event) => typing(event.target) || (document.querySelector("dialog[open]") && event.key !== "?");
  document.addEventListener("keydown", (event) => {
    const row = byName.get(nameOf(event));
    if (!row || blocked(event)) return;
    // Copying a text that is marked is the browser's business.
    if (nameOf(event) === "Ctrl+c" && String(getSelection())) return;
    event.preventDefault();
    if (!event.repeat || row.repeats) row.act();
  });
  document.addEventListener("keyup", (event) => byName.get(nameOf(event))?.up?.());

  const groups = [...new Set(table.map((row) => row.group))];
  const shown = (key) => key.split("+").filter(Boolean).map((part) => (part.length === 1 ? part.toUpperCase() : part));
  const keysOf = (row) =>
    row.keys.flatMap((key, n) => [n ? " or " : "", ...(key === "+" ? ["+"] : shown(key)).flatMap((part, k) => [k ? " + " : "", el("kbd", { text: part })])]);
  fill(
    dialog,
    el("h2", { text: "Keys", id: "help-title" }),
    el("div", { class: "help" }, ...groups.map((group) =>
      el("section", {}, el("h3", { text: group }), el("dl", {}, ...table.filter((row) => row.group === group).flatMap((row) => [
        el("dt", {}, ...keysOf(row).filter((part) => part !== "")),
        el("dd", { text: row.words }),
      ]))),
    )),
    el("p", { class: "note", text: "On a slider: arrows by one step, Shift with arrows by ten, Page up and down by a tenth, double-click for neutral. Numbers can be typed." }),
    el("div", { class: "buttons" }, button({ text: "Close", class: "primary", press: () => dialog.close() })),
  );
  dialog.setAttribute("aria-labelledby", "help-title");
}
