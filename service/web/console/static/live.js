/* What keeps a page alive: polling that rests when nobody looks, the pulse, countdowns, the viewer's time zone. */
"use strict";
(() => {
  const IDLE = 10 * 60 * 1000; // after this long without a hand on it, a page asks only every
  const SLOW = 10 * 1000;
  const poll = () => document.getElementById("poll");
  const pulse = document.getElementById("pulse");
  let frozen = sessionStorage.getItem("frozen") === "1";
  let touched = Date.now();
  let asked = 0;
  let answered = Date.now();
  let ahead = 0; // milliseconds by which the server's clock is ahead of this one

  const time = (at) => new Intl.DateTimeFormat("en-GB", { timeStyle: "medium", timeZone: zone() }).format(at);

  function zone() {
    const shown = document.querySelector("[data-zone]");
    try {
      new Intl.DateTimeFormat("en", { timeZone: shown.dataset.zone });
      return shown.dataset.zone;
    } catch { return "UTC"; }
  }

  function tell(kind, word, more) {
    if (!pulse || !poll()) return;
    pulse.hidden = false;
    const said = `${kind}|${word}`;
    if (pulse.dataset.said !== said) { // A status is read aloud: only when its word changes.
      pulse.dataset.said = said;
      pulse.replaceChildren(Object.assign(document.createElement("span"), { className: `proc ${kind}`, textContent: word }));
      pulse.append(" ", Object.assign(document.createElement("span"), { className: "long", ariaHidden: "true" }));
    }
    pulse.querySelector(".long").textContent = more;
  }

  function stale(is) {
    for (const part of document.querySelectorAll("main > *")) part.classList.toggle("stale", is);
  }

  function freeze(on) {
    frozen = on;
    sessionStorage.setItem("frozen", on ? "1" : "0");
    const button = document.getElementById("freeze");
    if (button) button.setAttribute("aria-pressed", String(on));
    tell(on ? "paused" : "live now", on ? "paused" : "live", on ? "" : `· ${time(Date.now() + ahead)}`);
  }

  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.target.id !== "poll") return;
    const now = Date.now();
    const resting = now - touched > IDLE && now - asked < SLOW;
    if (frozen || document.hidden || resting || document.querySelector("dialog[open]")) event.preventDefault();
    else asked = now;
  });

  document.addEventListener("htmx:afterRequest", (event) => {
    if (event.target.id !== "poll") return;
    const answer = event.detail.xhr;
    if (event.detail.successful) {
      answered = Date.now();
      const now = Number(answer.getResponseHeader("X-Now"));
      if (now) ahead = now - answered;
      stale(false);
      if (answer.status === 286) tell("succeeded", "at rest", "");
      else tell("live now", "live", `· ${time(answered + ahead)}`);
    } else {
      stale(true); // The last figures stay, and say how old they are.
      tell("lost", `no answer since ${time(answered + ahead)}`, "");
    }
  });

  // A button is not in the answer's place: it keeps what was made of it.
  document.addEventListener("htmx:oobAfterSwap", dress);
  document.addEventListener("htmx:afterSettle", dress);

  function dress() {
    const button = document.getElementById("freeze");
    if (button) { button.hidden = false; button.setAttribute("aria-pressed", String(frozen)); }
    document.dispatchEvent(new Event("console:dressed"));
  }

  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-freeze]")) freeze(!frozen);
  });
  for (const kind of ["pointerdown", "keydown", "wheel"]) {
    document.addEventListener(kind, () => { touched = Date.now(); }, { passive: true });
  }

  function span(seconds) {
    if (seconds < 1) return "now";
    const whole = Math.round(seconds);
    for (const [unit, size, smaller, part] of [["day", 86400, "h", 3600], ["h", 3600, "min", 60], ["min", 60, "s", 1]]) {
      if (whole >= size) {
        const number = Math.floor(whole / size), rest = Math.floor((whole % size) / part);
        return `in ${number} ${unit === "day" && number > 1 ? "days" : unit}${rest ? ` ${rest} ${smaller}` : ""}`;
      }
    }
    return `in ${whole} s`;
  }

  setInterval(() => {
    if (document.hidden) return;
    for (const one of document.querySelectorAll("[data-until]")) {
      const text = span((Number(one.dataset.until) - Date.now() - ahead) / 1000);
      if (one.textContent !== text) one.textContent = text;
    }
  }, 1000);

  // The server writes times by the viewer's clock. It learns which one that is from this cookie, at the first visit.
  const mine = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  const shown = document.querySelector("[data-zone]");
  const known = document.cookie.split("; ").find((one) => one.startsWith("millrace_zone="));
  if (shown && !known) {
    document.cookie = `millrace_zone=${mine}; Path=/console; Max-Age=31536000; SameSite=Strict`;
    if (mine !== shown.dataset.zone && document.cookie.includes("millrace_zone=")) location.reload();
  }

  dress();
  if (poll()) freeze(frozen);
})();
