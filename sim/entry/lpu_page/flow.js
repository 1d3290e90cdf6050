// Where the vectors of an instruction come from and go to. A vector on a stream keeps
// cycle - position (eastward) or cycle + position (westward), so its partners are found by looking
// into each queue at one cycle.

const latencies = [...new Set(forms.flatMap((form) => form.results.map((r) => r.latency)))];

function covers(streams, east, id) {
  return streams.find((s) => s.east === east && s.id <= id && id < s.id + s.count);
}

function issueExactly(queue, cycle) {
  const issue = issueAt(queue, cycle, cycle + 1);
  return issue && issue.cycle === cycle ? issue : null;
}

// Hops from one position to the other along the stream; negative against its direction.
function hops(east, from, to) {
  return east ? to - from : from - to;
}

// The issue that put the vector into the cell in which `issue` reads it: the nearest upstream.
function producerOf(issue, operand, id) {
  let best = null;
  for (const queue of queues) {
    const distance = hops(operand.east, queue.position, issue.queue.position);
    if (!queue.n || distance < 0 || (best && distance >= best.distance)) continue;
    for (const latency of latencies) {
      const source = issueExactly(queue, issue.cycle - distance - latency);
      const result = source && covers(source.form.results, operand.east, id);
      if (result && result.latency === latency) best = { issue: source, distance };
    }
  }
  return best && best.issue;
}

// Issues that read the vector before another one takes its cell.
function consumersOf(issue, result, id) {
  const readers = [];
  let end = Infinity;
  for (const queue of queues) {
    const distance = hops(result.east, issue.queue.position, queue.position);
    if (!queue.n || distance < 0) continue;
    const cycle = issue.cycle + result.latency + distance;
    const reader = issueExactly(queue, cycle);
    if (reader && covers(reader.form.operands, result.east, id)) readers.push({ issue: reader, distance });
    for (const latency of latencies) {
      const other = distance > 0 && issueExactly(queue, cycle - latency);
      const replaced = other && covers(other.form.results, result.east, id);
      if (replaced && replaced.latency === latency) end = Math.min(end, distance);
    }
  }
  return readers.filter((r) => r.distance <= end).map((r) => r.issue);
}

function isSame(a, b) {
  return a.queue === b.queue && a.cycle === b.cycle;
}

// All partners of an issue: [{stream, issue, into}], each pair once.
function flowOf(issue) {
  const flow = [];
  const add = (use, partner, into) => {
    if (partner && !flow.some((f) => f.into === into && f.use === use && isSame(f.issue, partner))) {
      flow.push({ use, issue: partner, into });
    }
  };
  for (const operand of issue.form.operands) {
    for (let id = operand.id; id < operand.id + operand.count; ++id) {
      add(operand, producerOf(issue, operand, id), true);
    }
  }
  for (const result of issue.form.results) {
    for (let id = result.id; id < result.id + result.count; ++id) {
      for (const reader of consumersOf(issue, result, id)) add(result, reader, false);
    }
  }
  return flow;
}
