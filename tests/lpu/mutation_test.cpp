// Mutants of every hazard class against verifier and machine. TANDEM_LPU_MUTANTS sets how many per
// class; TANDEM_LPU_MUTATION_TABLE names a file for the confusion matrix (scripts/lpu_mutation.sh).
#include "tests/lpu/mutation.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "tests/lpu/random_instruction.hpp"

namespace tandem::lpu {
namespace {

using testing::hazard_classes;
using testing::Verdict;

struct Row {
  std::array<int, testing::verdicts> counts{};
  int by_own_rule = 0;
  [[nodiscard]] int of(Verdict verdict) const { return counts[static_cast<std::size_t>(verdict)]; }
  [[nodiscard]] int rejected() const {
    return of(Verdict::RejectedAndFaults) + of(Verdict::RejectedAndDiffers) +
           of(Verdict::RejectedAndSame);
  }
};

constexpr std::uint64_t mutation_seed = 31;

Row mutants_of(int hazard, int wanted, std::string& first_miss) {
  const Geometry geometry = testing::lpu_v1();
  RandomStream random(mutation_seed, "mutants " + std::to_string(hazard));
  Row row;
  const std::string own = "H" + std::to_string(hazard);
  for (int made = 0; made < wanted;) {
    const testing::RandomProgram program = testing::random_program(random, geometry);
    const ProgramImage original = emit(program, geometry);
    for (int tries = 0; tries < 20 && made < wanted; ++tries) {
      const auto mutant = testing::mutate(program, original, hazard, random, geometry);
      if (!mutant) continue;
      ++made;
      std::string rule;
      const Verdict verdict = testing::judge(*mutant, original, program, geometry, rule);
      ++row.counts[static_cast<std::size_t>(verdict)];
      if (rule == own) ++row.by_own_rule;
      const bool miss =
          verdict == Verdict::AcceptedAndFaults || verdict == Verdict::AcceptedAndDiffers;
      if (miss && first_miss.empty()) first_miss = own + " mutant " + std::to_string(made);
    }
  }
  return row;
}

int wanted_mutants() {
  const char* wanted = std::getenv("TANDEM_LPU_MUTANTS");
  return wanted == nullptr ? 12 : std::atoi(wanted);
}

std::string line_of(int hazard, const Row& row) {
  std::ostringstream line;
  line << "| H" << hazard << " | ";
  int all = 0;
  for (const int count : row.counts) all += count;
  line << all;
  for (const int count : row.counts) line << " | " << count;
  line << " | " << row.by_own_rule << " |\n";
  return line.str();
}

TEST(Mutation, EveryMutantIsRejectedOrHarmlessAndEveryRejectedOneIsHarmful) {
  std::string table, first_miss;
  int rejected = 0, false_rejects = 0;
  for (int hazard = 1; hazard <= hazard_classes; ++hazard) {
    const Row row = mutants_of(hazard, wanted_mutants(), first_miss);
    table += line_of(hazard, row);
    rejected += row.rejected();
    false_rejects += row.of(Verdict::RejectedAndSame);
    EXPECT_EQ(row.of(Verdict::AcceptedAndFaults), 0) << "H" << hazard << ", seed " << mutation_seed;
    EXPECT_EQ(row.of(Verdict::AcceptedAndDiffers), 0)
        << "H" << hazard << ", seed " << mutation_seed;
  }
  EXPECT_EQ(first_miss, "");
  EXPECT_LE(100 * false_rejects, rejected);
  if (const char* path = std::getenv("TANDEM_LPU_MUTATION_TABLE"); path != nullptr) {
    std::ofstream(path) << table;
  }
}

}  // namespace
}  // namespace tandem::lpu
