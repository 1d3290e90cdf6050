// Parts that only some results have: breakdowns, timelines, groups, sessions, mixes.

/// "Energy by component, J" of energy_j_by_component, and the unit, or what stands for it.
function breakdownNames(key) {
  const found = /^(.*?)_(breakdown|parts|by_.*)$/.exec(key);
  if (!found) return [spaced(key), ""];
  const unit = UNITS.find(([ending]) => found[1].endsWith(ending));
  const label = spaced(unit ? found[1].slice(0, -unit[0].length) : found[1]);
  const heading = `${label} ${found[2].replace(/_/g, " ")}`;
  return unit ? [`${heading}, ${unit[1]}`, unit[1]] : [heading, label];
}

/// Energy and cost by component, where the result has them: {energy_breakdown: {part: joules}}.
function breakdowns(result) {
  const named = Object.entries(result).filter(([key, value]) =>
    /(energy|power|cost|usd|carbon).*_(breakdown|by_part|parts|by_component)$|^(energy|cost|carbon)$/
      .test(key) && value && typeof value === "object" && !Array.isArray(value));
  return named.map(([key, value]) => {
    const groups = Object.entries(value).filter(([, part]) => part && typeof part === "object"
      && !Array.isArray(part));
    const flat = Object.fromEntries(Object.entries(value)
      .filter(([, part]) => typeof part === "number"));
    const bars = [];
    if (Object.keys(flat).length && /_(breakdown|by_part|parts|by_component)$/.test(key)) {
      bars.push({name: "all", parts: flat});
    }
    for (const [name, parts] of groups) {
      const numbers = Object.fromEntries(numbersOf(parts));
      if (Object.keys(numbers).length) bars.push({name: spaced(name), parts: numbers});
    }
    const rows = numbersOf(value).map(([path, amount]) => [title(path), number(amount), path]);
    const [heading, unit] = breakdownNames(key);
    return section(heading, "", bars.length ? stackedBars(bars, unit) : null,
      table(["Part", "Value", "Key"], rows, [0, 2]));
  });
}

/// Series over time: {time_s: [...], pools: {NAME: {what: [...]}}} in any nesting.
function seriesOf(object, path = []) {
  return Object.entries(object || {}).flatMap(([key, value]) => {
    if (Array.isArray(value) && value.length > 1 && value.every((v) => v === null ||
        typeof v === "number")) return [[[...path, key], value]];
    return value && typeof value === "object" && !Array.isArray(value)
      ? seriesOf(value, [...path, key]) : [];
  });
}

function timelines(result) {
  const source = result.timelines || result.timeline;
  if (!source) return [];
  const all = seriesOf(source);
  const isTime = ([path]) => /^(time|times|t|start|end|from|to|at)(_m?s)?$/.test(path.at(-1));
  const clock = all.find(isTime);
  const series = all.filter((entry) => !isTime(entry));
  if (!series.length) return [];
  const width = source.bin_s ?? source.bin_ms / 1000;
  const unit = clock && /_ms$/.test(clock[0].at(-1)) ? 1e-3 : 1;
  const kindOf = (path) => path.at(-1).replace(/_peak$/, "");
  const kinds = [...new Set(series.map(([path]) => kindOf(path)))];
  const start = source.start_s || 0;
  return [section("Over time", "Queues, running sequences and KV blocks, means and peaks per bin.",
    ...kinds.map((kind) => {
      const traces = series.filter(([path]) => kindOf(path) === kind).map(([path, values]) => ({
        type: "scatter", mode: "lines",
        line: {shape: "hv", width: 1.6, dash: path.at(-1) === kind ? "solid" : "dot"},
        name: spaced([...path.slice(0, -1).filter((part) => part !== "pools"),
          path.at(-1) === kind ? "" : "peak"].join(" ").trim() || kind),
        x: values.map((_, i) => (clock ? clock[1][i] * unit : start + i * (width || 1))),
        y: values}));
      return chart(traces, {showlegend: true, yaxis: {title: {text: title(kind)},
        rangemode: "tozero"}, xaxis: {title: {text: clock || width ? "time, s" : "bin"}}}, 230);
    }))];
}

/// Money per hour: what the chips cost, and what their tokens bring or would cost elsewhere.
function economics(result) {
  const found = result.economics;
  if (!found || !numbersOf(found).length) return null;
  const bars = {"chips used": at(result, "summary.usd_per_hour_used"),
    "chips owned": found.owned_usd_per_hour, "chips rented": found.rented_usd_per_hour,
    "the same tokens bought": found.purchase_usd_per_hour};
  for (const [name, tier] of Object.entries(found.tiers || {})) {
    bars[`revenue at ${spaced(name)}`] = tier.revenue_usd_per_hour;
  }
  const names = Object.keys(bars).filter((name) => typeof bars[name] === "number");
  return section("Money", "USD per hour of this load.",
    chart([{type: "bar", orientation: "h", y: names, x: names.map((name) => bars[name]),
      hovertemplate: "%{y}: %{x:.4g} USD/h<extra></extra>"}],
    {yaxis: {autorange: "reversed"}, xaxis: {title: {text: "USD/h"}}}, 90 + 34 * names.length),
    table(["Figure", "Value"], numbersOf(found).map(([path, value]) =>
      [path.split(".").map(spaced).join(", "), number(value)]), [0]));
}

const EXTRAS = {speculation: "Speculation", groups: "Groups of requests", sessions: "Sessions",
  kv_tiers: "KV tiers", planner: "Planner"};

function extras(result) {
  const sections = Object.entries(EXTRAS).filter(([key]) => numbersOf(result[key]).length)
    .map(([key, heading]) => section(heading, "", table(["Figure", "Value"],
      numbersOf(result[key]).map(([path, value]) => [path.split(".").map(spaced).join(", "),
        number(value)]), [0])));
  return [economics(result), deployments(result), ...sections].filter(Boolean);
}

function deployments(result) {
  if (!(result.deployments || []).length) return null;
  const rows = result.deployments.map((own) => [own.name, own.model, number(own.requests),
    number(own.answers), number(at(own, "ttft_ms.p99")), number(at(own, "tpot_ms.p99")),
    number(own.energy_j_per_request), number(own.usd_per_request)]);
  return section("Models", `Routing: ${at(result, "routing.policy") ?? "–"}.`,
    table(["Name", "Model", "Requests", "Answers", "TTFT p99, ms", "TPOT p99, ms",
      "Energy per request, J", "Cost per request, USD"], rows, [0, 1]));
}
