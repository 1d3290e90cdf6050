#include "sim/entry/rows/collective_rows.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "sim/entry/rows/row_reader.hpp"

namespace tandem::entry {
namespace {

constexpr std::array all_collectives = {CollectiveOp::AllReduce,     CollectiveOp::AllGather,
                                        CollectiveOp::ReduceScatter, CollectiveOp::AllToAll,
                                        CollectiveOp::SendRecv,      CollectiveOp::MoeDispatch,
                                        CollectiveOp::MoeCombine};

CollectiveOp collective_named(const std::string& op) {
  return *std::find_if(all_collectives.begin(), all_collectives.end(),
                       [&](CollectiveOp known) { return name_of(known) == op; });
}

bool moves_rows(CollectiveOp op) {
  return op == CollectiveOp::MoeDispatch || op == CollectiveOp::MoeCombine;
}

/// One of two words; complains about any other.
template <class Value>
Value choice(RowReader& reader, const char* column, const char* first, Value one,
             const char* second, Value other, Value fallback) {
  const std::string text = reader.text(column, "");
  if (text.empty()) return fallback;
  if (text == first) return one;
  if (text == second) return other;
  reader.refuse(column,
                fmt::format("'{}' is '{}'; write '{}' or '{}'", column, text, first, second));
  return fallback;
}

/// Scales of 128 elements in float32 where rows are quantised, and the place a row comes from.
Bytes usual_row_extra(const Collective& collective) {
  if (collective.op != CollectiveOp::MoeDispatch) return Bytes(0);
  constexpr std::int64_t block = 128, scale = 4, place = 16;
  const bool is_quantised = bytes_of(collective.type) == 1;
  return Bytes(place + (is_quantised ? collective.hidden / block * scale : 0));
}

void read_rows(Collective& collective, RowReader& reader, const CollectiveDefaults& defaults) {
  collective.tokens = reader.integer("tokens", 1);
  collective.hidden = reader.integer("hidden", 1);
  collective.top_k = reader.integer("topk", 1);
  collective.experts = reader.integer("experts", 1);
  if (collective.top_k > collective.experts) {
    reader.refuse("topk", fmt::format("'topk' is {}; there are {} experts", collective.top_k,
                                      collective.experts));
  }
  collective.transport = choice(reader, "transport", "low_latency", MoeTransport::LowLatency,
                                "bulk", MoeTransport::Bulk, defaults.transport);
  collective.row_extra = Bytes(reader.integer("row_extra", 0, usual_row_extra(collective).count()));
}

std::vector<ChipAddress> first_chips(RowReader& reader, const System& system) {
  const ChipGroup& group = system.groups.front();
  const std::int64_t count = reader.integer("ranks", 2);
  if (count > group.count) {
    reader.refuse("ranks", fmt::format("'ranks' is {}; system '{}' has {} chips in pool '{}'",
                                       count, system.name, group.count, group.pool));
    return {};
  }
  std::vector<ChipAddress> ranks;
  for (std::int64_t i = 0; i < count; ++i) ranks.push_back({group.pool, i});
  return ranks;
}

}  // namespace

const std::vector<std::string>& collective_operators() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const CollectiveOp op : all_collectives) all.emplace_back(name_of(op));
    return all;
  }();
  return names;
}

bool is_collective(const std::string& op) {
  const auto& names = collective_operators();
  return std::find(names.begin(), names.end(), op) != names.end();
}

std::vector<std::string> collective_columns(const std::string& op) {
  if (moves_rows(collective_named(op))) return {"ranks", "tokens", "hidden", "topk", "experts"};
  return {"ranks", "bytes"};
}

CollectiveRow collective_row(const std::string& op, const NamedRow& row, const System& system,
                             const CollectiveDefaults& defaults, DiagnosticSink& sink) {
  for (const std::string& column : collective_columns(op)) {
    if (find_cell(row, column) != nullptr) continue;
    sink.report({}, fmt::format("operation '{}' needs '{}'", op, column));
    return {};
  }
  RowReader reader(row, sink);
  CollectiveRow result;
  Collective& collective = result.collective;
  collective.op = collective_named(op);
  collective.type =
      reader.element("dtype", op == "moe_dispatch" ? ElementType::Fp8E4m3 : ElementType::Bfloat16);
  collective.entry = choice(reader, "entry", "in_graph", CollectiveEntry::InGraph, "library",
                            CollectiveEntry::Library, defaults.entry);
  collective.sms = reader.integer("sms", 0, 0);
  if (moves_rows(collective.op)) {
    read_rows(collective, reader, defaults);
  } else {
    constexpr std::int64_t largest_message = std::int64_t{1} << 40;
    collective.bytes = Bytes(reader.integer("bytes", 1, std::nullopt, largest_message));
  }
  result.ranks = first_chips(reader, system);
  return result;
}

}  // namespace tandem::entry
