// Moves the KV of prompts from prefill to decode replicas over the system's links.
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
#include "sim/service/replica.hpp"

namespace tandem {

class TimelineRecorder;

/// What a transfer needs to know of a finished one.
class TransferSink {
 public:
  virtual ~TransferSink() = default;
  virtual void transferred(Request& request, Picoseconds now) = 0;
};

/// The links between pools, as a component.
class KvTransfer final : public Component {
 public:
  KvTransfer(std::unique_ptr<NetworkModel> network, std::vector<KvPiece> pieces, Agenda& agenda,
             TransferSink& sink, TimelineRecorder* timeline);
  /// Sends the KV of the request's prompt from request.prefill to request.decode.
  void start(Request& request, Picoseconds now);
  void act(Picoseconds now, Phase phase) override;
  [[nodiscard]] std::map<std::string, LinkUse> usage() const { return network_->usage(); }
  [[nodiscard]] std::int64_t transfers() const { return transfers_; }

 private:
  /// What a prompt's KV takes from one replica to another.
  struct Crossing {
    std::int64_t prompt = -1, kv_at_decode = -1;  ///< tokens
    struct Message {
      ChipAddress source, target;
      Bytes size;
    };
    std::vector<Message> messages;
    Picoseconds floor{0};
  };
  const Crossing& crossing_of(const Request& request);
  struct Move {
    Request* request;
    std::int64_t left;  ///< messages under way
    Picoseconds start;
  };

  std::unique_ptr<NetworkModel> network_;
  std::vector<KvPiece> pieces_;
  DeliveryAlarm alarm_;
  TransferSink& sink_;
  TimelineRecorder* timeline_;
  std::map<NetworkModel::MessageId, std::int64_t> move_of_;  ///< message -> request id
  std::map<std::int64_t, Move> moves_;
  /// The last one between chips of two replicas: prompts often come in equal lengths.
  std::map<std::pair<ChipAddress, ChipAddress>, Crossing> crossings_;
  std::int64_t transfers_ = 0;
};

}  // namespace tandem
