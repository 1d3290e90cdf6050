// Names, numbers and elements.

const LABELS = {
  output_tokens_per_s: ["Output throughput", "tokens/s"],
  total_tokens_per_s: ["Total throughput", "tokens/s"],
  output_tokens_per_s_per_user: ["Interactivity", "tokens/s per user"],
  output_tokens_per_s_per_chip: ["Output throughput per chip", "tokens/s per chip"],
  requests_per_s: ["Requests", "per s"],
  offered_requests_per_s: ["Requests offered", "per s"],
  goodput_requests_per_s: ["Requests within the SLO", "per s"],
  slo_attainment: ["Share within the SLO", ""],
  utilisation: ["Utilisation", ""],
  ttft_ms: ["Time to first token", "ms"],
  tpot_ms: ["Time per output token", "ms"],
  itl_ms: ["Time between tokens", "ms"],
  e2e_ms: ["End to end", "ms"],
  energy_j_per_output_token: ["Energy per output token", "J"],
  average_power_w: ["Average power", "W"],
  tokens_per_s_per_mw: ["Output throughput per MW", "tokens/s"],
  usd_per_hour: ["Cost of the whole system", "USD/h"],
  usd_per_hour_used: ["Cost of the chips used", "USD/h"],
  usd_per_m_input_tokens: ["Cost per M input tokens", "USD"],
  usd_per_m_output_tokens: ["Cost per M output tokens", "USD"],
  usd_per_m_total_tokens: ["Cost per M tokens", "USD"],
};

// Endings of keys that are units.
const UNITS = [["_per_s", "1/s"], ["_ms", "ms"], ["_s", "s"], ["_w", "W"], ["_j", "J"],
  ["_bytes", "B"], ["_usd", "USD"]];

/// [label, unit] of a key of a result, dotted where nested ("ttft_ms.p99").
function naming(key) {
  const [head, ...rest] = key.split(".");
  let found = LABELS[head];
  if (!found) {
    const unit = UNITS.find(([ending]) => head.endsWith(ending));
    const stem = unit && unit[0] !== "_per_s" ? head.slice(0, -unit[0].length) : head;
    found = [spaced(stem), unit && unit[0] !== "_per_s" ? unit[1] : ""];
  }
  return [[found[0], ...rest].join(" "), found[1]];
}

function title(key) {
  const [label, unit] = naming(key);
  return unit ? `${label}, ${unit}` : label;
}

const SHORT = /\b(gpu|lpu|kv|qkv|ffn|mla|moe|usd|slo|ttft|tpot|co2|hbm|lm)\b/gi;

function spaced(name) {
  const text = String(name).replace(/_/g, " ").replace(SHORT, (word) => word.toUpperCase());
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/// Four significant digits, thousands separated; shares as they are.
function number(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1000) return Math.round(value).toLocaleString("en-US");
  if (size < 1e-4) return value.toExponential(2);
  return String(Number(value.toPrecision(4)));
}

function bytes(amount) {
  const step = [["TB", 1e12], ["GB", 1e9], ["MB", 1e6], ["kB", 1e3]].find(([, size]) =>
    amount >= size);
  return step ? `${number(amount / step[1])} ${step[0]}` : `${number(amount)} B`;
}

/// A configured value in base units, which may be of any size.
function plainValue(value) {
  return Math.abs(value) >= 1e7 ? value.toExponential(3).replace("e+", "e") : number(value);
}

function percent(share) {
  return typeof share === "number" ? `${number(share * 100)} %` : "–";
}

function bandText(band, text = number) {
  return Array.isArray(band) ? `${text(band[0])} to ${text(band[1])}` : "";
}

/// The value at a dotted path, undefined where there is none.
function at(object, path) {
  return path.split(".").reduce(
    (value, key) => (value === null || value === undefined ? undefined : value[key]), object);
}

/// [path, number] of every number below `object`.
function numbersOf(object, prefix = "") {
  return Object.entries(object || {}).flatMap(([key, value]) => {
    const path = prefix ? `${prefix}.${key}` : key;
    if (typeof value === "number") return [[path, value]];
    return value && typeof value === "object" && !Array.isArray(value) ? numbersOf(value, path) : [];
  });
}

/// An element: make("p", {className: "note"}, "text", child, ...).
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function section(heading, note, ...children) {
  return make("section", {}, make("h2", {}, heading),
    note ? make("p", {className: "note"}, note) : null, ...children);
}

/// A table of rows of cells; text columns by index are left-aligned.
function table(heads, rows, text = []) {
  const cell = (tag) => (value, column) =>
    make(tag, {className: text.includes(column) ? "text" : ""}, value ?? "");
  return make("table", {},
    make("thead", {}, make("tr", {}, ...heads.map(cell("th")))),
    make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map(cell("td"))))));
}
