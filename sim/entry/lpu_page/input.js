// Pointer, wheel, keys and controls; what changes asks for one redraw per frame.

let operatorsKept = [];
let asked = false;

function redraw() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    drawRuler();
    drawOverview();
    drawTimeline();
    document.getElementById("range").textContent =
      `cycles ${number(view.from)} to ${number(view.to)} of ${number(total)}`;
    Object.assign(document.documentElement.dataset, { from: view.from, to: view.to });
  });
}

function show(from, to) {
  const span = Math.min(total, Math.max(8, to - from));
  view.from = Math.max(0, Math.min(total - span, from));
  view.to = view.from + span;
  redraw();
}
function zoom(factor, centre = (view.from + view.to) / 2) {
  const span = Math.min(total, Math.max(8, (view.to - view.from) * factor));
  const share = (centre - view.from) / (view.to - view.from);
  show(centre - share * span, centre + (1 - share) * span);
}
function pan(share) {
  const step = (view.to - view.from) * share;
  show(view.from + step, view.to + step);
}

function find(text) {
  document.getElementById("search").value = text;
  applyFilter();
}
function applyFilter() {
  setFilter(document.getElementById("search").value);
  fillCoarse();
  sumOverview();
  strips.stale = true;
  countMatches();
  redraw();
}
function countMatches() {
  let matches = 0;
  const names = new Set();
  if (filter.all) {
    for (const queue of queues) {
      eachRun(queue, (item, times) => {
        if (!isKept(queue, item)) return;
        matches += queue.count[item] * times;
        if (queue.mark[item] !== NO_OPERATOR) names.add(nameOfMark[queue.mark[item]]);
      });
    }
  }
  operatorsKept = operatorNames.map((_, i) => names.has(i));
  document.getElementById("matches").textContent =
    filter.all ? `${number(matches)} issue${matches === 1 ? "" : "s"}` : "";
}

// The first kept issue after the pinned one in time, then in order of queues.
function nextMatch() {
  if (!filter.all) return;
  const after = shown.pinned ? [shown.pinned.cycle, shown.pinned.queue.index] : [-1, -1];
  let best = null;
  for (const queue of queues) {
    const from = after[0] + (queue.index > after[1] ? 0 : 1);
    visitRuns(queue, Math.max(0, from), best ? best.cycle : total, (item, start, rowShift) => {
      if (!isKept(queue, item)) return;
      const k = Math.max(0, Math.ceil((from - start) / queue.interval[item]));
      const cycle = start + k * queue.interval[item];
      if (k >= queue.count[item] || (best && best.cycle <= cycle)) return;
      best = { queue, item, k, cycle, rowShift, form: forms[queue.form[item]] };
    });
  }
  if (best) pin(best, true);
}

function lookAt(issue) {
  const key = (i) => (i ? i.queue.index + ":" + i.cycle : "");
  if (key(issue) === key(shown.hover)) return;
  shown.hover = issue;
  if (!shown.pinned) refreshFlow();
  redraw();
}
function refreshFlow() {
  const issue = shown.pinned ?? shown.hover;
  shown.flow = issue ? flowOf(issue) : [];
  writeDetail();
}
function pin(issue, reveal) {
  shown.pinned = issue;
  refreshFlow();
  if (issue && reveal) bringIntoView(issue);
  redraw();
}
function bringIntoView(issue) {
  const span = view.to - view.from;
  if (issue.cycle < view.from || issue.cycle >= view.to) show(issue.cycle - span / 2, issue.cycle + span / 2);
  const row = layout.rowOf.get(issue.queue);
  const scroller = document.getElementById("scroller");
  if (!row) return;
  const y = row.y + rulerHeight();
  if (y < scroller.scrollTop + rulerHeight() + 20 || y > scroller.scrollTop + scroller.clientHeight - 20) {
    scroller.scrollTop = y - scroller.clientHeight / 2;
  }
}

// The issue under a point of the timeline: the one in that cycle, or the first within the pixel.
function issueUnder(event) {
  const box = canvas.timeline.getBoundingClientRect();
  const y = event.clientY - box.top;
  const x = event.clientX - box.left;
  const row = layout.rows.find((r) => y >= r.y && y < r.y + view.row);
  if (!row || x < view.label) return null;
  const cycle = Math.floor(toCycle(x));
  const pixel = (view.to - view.from) / plotWidth();
  return issueAt(row.queue, cycle, cycle + Math.max(1, Math.ceil(pixel)));
}

function zoomByWheel(event) {
  if (event.ctrlKey && event.deltaX === 0 && event.deltaY === 0) return;
  event.preventDefault();
  const sideways = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
  if (Math.abs(sideways) > Math.abs(event.shiftKey ? 0 : event.deltaY)) return pan(sideways / plotWidth());
  const x = event.clientX - canvas.timeline.getBoundingClientRect().left;
  zoom(Math.exp(Math.max(-1, Math.min(1, event.deltaY * 0.0022))), toCycle(Math.max(view.label, x)));
}

const drag = { active: null };

function beginDrag(event) {
  if (event.button !== 0) return;
  const x = event.clientX - canvas.timeline.getBoundingClientRect().left;
  const scroller = document.getElementById("scroller");
  drag.active = { x: event.clientX, y: event.clientY, from: view.from, to: view.to, moved: false,
    top: scroller.scrollTop, range: event.shiftKey ? toCycle(x) : null };
  canvas.timeline.setPointerCapture(event.pointerId);
}
function moveDrag(event) {
  if (!drag.active) return lookAt(issueUnder(event));
  const { x, y, from, to, top, range } = drag.active;
  const dx = event.clientX - x, dy = event.clientY - y;
  drag.active.moved ||= Math.abs(dx) + Math.abs(dy) > 3;
  if (range !== null) {
    const now = toCycle(event.clientX - canvas.timeline.getBoundingClientRect().left);
    shown.selection = [range, now];
    return redraw();
  }
  const shift = dx / plotWidth() * (to - from);
  show(from - shift, to - shift);
  document.getElementById("scroller").scrollTop = top - dy;
}
function endDrag(event) {
  const was = drag.active;
  drag.active = null;
  if (!was) return;
  if (shown.selection) {
    const [a, b] = shown.selection.sort((p, q) => p - q);
    shown.selection = null;
    return show(a, b);
  }
  if (!was.moved) pin(issueUnder(event), false);
}

function dragOverview(event) {
  if (event.buttons !== 1) return;
  const box = canvas.overview.getBoundingClientRect();
  const cycle = (event.clientX - box.left - view.label) / plotWidth() * total;
  const half = (view.to - view.from) / 2;
  show(cycle - half, cycle + half);
}

// Alt and an arrow: the next or last issue of the queue, or the one nearest in the next queue.
function stepTo(key) {
  const at = shown.pinned ?? shown.hover ?? issueAt(layout.rows[0].queue, Math.floor(view.from), total);
  if (!at) return;
  const row = layout.rows.findIndex((r) => r.queue === at.queue);
  let issue = null;
  if (key === "ArrowRight") issue = issueAt(at.queue, at.cycle + at.form.cycles, total);
  if (key === "ArrowLeft") issue = previousIssue(at.queue, at.cycle);
  const step = key === "ArrowUp" ? -1 : key === "ArrowDown" ? 1 : 0;
  for (let i = row + step; step && !issue && i >= 0 && i < layout.rows.length; i += step) {
    issue = issueAt(layout.rows[i].queue, at.cycle, total) ?? previousIssue(layout.rows[i].queue, at.cycle);
  }
  if (issue) pin(issue, true);
}

const keys = {
  "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), "0": () => show(0, total),
  ArrowLeft: () => pan(-0.15), ArrowRight: () => pan(0.15),
  ArrowUp: () => document.getElementById("scroller").scrollBy(0, -60),
  ArrowDown: () => document.getElementById("scroller").scrollBy(0, 60),
  Home: () => show(0, view.to - view.from), End: () => show(total, total + view.to - view.from),
  Escape: () => pin(null, false), n: nextMatch, Enter: () => shown.hover && pin(shown.hover, false),
  "/": () => document.getElementById("search").focus(),
};

function onKey(event) {
  const inField = event.target.matches?.("input, select");
  if (inField) {
    if (event.key === "Escape") canvas.timeline.focus();
    if (event.key === "Enter" && event.target.id === "search") nextMatch();
    return;
  }
  if (event.ctrlKey || event.metaKey) return;
  if (event.target.matches?.("button") && event.key === "Enter") return;
  if (event.altKey && event.key.startsWith("Arrow")) {
    event.preventDefault();
    return stepTo(event.key);
  }
  if (!keys[event.key]) return;
  event.preventDefault();
  keys[event.key]();
}

function resize() {
  view.width = document.getElementById("scroller").clientWidth;
  view.label = view.width < 560 ? 74 : 92;
  strips.stale = true;
  arrange();
  redraw();
}
function repaint() {
  readPalette();
  strips.stale = true;
  writeUnits();
  writeOperators();
  writeLegend();
  redraw();
}

function listen() {
  canvas.timeline.addEventListener("pointerdown", beginDrag);
  canvas.timeline.addEventListener("pointermove", moveDrag);
  canvas.timeline.addEventListener("pointerup", endDrag);
  canvas.timeline.addEventListener("pointerleave", () => lookAt(null));
  for (const id of ["timeline", "ruler", "overview"]) {
    canvas[id].addEventListener("wheel", zoomByWheel, { passive: false });
  }
  for (const name of ["pointerdown", "pointermove"]) canvas.overview.addEventListener(name, dragOverview);
  document.addEventListener("keydown", onKey);
  window.addEventListener("resize", resize);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
  const on = (id, name, action) => document.getElementById(id).addEventListener(name, action);
  on("search", "input", applyFilter);
  on("colour", "change", (event) => { view.byMark = event.target.value === "mark"; redraw(); });
  on("rows", "change", (event) => { view.rowHeight = Number(event.target.value); resize(); });
  on("idle", "change", (event) => { view.idle = event.target.checked; resize(); });
  on("fit", "click", () => show(0, total));
  on("in", "click", () => zoom(0.5));
  on("out", "click", () => zoom(2));
}

function start() {
  const words = [...operatorNames.map((name) => `"${name}"`), ...kinds.map((kind) => `"${kind.label}"`),
    ...new Set(forms.map((form) => form.text.split(" ")[0]))];
  document.getElementById("words").replaceChildren(...words.map((value) => make("option", { value })));
  readPalette();
  writeFacts();
  setFilter("");
  fillCoarse();
  sumOverview();
  repaint();
  resize();
  listen();
  // For tests and for the console of the browser.
  window.schedule = { view, queues, show, issueAt, textOf, find, toX, layout };
}
start();
