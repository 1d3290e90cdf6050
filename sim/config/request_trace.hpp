// Files of recorded requests: comma-separated tables and lines of JSON.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "sim/config/tree.hpp"
#include "sim/describe/traffic.hpp"

namespace tandem::config {

/// Where a trace file keeps what is read from it. Names are columns of a table (.csv) or keys of
/// the object in each line (.jsonl).
struct TraceColumns {
  std::string arrival;
  double seconds_per_unit = 1;  ///< of arrivals that are numbers; dates with a time need none
  std::string prompt;
  std::string output;
  /// Ids of the blocks that the prompt consists of, equal where all tokens up to the block's end
  /// are. Empty: nothing is shared.
  std::string prefix;
  std::int64_t prefix_block_tokens = 512;
  std::string priority;  ///< whole numbers, smaller ones first; empty: all equal
  std::string session;   ///< any text; empty: not known
};

/// The columns of a published format: "azure" (Azure LLM inference traces) or "mooncake" (its
/// conversation and tool traces).
[[nodiscard]] TraceColumns trace_columns_of(const std::string& format);

/// Reads a trace. Requests are put in the order of their arrival. Answers of no token count as one:
/// an engine makes it before it can stop. Complains about every row that it cannot read, and about
/// an empty trace; `user` is where the file is named.
[[nodiscard]] RequestTrace read_trace(const std::string& path, const TraceColumns& columns,
                                      const SourcePlace& user, Problems& problems);

}  // namespace tandem::config
