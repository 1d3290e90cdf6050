// Moves the KV of prompts to decode replicas layer by layer, while the prompts are computed.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "sim/lower/network_model.hpp"
#include "sim/service/component.hpp"
#include "sim/service/delivery_alarm.hpp"
#include "sim/service/kv_pieces.hpp"
#include "sim/service/kv_transfer.hpp"
#include "sim/service/replica.hpp"

namespace tandem {

/// One layer of a piece, and where in its station's time it is through.
struct LayerPiece {
  KvPiece piece;            ///< of this layer alone
  std::size_t station = 0;  ///< of the sending pool
  std::int64_t number = 0;  ///< among the layers of the station, from 0
  std::int64_t layers = 1;  ///< that the station has
  /// When the layer is through, and its KV may leave: layers of a station are taken as equally
  /// long.
  [[nodiscard]] Picoseconds ready(const std::vector<StationSpan>& spans) const;
  /// Bytes for `tokens` tokens from `first` on of a prompt: tokens that a window will have dropped
  /// by the prompt's end stay behind, a recurrent state goes with the last token.
  [[nodiscard]] Bytes size(std::int64_t first, std::int64_t tokens, std::int64_t prompt) const;
};

/// The pieces between two pools, cut into layers.
[[nodiscard]] std::vector<LayerPiece> layer_pieces(const PoolModel& from, const PoolModel& to);
/// The same of what drafts on the chips of both: its passes are the last of a station's time.
[[nodiscard]] std::vector<LayerPiece> draft_layer_pieces(const PoolModel& from,
                                                         const PoolModel& to);

/// The links between pools, as a component.
///
/// Contract: open() when a request's first pass begins, written() for every pass of its prompt,
/// reserved() when its decode replica has room, prefilled() when its first token is out. KV leaves
/// when its layer is through and room is reserved; TransferSink::transferred() comes when the first
/// token is out and the last piece has arrived. KV that is computed again is not sent again, nor is
/// what the decode replica has; what a pass found in the cache goes with what it writes.
class LayerwiseTransfer final : public Component {
 public:
  LayerwiseTransfer(std::unique_ptr<NetworkModel> network, std::vector<LayerPiece> pieces,
                    Agenda& agenda, TransferSink& sink, TimelineRecorder* timeline);
  void open(Request& request);
  [[nodiscard]] bool is_open(const Request& request) const { return moves_.contains(request.id); }
  void written(Request& request, const KvWritten& kv, Picoseconds now);
  void reserved(Request& request, Picoseconds now);
  void prefilled(Request& request, Picoseconds now);
  void act(Picoseconds now, Phase phase) override;
  [[nodiscard]] std::map<std::string, LinkUse> usage() const { return network_->usage(); }
  [[nodiscard]] std::int64_t transfers() const { return transfers_; }

 private:
  struct Send {
    std::int64_t request;
    std::size_t piece;
    std::int64_t first, tokens;
  };
  struct Move {
    Request* request = nullptr;
    std::int64_t tokens = 0;  ///< written so far
    std::int64_t left = 0;    ///< messages not yet delivered
    bool has_room = false, is_prefilled = false;
    std::multimap<Picoseconds, Send> waiting;  ///< for room, by the time from which they may leave
    std::optional<Picoseconds> start;
  };
  void advance(Picoseconds now);
  void send(const Send& send, Picoseconds now);
  void arrived(std::int64_t request, Picoseconds now);
  void deliver(Picoseconds now);
  void close_if_done(std::int64_t request, Picoseconds now);

  std::unique_ptr<NetworkModel> network_;
  std::vector<LayerPiece> pieces_;
  Agenda& agenda_;
  DeliveryAlarm alarm_;
  TransferSink& sink_;
  TimelineRecorder* timeline_;
  std::map<std::int64_t, Move> moves_;        ///< by request
  std::multimap<Picoseconds, Send> planned_;  ///< sends to come
  std::map<NetworkModel::MessageId, std::int64_t> move_of_;
  std::int64_t transfers_ = 0;
};

}  // namespace tandem
