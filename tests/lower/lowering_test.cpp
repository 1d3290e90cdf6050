// Does lowering cover every kind of layer: each matrix once, phases apart, windows kept, parts
// adding up to the whole?
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "sim/core/diagnostics.hpp"
#include "sim/core/random.hpp"
#include "sim/describe/tensors.hpp"
#include "sim/lower/floor.hpp"
#include "sim/lower/role_totals.hpp"
#include "tests/lower/networks.hpp"
#include "tests/lower/tiny_networks.hpp"
#include "tests/support/property.hpp"

namespace tandem {
namespace {

Batch random_batch(RandomStream& random, bool decodes, bool prefills) {
  Batch batch;
  const std::int64_t slices = random.integer(1, 4);
  for (std::int64_t i = 0; i < slices; ++i) {
    const bool decode = decodes && (!prefills || i % 2 == 0);
    if (decode) {
      batch.slices.push_back({i, random.integer(1, 40), 1, true});
    } else {
      batch.slices.push_back({i, random.integer(0, 1) * random.integer(1, 30),
                              random.integer(2, 25), random.integer(0, 1) == 1});
    }
  }
  batch.slices[0].wants_logits = true;
  return batch;
}

std::set<std::string_view> roles_of(const KernelGraph& graph) {
  std::set<std::string_view> roles;
  for (const Kernel& kernel : graph.kernels) roles.insert(kernel.role);
  return roles;
}

/// Bytes of weights that a pass touches, each matrix once.
std::int64_t weights_read(const KernelGraph& graph) {
  std::int64_t total = 0;
  for (const Kernel& kernel : graph.kernels) {
    if (!kernel.repeats_weights) total += work_of(kernel).weight_bytes.count();
  }
  return total;
}

/// The same from the list of tensors: routed experts as far as the batch touches them; without
/// tables, which are looked up row by row; a tied table counts as the head.
std::int64_t weights_listed(const NeuralNetwork& network, std::int64_t tokens) {
  std::int64_t total = network.tied_embeddings ? network.vocabulary * network.hidden : 0;
  total += network.norm.kind == NormKind::Layer ? 2 * network.hidden : network.hidden;
  if (!network.tied_embeddings) total += network.vocabulary * network.hidden;
  for (const std::int32_t kind : network.pattern) {
    const LayerKind& layer = network.kinds[static_cast<std::size_t>(kind)];
    for (const TensorSpec& tensor : tensors_of(network, layer)) {
      std::int64_t elements = tensor.elements();
      if (tensor.role == TensorRole::Expert) {
        const ops::Router& router = layer.ffn.experts->router;
        const std::vector<std::int64_t> rows = expert_rows(tokens, router);
        const auto idle = std::count(rows.begin(), rows.end(), 0);
        elements = elements / router.experts * (router.experts - idle);
      }
      total += elements;
    }
  }
  return 2 * total;
}

TEST(Lowering, every_matrix_is_read_once_whatever_the_batch) {
  const int cases = test::property_cases(60);
  for (int seed = 0; seed < cases; ++seed) {
    for (const NeuralNetwork& network : test::tiny_networks()) {
      SCOPED_TRACE(testing::Message() << network.name << " seed " << seed);
      RandomStream random(static_cast<std::uint64_t>(seed), "every matrix");
      const Batch batch = random_batch(random, seed % 3 != 0, seed % 3 != 1);
      const KernelGraph graph = lower(whole_model(network, {}), batch);
      ASSERT_EQ(weights_read(graph), weights_listed(network, batch.tokens()));
    }
  }
}

TEST(Lowering, verification_decodes_several_tokens_and_samples_after_each) {
  // Three drafts behind the newest token, beside a decode and a chunk that nobody samples from: the
  // head has 4 + 1 rows. Latent attention takes drafts like decodes: absorbed, four queries.
  const NeuralNetwork network = test::dsv3_tiny();
  Batch batch;
  batch.slices.push_back(
      {.request = 0, .context = 20, .new_tokens = 4, .verified = 3, .in_round = true});
  batch.slices.push_back({.request = 1, .context = 9});
  batch.slices.push_back({.request = 2, .context = 0, .new_tokens = 7, .wants_logits = false});
  EXPECT_EQ(batch.sampled(), 5);
  for (const Kernel& kernel : lower(whole_model(network, {}), batch).kernels) {
    if (kernel.role == "lm_head") {
      EXPECT_EQ(std::get<GemmKernel>(kernel.shape).m, 5);
    } else if (kernel.role == "latent_attention") {
      const auto& spans = std::get<LatentAttentionKernel>(kernel.shape).spans;
      ASSERT_EQ(spans.size(), 2u);
      EXPECT_EQ(spans[0].q_len, 4);
      EXPECT_EQ(spans[0].kv_len, 24);
    }
  }
}

TEST(Lowering, a_prediction_module_reads_its_own_weights_and_the_head) {
  for (const NeuralNetwork& network : {test::qwen35_tiny(), test::dsv3_tiny()}) {
    Batch batch{{{1, 0, 200, true}}};  // touches every expert
    std::int64_t listed = network.vocabulary * network.hidden;
    for (const TensorSpec& tensor : tensors_of_mtp_module(network)) listed += tensor.elements();
    const KernelGraph graph = lower_mtp(whole_model(network, {}), batch);
    EXPECT_EQ(weights_read(graph), 2 * listed) << network.name;
    EXPECT_EQ(graph.kernels[0].role, "mtp_embedding");
    EXPECT_EQ(graph.kernels[0].layer, network.layers());
  }
  EXPECT_THROW((void)lower_mtp(whole_model(test::tiny_network(), {}), {}), ModelError);
}

TEST(Lowering, parts_of_a_model_add_up_to_the_whole) {
  for (int seed = 0; seed < 60; ++seed) {
    for (const NeuralNetwork& network : test::tiny_networks()) {
      SCOPED_TRACE(testing::Message() << network.name << " seed " << seed);
      RandomStream random(static_cast<std::uint64_t>(seed), "parts");
      const Batch batch = random_batch(random, true, true);
      const RoleTotal whole = total_of(totals_by_role(lower(whole_model(network, {}), batch)));
      RoleTotal parts;
      const std::int64_t pipeline = random.integer(1, network.layers());
      for (const Stage& stage : partition_pipeline(network, {}, pipeline, 0)) {
        const RoleTotal part = total_of(totals_by_role(lower(stage, batch)));
        parts.kernels += part.kernels;
        parts.work += part.work;
      }
      ASSERT_EQ(parts.kernels, whole.kernels);
      ASSERT_EQ(parts.work.matrix, whole.work.matrix);
      ASSERT_EQ(parts.work.vector, whole.work.vector);
      ASSERT_EQ(parts.work.special, whole.work.special);
      ASSERT_EQ(parts.work.bytes(), whole.work.bytes());
    }
  }
}

TEST(Lowering, dependencies_come_earlier_and_every_result_is_used) {
  const Batch batch{{{1, 9, 1, true}, {2, 4, 6, true}}};
  for (const NeuralNetwork& network : test::tiny_networks()) {
    const KernelGraph graph = lower(whole_model(network, {}), batch);
    std::set<std::int32_t> used;
    for (std::size_t i = 0; i < graph.kernels.size(); ++i) {
      for (const std::int32_t earlier : graph.kernels[i].depends_on) {
        EXPECT_GE(earlier, 0);
        EXPECT_LT(earlier, static_cast<std::int32_t>(i));
        used.insert(earlier);
      }
    }
    EXPECT_EQ(used.size(), graph.kernels.size() - 1) << network.name;  // all but the sampler
  }
}

TEST(Lowering, phases_of_gated_delta_and_latent_attention_run_apart) {
  const Stage delta = whole_model(test::qwen35_tiny(), {});
  const Batch decode{{{1, 9, 1, true}}};
  const Batch verify{{{1, 9, 3, true}}};  // a few drafted tokens count as prefill
  const Batch mixed{{{1, 9, 1, true}, {2, 5, 7, true}}};
  EXPECT_EQ(roles_of(lower(delta, decode)).count("gated_delta_recurrent"), 1U);
  EXPECT_EQ(roles_of(lower(delta, decode)).count("gated_delta_chunked"), 0U);
  EXPECT_EQ(roles_of(lower(delta, verify)).count("gated_delta_recurrent"), 0U);
  EXPECT_EQ(roles_of(lower(delta, mixed)).count("gated_delta_recurrent"), 1U);
  EXPECT_EQ(roles_of(lower(delta, mixed)).count("gated_delta_chunked"), 1U);
  const Stage latent = whole_model(test::dsv3_tiny(), {});
  EXPECT_EQ(roles_of(lower(latent, decode)).count("kv_up_projection"), 0U);
  EXPECT_EQ(roles_of(lower(latent, verify)).count("latent_attention"), 0U);
  for (const Kernel& kernel : lower(latent, mixed).kernels) {
    if (kernel.role == "latent_attention") {
      const auto& shape = std::get<LatentAttentionKernel>(kernel.shape);
      EXPECT_EQ(shape.spans, (std::vector<QuerySpan>{{1, 10}}));
    }
    if (kernel.role == "attention") {
      const auto& shape = std::get<AttentionKernel>(kernel.shape);
      EXPECT_EQ(shape.spans, (std::vector<QuerySpan>{{7, 12}}));
    }
    // Keys and values are made of the 5 cached latents and the 7 new ones.
    if (kernel.role == "latent_read") {
      EXPECT_EQ(std::get<CacheReadKernel>(kernel.shape).rows, 5);
    }
    if (kernel.role == "kv_up_projection") {
      EXPECT_EQ(std::get<GemmKernel>(kernel.shape).m, 12);
    }
    EXPECT_EQ(kernel.repeats_weights,
              kernel.role == "query_absorption" || kernel.role == "value_projection");
  }
}

TEST(Lowering, windows_limit_attention_of_their_layers_only) {
  // gptoss-tiny: layer 0 has a window of 8, layer 1 none; 4 heads of 16: 4 * 4 * 16 = 256
  // operations per pair. 1 query over 30 keys: 8 and 30 pairs.
  const KernelGraph graph = lower(whole_model(test::gptoss_tiny(), {}), {{{1, 29, 1, true}}});
  std::vector<Flops> matrix;
  for (const Kernel& kernel : graph.kernels) {
    if (kernel.role == "attention") matrix.push_back(work_of(kernel).matrix);
  }
  EXPECT_EQ(matrix, (std::vector<Flops>{Flops(256 * 8), Flops(256 * 30)}));
}

TEST(Lowering, roles_of_the_layers_of_qwen35) {
  const KernelGraph graph = lower(whole_model(test::qwen35_tiny(), {}), {{{1, 9, 1, true}}});
  std::vector<std::string_view> linear;
  std::vector<std::string_view> full;
  for (const Kernel& kernel : graph.kernels) {
    if (kernel.layer == 0) linear.push_back(kernel.role);
    if (kernel.layer == 3) full.push_back(kernel.role);
  }
  const std::vector<std::string_view> experts{"ffn_norm",
                                              "router_projection",
                                              "router",
                                              "dispatch",
                                              "expert_gate_up_projection",
                                              "expert_activation",
                                              "expert_down_projection",
                                              "shared_gate_up_projection",
                                              "shared_activation",
                                              "shared_down_projection",
                                              "shared_gate_projection",
                                              "shared_gate",
                                              "combine"};
  std::vector<std::string_view> expected{
      "attention_norm",    "delta_projection", "delta_gate_projection",
      "short_convolution", "delta_gates",      "gated_delta_recurrent",
      "delta_norm",        "output_projection"};
  expected.insert(expected.end(), experts.begin(), experts.end());
  EXPECT_EQ(linear, expected);
  expected = {"attention_norm", "qkv_projection", "query_norm",  "key_norm",
              "rope",           "attention",      "output_gate", "output_projection"};
  expected.insert(expected.end(), experts.begin(), experts.end());
  EXPECT_EQ(full, expected);
}

TEST(Lowering, a_pass_floor_counts_weights_caches_and_states_once) {
  Peaks peaks;
  peaks.matrix = {{MatrixPipe::Bfloat16, FlopsPerSecond(1e18)}};
  peaks.memory = BytesPerSecond(1e12);  // one byte per picosecond
  for (const NeuralNetwork& network : test::tiny_networks()) {
    // Window caches, growing caches and states of one sequence with 12 tokens; then those that a
    // window has forgotten: a decoding query sees window - 1 earlier keys.
    std::int64_t cached = 0;
    for (const std::int32_t kind : network.pattern) {
      const LayerKind& layer = network.kinds[static_cast<std::size_t>(kind)];
      const std::int64_t window = cache_window(layer);
      std::int64_t seen = window > 0 ? std::min<std::int64_t>(12, window - 1) : 12;
      if (const auto* latent = std::get_if<LatentAttention>(&layer.mixer);
          latent != nullptr && latent->indexer) {
        seen = latent->indexer->top_k - 1;  // 5 of 13, the new one among them
      }
      cached += 2 * (seen * kv_elements_per_token(layer) + 12 * index_elements_per_token(layer));
    }
    cached += 4 * recurrent_state_elements(network) + 2 * conv_state_elements(network);
    const KernelGraph graph = lower(whole_model(network, {}), {{{1, 12, 1, true}}});
    EXPECT_EQ(floor_of(graph, peaks, false), Picoseconds(weights_listed(network, 1) + cached))
        << network.name;
  }
}

}  // namespace
}  // namespace tandem
