// Tooltips: one element for all that have `data-tip`, on hovering and on focus by keyboard; Escape hides it.

import { clamp, el } from "./dom.js";

const DELAY = 450;

export function startTips() {
  const bubble = el("div", { class: "tip", role: "tooltip", id: "tip", hidden: true });
  document.body.append(bubble);
  let timer = null;
  let owner = null;

  function show(node) {
    hide();
    owner = node;
    bubble.textContent = node.dataset.tip;
    // A modal dialog lies above everything else: the tip must be in it to be seen.
    (node.closest("dialog") ?? document.body).append(bubble);
    bubble.hidden = false;
    node.setAttribute("aria-describedby", "tip");
    const box = node.getBoundingClientRect();
    const own = bubble.getBoundingClientRect();
    const below = box.bottom + 8 + own.height < innerHeight;
    const left = clamp(box.left + box.width / 2 - own.width / 2, 8, innerWidth - own.width - 8);
    bubble.style.left = `${left}px`;
    bubble.style.top = `${below ? box.bottom + 8 : box.top - own.height - 8}px`;
  }

  function hide() {
    clearTimeout(timer);
    bubble.hidden = true;
    owner?.removeAttribute("aria-describedby");
    owner = null;
  }

  // Focus that a dialog gives as it opens is no question; the Tab key is.
  let tabbed = false;
  document.addEventListener("keydown", (event) => (tabbed = event.key === "Tab"), true);
  const tipped = (event) => event.target.closest?.("[data-tip]");
  document.addEventListener("pointerover", (event) => {
    const node = tipped(event);
    if (node === owner && node) return;
    hide();
    if (node && !event.buttons) timer = setTimeout(() => show(node), DELAY);
  });
  document.addEventListener("focusin", (event) => {
    const node = tipped(event);
    if (node && tabbed) show(node);
  });
  document.addEventListener("focusout", hide);
  document.addEventListener("pointerdown", hide, true);
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
}
