/* The chart of the flow under a crosshair: uPlot takes the place of the server's drawing, in the page's own colours. */
"use strict";
(() => {
  let chart = null;
  let shown = "";
  let deploys = [];

  const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const number = (value) => (value == null ? "–" : value >= 100 ? value.toFixed(0) : value.toFixed(value >= 0.95 ? 1 : 2));

  // Where another version came: a line from top to bottom.
  function marks(drawn) {
    const { ctx, bbox } = drawn;
    ctx.save();
    ctx.strokeStyle = token("--warn");
    ctx.lineWidth = 1.5 * devicePixelRatio;
    ctx.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio]);
    for (const at of deploys) {
      const x = drawn.valToPos(at, "x", true);
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  }

  function draw(again) {
    const place = document.getElementById("flow-chart");
    if (!place || typeof uPlot === "undefined") return;
    const text = place.dataset.chart;
    if (!again && text === shown && chart && place.contains(chart.root)) return;
    const data = JSON.parse(text);
    deploys = data.deploys;
    const rows = [data.t, data.accepted, data.worked, data.dead];
    shown = text;
    if (chart && place.contains(chart.root) && !again) { chart.setData(rows); return; }
    if (chart) chart.destroy();
    const zone = document.querySelector("[data-zone]").dataset.zone;
    const axis = { stroke: token("--muted"), grid: { stroke: token("--c-grid"), width: 1 }, ticks: { show: false }, font: `12px ${token("--sans")}` };
    place.replaceChildren();
    place.classList.add("drawn");
    chart = new uPlot({
      width: place.clientWidth, height: 210,
      tzDate: (at) => uPlot.tzDate(new Date(at * 1000), zone),
      cursor: { drag: { x: true, y: false } },
      hooks: { draw: [marks] },
      legend: { live: true },
      scales: { y: { range: (_, low, high) => [0, Math.max(high, 0.1) * 1.05] }, dead: { range: (_, low, high) => [0, Math.max(high, 1) * 3] } },
      axes: [{ ...axis, values: (_, all) => all.map((at) => uPlot.fmtDate("{HH}:{mm}")(uPlot.tzDate(new Date(at * 1000), zone))) }, axis],
      series: [
        { label: "Minute", value: (_, at) => (at == null ? "–" : uPlot.fmtDate("{HH}:{mm}")(uPlot.tzDate(new Date(at * 1000), zone))) },
        { label: "accepted per s", stroke: token("--c-accepted"), width: 1.5, dash: [4, 3], points: { show: false }, value: (_, v) => number(v) },
        { label: "worked per s", stroke: token("--c-worked"), fill: token("--c-worked-area"), width: 1.75, points: { show: false }, value: (_, v) => number(v) },
        { label: "dead", scale: "dead", stroke: token("--bad"), fill: token("--bad"), width: 0, paths: uPlot.paths.bars({ size: [0.4, 6] }), points: { show: false }, value: (_, v) => (v == null ? "–" : String(v)) },
      ],
    }, rows, place);
  }

  // A fresh drawing from the server becomes fresh data of the chart that stands, so that crosshair and zoom stay.
  document.addEventListener("htmx:oobBeforeSwap", (event) => {
    const place = document.getElementById("flow-chart");
    if (event.detail.target.id !== "flow" || !chart || !place || !place.contains(chart.root)) return;
    event.detail.shouldSwap = false;
    const fresh = event.detail.fragment.querySelector("#flow-chart");
    for (const name of ["data-chart", "aria-label"]) place.setAttribute(name, fresh.getAttribute(name));
    document.getElementById("deploys").replaceChildren(...event.detail.fragment.querySelector("#deploys").childNodes);
    document.querySelector("#flow .as-table tbody").replaceChildren(...event.detail.fragment.querySelector(".as-table tbody").childNodes);
    draw(false);
  });
  document.addEventListener("console:dressed", () => draw(false));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw(true));
  addEventListener("resize", () => { if (chart) chart.setSize({ width: document.getElementById("flow-chart").clientWidth, height: 210 }); });
  draw(false);
})();
