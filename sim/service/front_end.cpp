#include "sim/service/front_end.hpp"

namespace tandem {

FrontEnd::FrontEnd(const FrontEndTime& time, Agenda& agenda, RequestInlet& engine)
    : time_(time), agenda_(agenda), engine_(engine) {}

void FrontEnd::arrived(Request& request, Picoseconds now) {
  const Picoseconds ready = now + time_.request + time_.prompt_token * request.prompt;
  waiting_.emplace(ready, &request);
  agenda_.wake(*this, ready, Phase::Release);
}

void FrontEnd::act(Picoseconds now, Phase phase) {
  (void)phase;
  while (!waiting_.empty() && waiting_.begin()->first <= now) {
    Request& request = *waiting_.begin()->second;
    waiting_.erase(waiting_.begin());
    engine_.arrived(request, now);
  }
}

}  // namespace tandem
