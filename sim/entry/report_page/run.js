// The result of one run.

const HEADLINES = ["output_tokens_per_s", "output_tokens_per_s_per_user", "ttft_ms.p50",
  "ttft_ms.p99", "tpot_ms.p50", "tpot_ms.p99", "energy_j_per_output_token",
  "usd_per_m_output_tokens", "usd_per_m_total_tokens", "average_power_w", "utilisation",
  "slo_attainment"];
const SHARES = ["utilisation", "slo_attainment"];

function figureText(key, value) {
  return SHARES.includes(key) ? percent(value) : number(value);
}

function tiles(result) {
  const shown = HEADLINES.filter((key) => typeof at(result.summary, key) === "number");
  return section("Headline figures",
    "Below a figure stands its band, from the ranges of assumed inputs and the errors of the " +
    "models; a figure without one depends on no such input.",
    make("div", {className: "tiles"}, ...shown.map((key) => {
      const [label, unit] = naming(key);
      const tile = make("div", {className: "tile"},
        make("div", {className: "label"}, label),
        make("div", {className: "value"}, figureText(key, at(result.summary, key)),
          unit ? make("small", {}, ` ${unit}`) : null),
        make("div", {className: "band"}, bandText(at(result.bands || {}, key),
          SHARES.includes(key) ? percent : number)));
      tile.dataset.key = key;
      return tile;
    })));
}

function warningsOf(result) {
  const list = [...(Array.isArray(result.warnings) ? result.warnings : [])].map((warning) =>
    typeof warning === "string" ? warning : warning.message ?? JSON.stringify(warning));
  if (result.backlog && result.backlog.saturated) {
    list.push(`The queue has no end: ${number(result.backlog.open_second_quarter)} requests were ` +
      `open in the second quarter of the arrivals, ${number(result.backlog.open_last_quarter)} in ` +
      "the last. Latencies grow with the length of the run.");
  }
  if (result.requests_left_out > 0) {
    list.push(`${number(result.requests_left_out)} requests of the trace were left out.`);
  }
  if (result.fidelity === "analytical") {
    list.push("Fidelity is analytical: times are floors, not predictions.");
  }
  const error = at(result, "steps.audit.mean_error");
  if (Math.abs(error) > 0.02) {
    list.push(`Interpolated steps miss simulated ones by ${percent(error)} on average; --exact ` +
      "simulates them all.");
  }
  const within = at(result, "summary.slo_attainment");
  if (typeof within === "number" && within < 0.99) {
    list.push(`${percent(within)} of the requests are within the SLO.`);
  }
  return list;
}

function warnings(result) {
  const list = warningsOf(result);
  if (!list.length) return null;
  const box = section("Warnings", "", make("ul", {}, ...list.map((text) => make("li", {}, text))));
  box.classList.add("warnings");
  return box;
}

function latencies(result) {
  const kinds = ["ttft_ms", "tpot_ms", "itl_ms", "e2e_ms"].filter((key) => result.summary[key]);
  if (!kinds.length) return null;
  const marks = ["mean", "p50", "p90", "p95", "p99"];
  const layout = {showlegend: false, margin: {l: 48, r: 8, t: 30, b: 40}, annotations: []};
  const traces = kinds.map((key, index) => {
    const suffix = index ? String(index + 1) : "";
    const from = index / kinds.length;
    const to = (index + 0.8) / kinds.length;
    layout["xaxis" + suffix] = {domain: [from, to], anchor: "y" + suffix};
    layout["yaxis" + suffix] = {anchor: "x" + suffix, rangemode: "tozero"};
    layout.annotations.push({text: title(key), x: 0.5, y: 1.1, xref: `x${suffix} domain`,
      yref: "paper", showarrow: false, font: {size: 12}});
    const values = marks.map((mark) => result.summary[key][mark]);
    const bands = marks.map((mark) => at(result.intervals || {}, `${key}.${mark}`));
    return {type: "bar", x: marks, y: values, xaxis: "x" + suffix, yaxis: "y" + suffix,
      marker: {color: COLOURS[index]},
      error_y: {type: "data", symmetric: false, thickness: 1.2, color: "#1c2128",
        array: bands.map((band, i) => (band ? Math.max(0, band[1] - values[i]) : 0)),
        arrayminus: bands.map((band, i) => (band ? Math.max(0, values[i] - band[0]) : 0))},
      hovertemplate: "%{x}: %{y:.5g} ms<extra></extra>"};
  });
  return section("Latency", "Bars: percentiles over requests. Whiskers: 95 % intervals from this " +
    "run's own requests.", chart(traces, layout, 260));
}

function stepTimes(result) {
  const bars = Object.entries(result.pools || {})
    .filter(([, pool]) => Object.keys(pool.time_shares || {}).length)
    .map(([name, pool]) => ({name: spaced(name), parts: Object.fromEntries(
      Object.entries(pool.time_shares).map(([part, share]) => [part, 100 * share]))}));
  if (!bars.length) return null;
  return section("Where the time of a step goes", "Shares of the latency of all passes of a pool.",
    stackedBars(bars, "% of the passes' time"));
}

function pools(result) {
  const entries = Object.entries(result.pools || {});
  if (!entries.length) return null;
  const rows = entries.map(([name, pool]) => [spaced(name), pool.chip, number(pool.chips),
    number(pool.replicas), percent(pool.busy), percent(pool.flop_utilisation),
    percent(pool.memory_bandwidth_utilisation), percent(pool.kv_peak), pool.formats,
    make("b", {}, pool.bottleneck ?? "–")]);
  return section("Bottlenecks", "What bounds each pool, and how busy its parts are.",
    table(["Pool", "Chip", "Chips", "Replicas", "Busy", "Peak FLOPs used", "Memory bandwidth used",
      "KV at its peak", "Formats", "Bottleneck"], rows, [0, 1, 8, 9]));
}

function links(result) {
  const entries = Object.entries(result.links || {});
  if (!entries.length) return null;
  return section("Links", "", table(["Link", "Bytes", "Busy", "Longest queue"],
    entries.map(([name, link]) => [name, bytes(link.bytes), percent(link.busy),
      number(link.peak_queue)]), [0]));
}

function provenance(result) {
  const list = result.provenance || [];
  if (!list.length) return null;
  const bases = [...new Set(list.map((entry) => entry.basis))].sort();
  const names = list.map((entry) => entry.parameter);
  const traces = bases.map((basis) => ({type: "bar", orientation: "h", name: basis,
    y: names.filter((_, i) => list[i].basis === basis),
    x: list.filter((entry) => entry.basis === basis).map((entry) => entry.elasticity),
    hovertemplate: "%{y}: %{x:.3f}<extra></extra>"}));
  return section("Inputs that matter most",
    "Elasticity: by how many per cent the time of a step moves when the input grows by one.",
    chart(traces, {yaxis: {autorange: "reversed", categoryorder: "array", categoryarray: names},
      xaxis: {title: {text: "elasticity"}}}, 120 + 26 * list.length),
    table(["Input", "Value", "Basis", "Source", "Elasticity"], list.map((entry) =>
      [entry.parameter, plainValue(entry.value), entry.basis, entry.source, number(entry.elasticity)]),
    [0, 2, 3]));
}

function everything(result) {
  const rows = numbersOf(result.summary).map(([key, value]) => [title(key), figureText(key, value),
    bandText(at(result.bands || {}, key)), bandText(at(result.intervals || {}, key)), key]);
  return section("All figures", "", make("details", {}, make("summary", {}, `${rows.length} figures`),
    table(["Figure", "Value", "Band", "95 % interval", "Key"], rows, [0, 4])));
}

/// Every section of a run, those without content left out.
function runSections(result) {
  const pair = [pools(result), links(result)].filter(Boolean);
  return [warnings(result), tiles(result), latencies(result), stepTimes(result),
    ...breakdowns(result), ...pair, ...timelines(result), ...extras(result), provenance(result),
    everything(result)].filter(Boolean);
}

/// "TTFT 1,000 ms, TPOT 25 ms" at p99; nothing in results without objectives.
function objectives(result) {
  const texts = [["TTFT", at(result, "slo.ttft_p99_ms")], ["TPOT", at(result, "slo.tpot_p99_ms")]]
    .filter(([, limit]) => typeof limit === "number")
    .map(([name, limit]) => `${name} ${number(limit)} ms`);
  return texts.length ? texts.join(", ") : undefined;
}

function runFacts(result) {
  const facts = {seed: result.seed, fidelity: result.fidelity,
    "simulated time": `${number(result.simulated_s)} s`,
    steps: result.steps ? `${number(result.steps.total)} (${number(result.steps.simulated)} ` +
      "simulated)" : undefined,
    "SLO at p99": objectives(result), version: result.version, "config hash": result.config_hash};
  return Object.entries(facts).filter(([, value]) => value !== undefined);
}
