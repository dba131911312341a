const charts = JSON.parse(document.getElementById("charts").textContent);
const options = { renderer: "svg", mode: "vega-lite", actions: { export: true, source: false, compiled: false, editor: false } };
// On a narrow screen panels stand below each other, and nothing is wider than the page.
const room = document.documentElement.clientWidth - 100;
function narrow(chart) {
  const inner = chart.spec ?? chart;
  if (chart.facet?.column) {
    const step = inner.width + 40;
    chart.columns = Math.max(1, Math.floor(room / step));
    chart.facet = chart.facet.column;
  }
  if (chart.columns) chart.columns = Math.max(1, Math.min(chart.columns, Math.floor(room / (inner.width + 40))));
  inner.width = Math.min(inner.width, room);
  const legends = (part) => {
    if (part === null || typeof part !== "object") return;
    if (part.legend?.columns) part.legend.columns = 1;
    Object.values(part).forEach(legends);
  };
  legends(inner.layer ?? inner.encoding);
}
for (const place of document.querySelectorAll("[data-chart]")) {
  if (room < 600) narrow(charts[place.dataset.chart]);
  vegaEmbed(place, charts[place.dataset.chart], { ...options, downloadFileName: place.dataset.chart });
}
