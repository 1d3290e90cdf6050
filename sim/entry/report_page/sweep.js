// The points of a sweep database.

/// {path: value} of a point; numbers as numbers.
function changesOf(point) {
  return Object.fromEntries(point.changes.map(([path, text]) =>
    [path, text !== "" && !Number.isNaN(Number(text)) ? Number(text) : text]));
}

class SweepView {
  constructor(points) {
    this.all = points.map((point) => ({...point, changes: changesOf(point)}));
    this.good = this.all.filter((point) => point.result && point.result.summary);
    this.paths = [...new Set(this.all.flatMap((point) => Object.keys(point.changes)))];
    for (const point of this.good) {
      const chips = chipsOf(point.result);
      if (chips) {
        point.result.summary.output_tokens_per_s_per_chip =
          point.result.summary.output_tokens_per_s / chips;
      }
    }
    this.keys = [...new Set(this.good.flatMap((point) =>
      numbersOf(point.result.summary).map(([key]) => key)))];
    this.details = make("div");
    this.place = make("div", {className: "chart"});
    this.place.style.height = "440px";
  }

  sections() {
    const left = this.all.length - this.good.length;
    if (!this.good.length) {
      return [this.failures(left), section("Points", "No point has a result yet, so there is " +
        "nothing to draw.")];
    }
    return [this.failures(left), this.plotSection(), this.tableSection(), this.details];
  }

  failures(count) {
    if (!count) return null;
    const rows = this.all.filter((point) => !this.good.includes(point)).map((point) =>
      [point.point, point.overrides, point.status, point.error]);
    const box = section(`${count} points without a result`, "",
      table(["Point", "Changes", "Status", "Why"], rows, [1, 2, 3]));
    box.classList.add("warnings");
    return box;
  }

  choice(id, keys, chosen, label) {
    const select = make("select", {id, onchange: () => this.plot()},
      ...keys.map((key) => make("option", {value: key, selected: key === chosen},
        id === "colour" ? key : title(key))));
    return make("label", {}, `${label} `, select);
  }

  plotSection() {
    const perChip = "output_tokens_per_s_per_chip";
    const y = this.keys.includes(perChip) ? perChip : "output_tokens_per_s";
    pending.push(() => this.plot());
    const broken = this.good.some((point) => point.violated) ?
      "Hollow marks break a constraint and are left out of it. " : "";
    return section("Points", "The line joins the points that no other beats in both figures. " +
      broken + "A click on a mark or a row shows that point below.",
      make("div", {className: "tools"},
        this.choice("across", this.keys, "output_tokens_per_s_per_user", "Across"),
        this.choice("up", this.keys, y, "Up"),
        this.choice("colour", this.paths, this.paths[0], "Colour")),
      this.place);
  }

  /// Which axes are better when smaller: latencies, energies, costs, power.
  least(x, y) {
    const small = (key) => /_ms(\.|$)|^energy|^usd|_w$|carbon|co2/.test(key);
    return (small(x) ? "x" : "") + (small(y) ? "y" : "");
  }

  plot() {
    const [x, y, colour] = ["across", "up", "colour"].map((id) => document.getElementById(id).value);
    const points = this.good.map((point) => ({x: at(point.result.summary, x),
      y: at(point.result.summary, y), point})).filter((mark) => typeof mark.x === "number" &&
      typeof mark.y === "number");
    this.front = paretoOf(points.filter((mark) => !mark.point.violated), this.least(x, y));
    const values = [...new Set(points.map((mark) => mark.point.changes[colour]))];
    const traces = values.map((value) => {
      const own = points.filter((mark) => mark.point.changes[colour] === value);
      return {type: "scatter", mode: "markers", name: colour ? `${colour} = ${value}` : "points",
        marker: {size: 9, symbol: own.map((mark) => mark.point.violated ? "circle-open" : "circle")},
        x: own.map((mark) => mark.x), y: own.map((mark) => mark.y),
        customdata: own.map((mark) => mark.point.point),
        text: own.map((mark) => mark.point.overrides.replace(/; /g, "<br>") +
          (mark.point.violated ? `<br>breaks ${mark.point.violated.replace(/</g, "&lt;")}` : "")),
        hovertemplate: "%{text}<br>%{x:.4g}, %{y:.4g}<extra></extra>"};
    });
    traces.push({type: "scatter", mode: "lines", name: "Pareto front", hoverinfo: "skip",
      line: {color: "#1c2128", width: 1.5, dash: "dot"}, x: this.front.map((mark) => mark.x),
      y: this.front.map((mark) => mark.y)});
    draw(this.place, traces, {xaxis: {title: {text: title(x)}, rangemode: "tozero"},
      yaxis: {title: {text: title(y)}, rangemode: "tozero"}});
    if (!this.listens) {
      this.place.on("plotly_click", ({points: [mark]}) => {
        if (mark.customdata !== undefined) this.show(mark.customdata);
      });
      this.listens = true;
    }
  }

  tableSection() {
    const keys = ["output_tokens_per_s", "output_tokens_per_s_per_user", "ttft_ms.p99",
      "tpot_ms.p99", "energy_j_per_output_token", "usd_per_m_output_tokens"];
    const breaks = this.good.some((point) => point.violated);
    const rows = this.good.map((point) => [point.point, ...this.paths.map((path) =>
      point.changes[path] ?? "–"), ...keys.map((key) => number(at(point.result.summary, key))),
    Object.entries(point.result.pools || {}).map(([name, pool]) =>
      `${name}: ${pool.bottleneck ?? "–"}`).join(", "), ...(breaks ? [point.violated] : [])]);
    const list = table(["Point", ...this.paths, ...keys.map(title), "Bottlenecks",
      ...(breaks ? ["Breaks"] : [])], rows);
    list.querySelectorAll("tbody tr").forEach((row, index) => {
      row.className = "pick";
      row.dataset.point = this.good[index].point;
      row.onclick = () => this.show(this.good[index].point);
    });
    this.list = list;
    return section("Table", "", make("div", {className: "scroll"}, list));
  }

  show(number) {
    const point = this.good.find((each) => each.point === number);
    for (const row of this.list.querySelectorAll("tbody tr")) {
      row.classList.toggle("chosen", Number(row.dataset.point) === number);
    }
    this.details.replaceChildren(make("h3", {}, `Point ${number}: ${point.overrides}`),
      ...runSections(point.result));
    drawPending();
  }
}

function sweepSections(data) {
  const view = new SweepView(data.points);
  window.sweep = view;
  return view.sections().filter(Boolean);
}
