#include "models/lpu/gang_host.hpp"

#include <algorithm>
#include <bit>

#include "models/lpu/compiler/layer_support.hpp"
#include "models/lpu/compiler/rank_share.hpp"
#include "models/lpu/stage_gang.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/core/integers.hpp"

namespace tandem::lpu {
namespace {

constexpr std::size_t bytes_of_fp32 = 4;

// Slices of the head in the order of ranks; those of the last ranks may overlap the ones before.
void join_logits(const Stage& whole, const Stage& share, const TokenResult& part,
                 TokenResult& token) {
  if (whole.hands_on_hidden) token.hidden = part.hidden;  // every rank has all of it
  token.logits.resize(index_of(whole.head_end - whole.head_begin));
  std::ranges::copy(part.logits, token.logits.begin() + (share.head_begin - whole.head_begin));
  const bool better = token.best_token < 0 || part.best_logit > token.best_logit ||
                      (part.best_logit == token.best_logit && part.best_token < token.best_token);
  if (!better) return;
  token.best_token = part.best_token;
  token.best_logit = part.best_logit;
}

}  // namespace

GangHost::GangHost(const Geometry& geometry, const LatencyTable& latencies, const Stage& whole,
                   const CompiledStage& stage, const Weights& weights)
    : whole_(whole),
      stage_(&stage),
      session_(node_gang(geometry, whole.tensor).topology, geometry, latencies, true) {
  const auto& shares = shares_of(stage);
  for (int rank = 0; rank < static_cast<int>(whole.tensor); ++rank) {
    hosts_.push_back(std::make_unique<ChipHost>(
        session_.geometry(), shares[index_of(rank)],
        rank_weights(weights, static_cast<int>(whole.tensor), rank), session_.machine(rank)));
  }
}

const std::vector<CompiledStage>& GangHost::shares_of(const CompiledStage& stage) {
  auto& shares = shares_[&stage];
  for (int rank = static_cast<int>(shares.size()); rank < stage.layout.ranks; ++rank) {
    shares.push_back(stage.of_rank(whole_, rank));
  }
  return shares;
}

void GangHost::use(const CompiledStage& stage) {
  if (stage_ == &stage) return;
  stage_ = &stage;
  const auto& shares = shares_of(stage);
  for (std::size_t rank = 0; rank < hosts_.size(); ++rank) hosts_[rank]->use(shares[rank]);
}

std::int64_t GangHost::pass_cycles(std::span<const TokenPlace> places) const {
  if (only_feeds_forward(whole_)) return stage_->cycles.base;
  std::vector<std::int64_t> blocks;
  for (const TokenPlace& place : places) {
    blocks.push_back(place.position / session_.geometry().lanes() + 1);
  }
  return stage_->cycles_of(blocks);
}

// The vector of all tokens' hidden states whose bytes a rank sends or receives `sent`-th: stripe by
// stripe, every chip of a tray its own.
int GangHost::vector_of(int rank, std::size_t sent) const {
  const int tray = stage_->layout.tray_chips;
  return static_cast<int>(sent / bytes_of_fp32) * tray + rank % tray;
}

void GangHost::deliver(const std::vector<std::span<const float>>& hidden) {
  const std::size_t lanes = index_of(session_.geometry().lanes());
  const int vectors = stage_->layout.shape.hidden_vectors;
  for (int rank = 0; rank < ranks(); ++rank) {
    for (std::size_t i = 0; i < stage_->receive_cycles.size(); ++i) {
      LinkVector vector{stage_->links.receive_link, stage_->receive_cycles[i],
                        std::vector<std::uint8_t>(lanes)};
      const int n = vector_of(rank, i);
      const std::size_t token = index_of(n / vectors);
      const std::size_t first = index_of(n % vectors) * lanes;
      for (std::size_t lane = 0; lane < lanes && token < hidden.size(); ++lane) {
        if (first + lane >= hidden[token].size()) break;
        const auto bits = std::bit_cast<std::uint32_t>(hidden[token][first + lane]);
        vector.bytes[lane] = static_cast<std::uint8_t>(bits >> (8 * (i % bytes_of_fp32)));
      }
      session_.deliver(rank, std::move(vector));
    }
  }
}

void GangHost::take_hidden(int rank, const std::vector<LinkVector>& sent,
                           std::vector<TokenResult>& tokens) const {
  const std::size_t lanes = index_of(session_.geometry().lanes());
  const int vectors = stage_->layout.shape.hidden_vectors;
  const std::size_t width = index_of(whole_.network.hidden);
  for (std::size_t i = 0; i + bytes_of_fp32 <= sent.size(); i += bytes_of_fp32) {
    const int n = vector_of(rank, i);
    const std::size_t token = index_of(n / vectors);
    if (token >= tokens.size()) continue;
    std::vector<float>& hidden = tokens[token].hidden;
    hidden.resize(width);
    const std::size_t first = index_of(n % vectors) * lanes;
    for (std::size_t lane = 0; lane < lanes && first + lane < width; ++lane) {
      std::uint32_t bits = 0;
      for (std::size_t b = 0; b < bytes_of_fp32; ++b) {
        bits |= std::uint32_t{sent[i + b].bytes[lane]} << (8 * b);
      }
      hidden[first + lane] = std::bit_cast<float>(bits);
    }
  }
}

BatchResult GangHost::run_tokens(std::span<const TokenPlace> places,
                                 const std::vector<std::span<const float>>& hidden) {
  for (const auto& host : hosts_) host->prepare(places, hidden);
  deliver(hidden);
  const std::int64_t cycles = pass_cycles(places);
  const auto passes_on = [&](const LinkVector& vector) {
    return stage_->passes_on(vector.link, vector.cycle, cycles);
  };
  RackResult run = session_.run({}, passes_on);
  BatchResult result;
  result.run.cycles = run.cycles;
  result.tokens.resize(places.size());
  for (int rank = 0; rank < ranks(); ++rank) {
    RunResult& chip = run.chips[index_of(rank)];
    for (const auto& [name, count] : chip.counts) result.run.counts[name] += count;
    std::erase_if(chip.outbound, [&](const LinkVector& vector) { return !passes_on(vector); });
    take_hidden(rank, chip.outbound, result.tokens);
    if (!whole_.has_head()) continue;
    const Stage& share = shares_.at(stage_)[index_of(rank)].layout.stage;
    const BatchResult part =
        hosts_[index_of(rank)]->results(static_cast<int>(places.size()), std::move(chip));
    for (std::size_t t = 0; t < places.size(); ++t) {
      join_logits(whole_, share, part.tokens[t], result.tokens[t]);
    }
  }
  return result;
}

// KV head h lies on rank h * ranks / heads and, where there are more ranks than heads, on those
// behind it (rank_stage).
KvBlock GangHost::read_kv(int slot, std::int64_t tokens) const {
  KvBlock whole = empty_block(whole_.network, whole_.first_layer, whole_.layers,
                              whole_.precision.kv_cache, tokens);
  for (int rank = 0; rank < ranks(); ++rank) {
    put_heads(hosts_[index_of(rank)]->read_kv(slot, tokens), rank, ranks(), whole);
  }
  return whole;
}

void GangHost::write_kv(int slot, const KvBlock& block) {
  for (int rank = 0; rank < ranks(); ++rank) {
    hosts_[index_of(rank)]->write_kv(slot, heads_of_rank(block, rank, ranks()));
  }
}

}  // namespace tandem::lpu
