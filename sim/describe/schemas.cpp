#include "sim/describe/schemas.hpp"

namespace tandem {

ParameterSchema link_schema() {
  return {
      {"bandwidth", Dimension::Bandwidth, "Peak per direction of one port, payload and headers.",
       std::nullopt, 1, 1e30},
      {"latency", Dimension::Time, "One way, first byte in to first byte out.", std::nullopt, 0, 1},
      {"packet", Dimension::Size, "Largest payload of one packet.", std::nullopt, 1, 1e9},
      {"header", Dimension::Size, "Bytes that each packet adds to its payload.", std::nullopt, 0,
       1e6},
      {"energy_per_byte", Dimension::Energy, "Both ends together, per byte carried.", 0, 0, 1},
  };
}

ParameterSchema system_schema() {
  return {
      {"host_power", Dimension::Power,
       "Hosts, NICs, switches and fans: all of the system that is not a chip.", 0, 0, 1e9},
  };
}

ParameterSchema prices_schema() {
  return {
      {"electricity", Dimension::EnergyPrice, "Tariff of electricity.", std::nullopt, 0, 1e30},
      {"pue", Dimension::Scalar, "Power of the site over power of the machines.", std::nullopt, 1,
       10},
      {"life", Dimension::Time, "Time over which capital is written off.", std::nullopt, 3600,
       1e10},
      {"utilisation", Dimension::Fraction, "Share of its life in which a system serves.", 1, 1e-3,
       1},
      {"spares", Dimension::Fraction, "Capital kept as spares, over capital in use.", 0, 0, 1},
      {"hosting", Dimension::MoneyRate, "Space, network and staff, per kilowatt of the system.", 0,
       0, 1e30},
      {"chips.*.capital", Dimension::Money, "Price of one chip with its share of the server.", 0, 0,
       1e30},
      {"chips.*.rent", Dimension::MoneyRate, "Rent of one chip with its share of the server.", 0, 0,
       1e30},
      {"systems.*.capital", Dimension::Money, "Price of the whole system.", 0, 0, 1e30},
      {"systems.*.rent", Dimension::MoneyRate, "Rent of the whole system.", 0, 0, 1e30},
  };
}

ParameterSchema software_schema() {
  return {
      {"step_overhead", Dimension::Time, "Host time per engine step that no chip work hides.", 0, 0,
       1},
      {"sequence_overhead", Dimension::Time, "Host time per sequence of a step.", 0, 0, 1},
      {"launch_overhead", Dimension::Time, "Gap between two kernels that the framework adds.", 0, 0,
       1},
      {"dependent_launch", Dimension::Count,
       "1: kernels are launched before the one ahead of them ends, on chips that can.", 0, 0, 1},
      {"quantise_overhead", Dimension::Time,
       "Fixed time of one quantisation of activations beyond its launches and bytes.", 0, 0, 1},
      {"quantises_rows", Dimension::Count,
       "1: products of narrow types quantise their rows first; 0: rows arrive quantised.", 1, 0, 1},
      {"fp8_scale", Dimension::Count,
       "Scale of fp8 rows: 0 per row, 1 per tensor and searched, 2 known ahead.", 0, 0, 2},
      {"search_ctas", Dimension::Count,
       "CTAs that search the largest magnitude of a tensor; 0: one per row.", 0, 0, 65536},
      {"search_access", Dimension::Size, "Bytes a thread of that search loads at once.", 16, 1, 64},
      {"convert_access", Dimension::Size, "Bytes a thread loads at once that quantises by tensor.",
       16, 1, 64},
      {"group_access", Dimension::Size, "Bytes a thread loads at once that quantises by group.", 16,
       1, 64},
      {"batched_blocks", Dimension::Count,
       "1: batched fp8 products are quantised by blocks of 1 x 128 and 128 x 128.", 0, 0, 1},
      {"batched_copies", Dimension::Count,
       "1: the result of a batched fp8 product is copied to where it belongs.", 0, 0, 1},
      {"clears_fp4_scales", Dimension::Count,
       "1: a kernel clears the scales of nvfp4 rows before they are quantised.", 0, 0, 1},
      {"product_library", Dimension::Count,
       "Products of narrow types: 0 tiles chosen by cost, 1 vLLM's dispatch, 2 TensorRT-LLM's.", 0,
       0, 2},
      {"stream_k", Dimension::Count,
       "1: products may deal the K slices of their last tiles out evenly (stream-K).", 0, 0, 1},
      {"alternates_promotion", Dimension::Count,
       "1: warpgroups of block-scaled products promote sums while others multiply.", 0, 0, 1},
      {"scale_launches", Dimension::Count,
       "Kernels that lay the scales of 1 x 128 blocks out for the product.", 0, 0, 16},
      {"unaligned_launches", Dimension::Count, "The same for rows that are no multiple of four.", 0,
       0, 16},
      {"memory_reserve", Dimension::Fraction, "Share of GPU memory that the framework leaves free.",
       0, 0, 0.9},
      {"operator_overhead", Dimension::Time,
       "Time per latent attention or expert operator beyond the modelled launches.", 0, 0, 1e-3},
      {"attention_overhead", Dimension::Time, "The same for attention over grouped heads.", 0, 0,
       1e-3},
      {"tensorrt_attention", Dimension::Count, "1: attention kernels of TensorRT-LLM.", 0, 0, 1},
      {"attention_preprocess", Dimension::Count,
       "1: a kernel before attention rotates queries and keys and writes the cache.", 0, 0, 1},
      {"attention_cache_write", Dimension::Count,
       "1: a kernel before decode attention writes the cache; rotation is elsewhere.", 0, 0, 1},
      {"attention_copies", Dimension::Count,
       "1: FlashAttention-2 decode over grouped heads copies its result, and transposed queries.", 0,
       0, 1},
      {"weight_copies", Dimension::Count,
       "Condition of measurement: layers that a replayed product takes its weights from in turn.",
       1, 1, 64},
      {"block_weight_copies", Dimension::Count,
       "The same for weights with block scales; absent: as weight_copies.", 1, 1, 64},
      {"meter_rests_experts", Dimension::Count,
       "Condition of power measurements: 1 if the GPU rests before each run of experts or modules.",
       0, 0, 1},
      {"meter_rests_caches", Dimension::Count, "The same before runs on a cache that is filled.", 0,
       0, 1},
      {"meter_descends", Dimension::Count,
       "1: products are measured from the most tokens down, on eight GPUs at once.", 0, 0, 1},
      {"meter_rests_blocks", Dimension::Count, "The same before products with block scales.", 0, 0,
       1},
      {"prefill_lengths_kernel", Dimension::Count,
       "1: a kernel before latent prefill adds up the lengths of the requests.", 0, 0, 1},
      {"latent_deal_kernel", Dimension::Count,
       "1: where latent attention deals requests out to SMs, a kernel does so in every layer.", 0,
       0, 1},
  };
}

}  // namespace tandem
