/* What helps the hand: dialogs, copying, choosing rows, buttons that say why they are not ready, toasts. */
"use strict";
(() => {
  const dialog = document.getElementById("dialog");

  async function open(address, opener) {
    const answer = await fetch(address, { headers: { "X-Dialog": "1" }, redirect: "follow" });
    if (!answer.ok || !(answer.headers.get("Content-Type") || "").startsWith("text/html")) {
      location.assign(address);
      return;
    }
    dialog.innerHTML = await answer.text();
    htmx.process(dialog);
    dialog.querySelector("h1, h2").id = "dialog-title";
    dialog.showModal();
    ready(dialog);
    (dialog.querySelector("[autofocus], input:not([type=hidden]), select") || dialog).focus();
    dialog.addEventListener("close", () => { dialog.replaceChildren(); if (opener.isConnected) opener.focus(); }, { once: true });
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-dialog]");
    if (link && dialog && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      event.preventDefault();
      const address = new URL(link.href);
      const chosen = picked();
      if (link.dataset.picked !== undefined) for (const id of chosen) address.searchParams.append("id", id);
      open(address, link).catch(() => location.assign(address));
    }
    const copy = event.target.closest("[data-copy]");
    if (copy) navigator.clipboard.writeText(copy.dataset.copy).then(() => toast("Copied"), () => toast("Nothing was copied: the browser does not let this page"));
    if (event.target.closest("[data-close]") && dialog.open) { event.preventDefault(); dialog.close(); }
    const blocked = event.target.closest("[aria-disabled=true]");
    if (blocked) { event.preventDefault(); toast(blocked.dataset.why || "Not ready yet"); }
  });

  function toast(text) {
    const one = document.createElement("div");
    one.className = "toast i-note";
    one.append(Object.assign(document.createElement("strong"), { textContent: text }));
    document.getElementById("toasts").append(one);
    setTimeout(() => one.remove(), 6000);
  }
  for (const one of document.querySelectorAll("[data-toast]")) setTimeout(() => one.remove(), 10000);

  // The number that is typed must be the number that is there.
  function ready(root) {
    for (const field of root.querySelectorAll("[data-confirm]")) {
      const button = field.form.querySelector("[data-confirmed]");
      const check = () => button.setAttribute("aria-disabled", String(field.value.trim() !== field.dataset.confirm));
      button.dataset.why = `Type ${field.dataset.confirm} first`;
      field.addEventListener("input", check);
      check();
    }
  }
  ready(document);
  document.addEventListener("submit", (event) => {
    const button = event.target.querySelector("[data-confirmed][aria-disabled=true]");
    if (button && event.submitter === button) { event.preventDefault(); toast(button.dataset.why); }
  });

  const picked = () => [...document.querySelectorAll("input[data-pick]:checked")].map((one) => one.value);
  document.addEventListener("change", (event) => {
    if (event.target.matches("input[data-pick-all]")) {
      for (const one of document.querySelectorAll("input[data-pick]")) one.checked = event.target.checked;
    }
    if (event.target.matches("input[data-pick], input[data-pick-all]")) {
      const number = picked().length, shown = document.getElementById("picked");
      if (shown) shown.textContent = number ? `${number} selected` : shown.dataset.none;
    }
    // A filter that is chosen is applied at once; typing waits for Enter.
    const form = event.target.closest("form[data-auto]");
    if (form && event.target.matches("select, input[type=radio], input[type=checkbox]")) form.requestSubmit();
  });
  for (const one of document.querySelectorAll("[data-scripted]")) one.hidden = false;

  // Long work goes on turn by turn while its page is open.
  const more = document.querySelector("form[data-go-on]");
  if (more) setTimeout(() => more.requestSubmit(), 300);

  // A box that has nothing to scroll is no stop for the Tab key.
  function stops() {
    for (const box of document.querySelectorAll(".scroll, main pre")) {
      if (box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    }
  }
  addEventListener("resize", stops);
  document.addEventListener("console:dressed", stops);
  stops();
})();
