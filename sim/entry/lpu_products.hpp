// Published times of matrix products on LPUs, beside the schedules that the compiler finds.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "models/lpu/compiler/gemm.hpp"
#include "sim/entry/context.hpp"

namespace tandem::entry {

/// Products that a published figure stands for, one after the other on one chip.
struct PublishedProducts {
  struct Part {
    std::int64_t times = 1;
    lpu::GemmShape shape;
  };
  std::string id;
  std::string chip;
  std::vector<Part> parts;
  double stated = 0;
  bool is_share = false;  ///< `stated` is in percent of the chip's peak, else in microseconds
  std::string mark;
  std::string source;
  std::string note;
  SourcePlace chip_place, products_place;  ///< cells
};

/// Rows of a table with the columns id, chip, type, products (times:m:k:n, several with
/// semicolons), stated, unit ("us" or "percent of peak"), mark, source, note. Throws ConfigError
/// with every broken cell.
[[nodiscard]] std::vector<PublishedProducts> read_products(const std::string& file,
                                                           std::string_view text);

/// Cycles of all parts, each compiled for itself, without the chip's barrier. Products that do not
/// fit the SRAM whole are cut along their rows. Throws ModelError where not even one row fits.
[[nodiscard]] std::int64_t cycles_of(const PublishedProducts& products, const Chip& chip);

/// A section of the page of published figures.
[[nodiscard]] std::string products_section(const Context& context, const std::string& file);

}  // namespace tandem::entry
