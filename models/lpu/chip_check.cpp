#include "models/lpu/chip_check.hpp"

#include <fmt/format.h>

#include "models/lpu/chip_params.hpp"
#include "models/lpu/compiler/row_allocator.hpp"
#include "models/lpu/isa.hpp"

namespace tandem::lpu {
namespace {

class ShapeCheck {
 public:
  explicit ShapeCheck(const Chip& chip) : chip_(chip) {}

  std::vector<Diagnostic> run() {
    check_lanes();
    check_planes();
    if (!problems_.empty()) return std::move(problems_);
    check_slices();
    check_stream_ids();
    return std::move(problems_);
  }

 private:
  [[nodiscard]] std::int64_t number(const char* name) const { return chip_.parameters.count(name); }
  void report(const char* name, const std::string& message) {
    problems_.push_back({chip_.parameters.at(name).place,
                         fmt::format("'{}' is {}; {}", name, number(name), message)});
  }

  // Sums over lanes rotate by fours, fives, threes and twos.
  void check_lanes() {
    const std::int64_t lanes = number("superlanes") * number("lanes_per_superlane");
    std::int64_t rest = lanes;
    for (const std::int64_t radix : {2, 3, 5}) {
      while (rest % radix == 0) rest /= radix;
    }
    if (rest > 1) {
      report("superlanes", fmt::format("sums over its {} lanes need a number without the factor {}",
                                       lanes, rest));
    } else if (number("plane_columns") != lanes) {
      report("plane_columns", fmt::format("planes are as wide as a vector: write {}, or change "
                                          "'superlanes' from {}",
                                          lanes, number("superlanes")));
    }
  }

  void check_planes() {
    if (number("planes") % 2 != 0) {
      report("planes", "half of them stand on each side: write an even number");
    }
    if (number("plane_columns") % number("weight_streams_per_plane") != 0) {
      report("weight_streams_per_plane",
             fmt::format("the {} columns of a plane load in equal groups: write a divisor",
                         number("plane_columns")));
    } else if (number("weight_streams_per_plane") % 2 != 0) {
      report("weight_streams_per_plane",
             "KV in one byte loads from both banks of half as many slices: write an even number");
    }
  }

  // Column tiles lie in as many slices as streams load a plane; buffers and tables need their own.
  void check_slices() {
    const std::int64_t slices = number("mem_slices_per_hemisphere");
    const std::int64_t least = RowAllocator::least_slices(geometry_of(chip_));
    if (slices < least) {
      report("mem_slices_per_hemisphere",
             fmt::format("{} weight streams per plane need at least {}",
                         number("weight_streams_per_plane"), least));
    }
  }

  void check_stream_ids() {
    const Geometry geometry = geometry_of(chip_);
    const int streams = geometry.total_streams_per_direction();
    if (streams > most_stream_ids) {
      report(
          "streams_per_direction",
          fmt::format("with {} weight streams on a side that makes {}, and instructions can name "
                      "{}: write fewer of 'planes' or 'weight_streams_per_plane'",
                      geometry.weight_streams_per_hemisphere(), streams, most_stream_ids));
    }
  }

  const Chip& chip_;
  std::vector<Diagnostic> problems_;
};

}  // namespace

std::vector<Diagnostic> shape_problems(const Chip& chip) {
  return ShapeCheck(chip).run();
}

}  // namespace tandem::lpu
