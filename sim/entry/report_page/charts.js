// Plotly with the look of this page.

const COLOURS = ["#1f6feb", "#d4380d", "#1b9e77", "#9a63c7", "#c08a00", "#0e7c86", "#b0306a",
  "#5b6472", "#6a8f1f", "#8c5a00", "#4c8ed9", "#e0703a"];

const pending = [];

/// A place for a chart; drawn when it stands on the page, because Plotly measures it.
function chart(traces, layout = {}, height = 320) {
  const place = make("div", {className: "chart"});
  place.style.height = `${height}px`;
  pending.push(() => draw(place, traces, layout));
  return place;
}

function draw(place, traces, layout) {
  const axis = {gridcolor: "#eceff2", zerolinecolor: "#d0d5da", automargin: true};
  const axes = Object.fromEntries(Object.entries(layout)
    .filter(([key]) => /^[xy]axis\d*$/.test(key)).map(([key, own]) => [key, {...axis, ...own}]));
  return Plotly.react(place, traces, {
    font: {family: "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", size: 12,
      color: "#1c2128"},
    margin: {l: 64, r: 16, t: 12, b: 48}, paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)", colorway: COLOURS, hovermode: "closest",
    legend: {orientation: "h", y: 1.02, yanchor: "bottom"}, xaxis: axis, yaxis: axis,
    ...layout, ...axes,
  }, {responsive: true, displayModeBar: false, showTips: false});
}

/// Draws every chart that has been placed since the last call.
function drawPending() {
  for (const job of pending.splice(0)) job();
}

/// Shares of wholes as stacked bars: bars = [{name, parts: {part: share}}]; the smallest parts of
/// all bars go together as "other".
function stackedBars(bars, unit, most = 10) {
  const sizes = {};
  for (const bar of bars) {
    for (const [part, value] of Object.entries(bar.parts)) {
      sizes[part] = Math.max(sizes[part] ?? 0, Math.abs(value));
    }
  }
  const parts = Object.keys(sizes).sort((a, b) => sizes[b] - sizes[a]);
  const shown = parts.slice(0, most);
  const rest = parts.slice(most);
  const names = bars.map((bar) => bar.name);
  const trace = (name, values, colour) => ({type: "bar", orientation: "h", name: spaced(name),
    y: names, x: values, marker: {color: colour},
    hovertemplate: `%{y}: ${spaced(name)} %{x:.4g}${unit ? " " + unit : ""}<extra></extra>`});
  const traces = shown.map((part, index) =>
    trace(part, bars.map((bar) => bar.parts[part] ?? 0), COLOURS[index % COLOURS.length]));
  if (rest.length) {
    traces.push(trace("other", bars.map((bar) =>
      rest.reduce((sum, part) => sum + (bar.parts[part] ?? 0), 0)), "#c3c9d0"));
  }
  return chart(traces, {barmode: "stack", xaxis: {title: {text: unit}},
    yaxis: {autorange: "reversed"}, legend: {orientation: "h", y: 1.02, yanchor: "bottom",
      traceorder: "normal"}}, 150 + 46 * bars.length);
}

/// The points that no other beats in both figures, by rising x; larger is better in both unless
/// `least` names the axis ("x", "y").
function paretoOf(points, least = "") {
  const sign = {x: least.includes("x") ? -1 : 1, y: least.includes("y") ? -1 : 1};
  const sorted = [...points].sort((a, b) =>
    sign.x * (b.x - a.x) || sign.y * (b.y - a.y));
  const front = [];
  let best = -Infinity;
  for (const point of sorted) {
    if (sign.y * point.y > best) {
      front.push(point);
      best = sign.y * point.y;
    }
  }
  return front.sort((a, b) => a.x - b.x);
}
