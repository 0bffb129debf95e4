/* The keyboard: single keys, off in fields, and for who does not want them (WCAG 2.1.4). */
"use strict";
(() => {
  const help = document.getElementById("keys");
  const off = document.getElementById("keys-off");
  if (!help) return;
  const opener = document.querySelector("[data-keys]");
  opener.hidden = false;
  opener.addEventListener("click", () => help.showModal());
  off.checked = localStorage.getItem("keys-off") === "1";
  off.addEventListener("change", () => localStorage.setItem("keys-off", off.checked ? "1" : "0"));

  let before = "";
  const rows = () => [...document.querySelectorAll("main tbody tr")].filter((row) => row.querySelector("a[href]"));
  const here = () => document.activeElement.closest("main tbody tr");

  function step(by) {
    const all = rows();
    if (!all.length) return;
    const at = all.indexOf(here());
    const next = all[Math.min(all.length - 1, Math.max(0, at < 0 ? 0 : at + by))];
    next.querySelector("a[href]").focus();
  }

  // The dead letter of the row, or the one that the page is about.
  function replay() {
    const box = here() && here().querySelector("input[data-pick]");
    if (!box) { const link = document.querySelector('main a[data-dialog][href$="/replay"]'); if (link) link.click(); return; }
    const way = Object.assign(document.createElement("a"), { href: `/console/events/${box.value}/replay`, hidden: true });
    way.dataset.dialog = "";
    document.body.append(way);
    way.click();
    way.remove();
  }

  const does = {
    r: replay,
    "/": () => document.getElementById("find").focus(),
    "?": () => help.showModal(),
    ".": () => { const newer = document.querySelector("[data-newer]"); if (newer) newer.click(); },
    j: () => step(1),
    k: () => step(-1),
    x: () => { const box = here() && here().querySelector("input[data-pick]"); if (box) box.click(); },
  };

  document.addEventListener("keydown", (event) => {
    if (off.checked || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.target.closest("input, select, textarea, [contenteditable]")) return;
    if (before === "g") {
      before = "";
      const link = document.querySelector(`[data-go="${CSS.escape(event.key)}"]`);
      if (link) { event.preventDefault(); link.click(); }
      return;
    }
    before = event.key === "g" ? "g" : "";
    if (does[event.key]) { event.preventDefault(); does[event.key](); }
  });
})();
