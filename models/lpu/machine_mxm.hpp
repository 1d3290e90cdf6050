// Matrix planes: shadow and active weights, accumulators, and the order in which they may be used.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "models/lpu/geometry.hpp"
#include "models/lpu/isa.hpp"

namespace tandem::lpu {

/// All planes of a chip. Methods return null, or what is wrong with the order of operations (H5).
///
/// Columns that were never loaded since the run began give zero.
class MatrixPlanes {
 public:
  MatrixPlanes(const Geometry& geometry, const LatencyTable& latency, bool functional);
  void clear();

  /// One LW: `columns[j]` is the vector of weight stream j; empty when not functional.
  void load(const Instruction& instruction, std::int64_t cycle,
            std::span<const std::uint8_t* const> columns);
  [[nodiscard]] const char* install(int plane, std::int64_t cycle);
  /// One ABC; `activation` holds one vector per stream of the type, or is empty.
  [[nodiscard]] const char* activate(const Instruction& instruction, std::int64_t cycle,
                                     std::span<const std::uint8_t* const> activation);
  /// One ACC; on success and in functional runs `values` are the accumulator's columns.
  [[nodiscard]] const char* emit(const Instruction& instruction, std::int64_t cycle,
                                 std::span<const std::uint32_t>& values);

 private:
  struct Weights {
    std::vector<std::uint8_t> bytes;    // [column][row]
    std::vector<std::uint8_t> present;  // per column
  };
  // A shadow column that no LW has written since the last IW stands for the active one.
  struct Accumulator {
    enum class State : std::uint8_t { Empty, Waiting, Emitted } state = State::Empty;
    bool is_integer = false;
    std::int64_t ready = 0;
    std::vector<std::uint32_t> values;
  };
  struct Plane {
    Weights shadow;
    Weights active;
    std::vector<std::uint8_t> fresh;  // per column: written since the last IW
    bool loaded = false;
    bool installed = false;
    std::int64_t shadow_ready = 0;
    std::int64_t active_ready = 0;
    std::int64_t last_use = -1;  // last cycle in which an ABC multiplied with this plane
    bool decoded_valid = false;  // `decoded` holds the active weights as `decoded_type`
    Type decoded_type = Type::Float32;
    std::vector<float> decoded;
    std::vector<Accumulator> accumulators;
  };

  [[nodiscard]] const char* check_plane(const Plane& plane, std::int64_t cycle) const;
  void multiply(const Instruction& instruction, std::span<const std::uint8_t* const> activation,
                Accumulator& accumulator);
  void multiply_wide(const Instruction& instruction,
                     std::span<const std::uint8_t* const> activation, Accumulator& accumulator);
  void decode_weights(int plane, Type type);
  [[nodiscard]] bool has_column(int plane, Type type, std::size_t column) const;

  std::size_t rows_;
  std::size_t columns_;
  int weight_streams_;
  LatencyTable latency_;
  bool functional_;
  std::vector<Plane> planes_;
};

}  // namespace tandem::lpu
