#include "sim/service/layerwise_transfer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "sim/core/integers.hpp"
#include "sim/core/timeline.hpp"

namespace tandem {
namespace {

/// Sets where the layer of a piece stands in the sending pool.
void locate(const PoolModel& from, LayerPiece& layer) {
  const auto& stations = from.stations();
  for (std::size_t s = 0; s < stations.size(); ++s) {
    const Stage& stage = stations[s].stages.front();
    const std::int64_t number = layer.piece.layers.first_layer - stage.first_layer;
    if (number < 0 || number >= stage.layers) continue;
    layer.station = s;
    layer.number = number;
    layer.layers = stage.layers;
  }
}

}  // namespace

Picoseconds LayerPiece::ready(const std::vector<StationSpan>& spans) const {
  const StationSpan& span = spans.at(station);
  return span.start + (span.end - span.start) * (number + 1) / layers;
}

Bytes LayerPiece::size(std::int64_t first, std::int64_t tokens, std::int64_t prompt) const {
  const Stage& layer = piece.layers;
  const std::int64_t window = cache_window(layer.network.layer(layer.first_layer));
  const std::int64_t kept = window > 0 ? std::max(first, prompt - window) : first;
  const std::int64_t count = std::max<std::int64_t>(0, first + tokens - kept);
  const bool is_last = first + tokens == prompt;
  const Bytes bytes = layer.cache_bytes(count) - (is_last ? Bytes(0) : layer.state_bytes());
  return Bytes(ceil_div(bytes.count() * piece.share, piece.shares));
}

std::vector<LayerPiece> layer_pieces(const PoolModel& from, const PoolModel& to) {
  std::vector<LayerPiece> layers;
  for (const KvPiece& piece : kv_pieces(from, to)) {
    for (std::int64_t i = 0; i < piece.layers.layers; ++i) {
      LayerPiece layer;
      layer.piece = piece;
      layer.piece.layers.first_layer += i;
      layer.piece.layers.layers = 1;
      locate(from, layer);
      layers.push_back(std::move(layer));
    }
  }
  return layers;
}

std::vector<LayerPiece> draft_layer_pieces(const PoolModel& from, const PoolModel& to) {
  std::vector<LayerPiece> layers = layer_pieces(from, to);
  for (LayerPiece& layer : layers) layer.number = layer.layers - 1;
  return layers;
}

LayerwiseTransfer::LayerwiseTransfer(std::unique_ptr<NetworkModel> network,
                                     std::vector<LayerPiece> pieces, Agenda& agenda,
                                     TransferSink& sink, TimelineRecorder* timeline)
    : network_(std::move(network)),
      pieces_(std::move(pieces)),
      agenda_(agenda),
      alarm_(agenda, *this),
      sink_(sink),
      timeline_(timeline) {}

void LayerwiseTransfer::open(Request& request) {
  moves_[request.id].request = &request;
  ++transfers_;
}

void LayerwiseTransfer::written(Request& request, const KvWritten& kv, Picoseconds now) {
  Move& move = moves_.at(request.id);
  const std::int64_t first = move.tokens;
  const std::int64_t tokens = kv.first_token + kv.tokens - first;
  if (tokens <= 0) return;
  move.tokens = first + tokens;
  for (std::size_t i = 0; i < pieces_.size(); ++i) {
    if (pieces_[i].size(first, tokens, request.prompt).count() == 0) continue;
    ++move.left;
    (move.has_room ? planned_ : move.waiting)
        .insert({pieces_[i].ready(kv.stations), {request.id, i, first, tokens}});
  }
  advance(now);
}

void LayerwiseTransfer::reserved(Request& request, Picoseconds now) {
  Move& move = moves_.at(request.id);
  move.has_room = true;
  for (const auto& [ready, send] : move.waiting) planned_.insert({std::max(ready, now), send});
  move.waiting.clear();
  advance(now);
}

/// The replica still has to put the request aside: what follows comes by itself at the same time.
void LayerwiseTransfer::prefilled(Request& request, Picoseconds now) {
  moves_.at(request.id).is_prefilled = true;
  agenda_.wake(*this, now, Phase::Complete);
}

void LayerwiseTransfer::act(Picoseconds now, Phase phase) {
  (void)phase;
  alarm_.went_off(now);
  advance(now);
  std::vector<std::int64_t> open;
  for (const auto& [request, move] : moves_) {
    if (move.is_prefilled) open.push_back(request);
  }
  for (const std::int64_t request : open) close_if_done(request, now);
}

/// Sends and deliveries up to now, in the order of their times.
void LayerwiseTransfer::advance(Picoseconds now) {
  while (true) {
    const std::optional<Picoseconds> delivery = network_->next_delivery();
    const bool sends = !planned_.empty() && planned_.begin()->first <= now;
    if (sends && (!delivery || planned_.begin()->first <= *delivery)) {
      const auto next = planned_.begin();
      send(next->second, next->first);
      planned_.erase(next);
    } else if (delivery && *delivery <= now) {
      deliver(now);
    } else {
      break;
    }
  }
  alarm_.set(*network_, planned_.empty() ? std::nullopt : std::optional(planned_.begin()->first));
}

void LayerwiseTransfer::send(const Send& send, Picoseconds now) {
  Move& move = moves_.at(send.request);
  const Request& request = *move.request;
  const PoolModel& from = request.prefill->pool();
  const PoolModel& to = request.decode->pool();
  const KvPiece& piece = pieces_[send.piece].piece;
  const std::int64_t end = send.first + send.tokens;
  const std::int64_t first = std::clamp(request.kv_at_decode, send.first, end);
  const Bytes size = pieces_[send.piece].size(first, end - first, request.prompt);
  if (size.count() == 0) return arrived(send.request, now);
  const ChipAddress source =
      from.address(request.prefill->index(), piece.from_chip + from.group_offset(request.id));
  const ChipAddress target =
      to.address(request.decode->index(), piece.to_chip + to.group_offset(request.id));
  move_of_[network_->send(now, source, target, size, nullptr)] = request.id;
  if (!move.start) move.start = now;
}

void LayerwiseTransfer::deliver(Picoseconds now) {
  arrived(move_of_.extract(network_->pop_delivery().id).mapped(), now);
}

/// Moves close in act(), not while a replica is at work.
void LayerwiseTransfer::arrived(std::int64_t request, Picoseconds now) {
  Move& move = moves_.at(request);
  if (--move.left == 0 && move.is_prefilled) agenda_.wake(*this, now, Phase::Complete);
}

void LayerwiseTransfer::close_if_done(std::int64_t request, Picoseconds now) {
  const auto found = moves_.find(request);
  const Move& move = found->second;
  if (!move.is_prefilled || !move.has_room || move.left > 0) return;
  if (timeline_ != nullptr && move.start) {
    timeline_->span(timeline_->track("KV transfers", fmt::format("request {}", request)),
                    "KV by layers", *move.start, now);
  }
  Request& done = *move.request;
  moves_.erase(found);
  sink_.transferred(done, now);
}

}  // namespace tandem
