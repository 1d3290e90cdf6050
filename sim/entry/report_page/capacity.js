// Systems side by side at the highest load within their SLOs.

const COMPARED = ["output_tokens_per_s", "output_tokens_per_s_per_user", "ttft_ms.p50",
  "ttft_ms.p99", "tpot_ms.p50", "tpot_ms.p99", "energy_j_per_output_token",
  "usd_per_m_output_tokens", "tokens_per_s_per_mw", "utilisation"];

function chipsOf(result) {
  return Object.values(result.pools || {}).reduce((sum, pool) => sum + pool.chips, 0);
}

function sideBySide(systems) {
  const figure = (key) => [title(key), ...systems.map(({result}) => {
    const band = bandText(at(result.bands || {}, key));
    return make("span", {}, figureText(key, at(result.summary, key)),
      band ? make("span", {className: "note"}, ` [${band}]`) : null);
  })];
  const rows = [
    ["Highest load", ...systems.map((system) => `${number(system.load)} ${system.load_unit}`)],
    ["Limited by", ...systems.map((system) => system.limit || "–")],
    ["Busiest part", ...systems.map((system) => system.bottleneck || "–")],
    ["Chips placed", ...systems.map((system) => number(chipsOf(system.result)))],
    ["Output tokens/s per chip", ...systems.map((system) =>
      number(system.result.summary.output_tokens_per_s / chipsOf(system.result)))],
    ...COMPARED.map(figure)];
  return section("Highest load within the SLO", "Bands in brackets.",
    table(["", ...systems.map((system) => system.scenario)], rows));
}

function curves(systems) {
  const drawn = systems.filter((system) => (system.curve || []).length > 1);
  if (!drawn.length) return null;
  const trace = (x, y) => (system, index) => ({type: "scatter", mode: "lines+markers",
    name: system.scenario, line: {color: COLOURS[index % COLOURS.length]},
    x: system.curve.map((point) => x(point, system)), y: system.curve.map((point) =>
      y(point, system)),
    marker: {size: 8, symbol: system.curve.map((point) => (point.meets_slo === false ?
      "circle-open" : "circle"))},
    text: system.curve.map((point) => `${number(point.load)} ${system.load_unit}`),
    hovertemplate: "%{text}: %{x:.4g}, %{y:.4g}<extra>%{fullData.name}</extra>"});
  const perChip = (point, system) => point.output_tokens_per_s / chipsOf(system.result);
  return make("div", {className: "pair"},
    section("Throughput against interactivity", "One mark per load; open marks miss the SLO.",
      chart(drawn.map(trace((point) => point.output_tokens_per_s_per_user, perChip)),
        {xaxis: {title: {text: "tokens/s per user"}, rangemode: "tozero"},
          yaxis: {title: {text: "output tokens/s per chip"}, rangemode: "tozero"}}, 380)),
    section("Time to first token over the load", "The slowest request in a hundred.",
      chart(drawn.map(trace((point) => point.load, (point) => at(point, "ttft_ms.p99"))),
        {xaxis: {title: {text: `load, ${drawn[0].load_unit}`}, type: "log"},
          yaxis: {title: {text: "TTFT p99, ms"}, rangemode: "tozero"}}, 380)));
}

/// One line per system and run: what bounds it, and its own sections below.
function capacitySections(data) {
  const systems = data.systems;
  const sections = [sideBySide(systems), curves(systems)];
  for (const system of systems) {
    sections.push(make("h3", {}, `${system.scenario} at ${number(system.load)} ` +
      system.load_unit), ...runSections(system.result));
  }
  return sections.filter(Boolean);
}

/// What fits where: systems of `tandem capacity --map`.
function mapSections(data) {
  return data.systems.map((system) => {
    const users = [...new Set(system.rows.flatMap((row) => row.cells.map((cell) => cell.users)))]
      .sort((a, b) => a - b);
    const cellOf = (row, count) => row.cells.find((cell) => cell.users === count);
    const grid = system.rows.map((row) => users.map((count) =>
      cellOf(row, count)?.output_tokens_per_s_per_user ?? null));
    const texts = system.rows.map((row) => users.map((count) => {
      const cell = cellOf(row, count);
      return cell && cell.fits ? `${number(cell.output_tokens_per_s_per_user)}<br>${cell.bound}` :
        "does not fit";
    }));
    const across = users.map(String);
    const up = system.rows.map((row) => String(row.context_tokens));
    return section(system.scenario, "Tokens/s per user, and what bounds the step.",
      chart([{type: "heatmap", x: across, y: up, z: grid, colorscale: "Blues", reversescale: true,
        hoverongaps: false, hoverinfo: "skip", colorbar: {title: {text: "tokens/s"}}}],
      {xaxis: {type: "category", title: {text: "users"}},
        yaxis: {type: "category", title: {text: "context, tokens"}},
        annotations: texts.flatMap((row, j) => row.map((text, i) => ({x: across[i], y: up[j], text,
          showarrow: false, font: {size: 11}, bgcolor: "rgba(255,255,255,.75)"})))},
      140 + 46 * up.length),
      table(["Context, tokens", "Users that fit", "Limit"], system.rows.map((row) =>
        [number(row.context_tokens), number(row.most_users), row.limit]), [2]));
  });
}
