// Declarations of the keys of every description that are not numbers of a hardware model. The
// readers, the unknown-key check and the reference page all come from these.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sim/describe/parameter.hpp"

namespace tandem::config {

enum class Form { Number, Text, Choice, Flag, Map, Keys };

/// One key of a section.
struct KeySpec {
  std::string name;
  Form form = Form::Text;
  std::string doc;
  bool is_required = false;
  std::string fallback;  ///< what stands when the key is left out, as it would be written
  Dimension dimension = Dimension::Scalar;
  double minimum = 0;
  double maximum = 1e30;
  std::vector<std::string> choices;
  std::vector<std::string> later;  ///< values of the contract that are not supported yet
};

/// A map with known keys.
struct Section {
  std::string name;  ///< as messages call it: "placement", "link of the system"
  std::string doc;
  std::vector<KeySpec> keys;
  std::vector<std::string> later;  ///< keys of the contract that are not supported yet
  /// Keys that stand in another section, and how they are written there.
  std::vector<std::pair<std::string, std::string>> elsewhere = {};
};

[[nodiscard]] Section scenario_section();
/// An entry of `models`.
[[nodiscard]] Section deployment_section();
[[nodiscard]] Section routing_section();
[[nodiscard]] Section placement_section();
[[nodiscard]] Section pool_section();
[[nodiscard]] Section speculation_section();
[[nodiscard]] Section precision_section();
/// An entry of `overrides` in it.
[[nodiscard]] Section weight_override_section();
[[nodiscard]] Section serving_section();
[[nodiscard]] Section eviction_section();
[[nodiscard]] Section planner_section();
[[nodiscard]] Section traffic_section();
[[nodiscard]] Section trace_section();
[[nodiscard]] Section slo_section();
[[nodiscard]] Section system_section();
[[nodiscard]] Section group_section();
[[nodiscard]] Section bridge_section();
[[nodiscard]] Section model_section();
[[nodiscard]] Section norm_section();
[[nodiscard]] Section attention_section();
[[nodiscard]] Section sliding_attention_section();
[[nodiscard]] Section latent_attention_section();
[[nodiscard]] Section indexer_section();
[[nodiscard]] Section gated_delta_section();
[[nodiscard]] Section rope_section();
/// Of a kind of frequency scaling: llama3, yarn or linear.
[[nodiscard]] Section rope_scaling_section(std::string_view kind);
[[nodiscard]] Section ffn_section();
[[nodiscard]] Section experts_section();
[[nodiscard]] Section router_section();
[[nodiscard]] Section mtp_section();
[[nodiscard]] Section chip_section();
[[nodiscard]] Section link_section();
[[nodiscard]] Section fabric_section();
[[nodiscard]] Section fabric_level_section();
[[nodiscard]] Section prices_section();
[[nodiscard]] Section software_section();
[[nodiscard]] Section source_section();
[[nodiscard]] Section sweep_section();
[[nodiscard]] Section plan_section();
[[nodiscard]] Section plan_limits_section();
/// An entry of `grids` in it.
[[nodiscard]] Section grid_section();
[[nodiscard]] Section sample_section();
[[nodiscard]] Section range_section();

/// The names of a section's keys.
[[nodiscard]] std::vector<std::string> names_of(const Section& section);

}  // namespace tandem::config
