// What is known of the networks in workloads/models from elsewhere: published sizes, and counts
// from an independent derivation out of the same published configurations (a script over the sizes
// of each, not this code).
#pragma once

#include <array>
#include <cstdint>
#include <ostream>
#include <string_view>

namespace tandem::zoo {

/// One network. Counts of parameters leave out modules of multi-token prediction; `active` are
/// those that a token touches, both embeddings whole.
struct Entry {
  std::string_view name;
  std::string_view published_text;  ///< as its maker rounds it
  double published;
  std::string_view published_active;  ///< empty where every token touches all
  double tolerance;                   ///< of total against published
  std::int64_t total;
  std::int64_t active;
  std::int64_t kv_growing;   ///< K and V elements per token in layers without a window
  std::int64_t kv_windowed;  ///< the same in layers with one
  std::int64_t state_bytes;  ///< of Gated DeltaNet in fp32, per sequence
  std::int64_t conv_bytes;   ///< of its convolutions in bfloat16, per sequence
  std::string_view note;
};

/// What failing tests print of an entry.
inline void PrintTo(const Entry& entry, std::ostream* out) {
  *out << entry.name;
}

// Derived elsewhere: every number but those of gpt-3-175b, kimi-k2.5, gemma-2-9b, gemma-3-27b,
// gemma-4-31b and the two of Llama 2, which are sums by hand over the sizes in their files.
// That derivation differs in two places, and the totals here are its own plus:
//  - deepseek-v3.2: the indexer of 61 layers, 61 x (64 x 128 x 1536 + 128 x 7168 + 2 x 128 +
//    64 x 7168) = 851,524,864, and 58 routers' biases of 256 = 14,848;
//  - gemma-4-26b-a4b: in each of 30 layers six norms of 2816 that it leaves out (after attention,
//    after feed-forward, after the dense block, around the experts two, of the router) and 128
//    factors of experts: 30 x (6 x 2816 + 128) = 510,720.
inline constexpr std::array networks = {
    Entry{"deepseek-r1", "671 B", 6.71e+11, "37 B", 0.01, 671026419200, 37552297472, 35136, 0, 0, 0,
          ""},
    Entry{"deepseek-v2", "236 B", 2.36e+11, "21 B", 0.01, 235741434880, 21375800320, 34560, 0, 0, 0,
          ""},
    Entry{"deepseek-v2-lite", "15.7 B", 1.57e+10, "2.4 B", 0.01, 15706484224, 2661150208, 15552, 0,
          0, 0, ""},
    Entry{"deepseek-v3", "671 B", 6.71e+11, "37 B", 0.01, 671026419200, 37552297472, 35136, 0, 0, 0,
          "one module of 11.6 B for multi-token prediction, published as 14 B with its embedding "
          "and head"},
    Entry{"deepseek-v3.2", "671 B", 6.71e+11, "37 B", 0.01, 671877944064, 38403822336, 35136, 0, 0,
          0, "0.85 B of them indexers"},
    Entry{"gemma-2-9b", "9.24 B", 9240000000, "", 0.01, 9241705984, 9241705984, 86016, 86016, 0, 0,
          ""},
    Entry{"gemma-3-27b", "27.0 B", 2.7e+10, "", 0.01, 27009346304, 27009346304, 40960, 212992, 0, 0,
          "text only"},
    Entry{"gemma-4-26b-a4b", "26 B", 2.6e+10, "4 B", 0.03, 25233141760, 3822530560, 10240, 102400,
          0, 0, "text only"},
    Entry{"gemma-4-31b", "30.7 B", 3.07e+10, "", 0.01, 30697345280, 30697345280, 40960, 409600, 0,
          0, "text only"},
    Entry{"gpt-3-175b", "175 B", 1.75e+11, "", 0.01, 174604259328, 174604259328, 2359296, 0, 0, 0,
          "windows of its sparse layers are not published"},
    Entry{"gpt-oss-120b", "116.8 B", 1.1683e+11, "5.1 B", 0.01, 116829156672, 5711982912, 18432,
          18432, 0, 0, ""},
    Entry{"gpt-oss-20b", "20.9 B", 2.091e+10, "3.6 B", 0.01, 20914757184, 4187440704, 12288, 12288,
          0, 0, ""},
    Entry{"kimi-k2", "1 T", 1e+12, "32 B", 0.03, 1026408232448, 32861500928, 35136, 0, 0, 0,
          "published with one digit; 1.04 T in arXiv 2507.20534"},
    Entry{"kimi-k2.5", "1 T", 1e+12, "32 B", 0.03, 1026408232448, 32861500928, 35136, 0, 0, 0,
          "text only; published with one digit"},
    Entry{"llama-2-70b", "70 B", 7e+10, "", 0.02, 68976648192, 68976648192, 163840, 0, 0, 0, ""},
    Entry{"llama-2-7b", "7 B", 7e+9, "", 0.04, 6738415616, 6738415616, 262144, 0, 0, 0, ""},
    Entry{"llama-3.1-405b", "405 B", 4.05e+11, "", 0.01, 405853388800, 405853388800, 258048, 0, 0,
          0, ""},
    Entry{"llama-3.1-70b", "70.6 B", 7.06e+10, "", 0.01, 70553706496, 70553706496, 163840, 0, 0, 0,
          ""},
    Entry{"llama-3.1-8b", "8.03 B", 8030000000, "", 0.01, 8030261248, 8030261248, 65536, 0, 0, 0,
          ""},
    Entry{"llama-3.2-3b", "3.21 B", 3210000000, "", 0.01, 3212749824, 3212749824, 57344, 0, 0, 0,
          ""},
    Entry{"minimax-m2.5", "230 B", 2.3e+11, "10 B", 0.01, 228689764864, 11030553088, 126976, 0, 0,
          0, ""},
    Entry{"mistral-7b", "7.24 B", 7240000000, "", 0.01, 7241732096, 7241732096, 65536, 0, 0, 0, ""},
    Entry{"mistral-7b-v0.1", "7.24 B", 7240000000, "", 0.01, 7241732096, 7241732096, 0, 65536, 0, 0,
          "every layer has a window of 4096 tokens"},
    Entry{"mistral-nemo-12b", "12.2 B", 1.22e+10, "", 0.01, 12247782400, 12247782400, 81920, 0, 0,
          0, ""},
    Entry{"mixtral-8x22b", "141 B", 1.41e+11, "39 B", 0.01, 140620634112, 39152031744, 114688, 0, 0,
          0, ""},
    Entry{"mixtral-8x7b", "46.7 B", 4.67e+10, "12.9 B", 0.01, 46702792704, 12879925248, 65536, 0, 0,
          0, ""},
    Entry{"qwen3-0.6b", "0.6 B", 600000000, "", 0.01, 596049920, 596049920, 57344, 0, 0, 0, ""},
    Entry{"qwen3-235b-a22b", "235 B", 2.35e+11, "22 B", 0.01, 235093634560, 22190763520, 96256, 0,
          0, 0, ""},
    Entry{"qwen3-30b-a3b", "30.5 B", 3.05e+10, "3.3 B", 0.01, 30532122624, 3353032704, 49152, 0, 0,
          0, ""},
    Entry{"qwen2-72b", "72.71 B", 7.271e+10, "", 0.01, 72706203648, 72706203648, 163840, 0, 0, 0,
          ""},
    Entry{"qwen2-7b", "7.62 B", 7620000000, "", 0.01, 7615616512, 7615616512, 28672, 0, 0, 0, ""},
    Entry{"qwen3-32b", "32.8 B", 3.28e+10, "", 0.01, 32762123264, 32762123264, 131072, 0, 0, 0, ""},
    Entry{"qwen3-14b", "14.8 B", 1.48e+10, "", 0.01, 14768307200, 14768307200, 81920, 0, 0, 0, ""},
    Entry{"qwen3-8b", "8.2 B", 8200000000, "", 0.01, 8190735360, 8190735360, 73728, 0, 0, 0, ""},
    Entry{"qwen3-next-80b-a3b", "80 B", 8e+10, "3 B", 0.01, 79674391296, 3874929408, 12288, 0,
          75497472, 1769472, ""},
    Entry{"qwen3.5-122b-a10b", "122 B", 1.22e+11, "10 B", 0.01, 122111526912, 9771288576, 12288, 0,
          150994944, 2654208, "text only"},
    Entry{"qwen3.5-27b", "27 B", 2.7e+10, "", 0.01, 26895998464, 26895998464, 32768, 0, 150994944,
          2949120, "text only"},
    Entry{"qwen3.5-35b-a3b", "35 B", 3.5e+10, "3 B", 0.01, 34660610688, 3454988928, 10240, 0,
          62914560, 1474560, "text only"},
    Entry{"qwen3.5-397b-a17b", "397 B", 3.97e+11, "17 B", 0.01, 396346350336, 17349040896, 15360, 0,
          188743680, 3317760, "text only"},
};

}  // namespace tandem::zoo
