// Broken schedules, made on purpose: one mutation of a program that is right by construction, aimed
// at one hazard class H1..H10.
#pragma once

#include <optional>
#include <string>

#include "tests/lpu/random_program.hpp"

namespace tandem::lpu::testing {

inline constexpr int hazard_classes = 10;

/// A mutant of class `hazard` (1..10); none where the program has nothing for the chosen mutation
/// to act on, or where the mutant would be the same program.
[[nodiscard]] std::optional<ProgramImage> mutate(const RandomProgram& program,
                                                 const ProgramImage& original, int hazard,
                                                 RandomStream& random, const Geometry& geometry);

/// What became of a mutant.
enum class Verdict : std::uint8_t {
  RejectedAndFaults,
  RejectedAndDiffers,
  RejectedAndSame,  // a false reject
  AcceptedAndSame,
  AcceptedAndFaults,   // a miss
  AcceptedAndDiffers,  // a miss
};
inline constexpr int verdicts = 6;

/// What a run leaves behind: the rows that the original program reads or writes and the vectors on
/// links; or the fault that ended it.
struct Outcome {
  bool faulted = false;
  std::vector<std::vector<std::uint8_t>> rows;
  std::vector<LinkVector> outbound;
  bool operator==(const Outcome&) const = default;
};
[[nodiscard]] Outcome run_checked(const ProgramImage& image, const RandomProgram& program,
                                  std::uint16_t register_value, const Geometry& geometry);

/// Verifies and runs a mutant, with register 1 at zero and at its limit.
[[nodiscard]] Verdict judge(const ProgramImage& mutant, const ProgramImage& original,
                            const RandomProgram& program, const Geometry& geometry,
                            std::string& rule);

}  // namespace tandem::lpu::testing
