// Programs that `tandem lpu compile` writes and those that users bring.
#include "sim/entry/lpu_tools.hpp"

#include <gtest/gtest.h>

#include "models/lpu/assembler.hpp"
#include "models/lpu/chip_model.hpp"
#include "models/lpu/chip_params.hpp"
#include "sim/step/pool_fit.hpp"

namespace tandem::entry {
namespace {

class LpuTools : public testing::Test {
 protected:
  Context context_ = make_context();

  [[nodiscard]] Scenario scenario(const std::string& name,
                                  const std::vector<std::string>& overrides) const {
    return context_.loader.scenario(name, parse_overrides(overrides));
  }
  [[nodiscard]] OpenProgram written(const std::vector<std::uint8_t>& bytes) const {
    const std::string file = testing::TempDir() + "tools.lpu";
    write_output(file, [&](std::ostream& out) {
      out.write(reinterpret_cast<const char*>(bytes.data()),
                static_cast<std::streamsize>(bytes.size()));
    });
    return open_program(context_, file);
  }
  [[nodiscard]] OpenProgram assembled(const std::string& text) const {
    const lpu::Geometry geometry = lpu::geometry_of(context_.loader.chip("lpu_v1"));
    lpu::ProgramImage image = lpu::assemble(text, geometry, "t.lpuasm");
    image.program.chip = "lpu_v1";
    return written(lpu::encode_program(image, geometry));
  }
};

std::int64_t cycles_in(const std::string& text) {
  const std::size_t at = text.find("cycles ");
  return std::stoll(text.substr(at + 7));
}

// A machine that runs the file takes the cycles with which the chip model answers for a batch of as
// many first tokens: the file holds the program that the service is timed with.
TEST_F(LpuTools, CompiledProgramsAreThoseThatRunsAreTimedWith) {
  const Scenario served = scenario("little_tales_lpu", {});
  const PoolPlacement& placement = lpu_placement(served);
  const auto chip = lpu::make_lpu_chip(served.system.chips.at("lpu_v1"), served.software);
  const Stage stage = require_fit(fit_question(served, *chip), placement).stages.front();
  ASSERT_GT(stage.longest_request, 0);
  for (const int tokens : {1, 4}) {
    const auto parts = compile_scenario(served, {tokens, false, false});
    ASSERT_EQ(parts.size(), 1U);
    Batch batch;
    for (int r = 0; r < tokens; ++r) batch.slices.push_back({r, 0, 1, true});
    const std::string ran = run_program(written(parts.front().bytes), {}, false);
    EXPECT_EQ(cycles_in(ran), chip->simulate(stage, batch).cycles.count()) << tokens;
    const auto program = lpu::program_of_run(*chip, stage, tokens);
    EXPECT_EQ(parts.front().bytes,
              lpu::encode_program({program->program_of(0), {}}, lpu::geometry_of(chip->chip())));
  }
}

TEST_F(LpuTools, NumbersOfTokensWithoutAProgramAreRefused) {
  const Scenario served = scenario("little_tales_lpu", {});
  for (const int tokens : {0, 3, 32}) {
    EXPECT_THROW(static_cast<void>(compile_scenario(served, {tokens, false, false})), ModelError);
  }
}

TEST_F(LpuTools, LayersWithStatesAreExplained) {
  const Scenario served =
      scenario("little_tales_lpu",
               {"model=qwen35-tiny", "traffic.prompt_tokens=16", "traffic.output_tokens=16"});
  const std::string text = compile_scenario(served, {1, true, false}).front().explanation;
  for (const char* name : {"delta projections", "delta states asked", "delta states updated"}) {
    EXPECT_NE(text.find(name), std::string::npos) << name;
  }
}

// The write finds no vector on its stream.
TEST_F(LpuTools, ProgramsOfUsersThatBreakARuleAreTheirs) {
  const OpenProgram program = assembled("queue MEM_W10\n  notify\n  sync\n  mem write 1:7 E0\n");
  try {
    static_cast<void>(run_program(program, {}, false));
    FAIL() << "ran";
  } catch (const ConfigError& error) {
    EXPECT_EQ(error.diagnostics().front().place.file, program.file);
  }
}

TEST_F(LpuTools, CyclesOfAssumedChipsSaySo) {
  const OpenProgram program = assembled("queue MEM_W10\n  notify\n  sync\n  mem read 0:5 E0\n");
  EXPECT_EQ(program.note.substr(0, 8), "lpu_v1: ");
  EXPECT_EQ(run_program(program, {}, false).substr(0, program.note.size()), program.note);
}

}  // namespace
}  // namespace tandem::entry
