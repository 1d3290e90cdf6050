#include "sim/entry/systems/published_engines.hpp"

#include <algorithm>

namespace tandem::entry {
namespace {

/// How a decoding engine shares the model: its tokens over all chips with experts cut likewise,
/// with experts apart, or requests apart with experts apart.
enum class Sharing : std::uint8_t { Tensor, TensorExperts, Groups };

struct Run {
  const char* chip;
  const char* precision;
  std::int64_t prompt;
  std::int64_t drafts;
  std::vector<std::int64_t> users;
  std::int64_t prefill_engines, prefill_chips;
  std::int64_t decode_engines, decode_chips;
  Sharing sharing;
};

constexpr std::int64_t answer_tokens = 1024;
constexpr Sharing tp = Sharing::Tensor, tep = Sharing::TensorExperts, dep = Sharing::Groups;

/// DeepSeek-R1 on TensorRT-LLM under Dynamo: dsr1-*-dynamo-trt of
/// .github/configs/nvidia-master.yaml in SemiAnalysisAI/InferenceX@0004cf5; drafts are in the names
/// of the recipes that it points to.
const std::vector<Run>& runs() {
  static const std::vector<Run> all = {
      {"b200_sxm", "fp4", 1024, 3, {6, 10, 15, 25, 45, 90, 180}, 1, 4, 5, 8, tep},
      {"b200_sxm", "fp4", 1024, 3, {875}, 1, 4, 5, 8, dep},
      {"b200_sxm", "fp4", 1024, 2, {1214}, 1, 4, 2, 8, dep},
      {"b200_sxm", "fp4", 1024, 1, {4968}, 3, 4, 4, 8, dep},
      {"b200_sxm", "fp4", 1024, 1, {10860}, 3, 4, 5, 4, dep},
      {"b200_sxm", "fp4", 1024, 0, {6, 10, 15, 25, 45, 90, 180}, 1, 4, 5, 8, tep},
      {"b200_sxm", "fp4", 1024, 0, {450}, 1, 4, 6, 8, tep},
      {"b200_sxm", "fp4", 1024, 0, {1365}, 1, 4, 5, 8, dep},
      {"b200_sxm", "fp4", 1024, 0, {2192}, 1, 4, 2, 8, dep},
      {"b200_sxm", "fp4", 1024, 0, {4096}, 1, 4, 1, 8, dep},
      {"b200_sxm", "fp4", 8192, 3, {6, 10, 15, 30, 60}, 1, 4, 5, 8, tep},
      {"b200_sxm", "fp4", 8192, 3, {66}, 1, 4, 3, 8, tep},
      {"b200_sxm", "fp4", 8192, 3, {90}, 1, 4, 1, 8, dep},
      {"b200_sxm", "fp4", 8192, 3, {548}, 3, 4, 1, 8, dep},
      {"b200_sxm", "fp4", 8192, 3, {658}, 5, 4, 2, 8, dep},
      {"b200_sxm", "fp4", 8192, 1, {1096, 1691}, 5, 4, 1, 8, dep},
      {"b200_sxm", "fp4", 8192, 0, {6, 10, 15, 25, 50, 100}, 1, 4, 5, 8, tep},
      {"b200_sxm", "fp4", 8192, 0, {370}, 2, 4, 5, 8, tep},
      {"b200_sxm", "fp4", 8192, 0, {837}, 4, 4, 3, 8, dep},
      {"b200_sxm", "fp4", 8192, 0, {1606}, 4, 4, 1, 8, dep},
      {"b200_sxm", "fp4", 8192, 0, {2222}, 7, 4, 2, 8, dep},
      {"b200_sxm", "fp8", 1024, 3, {8, 32, 64, 256}, 1, 8, 8, 8, tp},
      {"b200_sxm", "fp8", 1024, 3, {896}, 1, 8, 7, 8, dep},
      {"b200_sxm", "fp8", 1024, 3, {1024}, 1, 8, 4, 8, dep},
      {"b200_sxm", "fp8", 1024, 3, {1184}, 1, 8, 3, 8, dep},
      {"b200_sxm", "fp8", 1024, 2, {1600}, 1, 8, 2, 8, dep},
      {"b200_sxm", "fp8", 1024, 0, {4, 32, 128}, 1, 8, 3, 8, tp},
      {"b200_sxm", "fp8", 1024, 0, {1920}, 1, 8, 5, 8, dep},
      {"b200_sxm", "fp8", 1024, 0, {4096}, 1, 8, 1, 8, dep},
      {"b200_sxm", "fp8", 1024, 0, {5152}, 2, 8, 5, 8, dep},
      {"b200_sxm", "fp8", 8192, 3, {8, 48}, 1, 8, 6, 8, tp},
      {"b200_sxm", "fp8", 8192, 3, {8}, 1, 8, 2, 8, tp},
      {"b200_sxm", "fp8", 8192, 3, {64}, 1, 8, 4, 8, tp},
      {"b200_sxm", "fp8", 8192, 3, {224}, 2, 8, 3, 8, dep},
      {"b200_sxm", "fp8", 8192, 3, {288}, 2, 8, 1, 8, dep},
      {"b200_sxm", "fp8", 8192, 2, {1088}, 4, 8, 1, 8, dep},
      {"b200_sxm", "fp8", 8192, 0, {1}, 1, 8, 1, 8, tp},
      {"b200_sxm", "fp8", 8192, 0, {32, 128}, 1, 8, 4, 8, tp},
      {"b200_sxm", "fp8", 8192, 0, {96}, 1, 8, 6, 8, tp},
      {"b200_sxm", "fp8", 8192, 0, {128, 256}, 1, 8, 1, 8, dep},
      {"b200_sxm", "fp8", 8192, 0, {128}, 1, 8, 2, 8, dep},
      {"b200_sxm", "fp8", 8192, 0, {640}, 2, 8, 1, 8, dep},
      {"h100_sxm", "fp8", 1024, 3, {6, 9, 30, 60, 117, 462}, 1, 16, 3, 16, tep},
      {"h100_sxm", "fp8", 1024, 3, {231}, 1, 16, 3, 16, dep},
      {"h100_sxm", "fp8", 1024, 2, {615}, 1, 16, 1, 16, dep},
      {"h100_sxm", "fp8", 1024, 1, {1229}, 1, 16, 1, 16, dep},
      {"h100_sxm", "fp8", 1024, 0, {6, 9, 30, 60}, 1, 16, 3, 16, tep},
      {"h100_sxm", "fp8", 1024, 0, {231, 462, 924, 1845}, 1, 16, 3, 16, dep},
      {"h100_sxm", "fp8", 1024, 0, {4916}, 2, 16, 1, 16, dep},
      {"h100_sxm", "fp8", 8192, 3, {6, 9, 30}, 1, 16, 3, 16, tep},
      {"h100_sxm", "fp8", 8192, 3, {77}, 1, 16, 1, 16, dep},
      {"h100_sxm", "fp8", 8192, 3, {154}, 2, 16, 1, 16, dep},
      {"h100_sxm", "fp8", 8192, 0, {6, 9, 30}, 1, 16, 3, 16, tep},
      {"h100_sxm", "fp8", 8192, 0, {154}, 1, 16, 2, 16, tep},
      {"h100_sxm", "fp8", 8192, 0, {308}, 2, 16, 1, 16, dep}};
  return all;
}

PublishedPool pool_of(std::int64_t engines, std::int64_t chips, Sharing sharing) {
  if (sharing == dep) return {engines, 1, chips, chips};
  return {engines, chips, 1, sharing == tep ? chips : 1};
}

}  // namespace

std::vector<PublishedEngines> published_engines(const ServedRow& row) {
  std::vector<PublishedEngines> found;
  if (row.text("software") != "trtllm" || !mentions(row.text("model"), "DeepSeek")) return found;
  if (row.count("osl", 0) != answer_tokens) return found;
  for (const Run& run : runs()) {
    const bool is_here = row.text("system") == run.chip && row.text("precision") == run.precision &&
                         row.count("isl", 0) == run.prompt;
    const std::int64_t users = row.count("concurrency", 0);
    if (!is_here || std::ranges::find(run.users, users) == run.users.end()) continue;
    found.push_back({run.drafts, pool_of(run.prefill_engines, run.prefill_chips, dep),
                     pool_of(run.decode_engines, run.decode_chips, run.sharing)});
  }
  return found;
}

}  // namespace tandem::entry
