// Canvases: the timeline (a row per queue), the ruler above it and the overview of the program.

const canvas = Object.fromEntries(["overview", "ruler", "timeline"].map((id) => [id, document.getElementById(id)]));
const view = { from: 0, to: total, rowHeight: 0, byMark: false, idle: false, width: 0, label: 92 };
const shown = { hover: null, pinned: null, flow: [], selection: null };
const GROUP_GAP = 24;
const palette = {};

function readPalette() {
  const style = getComputedStyle(document.documentElement);
  const get = (name) => style.getPropertyValue(name).trim();
  for (const name of ["back", "card", "ink", "soft", "line", "row", "row-alt", "accent", "loop", "flow"]) {
    palette[name] = get("--" + name);
  }
  palette.kinds = kinds.map((kind) => get(kind.variable));
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  palette.operators = operatorNames.map((_, i) => hslToHex(i * 137.5 + 205, 0.58, dark ? 0.62 : 0.44));
  palette.label = dark ? "#0d1014" : "#ffffff";
  palette.kindBytes = palette.kinds.map(bytesOf);
  palette.operatorBytes = palette.operators.map(bytesOf);
  palette.none = bytesOf(palette.soft);
}

function hslToHex(hue, saturation, lightness) {
  const part = (n) => {
    const k = (n + hue / 30) % 12;
    const value = lightness - saturation * Math.min(lightness, 1 - lightness) *
      Math.max(-1, Math.min(k - 3, 9 - k, 1));
    return Math.round(255 * value).toString(16).padStart(2, "0");
  };
  return "#" + part(0) + part(8) + part(4);
}

function bytesOf(hex) {
  return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
}

function colourOf(kind, mark) {
  if (!view.byMark) return palette.kinds[kind];
  return mark === NO_OPERATOR ? palette.soft : palette.operators[nameOfMark[mark]];
}

function number(value) {
  return Math.round(value).toLocaleString("en-US");
}

function time(cycles) {
  const ns = cycles / head.clock * 1e9;
  if (ns < 1000) return ns.toFixed(1) + " ns";
  return ns < 1e6 ? (ns / 1000).toFixed(3) + " µs" : (ns / 1e6).toFixed(3) + " ms";
}

// Rows from top to bottom: {queue, y} and group heads {unit, y}.
const layout = { rows: [], groups: [], height: 0 };

function arrange() {
  const listed = queues.filter((queue) => view.idle || queue.n);
  const groups = [...new Set(listed.map((queue) => queue.unit))];
  const room = Math.max(320, window.innerHeight - 330) - groups.length * GROUP_GAP;
  view.row = view.rowHeight || Math.max(3, Math.min(16, Math.floor(room / Math.max(1, listed.length))));
  layout.rows = [];
  layout.groups = [];
  let y = 0;
  for (const unit of groups) {
    layout.groups.push({ unit, y, first: layout.rows.length });
    y += GROUP_GAP;
    for (const queue of listed.filter((q) => q.unit === unit)) {
      layout.rows.push({ queue, y });
      y += view.row;
    }
    layout.groups.at(-1).last = layout.rows.length;
  }
  layout.height = y + 6;
  layout.rowOf = new Map(layout.rows.map((row) => [row.queue, row]));
}

function size(element, width, height) {
  const ratio = window.devicePixelRatio || 1;
  const pixels = [Math.round(width * ratio), Math.round(height * ratio)];
  const context = element.getContext("2d");
  if (element.width !== pixels[0] || element.height !== pixels[1]) {
    [element.width, element.height] = pixels;
    element.style.width = width + "px";
    element.style.height = height + "px";
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
  }
  context.font = "11px system-ui, sans-serif";
  context.textBaseline = "middle";
  return context;
}

function plotWidth() {
  return Math.max(50, view.width - view.label);
}
function toX(cycle) {
  return view.label + (cycle - view.from) / (view.to - view.from) * plotWidth();
}
function toCycle(x) {
  return view.from + (x - view.label) / plotWidth() * (view.to - view.from);
}

const scratch = { canvas: document.createElement("canvas"), image: null, fine: null };

// One line of pixels per queue, stretched to the height of a row.
function paintRaster(context, group) {
  const width = Math.floor(plotWidth());
  const rows = group.last - group.first;
  if (!rows) return;
  const image = blankImage(context, width, rows);
  for (let i = 0; i < rows; ++i) {
    paintLine(image.data, i * width * 4, width, layout.rows[group.first + i].queue);
  }
  Object.assign(scratch.canvas, { width, height: rows });
  scratch.canvas.getContext("2d").putImageData(image, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(scratch.canvas, view.label, group.y + GROUP_GAP, plotWidth(), rows * view.row);
}

function blankImage(context, width, rows) {
  const image = scratch.image;
  if (image?.width !== width || image.height !== rows) return scratch.image = context.createImageData(width, rows);
  image.data.fill(0);
  return image;
}

function densityOf(queue, width) {
  const perPixel = (view.to - view.from) / width;
  if (perPixel >= total / coarse.cells) return null;
  if (scratch.fine?.cells !== width) scratch.fine = new Density(width);
  scratch.fine.fill(queue, view.from, view.to);
  return scratch.fine;
}

function paintLine(data, at, width, queue) {
  if (!queue.n) return;
  const fine = densityOf(queue, width);
  const source = fine ?? coarse.rows[queue.index];
  const perPixel = fine ? 1 : (view.to - view.from) / total * coarse.cells / width;
  const origin = fine ? 0 : view.from / total * coarse.cells;
  for (let x = 0; x < width; ++x, at += 4) {
    const first = Math.floor(origin + x * perPixel);
    const last = Math.min(source.cells, Math.max(first + 1, Math.floor(origin + (x + 1) * perPixel)));
    let kept = 0, rest = 0, most = 0, cell = first;
    for (let i = first; i < last; ++i) {
      kept += source.kept[i];
      rest += source.rest[i];
      if (source.most[i] > most) { most = source.most[i]; cell = i; }
    }
    if (most === 0) continue;
    const bytes = bytesAt(source.kind[cell], source.mark[cell]);
    const share = (kept > 0 ? kept : rest) / (last - first);
    const alpha = (0.3 + 0.7 * Math.min(1, share)) * (kept > 0 ? 1 : 0.13);
    data[at] = bytes[0]; data[at + 1] = bytes[1]; data[at + 2] = bytes[2];
    data[at + 3] = 255 * alpha;
  }
}

function bytesAt(kind, mark) {
  if (!view.byMark) return palette.kindBytes[kind];
  return mark === NO_OPERATOR ? palette.none : palette.operatorBytes[nameOfMark[mark]];
}

// Close up every issue is a box, with its name where there is room.
function paintBoxes(context, row) {
  const { queue, y } = row;
  const pixels = plotWidth() / (view.to - view.from);
  const from = Math.floor(view.from), to = Math.ceil(view.to);
  for (let issue = issueAt(queue, from, to); issue; issue = issueAt(queue, issue.cycle + issue.form.cycles, to)) {
    const x = Math.max(view.label, toX(issue.cycle));
    const end = toX(issue.cycle + issue.form.cycles);
    const mark = queue.mark[issue.item];
    context.globalAlpha = isKept(queue, issue.item) ? 1 : 0.13;
    context.fillStyle = colourOf(issue.form.kind, mark);
    if (issue.form.busy > issue.form.cycles) {
      context.globalAlpha *= 0.35;
      context.fillRect(end, y, (issue.form.busy - issue.form.cycles) * pixels, view.row - 1);
      context.globalAlpha /= 0.35;
    }
    context.fillRect(x, y, Math.max(1, end - x - 1), Math.max(2, view.row - 1));
    if (view.row >= 11 && end - x > 30) drawText(context, textOf(issue), x + 3, y + view.row / 2, end - x - 5);
  }
  context.globalAlpha = 1;
}

function drawText(context, text, x, y, room) {
  const short = text.slice(0, Math.floor(room / 5.6));
  context.fillStyle = palette.label;
  context.fillText(short.length < text.length ? short.slice(0, -1) + "…" : short, x, y);
}

function drawTimeline() {
  const context = size(canvas.timeline, view.width, layout.height);
  context.fillStyle = palette.card;
  context.fillRect(0, 0, view.width, layout.height);
  const boxes = plotWidth() / (view.to - view.from) >= 5;
  for (const group of layout.groups) {
    drawGroup(context, group);
    context.save();
    context.beginPath();
    context.rect(view.label, group.y, plotWidth(), layout.height);
    context.clip();
    if (boxes) layout.rows.slice(group.first, group.last).forEach((row) => paintBoxes(context, row));
    else paintRaster(context, group);
    context.restore();
  }
  if (view.row >= 6) drawRowLines(context);
  drawGuides(context, layout.height);
  drawFlow(context);
  drawIssue(context, shown.hover, palette.ink);
  drawIssue(context, shown.pinned, palette.flow);
}

function drawGroup(context, group) {
  const height = (group.last - group.first) * view.row;
  context.fillStyle = palette["row-alt"];
  context.fillRect(view.label, group.y + GROUP_GAP, plotWidth(), height);
  context.fillStyle = palette.ink;
  context.font = "600 11px system-ui, sans-serif";
  context.fillText(group.unit, 8, group.y + GROUP_GAP / 2 + 1);
  context.font = "10px ui-monospace, Menlo, Consolas, monospace";
  context.fillStyle = palette.soft;
  const every = Math.max(1, Math.ceil(11 / view.row));
  for (let i = group.first; i < group.last; ++i) {
    if ((i - group.first) % every) continue;
    const { queue, y } = layout.rows[i];
    context.fillText(queue.name, 8, y + view.row / 2, view.label - 12);
  }
  context.font = "11px system-ui, sans-serif";
}

function drawRowLines(context) {
  context.fillStyle = palette.card;
  for (const row of layout.rows) context.fillRect(view.label, row.y + view.row - 1, plotWidth(), 1);
}

// Releases of parked queues, edges of loops and the selected range, over all rows.
function drawGuides(context, height) {
  const line = (cycle, colour, dash) => {
    const x = Math.round(toX(cycle)) + 0.5;
    if (x < view.label || x > view.width) return;
    context.strokeStyle = colour;
    context.setLineDash(dash);
    context.beginPath();
    context.moveTo(x, 0);
    context.lineTo(x, height);
    context.stroke();
    context.setLineDash([]);
  };
  for (const release of head.releases) line(release, palette.soft, [3, 3]);
  for (const loop of loops) {
    line(loop.start, palette.loop, [1, 3]);
    line(loop.start + loop.interval * loop.count, palette.loop, [1, 3]);
  }
  if (!shown.selection) return;
  const [a, b] = shown.selection.map(toX);
  context.globalAlpha = 0.14;
  context.fillStyle = palette.accent;
  context.fillRect(Math.min(a, b), 0, Math.abs(b - a), height);
  context.globalAlpha = 1;
}

function centreOf(issue) {
  const row = layout.rowOf.get(issue.queue);
  return row && { x: toX(issue.cycle + issue.form.cycles / 2), y: row.y + view.row / 2 };
}

function drawFlow(context) {
  const issue = shown.pinned ?? shown.hover;
  if (!issue) return;
  context.save();
  context.beginPath();
  context.rect(view.label, 0, plotWidth(), layout.height);
  context.clip();
  context.strokeStyle = palette.flow;
  context.lineWidth = 1.5;
  context.globalAlpha = 0.8;
  for (const link of shown.flow) {
    const a = centreOf(link.into ? link.issue : issue);
    const b = centreOf(link.into ? issue : link.issue);
    if (!a || !b) continue;
    context.beginPath();
    context.moveTo(a.x, a.y);
    context.bezierCurveTo((a.x + b.x) / 2, a.y, (a.x + b.x) / 2, b.y, b.x, b.y);
    context.stroke();
    context.fillStyle = palette.flow;
    context.fillRect(b.x - 2, b.y - 2, 4, 4);
  }
  context.restore();
}

function drawIssue(context, issue, colour) {
  const row = issue && layout.rowOf.get(issue.queue);
  if (!row) return;
  const x = toX(issue.cycle);
  const width = Math.max(3, toX(issue.cycle + issue.form.cycles) - x);
  if (x + width < view.label) return;
  context.strokeStyle = colour;
  context.lineWidth = 2;
  context.strokeRect(Math.max(view.label, x) - 1, row.y - 1, width + 1, Math.max(4, view.row) + 1);
  context.lineWidth = 1;
}
