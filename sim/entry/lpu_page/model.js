// What can be asked of the schedule: who issues when, how busy everything is, where operators lie.

// The issue of a queue in or next after `cycle`, before `to`; null where there is none.
function issueAt(queue, cycle, to) {
  let best = null;
  visitRuns(queue, cycle, to, (item, start, rowShift) => {
    const form = forms[queue.form[item]];
    const k = Math.max(0, Math.ceil((cycle - (form.cycles - 1) - start) / queue.interval[item]));
    if (k >= queue.count[item]) return;
    const at = start + k * queue.interval[item];
    if (at >= to || (best && best.cycle <= at)) return;
    best = { queue, item, k, cycle: at, rowShift, form };
  });
  return best;
}

function previousIssue(queue, cycle) {
  for (let width = 64; ; width *= 4) {
    const from = Math.max(0, cycle - width);
    let best = null;
    for (let next = issueAt(queue, from, cycle); next; next = issueAt(queue, next.cycle + next.form.cycles, cycle)) {
      best = next.cycle < cycle ? next : best;
    }
    if (best || from === 0) return best;
  }
}

// As `tandem lpu list` prints the word, with the row of this very issue.
function textOf(issue) {
  const { queue, item, k, rowShift, form } = issue;
  if (!form.text.startsWith("mem ")) return form.text;
  let access = 0;
  return form.text.replace(/:0(?=[+ ])/g,
    () => ":" + (queue.rows[access++][item] + k * queue.stride[item] + rowShift));
}

// What the search box keeps: every term must be in the instruction, its operator or its queue.
const filter = { terms: [], form: null, mark: null, queue: null, all: 0 };

function setFilter(text) {
  const terms = [...text.toLowerCase().matchAll(/"([^"]*)"|(\S+)/g)].map((m) => m[1] ?? m[2]);
  const mask = (words) => terms.reduce((bits, term, i) => bits | (words.includes(term) ? 1 << i : 0), 0);
  filter.terms = terms.slice(0, 30);
  filter.all = (1 << filter.terms.length) - 1;
  filter.form = forms.map((form) => mask((form.text + " " + kinds[form.kind].label).toLowerCase()));
  const byName = operatorNames.map((name) => mask(name.toLowerCase()));
  filter.mark = nameOfMark.map((name) => byName[name]);
  filter.queue = queues.map((queue) => mask(queue.name.toLowerCase()));
}

function isKept(queue, item) {
  if (!filter.all) return true;
  const mark = queue.mark[item];
  const bits = filter.form[queue.form[item]] | filter.queue[queue.index] |
    (mark === NO_OPERATOR ? 0 : filter.mark[mark]);
  return bits === filter.all;
}

// Shares of `cells` equal parts of [from, to) in which a queue works: of what the filter keeps, and
// of the rest; and the kind and operator that take most of each part.
class Density {
  constructor(cells) {
    this.cells = cells;
    this.kept = new Float32Array(cells);
    this.rest = new Float32Array(cells);
    this.most = new Float32Array(cells);
    this.kind = new Uint8Array(cells);
    this.mark = new Uint16Array(cells);
  }
  fill(queue, from, to) {
    for (const array of [this.kept, this.rest, this.most]) array.fill(0);
    const scale = this.cells / (to - from);
    visitRuns(queue, from, to, (item, start) => {
      const form = forms[queue.form[item]];
      const source = { kind: form.kind, mark: queue.mark[item], kept: isKept(queue, item) };
      const interval = queue.interval[item];
      const count = queue.count[item];
      if (count > 1 && interval * scale < 0.5) {
        const end = start + (count - 1) * interval + form.busy;
        this.add((start - from) * scale, (end - from) * scale, Math.min(1, form.busy / interval), source);
        return;
      }
      const first = Math.max(0, Math.ceil((from - form.busy - start) / interval));
      for (let k = first; k < count; ++k) {
        const at = start + k * interval;
        if (at >= to) break;
        this.add((at - from) * scale, (at + form.busy - from) * scale, 1, source);
      }
    });
  }
  add(begin, end, weight, source) {
    const target = source.kept ? this.kept : this.rest;
    const last = Math.min(this.cells - 1, Math.ceil(end) - 1);
    for (let cell = Math.max(0, Math.floor(begin)); cell <= last; ++cell) {
      const share = weight * (Math.min(end, cell + 1) - Math.max(begin, cell));
      target[cell] += share;
      const rank = source.kept ? share + 2 : share;
      if (rank > this.most[cell]) {
        this.most[cell] = rank;
        this.kind[cell] = source.kind;
        this.mark[cell] = source.mark;
      }
    }
  }
}

// The whole program at a fixed resolution, for views that are wider than that.
const coarse = { cells: Math.min(4096, total), rows: [] };

function fillCoarse() {
  coarse.rows = queues.map((queue) => {
    const density = coarse.rows[queue.index] ?? (queue.n ? new Density(coarse.cells) : null);
    if (density) density.fill(queue, 0, total);
    return density;
  });
}

// Calls visit(item, times) for every run with how often the loops around it issue it.
function eachRun(queue, visit) {
  const within = (begin, end, times) => {
    for (let i = begin; i < end; i += 1 + queue.size[i]) {
      if (queue.size[i]) within(i + 1, i + 1 + queue.size[i], times * queue.count[i]);
      else visit(i, times);
    }
  };
  within(0, queue.n, 1);
}

function unitOf(queue) {
  if (queue.unit !== "MXM") return queue.unit;
  return queue.name.endsWith("weights") ? "MXM weights" : "MXM compute";
}

// Busy cycles by unit and kind, and the issues and extent of every operator.
function takeStock() {
  const units = new Map();
  const marks = head.operators.map((name) => ({ name, first: Infinity, last: -1 }));
  const names = operatorNames.map((name) => ({ name, busy: new Float64Array(kinds.length), span: 0 }));
  const byKind = new Float64Array(kinds.length);
  for (const queue of queues) {
    const unit = unitOf(queue);
    if (!units.has(unit)) units.set(unit, { unit, queues: 0, used: 0, busy: 0, most: 0, mostName: "" });
    const sum = units.get(unit);
    let busy = 0;
    eachRun(queue, (item, times) => {
      const form = forms[queue.form[item]];
      const cycles = queue.count[item] * times * form.busy;
      busy += form.kind === 13 ? 0 : cycles;
      byKind[form.kind] += queue.count[item] * times;
      const mark = queue.mark[item];
      if (mark === NO_OPERATOR) return;
      names[nameOfMark[mark]].busy[form.kind] += cycles;
      marks[mark].first = Math.min(marks[mark].first, queue.start[item]);
      marks[mark].last = Math.max(marks[mark].last, endOf(queue, item));
    });
    sum.queues += 1;
    sum.used += busy > 0 ? 1 : 0;
    sum.busy += busy;
    if (busy > sum.most) Object.assign(sum, { most: busy, mostName: queue.name });
  }
  marks.forEach((mark, i) => { if (mark.last >= 0) names[nameOfMark[i]].span += mark.last - mark.first; });
  return { units: [...units.values()], marks, names, byKind };
}
const stock = takeStock();

// Loops of all queues, each place once.
const loops = (() => {
  const found = new Map();
  for (const queue of queues) {
    for (let i = 0; i < queue.n; ++i) {
      if (!queue.size[i]) continue;
      const key = [queue.start[i], queue.interval[i], queue.count[i], queue.reg[i]].join();
      if (!found.has(key)) {
        found.set(key, { start: queue.start[i], interval: queue.interval[i], count: queue.count[i],
          reg: queue.reg[i], queues: 0 });
      }
      found.get(key).queues += 1;
    }
  }
  return [...found.values()].sort((a, b) => a.start - b.start || b.interval - a.interval);
})();

function loopLabel(loop) {
  const limit = head.registers[loop.reg];
  const trips = loop.reg ? `1 + r${loop.reg} times, r${loop.reg} = ${loop.count - 1}` +
    (limit ? ` of at most ${limit[0]}` : "") : `${loop.count} times`;
  return `loop ${trips}, ${number(loop.interval)} cycles each`;
}
