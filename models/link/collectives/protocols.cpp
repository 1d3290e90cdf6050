#include "models/link/collectives/protocols.hpp"

#include <algorithm>
#include <bit>

#include "sim/core/integers.hpp"

namespace tandem::link {
namespace {

// A slice is handed over behind a fence, so late by this much over a flag: the library's own
// latencies of a ring step over NVLink, 3.4 us (Simple) and 0.6 us (LL); NCCL src/graph/tuning.cc.
constexpr std::int64_t fenced_numerator = 34, fenced_denominator = 6;

// Flags of a kernel of the framework before its values travel: the buffers are free, and all have
// read the last ones.
constexpr std::int64_t graph_flags = 2;

// Messages between peers (NCCL enqueue.cc): the power of two above the channels of rings is shared
// by the ranks; a message takes a channel for every eighth of NCCL_P2P_NVL_CHUNKSIZE,
// up to its share. Those of at most NCCL_P2P_LL_THRESHOLD go with flags.
constexpr std::int64_t peer_chunk = 512 * 1024, peer_part = peer_chunk / 8;
constexpr std::int64_t peer_flags_up_to = 16 * 1024;
// Of a block's 20 warps 8 send and 8 receive (device/sendrecv.h).
constexpr std::int64_t block_warps = 20, sending_warps = 8;

// In-switch reduction: 25 us where a flag takes 0.6 us (the same table), and a buffer of
// 128 KiB per rank on 16 channels (NCCL NVLS_CHUNKSIZE).
constexpr std::int64_t switch_numerator = 250, switch_denominator = 6;
constexpr std::int64_t switch_chunk = 128 * 1024, switch_channels = 16;

// Bulk dispatch: SMs that the library takes unless told otherwise (DeepEP Buffer.num_sms), and
// hand-overs before rows flow: counts, their sums, places.
constexpr std::int64_t bulk_sms = 24, bulk_handovers = 3;

Picoseconds fenced(const Fabric& fabric) {
  return Picoseconds(fabric.latency.count() * fenced_numerator / fenced_denominator);
}

BytesPerSecond blocks_rate(const Fabric& fabric, std::int64_t blocks, double per_clock) {
  return BytesPerSecond(static_cast<double>(blocks) * fabric.clock * per_clock);
}

/// Whole slices; the first may go when the receiver has said that its buffer is free.
Protocol simple(const Fabric& fabric) {
  Protocol protocol;
  protocol.name = "simple";
  protocol.start = fabric.entry + fenced(fabric);
  protocol.handover_numerator = fenced_numerator;
  protocol.handover_denominator = fenced_denominator;
  protocol.copy_rate = blocks_rate(fabric, fabric.channels, fabric.direct_copy);
  return protocol;
}

/// A flag of 4 B beside every 4 B.
Protocol low_latency(const Fabric& fabric) {
  Protocol protocol;
  protocol.name = "ll";
  protocol.start = fabric.entry;
  protocol.wire_numerator = 2;
  protocol.copy_rate = blocks_rate(fabric, fabric.channels, fabric.staged_copy / 2);
  return protocol;
}

/// A flag of 8 B in every line of 128 B.
Protocol low_latency_128(const Fabric& fabric) {
  Protocol protocol = low_latency(fabric);
  protocol.name = "ll128";
  protocol.wire_numerator = 128;
  protocol.wire_denominator = 120;
  protocol.copy_rate = blocks_rate(fabric, fabric.channels, fabric.staged_copy);
  return protocol;
}

Protocol graph_kernel(const Fabric& fabric) {
  Protocol protocol;
  protocol.name = "graph";
  protocol.start = fabric.launch + fabric.latency * graph_flags;
  return protocol;
}

/// Experts that share an SM in the low-latency kernels.
std::int64_t experts_per_sm(const Fabric& fabric, const Collective& collective) {
  return std::max<std::int64_t>(1, ceil_div(collective.experts, fabric.sms));
}

}  // namespace

std::vector<Protocol> library_protocols(const Fabric& fabric) {
  return {low_latency(fabric), low_latency_128(fabric), simple(fabric)};
}

Protocol peer_protocol(const Fabric& fabric, Bytes message, std::int64_t ranks) {
  const Protocol whole = simple(fabric);
  // Flags of further peers are read in turn.
  const Picoseconds entry = fabric.entry + fabric.local_read * (ranks - 2);
  if (message.count() <= peer_flags_up_to) {
    Protocol flags = low_latency(fabric);
    flags.start = entry;
    flags.peer_rate = blocks_rate(fabric, 1, fabric.staged_copy);
    flags.copy_rate = whole.copy_rate;
    return flags;
  }
  const auto pow2 = [](std::int64_t count) {
    return static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(count)));
  };
  const std::int64_t share = std::max<std::int64_t>(1, pow2(fabric.channels) / pow2(ranks));
  const std::int64_t blocks = std::clamp<std::int64_t>(message.count() / peer_part, 1, share);
  Protocol slices = whole;
  slices.peer_rate = blocks_rate(fabric, blocks, fabric.direct_copy * sending_warps / block_warps);
  // Buffers are free when a call begins; the last chunk is copied out of them behind a flag.
  const Bytes last(std::min(message.count(), blocks * peer_chunk));
  slices.start = entry + last / slices.peer_rate;
  slices.handover_numerator = slices.handover_denominator = 1;
  return slices;
}

Bytes in_switch_buffer(std::int64_t ranks) {
  return Bytes(switch_chunk * switch_channels * ranks);
}

Protocol in_switch_protocol(const Fabric& fabric, Bytes filled) {
  Protocol protocol = simple(fabric);
  protocol.name = "nvls";
  protocol.uses_switch_rate = true;
  protocol.handover_numerator = protocol.handover_denominator = 1;
  const Picoseconds latency(fabric.latency.count() * switch_numerator / switch_denominator);
  protocol.start = fabric.entry + latency + 2 * (filled / protocol.copy_rate);
  return protocol;
}

Bytes graph_workspace(std::int64_t ranks) {
  // TensorRT-LLM: CustomAllReduceHelper.max_workspace_size_auto.
  return Bytes(ranks <= 2 ? 16'000'000 : 8'000'000);
}

Protocol one_shot_protocol(const Fabric& fabric) {
  Protocol protocol = graph_kernel(fabric);
  protocol.copy_rate = blocks_rate(fabric, fabric.sms, fabric.direct_copy);
  return protocol;
}

Protocol two_shot_protocol(const Fabric& fabric) {
  Protocol protocol = graph_kernel(fabric);
  protocol.handover_numerator = fenced_numerator;
  protocol.handover_denominator = fenced_denominator;
  protocol.copy_rate = blocks_rate(fabric, fabric.channels, fabric.staged_copy);
  return protocol;
}

std::int64_t expert_sms(const Fabric& fabric, const Collective& collective) {
  if (collective.sms > 0) return std::min(collective.sms, fabric.sms);
  if (collective.transport == MoeTransport::Bulk) return std::min(bulk_sms, fabric.sms);
  if (collective.op == CollectiveOp::MoeCombine) return fabric.sms;
  return ceil_div(collective.experts, experts_per_sm(fabric, collective));
}

Protocol expert_protocol(const Fabric& fabric, const Collective& collective) {
  const std::int64_t sms = expert_sms(fabric, collective);
  if (collective.transport == MoeTransport::Bulk) {
    Protocol protocol = simple(fabric);
    protocol.name = "bulk";
    protocol.start = fabric.entry + fenced(fabric) * bulk_handovers;
    protocol.copy_rate = blocks_rate(fabric, sms, fabric.direct_copy);
    return protocol;
  }
  Protocol protocol = two_shot_protocol(fabric);
  protocol.name = "low_latency";
  // Counts are sent and awaited per expert; experts of one SM take turns.
  const std::int64_t turns = experts_per_sm(fabric, collective) - 1;
  protocol.start = fabric.launch + fenced(fabric) + fabric.latency * (2 * turns);
  protocol.copy_rate = blocks_rate(fabric, sms, fabric.staged_copy);
  return protocol;
}

}  // namespace tandem::link
