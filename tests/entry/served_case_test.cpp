// Which scenarios do rows of measured services stand for?
#include "sim/entry/systems/served_case.hpp"

#include <gtest/gtest.h>

#include "sim/entry/systems/served_counts.hpp"
#include "sim/entry/systems/served_engine.hpp"
#include "tests/entry/served_rows.hpp"

namespace tandem::entry {
namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

const std::map<std::string, std::string> loop_row = {{"model", "meta-llama/Llama-3.1-70B"},
                                                     {"system", "b200_sxm"},
                                                     {"software", "vllm"},
                                                     {"precision", "fp8"},
                                                     {"mode", "agg"},
                                                     {"isl", "1024"},
                                                     {"osl", "1024"},
                                                     {"concurrency", "16"},
                                                     {"tp", "4.0"}};

TEST(ServedNames, FindWhatOthersCallModelsAndChips) {
  EXPECT_EQ(names().model("meta-llama/Meta-Llama-3.1-70B-Instruct-FP8"), "llama-3.1-70b");
  EXPECT_EQ(names().model("Llama-3.3-70B"), "llama-3.1-70b");
  EXPECT_EQ(names().model("deepseek-ai/DeepSeek-R1-0528"), "deepseek-r1");
  EXPECT_EQ(names().model("mistralai/Mixtral-8x7B-v0.1"), "mixtral-8x7b");
  EXPECT_FALSE(names().model("bigscience/bloom-7b1"));
  EXPECT_EQ(names().chip("Nvidia H100 GPU"), "h100_sxm");
  EXPECT_EQ(names().chip("h100-80gb"), "h100_sxm");
  EXPECT_EQ(names().chip("GB200 NVL72"), "gb200");
  EXPECT_FALSE(names().chip("Intel Gaudi 2"));
  EXPECT_EQ(names().system_of("h100_sxm", 1), "h100_single");
  EXPECT_EQ(names().system_of("h100_sxm", 2), "dgx_h100");
  EXPECT_EQ(names().system_of("h100_sxm", 9), "h100_nodes");
  EXPECT_FALSE(names().system_of("b200_sxm", 100'000));
}

TEST(ServedCase, OfAClosedLoop) {
  const ServedCase served = served_case(served_row(loop_row), names(), "vllm");
  EXPECT_EQ(served.reason, "");
  const auto changes = changes_of(served);
  EXPECT_EQ(changes.at("system"), "dgx_b200");
  EXPECT_TRUE(contains(changes.at("model"), "llama-3.1-70b"));
  EXPECT_TRUE(contains(changes.at("placement"), "tensor: 4,"));
  EXPECT_TRUE(contains(changes.at("placement"), "weights: fp8, kv_cache: fp8,"));
  EXPECT_TRUE(contains(changes.at("traffic"), "start: together, concurrency: 16, requests: 80"));
  EXPECT_TRUE(contains(changes.at("traffic"), "prompt_tokens: 1024"));
  EXPECT_EQ(served.gpus, 4);
}

TEST(ServedCase, DrawsLengthsWhereTheBenchmarkDid) {
  auto cells = loop_row;
  cells["silicon_data_source"] = "db-dump/2026-04-27";
  const auto changes = changes_of(served_case(served_row(cells), names(), "vllm"));
  // From 0.8 to 1.0 of 1024: 0.9 in the middle, a ninth of it to either side.
  EXPECT_TRUE(contains(changes.at("traffic"), "prompt_tokens: 922"));
  EXPECT_TRUE(contains(changes.at("traffic"), "length_spread: 0.111111"));
}

TEST(ServedCase, TakesTheProductOfTwoSharesForOne) {
  auto cells = loop_row;
  cells["model"] = "deepseek-ai/DeepSeek-R1";
  cells["tp"] = "64";
  cells["moe_tp"] = cells["moe_ep"] = "8";
  EXPECT_EQ(served_case(served_row(cells), names(), "vllm").gpus, 8);
  cells["tp"] = "1";
  cells["attention_dp"] = "8";
  cells["moe_tp"] = "1";
  const ServedCase groups = served_case(served_row(cells), names(), "vllm");
  EXPECT_TRUE(contains(changes_of(groups).at("placement"), "attention_data: 8, expert: 8"));
}

TEST(ServedCase, TakesTheChipsThatItsIdNames) {
  const auto placement = [](const char* id, const char* tp, const char* groups,
                            const char* expert) {
    auto cells = loop_row;
    cells["model"] = "deepseek-ai/DeepSeek-R1";
    cells["id"] = id;
    cells["tp"] = tp;
    cells["attention_dp"] = groups;
    cells["moe_ep"] = expert;
    cells["moe_tp"] = "1";
    return changes_of(served_case(served_row(cells), names(), "vllm")).at("placement");
  };
  EXPECT_TRUE(contains(placement("r1_c8_tp4_ep4_950", "16", "1", "4"), "tensor: 4, expert: 4"));
  EXPECT_TRUE(contains(placement("r1_c8_tp8_0_ep8_0_316", "1", "64", "8"), "attention_data: 8,"));
  EXPECT_TRUE(contains(placement("q_c16_tp2_epnone_1", "4", "1", "1"), "tensor: 2,"));
  EXPECT_TRUE(contains(placement("x_agg_1024x1024_c4_cfg1", "4", "1", "1"), "tensor: 4,"));
}

TEST(ServedCase, GivesEachGroupOfAnEngineItsOwnLimits) {
  auto cells = loop_row;
  cells["model"] = "deepseek-ai/DeepSeek-R1";
  cells["tp"] = "1";
  cells["attention_dp"] = cells["moe_ep"] = "8";
  const auto serving = [&](const char* software) {
    cells["software"] = software;
    return changes_of(served_case(served_row(cells), names(), "vllm")).at("serving");
  };
  EXPECT_TRUE(contains(serving("vllm"), "max_batch_tokens: 65536, max_sequences: 8192"));
  EXPECT_TRUE(contains(serving("trtllm"), "max_batch_tokens: 65536,"));
  EXPECT_TRUE(contains(serving("sglang"), "max_batch_tokens: 32768,"));
  cells["mode"] = "disagg";
  cells["prefill_workers"] = cells["decode_workers"] = "1";
  cells["prefill_attention_dp"] = "4";
  cells["decode_tp"] = "8";
  EXPECT_TRUE(contains(serving("trtllm"), "max_batch_tokens: 32768,"));
}

TEST(ServedCase, LetsNoMoreRequestsRunThanAStepHasTokens) {
  auto cells = loop_row;
  cells["model"] = "deepseek-ai/DeepSeek-R1";
  cells["software"] = "trtllm";
  cells["drafts"] = "3";
  // Four tokens of each of 16 users and a prompt, in steps of 64.
  EXPECT_TRUE(
      contains(changes_of(served_case(served_row(cells), names(), "tensorrt_llm")).at("serving"),
               "max_batch_tokens: 1152, max_sequences: 1152,"));
}

TEST(ServedCase, DoesNotTakeWhatAnEngineHasAtOnceForItsUsers) {
  auto cells = loop_row;
  cells["concurrency"] = "";
  cells["batch_size"] = "24";
  cells["silicon_data_source"] = "source_file=qwen3_32b.csv";
  EXPECT_EQ(served_case(served_row(cells), names(), "vllm").reason,
            "no number of users in the row");
}

TEST(ServedCase, LaunchesDependentlyWhereTheScriptsAskForIt) {
  const auto is_asked = [](const char* model, const char* version) {
    auto cells = loop_row;
    cells["model"] = model;
    cells["software"] = "trtllm";
    cells["software_version"] = version;
    return changes_of(served_case(served_row(cells), names(), "tensorrt_llm"))
        .contains("software.dependent_launch");
  };
  EXPECT_TRUE(is_asked("openai/gpt-oss-120b", "1.2.0rc2"));
  EXPECT_FALSE(is_asked("openai/gpt-oss-120b", "1.0.0rc3"));
  EXPECT_FALSE(is_asked("deepseek-ai/DeepSeek-R1", "1.2.0rc6.post2"));
}

TEST(ServedCase, DraftsWhereTheRowDoes) {
  auto cells = loop_row;
  cells["model"] = "deepseek-ai/DeepSeek-R1";
  cells["software"] = "trtllm";
  cells["tp"] = "8";
  EXPECT_FALSE(
      changes_of(served_case(served_row(cells), names(), "tensorrt_llm")).contains("speculation"));
  cells["drafts"] = "3";
  auto changes = changes_of(served_case(served_row(cells), names(), "tensorrt_llm"));
  EXPECT_TRUE(contains(changes.at("speculation"), "method: mtp, drafts: 3,"));
  // Four tokens of each of 16 users and a prompt: 64 + 1024 + 127, in steps of 64.
  EXPECT_TRUE(contains(changes.at("serving"), "max_batch_tokens: 1152,"));
  cells["tp"] = "1";
  cells["attention_dp"] = cells["moe_ep"] = "8";
  cells["drafts"] = "1";
  changes = changes_of(served_case(served_row(cells), names(), "tensorrt_llm"));
  // Per group two tokens of two users and a prompt: 4 + 1024 + 127.
  EXPECT_TRUE(contains(changes.at("serving"), "max_batch_tokens: 9216,"));
  EXPECT_TRUE(contains(changes.at("serving"), "balanced_groups: 8, balance_wait_steps: 60"));
  cells["software"] = "sglang";
  changes = changes_of(served_case(served_row(cells), names(), "sglang"));
  EXPECT_TRUE(contains(changes.at("serving"), "policy: vllm_v1, max_batch_tokens: 16384,"));
  EXPECT_TRUE(contains(changes.at("serving"), "batch_wait_steps: 15,"));
}

TEST(ServedCase, LeavesOutBatchesThatWereCutOff) {
  std::map<std::string, std::string> cells = {
      {"model", "llama2-70b"}, {"system", "h100-80gb"}, {"tp", "2"},
      {"isl", "512"},          {"osl", "128"},          {"batch", "64"}};
  const char* file = "e2e/splitwise_perf_llama2_70b.csv";
  EXPECT_EQ(framework_of(served_row(cells, file)), "vLLM 2023");
  EXPECT_EQ(served_case(served_row(cells, file), names(), "vllm_2023").reason,
            "time of the row is not that of its tokens");
  EXPECT_EQ(served_case(served_row(cells), names(), "vllm_2023").reason, "");
  cells["batch"] = "32";
  EXPECT_EQ(served_case(served_row(cells, file), names(), "vllm_2023").reason, "");
  cells["osl"] = "1200";
  EXPECT_NE(served_case(served_row(cells, file), names(), "vllm_2023").reason, "");
}

TEST(ServedCase, OfAlcfRunsOnTheChipsOfPolaris) {
  const std::map<std::string, std::string> cells = {{"model", "mistralai/Mistral-7B-v0.1"},
                                                    {"system", "Nvidia A100 GPU"},
                                                    {"gpus", "4"},
                                                    {"software", "TensorRT-LLM"},
                                                    {"isl", "128"},
                                                    {"osl", "128"},
                                                    {"batch", "16"}};
  const char* file = "e2e/argonne_llm_inference_bench_a100_h100.csv";
  const ServedRow row = served_row(cells, file);
  EXPECT_EQ(framework_of(row), "TensorRT-LLM 2024");
  const ServedCase served = served_case(row, names(), "tensorrt_llm_2024");
  EXPECT_EQ(served.chip, "a100_sxm_40gb");
  EXPECT_EQ(changes_of(served).at("system"), "polaris_node");
  EXPECT_EQ(served.statistic, ServedStatistic::Batch);
  auto ended = cells;
  ended["Latency"] = "0.25";  // 128 tokens in less than 0.256 s
  EXPECT_NE(served_case(served_row(ended, file), names(), "tensorrt_llm_2024").reason, "");
  ended["Latency"] = "0.26";
  EXPECT_EQ(served_case(served_row(ended, file), names(), "tensorrt_llm_2024").reason, "");
}

constexpr const char* inferencex_table =
    "model,mode,system,software,software_version,precision,isl,osl,concurrency,silicon_ttft_ms,"
    "silicon_tpot_ms,silicon_data_source,tp,attention_dp,prefill_workers,prefill_tp,"
    "prefill_attention_dp,decode_workers,decode_tp,decode_attention_dp,decode_moe_ep\n"
    // Of the database, complete.
    "DeepSeek-V3,disagg,h100_sxm,trtllm,,fp8,1024,1024,30,100.5,20.25,db-dump,,,1,1,16,3,16,1,16\n"
    "DeepSeek-V3,agg,b200_sxm,sglang,0.5.9,fp8,1024,1024,4,50,9,db-dump,8,1,,,,,,,\n"
    // The first again, another run of its load, and loads that nobody lists.
    "DeepSeek-R1,disagg,h100_sxm,trtllm,,fp8,1024,1024,30,100.50001,20.25,,,,,16,1,,16,1,16\n"
    "DeepSeek-R1,disagg,h100_sxm,trtllm,,fp8,1024,1024,30,70,12.5,,,,,16,1,,16,1,16\n"
    "DeepSeek-R1,disagg,h100_sxm,trtllm,,fp8,1024,1024,231,70,12.5,,,,,16,1,,16,1,16\n"
    "DeepSeek-R1,disagg,h100_sxm,trtllm,,fp8,1024,1024,615,70,12.5,,,,,16,1,,16,1,16\n"
    // One pool: the listed run, another one, four chips, images with and without drafts.
    "DeepSeek-R1,agg,b200_sxm,sglang,0.5.9,fp8,1024,1024,4,50,9,,8,1,,,,,,,\n"
    "DeepSeek-R1,agg,b200_sxm,sglang,0.5.9,fp8,1024,1024,4,60,6,,8,1,,,,,,,\n"
    "DeepSeek-R1,agg,b200_sxm,sglang,0.5.9,fp8,1024,1024,4,60,7,,4,1,,,,,,,\n"
    "DeepSeek-R1,agg,b200_sxm,trtllm,1.2.0rc6.post3,fp8,1024,1024,4,60,7,,8,1,,,,,,,\n"
    "DeepSeek-R1,agg,b200_sxm,trtllm,1.2.0rc6.post3,fp8,1024,1024,256,60,7,,1,8,,,,,,,\n"
    "DeepSeek-R1,agg,b200_sxm,trtllm,1.1.0rc2.post2,fp8,1024,1024,4,60,7,measured=2026-01-14,8,1,,,"
    ",,,,\n"
    "DeepSeek-R1,agg,b200_sxm,trtllm,1.1.0rc2.post2,fp8,1024,1024,4,60,7,measured=2025-12-15,8,1,,,"
    ",,,,\n";

ServedRow completed(std::size_t row) {
  ManifestSystemTable table;
  const CsvTable csv("rows.csv", inferencex_table);
  ServedRow served(table, csv, row);
  EngineCounts(table, csv).complete(served);
  return served;
}

TEST(EngineCounts, AreThoseOfTheSameRunOrOfThePublishedRunOfTheLoad) {
  // The same times: pools are shared as there.
  EXPECT_EQ(completed(2).text("decode_workers"), "3");
  EXPECT_EQ(completed(2).text("prefill_attention_dp"), "16");
  EXPECT_EQ(completed(2).text("drafts"), "0");
  // Two runs were published with 30 users; the one without drafts is another row.
  EXPECT_EQ(completed(3).text("drafts"), "3");
  EXPECT_EQ(completed(3).text("decode_workers"), "3");
  EXPECT_EQ(completed(3).text("decode_moe_ep"), "16");
  EXPECT_EQ(completed(3).text("prefill_tp"), "1");
  // Both of 231 users could be this one.
  EXPECT_EQ(completed(4).text("decode_workers"), "");
  EXPECT_EQ(completed(4).text("drafts"), "");
  // 615 users: one engine that decodes, each of its chips for its own requests.
  EXPECT_EQ(completed(5).text("drafts"), "2");
  EXPECT_EQ(completed(5).text("decode_workers"), "1");
  EXPECT_EQ(completed(5).text("decode_attention_dp"), "16");
}

TEST(EngineCounts, SayWhichEnginesDraft) {
  EXPECT_EQ(completed(1).text("drafts"), "0");
  EXPECT_EQ(completed(6).text("drafts"), "0");
  EXPECT_EQ(completed(7).text("drafts"), "2");
  EXPECT_EQ(completed(8).text("drafts"), "0");
  EXPECT_EQ(completed(9).text("drafts"), "3");
  EXPECT_EQ(completed(10).text("drafts"), "1");
  EXPECT_EQ(completed(11).text("drafts"), "3");
  EXPECT_EQ(completed(12).text("drafts"), "0");
}

TEST(ServedCase, ReadsTheNameOfARunWhereColumnsAreEmpty) {
  const ServedRow row = served_row({{"file", "minimax_m25_vllm_dep8_isl1024_osl128_conc16"},
                                    {"model", "MiniMaxAI/MiniMax-M2.5"},
                                    {"system", "h200_sxm"},
                                    {"gpus", "8"},
                                    {"software", "vLLM"}});
  const ServedCase served = served_case(row, names(), "vllm");
  EXPECT_EQ(served.reason, "");
  EXPECT_TRUE(contains(changes_of(served).at("placement"), "attention_data: 8, expert: 8"));
  EXPECT_TRUE(contains(changes_of(served).at("traffic"), "concurrency: 16"));
  EXPECT_TRUE(contains(changes_of(served).at("traffic"), "output_tokens: 128"));
  EXPECT_TRUE(contains(changes_of(served).at("placement"), "weights: fp8_block"));
}

TEST(ServedCase, SaysWhyARowIsNotPredicted) {
  const auto reason = [&](const char* name, const char* value) {
    auto cells = loop_row;
    cells[name] = value;
    return served_case(served_row(cells), names(), "vllm").reason;
  };
  EXPECT_EQ(reason("model", "bloom"), "model 'bloom' is not in workloads/models");
  EXPECT_EQ(reason("system", "tpu"), "chip 'tpu' is not in hw_configs/chips");
  EXPECT_EQ(reason("osl", ""), "lengths of prompts or answers are not in the row");
  EXPECT_EQ(reason("mode", "disagg"),
            "disaggregated vLLM, engines and drafts not known by its load");
  EXPECT_EQ(served_case(served_row(loop_row), names(), "generic").reason,
            "no software layer for 'vllm'");
}

}  // namespace
}  // namespace tandem::entry
