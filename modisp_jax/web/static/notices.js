// What the page says in words: a line for screen readers and, for what went wrong, a notice that stays until read.

import { button, el } from "./dom.js";

export function createNotices(status, place) {
  /** Says something in the status line; it is read out. */
  function say(text) {
    status.textContent = text;
  }

  /** Shows a notice: an error, or with `good` some news. It goes when it is closed; news by themselves. */
  function notify(text, { good = false } = {}) {
    for (const old of place.children) if (old.dataset.text === text) old.remove();
    const notice = el("div", { class: `notice${good ? " good" : ""}`, role: good ? "status" : "alert", "data-text": text }, el("p", { text }));
    notice.append(button({ glyph: "close", label: "Close this notice", press: () => notice.remove() }));
    place.append(notice);
    while (place.children.length > 4) place.firstChild.remove();
    if (good) setTimeout(() => notice.remove(), 5000);
  }

  /** What is wrong with a file; its name is said once. */
  const wordsOf = (name, error) => (error.startsWith(`${name}: `) ? error : `${name}: ${error}`);

  return { say, notify, wordsOf, fail: (error) => notify(error.message || String(error)), failFile: (name, error) => notify(wordsOf(name, error)) };
}
