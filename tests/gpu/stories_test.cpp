// Does the GPU write, in fp32, the text of the reference program (llama2.c, greedy)?
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "models/gpu/gpu_chip.hpp"
#include "models/gpu/loaded_stage.hpp"
#include "tests/gpu/test_chips.hpp"

namespace tandem::gpu {
namespace {

/// Pieces of a llama2.c tokenizer file: maximum length, then score, length and bytes of each.
std::vector<std::string> read_vocabulary(const std::string& path, int size) {
  std::ifstream file(path, std::ios::binary);
  std::vector<std::string> pieces;
  std::int32_t length = 0;
  float score = 0;
  file.read(reinterpret_cast<char*>(&length), 4);
  for (int i = 0; i < size; ++i) {
    file.read(reinterpret_cast<char*>(&score), 4);
    file.read(reinterpret_cast<char*>(&length), 4);
    std::string piece(static_cast<std::size_t>(length), ' ');
    file.read(piece.data(), length);
    pieces.push_back(piece);
  }
  return pieces;
}

std::string piece_text(const std::vector<std::string>& pieces, std::int32_t before,
                       std::int32_t token) {
  std::string piece = pieces[static_cast<std::size_t>(token)];
  if (before == 1 && !piece.empty() && piece[0] == ' ') piece.erase(0, 1);
  unsigned byte = 0;
  if (std::sscanf(piece.c_str(), "<0x%02X>", &byte) == 1) return {static_cast<char>(byte)};
  return piece;
}

TEST(Stories, GreedyTextAndLogitsOfTheReferenceProgram) {
  const char* data = std::getenv("TANDEM_DATA");
  const std::string folder = std::string(data == nullptr ? "" : data) + "/models/stories260K/";
  if (!std::filesystem::exists(folder + "stories260K.bin")) {
    GTEST_SKIP() << "needs TANDEM_DATA with models/stories260K, which may not be redistributed";
  }
  const LlamaWeights weights = read_llama2c_checkpoint(folder + "stories260K.bin");
  const auto pieces = read_vocabulary(folder + "tok512.bin", 512);
  const GpuChip chip(large_chip(), Software{});
  const Precision fp32{ElementType::Float32, ElementType::Float32, ElementType::Float32};
  const auto stage = load_on_gpu(chip, whole_model(weights.network, fp32), weights, 256);
  std::ifstream logits_file(folder + "logits_empty_prompt_64.jsonl");
  std::string text;
  std::int32_t token = 1;
  double worst = 0;
  for (std::int64_t position = 0; position < 200; ++position) {
    StageData in;
    StageData out;
    in.tokens = {token};
    (void)stage->run({{{0, position, 1, true}}}, in, out);
    std::string line;
    if (std::getline(logits_file, line)) {
      std::istringstream numbers(line.substr(line.find("logits\":[") + 9));
      for (std::int64_t v = 0; v < 512; ++v) {
        double expected = 0;
        char comma = 0;
        numbers >> expected >> comma;
        worst = std::max(worst, std::abs(expected - static_cast<double>(out.logits.load(v))));
      }
    }
    std::int32_t best = 0;
    for (std::int32_t v = 1; v < 512; ++v) {
      if (out.logits.load(v) > out.logits.load(best)) best = v;
    }
    if (best == 1) break;
    text += piece_text(pieces, token, best);
    token = best;
  }
  std::ostringstream expected;
  expected << std::ifstream(folder + "expected_greedy_200.txt").rdbuf();
  EXPECT_EQ(text, expected.str());
  EXPECT_LT(worst, 1e-3);
  RecordProperty("worst_logit_error", std::to_string(worst));
}

}  // namespace
}  // namespace tandem::gpu
