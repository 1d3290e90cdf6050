// Gives requests to the models of a mix, and follows them from one to the next.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "sim/core/random.hpp"
#include "sim/describe/mix.hpp"
#include "sim/service/component.hpp"
#include "sim/service/source.hpp"

namespace tandem {

/// Stands between the source and the deployments of a mix.
///
/// Contract:
///  - draws one number per request in the order of arrival: from the stream "routing" by shares,
///    from "difficulty" otherwise, so that thresholds and cascades see the same requests.
///  - the source hears of a request once, when the answer that stands is complete.
///  - a model that a cascade goes on to gets a request of the same lengths, which arrives when the
///    answer before it is complete.
class ModelRouter final : public RequestInlet, public AnswerSink, public Component {
 public:
  ModelRouter(const Scenario& mix, std::uint64_t seed, Agenda& agenda);
  /// Where each deployment's requests go, in the order of the scenario, and where answers do.
  void connect(std::vector<RequestInlet*> deployments, AnswerSink& source);
  void arrived(Request& request, Picoseconds now) override;
  void answered(Request& request, Picoseconds now) override;
  void act(Picoseconds now, Phase phase) override;

  /// A request from its arrival to the answer that stands.
  struct Course {
    std::vector<const Request*> visits;  ///< one per model that computed it
    std::vector<SharedPart> shared;      ///< from the start of its prompt
    std::size_t first = 0;               ///< deployment of the first of them
    std::size_t answering = 0;           ///< whose answer stands
  };
  /// By id of the source's requests.
  [[nodiscard]] const std::vector<Course>& courses() const { return courses_; }
  /// Time during which the chips of a deployment had requests, of other tiers on them too.
  [[nodiscard]] Picoseconds occupied(std::size_t deployment) const {
    return occupancies_.at(chips_of(deployment)).total;
  }

 private:
  struct Occupancy {
    std::int64_t requests = 0;
    Picoseconds since;
    Picoseconds total;
  };
  [[nodiscard]] std::size_t chips_of(std::size_t deployment) const {
    return mix_.deployments[deployment].host.value_or(deployment);
  }
  void enter(std::size_t deployment, Request& request, Picoseconds now);
  void leave(std::size_t deployment, Picoseconds now);

  const Scenario& mix_;
  RandomStream drawn_;
  Agenda& agenda_;
  AnswerSink* source_ = nullptr;
  std::vector<RequestInlet*> inlets_;
  std::vector<Occupancy> occupancies_;
  std::vector<Course> courses_;
  std::deque<Request> further_;    ///< of cascades; a deque: pointers to requests stay valid
  std::vector<std::int64_t> due_;  ///< requests that go on to the next model
};

/// The request as its user sees it: from its arrival to the answer that stands.
[[nodiscard]] Request as_answered(const ModelRouter::Course& course);

}  // namespace tandem
