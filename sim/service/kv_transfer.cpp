#include "sim/service/kv_transfer.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "sim/core/timeline.hpp"

namespace tandem {
KvTransfer::KvTransfer(std::unique_ptr<NetworkModel> network, std::vector<KvPiece> pieces,
                       Agenda& agenda, TransferSink& sink, TimelineRecorder* timeline)
    : network_(std::move(network)),
      pieces_(std::move(pieces)),
      alarm_(agenda, *this),
      sink_(sink),
      timeline_(timeline) {}

const KvTransfer::Crossing& KvTransfer::crossing_of(const Request& request) {
  const PoolModel& from = request.prefill->pool();
  const PoolModel& to = request.decode->pool();
  const std::int64_t sender = from.group_offset(request.id), receiver = to.group_offset(request.id);
  Crossing& crossing = crossings_[{from.address(request.prefill->index(), sender),
                                   to.address(request.decode->index(), receiver)}];
  if (crossing.prompt == request.prompt && crossing.kv_at_decode == request.kv_at_decode) {
    return crossing;
  }
  crossing = {request.prompt, request.kv_at_decode, {}, Picoseconds(0)};
  for (const KvPiece& piece : pieces_) {
    const Crossing::Message message{
        from.address(request.prefill->index(), piece.from_chip + sender),
        to.address(request.decode->index(), piece.to_chip + receiver),
        piece.size(request.prompt, request.kv_at_decode)};
    const Picoseconds floor = network_->floor(message.source, message.target, message.size);
    crossing.floor = std::max(crossing.floor, floor);
    crossing.messages.push_back(message);
  }
  return crossing;
}

void KvTransfer::start(Request& request, Picoseconds now) {
  const Crossing& crossing = crossing_of(request);
  for (const auto& [source, target, size] : crossing.messages) {
    move_of_[network_->send(now, source, target, size, nullptr)] = request.id;
  }
  request.floor_after_first += crossing.floor;
  moves_[request.id] = {&request, static_cast<std::int64_t>(pieces_.size()), now};
  ++transfers_;
  alarm_.set(*network_);
}

void KvTransfer::act(Picoseconds now, Phase phase) {
  (void)phase;
  alarm_.went_off(now);
  take_deliveries(*network_, now, [&](const NetworkModel::Delivery& delivery) {
    const auto message = move_of_.extract(delivery.id);
    const auto move = moves_.find(message.mapped());
    if (--move->second.left > 0) return;
    Request& request = *move->second.request;
    if (timeline_ != nullptr) {
      timeline_->span(timeline_->track("KV transfers", fmt::format("request {}", request.id)), "KV",
                      move->second.start, now);
    }
    moves_.erase(move);
    sink_.transferred(request, now);
  });
  alarm_.set(*network_);
}

}  // namespace tandem
