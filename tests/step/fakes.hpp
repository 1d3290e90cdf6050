// A chip and a network whose costs can be worked out by hand, and a scenario that uses them.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <string>

#include "sim/core/diagnostics.hpp"
#include "sim/describe/dense_decoder.hpp"
#include "sim/lower/chip_model.hpp"
#include "sim/lower/network_model.hpp"

namespace tandem::fakes {

/// time = layers x (base + token x tokens + context x sum of KV lengths + curve x sequences^2) +
/// head, all ns, less what slices share with others where it has "shares"; the floor is half of it.
/// One kernel per layer. Energy: 1 nJ per token and layer, 100 W static.
class FakeChip final : public ChipModel {
 public:
  FakeChip(const Chip& chip) : chip_(chip) {}
  const Chip& chip() const override { return chip_; }
  Hertz clock() const override { return Hertz(1e9); }
  Fit fit(const Stage& stage, std::int64_t, std::int64_t) const override {
    Fit fit;
    fit.capacity = Bytes(chip_.parameters.count("capacity"));
    fit.weights = stage.weight_bytes();
    fit.kv_per_token = stage.kv_bytes_per_token();
    if (chip_.parameters.has("kv_block")) fit.kv_block = chip_.parameters.count("kv_block");
    return fit;
  }
  std::int64_t batch_limit() const override { return chip_.parameters.count("slots"); }
  std::int64_t parallel_units() const override {
    return chip_.parameters.has("units") ? chip_.parameters.count("units") : 0;
  }
  std::int64_t context_granularity() const override { return batch_limit() > 0 ? 16 : 1; }
  StageCost simulate(const Stage& stage, const Batch& batch, TimelineRecorder*) const override {
    StageCost cost;
    cost.time = time(stage, batch);
    cost.floor = floor(stage, batch);
    cost.activity.counts["ops"] = batch.tokens() * stage.layers;
    KernelCost kernel;
    kernel.work.matrix = Flops(1000 * batch.tokens());
    kernel.memory_read = Bytes(100);
    kernel.repeats = stage.layers;
    cost.kernels.push_back(kernel);
    cost.bottleneck = "fake";
    return cost;
  }
  Picoseconds floor(const Stage& stage, const Batch& batch) const override {
    return time(stage, batch) / 2;
  }
  KernelCost simulate_run(const KernelRun&) const override {
    throw ModelError("fake chip: no kernels");
  }
  std::unique_ptr<LoadedStage> load(const Stage&, const Weights&, std::int64_t,
                                    std::int64_t) const override {
    throw ModelError("fake chip: no numbers");
  }
  Watts static_power() const override { return Watts(100); }
  std::map<std::string, Joules> energy_per_count() const override {
    return {{"ops", Joules(1e-9)}};
  }

 private:
  Picoseconds time(const Stage& stage, const Batch& batch) const {
    const ParameterSet& p = chip_.parameters;
    std::int64_t lengths = 0;
    for (const SequenceSlice& slice : batch.slices) {
      lengths += slice.context + slice.new_tokens;
      if (p.has("shares")) lengths -= slice.prefix_tokens;
    }
    std::int64_t ns = stage.layers * (p.count("base") + p.count("token") * batch.tokens() +
                                      p.count("context") * lengths);
    const auto sequences = static_cast<std::int64_t>(batch.slices.size());
    if (p.has("curve")) ns += stage.layers * p.count("curve") * sequences * sequences;
    if (stage.has_head() && batch.sampled() > 0) ns += p.count("head");
    return Picoseconds(1000 * ns);
  }
  Chip chip_;
};

/// One wire between each two pools (and one within each): 1 ns per byte, then 100 ns latency.
class FakeNetwork final : public NetworkModel {
 public:
  MessageId send(Picoseconds at, const ChipAddress& from, const ChipAddress& to, Bytes size,
                 Payload payload) override {
    Picoseconds& free = free_[{from.pool, to.pool}];
    const Picoseconds start = std::max(at, free);
    free = start + Picoseconds(1000 * size.count());
    const MessageId id = next_++;
    pending_[{free + Picoseconds(100000), id}] = std::move(payload);
    use_.bytes += size;
    return id;
  }
  std::optional<Picoseconds> next_delivery() override {
    if (pending_.empty()) return std::nullopt;
    return pending_.begin()->first.first;
  }
  Delivery pop_delivery() override {
    const auto first = pending_.begin();
    Delivery delivery{first->first.second, first->first.first, first->second};
    pending_.erase(first);
    return delivery;
  }
  Picoseconds floor(const ChipAddress&, const ChipAddress&, Bytes size) const override {
    return Picoseconds(1000 * size.count() + 100000);
  }
  std::vector<std::string> path(const ChipAddress&, const ChipAddress&) const override {
    return {"wire"};
  }
  std::map<std::string, LinkUse> usage() const override {
    if (use_.bytes.count() == 0) return {};
    return {{"wire", use_}};
  }

 private:
  std::map<std::pair<std::string, std::string>, Picoseconds> free_;
  std::map<std::pair<Picoseconds, MessageId>, Payload> pending_;
  MessageId next_ = 0;
  LinkUse use_;
};

inline Catalogue catalogue() {
  ChipModelEntry entry;
  entry.name = "fake";
  entry.make = [](const Chip& chip, const Software&) { return std::make_unique<FakeChip>(chip); };
  return {entry};
}

inline NetworkFactory network() {
  return [](const System&) { return std::make_unique<FakeNetwork>(); };
}

inline void set(ParameterSet& parameters, const std::string& name, double value) {
  Parameter parameter;
  parameter.value = value;
  parameter.source = "test";
  parameter.basis = Basis::Datasheet;
  parameters.set(name, parameter);
}

inline Chip chip(const std::string& name, double slots) {
  Chip chip;
  chip.name = name;
  chip.model = "fake";
  set(chip.parameters, "capacity", 1e6);
  set(chip.parameters, "slots", slots);
  set(chip.parameters, "base", 1000);
  set(chip.parameters, "token", 10);
  set(chip.parameters, "context", 0);
  set(chip.parameters, "head", 0);
  return chip;
}

/// As FakeNetwork has it: 1 ns per byte and 100 ns.
inline Link wire() {
  Link link;
  link.name = "wire";
  const auto set = [&](const char* name, double value) {
    Parameter parameter;
    parameter.value = value;
    link.parameters.set(name, parameter);
  };
  set("bandwidth", 1e9);
  set("latency", 100e-9);
  set("packet", 256);
  set("header", 0);
  return link;
}

inline NeuralNetwork tiny(std::int64_t layers) {
  DenseDecoder model;
  model.name = "tiny";
  model.layers = layers;
  model.hidden = 8;
  model.heads = 2;
  model.kv_heads = 1;
  model.head_dim = 4;
  model.intermediate = 16;
  model.vocabulary = 32;
  model.max_context = 4096;
  return network_of(model);
}

/// Four layers, hidden 8, KV of 2 x 4 elements per token and layer. One pool "gpu" of fake chips.
inline Scenario scenario() {
  Scenario s;
  s.name = "fake";
  s.model = tiny(4);
  s.system.name = "fake_system";
  s.system.chips["big"] = chip("big", 0);
  s.system.chips["small"] = chip("small", 1);
  s.system.links["wire"] = wire();
  s.system.groups.push_back({"gpu", "big", 8, 8, "wire", "wire", "switch", "", Basis::Assumed});
  s.system.groups.push_back({"lpu", "small", 8, 8, "wire", "wire", "mesh", "", Basis::Assumed});
  s.placement.prefill.pool = "gpu";
  s.placement.prefill.place = {"fake.yaml", 7, 3};
  s.placement.decode = s.placement.prefill;
  s.serving.max_batch_tokens = 64;
  s.serving.max_sequences = 8;
  s.traffic.prompt_tokens = 32;
  s.traffic.output_tokens = 4;
  s.traffic.requests = 1;
  s.traffic.ramp = Picoseconds(0);  // all users start at once
  return s;
}

/// Prefill on one "gpu" chip, decode on a pipeline of two "lpu" chips.
inline Scenario split_scenario() {
  Scenario s = scenario();
  s.placement.mode = PlacementMode::Disaggregated;
  s.placement.decode.pool = "lpu";
  s.placement.decode.pipeline = 2;
  return s;
}

}  // namespace tandem::fakes
