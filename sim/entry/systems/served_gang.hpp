// How the chips of a measured engine share the model.
#pragma once

#include <cstdint>
#include <string>

#include "sim/entry/systems/served_row.hpp"

namespace tandem::entry {

/// The chips of a pool and how they share the model.
struct ServedGang {
  std::int64_t gpus = 1;
  std::int64_t expert = 1;
  bool shares_requests = false;  ///< attention by data, experts over all

  /// Keys of a placement's pool.
  [[nodiscard]] std::string keys() const;
};

/// `prefix` is that of the pool's columns: "", "prefill_", "decode_". What the name of the run says
/// holds where columns differ: those of some rows have the product of the shares.
[[nodiscard]] ServedGang served_gang(const ServedRow& row, const std::string& prefix,
                                     bool has_experts);

/// The number that follows `word` in a name ("isl" in "tp8_isl1024_osl128"); 0 where there is none.
[[nodiscard]] std::int64_t number_behind(std::string name, const std::string& word);

}  // namespace tandem::entry
