// The KV blocks that a layer with a sliding window reads. Pure arithmetic; the compiler, the host
// and the predictions of cycles share it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

namespace tandem::lpu {

/// The sliding window that layers of a stage share: a token sees itself and the tokens - 1 before
/// it. Loops read the block of the token and as many before it as a window may touch wherever in a
/// block it begins, so cycles depend on the number of a request's blocks alone; what lies before
/// the window is masked.
struct WindowLayout {
  std::int64_t tokens = 0;       ///< 0: no layer has a window
  int blocks = 1;                ///< most that the loops read
  int blocks_per_iteration = 1;  ///< of the loops; the compiler's choice

  WindowLayout() = default;
  /// For requests of at most `blocks_per_slot` blocks. The window - 1 tokens before a token that is
  /// the first of its block fill ceil((window - 1) / lanes) blocks.
  WindowLayout(std::int64_t window, std::int64_t lanes, int blocks_per_slot) : tokens(window) {
    const std::int64_t touched = (window - 1 + lanes - 1) / lanes + 1;
    blocks = static_cast<int>(std::min<std::int64_t>(touched, blocks_per_slot));
  }
  [[nodiscard]] bool exists() const { return tokens > 0; }
  /// Blocks that the loops read of a request that has so many.
  [[nodiscard]] std::int64_t blocks_of(std::int64_t have) const {
    return std::min<std::int64_t>(have, blocks);
  }
  /// The first of them, for a token in block `block` of its request.
  [[nodiscard]] std::int64_t first_block(std::int64_t block) const {
    return block + 1 - blocks_of(block + 1);
  }
  /// The row of the mask table at which the loops begin: its row blocks - 1 is the token's block.
  [[nodiscard]] std::int64_t mask_start(std::int64_t block) const {
    return blocks - blocks_of(block + 1);
  }
  /// Rows of the mask table that depend on the token's position: a window begins in the first block
  /// that is read or in the second.
  [[nodiscard]] std::vector<int> changing_rows() const {
    std::vector<int> rows;
    for (const int row : {0, 1, blocks - 1}) {
      if (row < blocks && std::ranges::find(rows, row) == rows.end()) rows.push_back(row);
    }
    return rows;
  }
  /// What row `row` of the mask table holds for a token at `position`: zeros for tokens that it
  /// sees, minus infinity for others.
  [[nodiscard]] std::vector<float> mask(int row, std::int64_t position, std::int64_t lanes) const {
    const std::int64_t first = (position / lanes - (blocks - 1) + row) * lanes;
    std::vector<float> values(static_cast<std::size_t>(lanes),
                              -std::numeric_limits<float>::infinity());
    for (std::int64_t lane = 0; lane < lanes; ++lane) {
      const std::int64_t seen = first + lane;
      if (seen > position - tokens && seen <= position) values[static_cast<std::size_t>(lane)] = 0;
    }
    return values;
  }
};

}  // namespace tandem::lpu
