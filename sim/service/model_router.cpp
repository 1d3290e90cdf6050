#include "sim/service/model_router.hpp"

#include <utility>

namespace tandem {

ModelRouter::ModelRouter(const Scenario& mix, std::uint64_t seed, Agenda& agenda)
    : mix_(mix),
      drawn_(seed, mix.routing.policy == RoutingPolicy::Share ? "routing" : "difficulty"),
      agenda_(agenda),
      occupancies_(mix.deployments.size()) {}

void ModelRouter::connect(std::vector<RequestInlet*> deployments, AnswerSink& source) {
  inlets_ = std::move(deployments);
  source_ = &source;
}

void ModelRouter::arrived(Request& request, Picoseconds now) {
  const std::size_t answering = answering_deployment(mix_, drawn_.uniform());
  const std::size_t first = mix_.routing.policy == RoutingPolicy::Cascade ? 0 : answering;
  courses_.push_back({{}, request.shared, first, answering});
  enter(first, request, now);
}

void ModelRouter::enter(std::size_t deployment, Request& request, Picoseconds now) {
  Course& course = courses_.at(static_cast<std::size_t>(request.id));
  course.visits.push_back(&request);
  const bool shares = mix_.deployments[deployment].serving.prefix_cache;
  request.shared = shares ? course.shared : std::vector<SharedPart>();
  Occupancy& own = occupancies_[chips_of(deployment)];
  if (own.requests++ == 0) own.since = now;
  inlets_[deployment]->arrived(request, now);
}

void ModelRouter::leave(std::size_t deployment, Picoseconds now) {
  Occupancy& own = occupancies_[chips_of(deployment)];
  if (--own.requests == 0) own.total += now - own.since;
}

/// The replica is still at work on the pass that answered: the next model comes in a phase of its
/// own.
void ModelRouter::answered(Request& request, Picoseconds now) {
  const Course& course = courses_[static_cast<std::size_t>(request.id)];
  const std::size_t deployment = course.first + course.visits.size() - 1;
  leave(deployment, now);
  if (deployment == course.answering) return source_->answered(request, now);
  due_.push_back(request.id);
  agenda_.wake(*this, now, Phase::Release);
}

void ModelRouter::act(Picoseconds now, Phase phase) {
  (void)phase;
  for (const std::int64_t id : std::exchange(due_, {})) {
    const Course& course = courses_[static_cast<std::size_t>(id)];
    const Request& before = *course.visits.back();
    Request next;
    next.id = id;
    next.arrival = now;
    next.prompt = before.prompt;
    next.output = before.output;
    next.priority = before.priority;
    next.session = before.session;
    further_.push_back(next);
    enter(course.first + course.visits.size(), further_.back(), now);
  }
}

Request as_answered(const ModelRouter::Course& course) {
  Request answered = *course.visits.back();
  answered.arrival = course.visits.front()->arrival;
  for (std::size_t i = 0; i + 1 < course.visits.size(); ++i) {
    const Request& before = *course.visits[i];
    answered.floor_to_first += before.floor_to_first + before.floor_after_first;
    answered.preemptions += before.preemptions;
  }
  return answered;
}

}  // namespace tandem
