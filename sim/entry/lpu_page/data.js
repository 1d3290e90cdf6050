// The program as it lies in the page: names and instruction forms as JSON, runs as packed numbers.
// sim/entry/lpu_view.cpp writes both.

const head = JSON.parse(document.getElementById("head").textContent);
const total = Math.max(1, head.cycles);
const NO_OPERATOR = 65535;

// Kinds of instructions in the order of Kind in lpu_view.cpp.
const kinds = [
  ["MEM read", "--read"], ["MEM write", "--write"], ["MEM read and write", "--both"],
  ["MEM gather, scatter", "--indexed"], ["VXM", "--simple"], ["VXM special", "--special"],
  ["MXM load weights", "--load"], ["MXM install", "--install"], ["MXM activate", "--activate"],
  ["MXM emit", "--emit"], ["SXM", "--switch"], ["C2C send", "--send"], ["C2C receive", "--receive"],
  ["control", "--control"],
].map(([label, variable]) => ({ label, variable }));

// Instructions that differ in rows only share a form.
const forms = head.templates.map(([text, kind, cycles, busy, operands, results]) => ({
  text, kind, cycles, busy, operands: operands.map(stream), results: results.map(stream),
}));
const operatorNames = [...new Set(head.operators)];
const nameOfMark = head.operators.map((name) => operatorNames.indexOf(name));

function stream([east, id, count, latency]) {
  const letter = east ? "E" : "W";
  const last = id + count - 1;
  return { east, id, count, latency, name: letter + id + (count > 1 ? ".." + letter + last : "") };
}

class Reader {
  constructor(text) {
    this.bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    this.at = 0;
  }
  count() {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.bytes[this.at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  }
  signed() {
    const value = this.count();
    return value % 2 ? -(value + 1) / 2 : value / 2;
  }
}

// One queue as parallel arrays, an item each: a run (size 0) or a loop, whose `size` items follow.
// Of a loop, count is the number of iterations.
function readQueue(reader, [name, unit, position, words], index) {
  const n = reader.count();
  const queue = {
    index, name, unit, position, words, n,
    start: new Float64Array(n), count: new Float64Array(n), interval: new Float64Array(n),
    stride: new Int32Array(n), form: new Int32Array(n), rows: [new Int32Array(n), new Int32Array(n)],
    word: new Int32Array(n), mark: new Uint16Array(n).fill(NO_OPERATOR),
    size: new Int32Array(n), reg: new Uint8Array(n),
  };
  const before = { start: 0, word: 0, mark: NO_OPERATOR, rows: [0, 0] };
  for (let i = 0; i < n; ++i) readItem(reader, queue, i, before);
  orderTop(queue);
  return queue;
}

function readItem(reader, queue, i, before) {
  const flags = reader.count();
  before.start += reader.signed();
  queue.start[i] = before.start;
  if (flags & 1) {
    queue.size[i] = reader.count();
    queue.count[i] = reader.signed() + 1;
    queue.interval[i] = reader.signed();
    queue.stride[i] = reader.signed();
    queue.reg[i] = reader.signed();
    return;
  }
  queue.form[i] = reader.count();
  for (const k of [0, 1]) {
    if (flags & (k ? 16 : 8)) before.rows[k] += reader.signed();
    queue.rows[k][i] = before.rows[k];
  }
  queue.count[i] = flags & 2 ? reader.signed() : 1;
  queue.interval[i] = flags & 2 ? reader.signed() : 1;
  if (flags & 2) queue.stride[i] = reader.signed();
  before.word += reader.count();
  queue.word[i] = before.word;
  if (flags & 4) before.mark = reader.count();
  queue.mark[i] = before.mark;
}

function endOf(queue, i) {
  if (queue.size[i]) return queue.start[i] + queue.interval[i] * queue.count[i];
  return queue.start[i] + queue.interval[i] * (queue.count[i] - 1) + forms[queue.form[i]].busy;
}

// Items outside of loops, and how far all of them up to each reach: for binary search.
function orderTop(queue) {
  const top = [];
  for (let i = 0; i < queue.n; i += 1 + queue.size[i]) top.push(i);
  queue.top = Int32Array.from(top);
  queue.reach = new Float64Array(top.length);
  let reach = 0;
  top.forEach((item, k) => { queue.reach[k] = reach = Math.max(reach, endOf(queue, item)); });
}

const reader = new Reader(document.getElementById("runs").textContent);
const queues = head.queues.map((entry, index) => readQueue(reader, entry, index));

// Calls visit(item, start, rowShift) for every run that touches cycles [from, to), once for each
// iteration of the loops around it.
function visitRuns(queue, from, to, visit) {
  let low = 0;
  for (let high = queue.top.length; low < high;) {
    const middle = (low + high) >> 1;
    if (queue.reach[middle] > from) high = middle; else low = middle + 1;
  }
  for (let k = low; k < queue.top.length; ++k) {
    const item = queue.top[k];
    if (queue.start[item] >= to) return;
    visitItem(queue, item, from, to, 0, 0, visit);
  }
}

function visitItem(queue, item, from, to, shift, rowShift, visit) {
  const start = queue.start[item] + shift;
  if (start >= to || endOf(queue, item) + shift <= from) return;
  if (!queue.size[item]) return visit(item, start, rowShift);
  const interval = queue.interval[item];
  const first = interval ? Math.max(0, Math.floor((from - start) / interval)) : 0;
  const last = interval ? Math.min(queue.count[item] - 1, Math.floor((to - 1 - start) / interval)) : 0;
  for (let k = first; k <= last; ++k) {
    for (let i = item + 1; i <= item + queue.size[item]; i += 1 + queue.size[i]) {
      visitItem(queue, i, from, to, shift + k * interval, rowShift + k * queue.stride[item], visit);
    }
  }
}
