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

void KvTransfer::start(Request& request, Picoseconds now) {
  const PoolModel& from = request.prefill->pool();
  const PoolModel& to = request.decode->pool();
  Picoseconds floor{0};
  for (const KvPiece& piece : pieces_) {
    const ChipAddress source =
        from.address(request.prefill->index(), piece.from_chip + from.group_offset(request.id));
    const ChipAddress target =
        to.address(request.decode->index(), piece.to_chip + to.group_offset(request.id));
    const Bytes size = piece.size(request.prompt, request.kv_at_decode);
    move_of_[network_->send(now, source, target, size, nullptr)] = request.id;
    floor = std::max(floor, network_->floor(source, target, size));
  }
  request.floor_after_first += floor;
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
