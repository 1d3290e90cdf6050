// The ruler, the overview and everything that is text: facts, the instruction, units, operators.

const LANE = 15;
const lanes = (() => {
  const ends = [];
  const bars = [];
  stock.marks.forEach((mark, index) => {
    if (mark.last < 0) return;
    let lane = ends.findIndex((end) => end <= mark.first);
    if (lane < 0) lane = ends.length < 4 ? ends.length : ends.indexOf(Math.min(...ends));
    ends[lane] = Math.max(ends[lane] ?? 0, mark.last);
    bars.push({ ...mark, index, lane });
  });
  return { bars, count: ends.length };
})();

function niceStep(span, ticks) {
  const rough = span / ticks;
  const power = 10 ** Math.floor(Math.log10(Math.max(rough, 1)));
  return Math.max(1, [1, 2, 5, 10].find((m) => m * power >= rough) * power);
}

function rulerHeight() {
  return 32 + lanes.count * LANE + (loops.length ? LANE : 0) + 4;
}

function drawRuler() {
  const context = size(canvas.ruler, view.width, rulerHeight());
  context.fillStyle = palette.card;
  context.fillRect(0, 0, view.width, rulerHeight());
  drawTicks(context);
  context.save();
  context.beginPath();
  context.rect(view.label, 0, plotWidth(), rulerHeight());
  context.clip();
  for (const bar of lanes.bars) {
    const kept = !filter.all || operatorsKept[nameOfMark[bar.index]];
    drawBar(context, bar.first, bar.last, 32 + bar.lane * LANE,
      palette.operators[nameOfMark[bar.index]], bar.name, kept ? 1 : 0.25);
  }
  for (const loop of loops) {
    drawBar(context, loop.start, loop.start + loop.interval * loop.count, 32 + lanes.count * LANE,
      palette.loop, loopLabel(loop), 0.85);
  }
  context.restore();
  context.fillStyle = palette.soft;
  if (lanes.count) context.fillText("operators", 8, 32 + LANE / 2);
  if (loops.length) context.fillText("loops", 8, 32 + (lanes.count + 0.5) * LANE);
  context.fillStyle = palette.line;
  context.fillRect(0, rulerHeight() - 1, view.width, 1);
}

function drawTicks(context) {
  const step = niceStep(view.to - view.from, plotWidth() / 95);
  context.fillStyle = palette.soft;
  context.fillText("cycle", 8, 9);
  context.fillText("time", 8, 22);
  for (let cycle = Math.ceil(view.from / step) * step; cycle <= view.to; cycle += step) {
    const x = toX(cycle);
    context.fillStyle = palette.line;
    context.fillRect(Math.round(x), 0, 1, 30);
    context.fillStyle = palette.ink;
    context.fillText(number(cycle), x + 4, 9);
    context.fillStyle = palette.soft;
    context.fillText(time(cycle), x + 4, 22);
  }
}

function drawBar(context, first, last, y, colour, label, alpha) {
  const x = toX(first);
  const end = toX(last);
  if (end < view.label || x > view.width) return;
  context.globalAlpha = alpha;
  context.fillStyle = colour;
  context.fillRect(x, y, Math.max(1, end - x - 1), LANE - 3);
  context.globalAlpha = 1;
  const left = Math.max(x, view.label);
  const room = Math.min(end, view.width) - left;
  if (room > 26) drawText(context, label, left + 4, y + (LANE - 3) / 2 + 0.5, room - 6);
}

const OVERVIEW_ROW = 9;
const overviewUnits = [...new Set(queues.filter((q) => q.n).map(unitOf))];
const overviewSums = { rows: [] };

// Mean over the queues of a unit of what the filter keeps, in `coarse.cells` parts.
function sumOverview() {
  overviewSums.rows = overviewUnits.map((unit) => {
    const members = queues.filter((queue) => queue.n && unitOf(queue) === unit);
    const sum = new Float32Array(coarse.cells);
    const weight = new Float32Array(kinds.length);
    for (const queue of members) {
      const density = coarse.rows[queue.index];
      for (let i = 0; i < coarse.cells; ++i) {
        sum[i] += density.kept[i] / members.length;
        weight[density.kind[i]] += density.kept[i];
      }
    }
    return { unit, sum, kind: weight.indexOf(Math.max(...weight)) };
  });
}

function overviewX(cycle) {
  return view.label + cycle / total * plotWidth();
}

// How busy the units are changes with the filter, the colours and the width only.
const strips = { canvas: document.createElement("canvas"), stale: true };

function drawStrips(height) {
  const context = size(strips.canvas, view.width, height);
  context.clearRect(0, 0, view.width, height);
  const width = Math.floor(plotWidth());
  context.font = "9px system-ui, sans-serif";
  overviewSums.rows.forEach(({ unit, sum, kind }, row) => {
    const y = 4 + row * OVERVIEW_ROW;
    context.fillStyle = palette.soft;
    context.fillText(unit, 8, y + OVERVIEW_ROW / 2, view.label - 12);
    context.fillStyle = palette.kinds[kind];
    for (let x = 0; x < width; ++x) {
      const first = Math.floor(x / width * coarse.cells);
      const last = Math.max(first + 1, Math.floor((x + 1) / width * coarse.cells));
      let busy = 0;
      for (let i = first; i < last; ++i) busy += sum[i];
      if (busy === 0) continue;
      context.globalAlpha = Math.min(1, 0.12 + busy / (last - first));
      context.fillRect(view.label + x, y, 1, OVERVIEW_ROW - 1);
    }
    context.globalAlpha = 1;
  });
  strips.stale = false;
}

function drawOverview() {
  const height = overviewUnits.length * OVERVIEW_ROW + 8;
  const context = size(canvas.overview, view.width, height);
  if (strips.stale) drawStrips(height);
  context.clearRect(0, 0, view.width, height);
  context.drawImage(strips.canvas, 0, 0, view.width, height);
  const a = overviewX(view.from), b = Math.max(a + 3, overviewX(view.to));
  context.fillStyle = palette.accent;
  context.globalAlpha = 0.1;
  context.fillRect(a, 0, b - a, height);
  context.globalAlpha = 1;
  context.strokeStyle = palette.accent;
  context.strokeRect(a + 0.5, 0.5, b - a - 1, height - 1);
}

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function percent(share) {
  return (100 * share).toFixed(share < 0.1 ? 1 : 0) + " %";
}

function writeFacts() {
  const used = queues.filter((queue) => queue.n).length;
  document.title = `LPU schedule: ${head.chip}`;
  document.getElementById("title").textContent = `Schedule for ${head.chip}`;
  const facts = [[number(head.cycles), "cycles"], [time(head.cycles), `at ${head.clock / 1e9} GHz`],
    [number(head.words), "words"], [`${used} of ${queues.length}`, "queues in use"],
    [String(head.operators.length), "operators"]];
  // A sentence of its own, without a figure in front.
  document.getElementById("note").textContent = head.note;
  document.getElementById("facts").replaceChildren(
    ...facts.map(([value, text]) => make("li", {}, make("b", { textContent: value }), " " + text)));
  Object.assign(document.documentElement.dataset,
    { cycles: head.cycles, queues: queues.length, used, words: head.words });
}

function meter(parts, whole) {
  const bar = make("span", { className: "meter" });
  for (const [value, colour] of parts) {
    if (value <= 0) continue;
    const piece = make("i");
    piece.style.width = 100 * value / whole + "%";
    piece.style.background = colour;
    bar.append(piece);
  }
  return bar;
}

function writeUnits() {
  const rows = stock.units.filter((u) => u.busy > 0).map((u) => {
    const mean = u.busy / u.queues / total;
    return make("tr", {}, make("td", { textContent: u.unit }),
      make("td", {}, meter([[mean, palette.accent]], 1)),
      make("td", { className: "number", textContent: percent(mean) }),
      make("td", { className: "number", textContent: percent(u.most / total), title: u.mostName }));
  });
  const titles = ["", "", "mean", "busiest"].map((text, i) =>
    make("th", { textContent: text, className: i > 1 ? "number" : "" }));
  document.getElementById("units").replaceChildren(make("tr", {}, ...titles), ...rows);
}

function writeOperators() {
  const sums = stock.names.map((name) => name.busy.reduce((a, b) => a + b, 0));
  const most = Math.max(1, ...sums);
  const rows = stock.names.map((name, i) => {
    const button = make("button", { type: "button", title: "Find" },
      make("span", { className: "swatch" }), make("span", { textContent: name.name }));
    button.firstChild.style.background = palette.operators[i];
    button.addEventListener("click", () => find(`"${name.name}"`));
    return make("tr", {}, make("td", {}, button),
      make("td", {}, meter([...name.busy].map((busy, k) => [busy, palette.kinds[k]]), most)),
      make("td", { className: "number", textContent: number(name.span) }));
  });
  const titles = ["", "queue cycles", "span"].map((text, i) =>
    make("th", { textContent: text, className: i > 1 ? "number" : "" }));
  document.getElementById("operators").replaceChildren(make("tr", {}, ...titles), ...rows);
  document.getElementById("operators-box").hidden = rows.length === 0;
}

function writeLegend() {
  const items = kinds.map((kind, k) => ({ kind, k })).filter(({ k }) => stock.byKind[k] > 0);
  document.getElementById("legend").replaceChildren(...items.map(({ kind, k }) => {
    const button = make("button", { type: "button", title: "Find" }, make("span", { className: "swatch" }),
      make("span", { textContent: kind.label }),
      make("span", { className: "share", textContent: number(stock.byKind[k]) }));
    button.firstChild.style.background = palette.kinds[k];
    button.addEventListener("click", () => find(`"${kind.label}"`));
    return make("li", {}, button);
  }));
}

function describeStreams(issue) {
  const rows = [];
  const partner = (link) => {
    const jump = make("button", { type: "button", className: "jump",
      textContent: `${link.issue.queue.name} in cycle ${number(link.issue.cycle)}` });
    jump.addEventListener("click", () => pin(link.issue, true));
    return jump;
  };
  for (const [uses, title, into] of [[issue.form.operands, "reads", true], [issue.form.results, "writes", false]]) {
    for (const use of uses) {
      const value = make("dd", {}, use.name + (into ? "" : `, cycle ${number(issue.cycle + use.latency)}`));
      const links = shown.flow.filter((f) => f.use === use);
      links.slice(0, 4).forEach((link) => value.append(into ? " from " : " to ", partner(link)));
      if (links.length > 4) value.append(` and ${links.length - 4} more`);
      rows.push(make("dt", { textContent: title }), value);
    }
  }
  return rows;
}

function writeDetail() {
  const box = document.getElementById("detail");
  const issue = shown.pinned ?? shown.hover;
  box.replaceChildren(make("h2", { textContent: shown.pinned ? "Instruction, pinned" : "Instruction" }));
  if (!issue) {
    box.append(make("p", { className: "hint", textContent: "Point at the timeline." }));
    return;
  }
  const { queue, item, k, cycle, form } = issue;
  const release = head.releases.filter((r) => r <= cycle).at(-1);
  const after = release === undefined ? "" : `, +${number(cycle - release)} after release`;
  const facts = [["queue", `${queue.name}, position ${queue.position}`],
    ["cycle", number(cycle) + after], ["time", time(cycle)],
    ["kind", kinds[form.kind].label], ["word", `${number(queue.word[item])} of ${number(queue.words)}`]];
  if (queue.mark[item] !== NO_OPERATOR) facts.unshift(["operator", head.operators[queue.mark[item]]]);
  if (queue.count[item] > 1) {
    facts.push(["repeat", `${number(k + 1)} of ${number(queue.count[item])}, every ${number(queue.interval[item])} cycles` +
      (queue.stride[item] ? `, rows ${queue.stride[item] > 0 ? "+" : ""}${queue.stride[item]}` : "")]);
  }
  const list = make("dl");
  for (const [name, value] of facts) {
    list.append(make("dt", { textContent: name }), make("dd", { textContent: value, id: "detail-" + name }));
  }
  list.append(...describeStreams(issue));
  box.append(make("p", { className: "code", id: "detail-text", textContent: textOf(issue) }), list);
}
