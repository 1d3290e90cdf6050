#include "sim/service/front_end.hpp"

#include <algorithm>

namespace tandem {

FrontEnd::FrontEnd(const FrontEndTime& time, Agenda& agenda, RequestInlet& engine)
    : time_(time), agenda_(agenda), engine_(engine) {}

void FrontEnd::arrived(Request& request, Picoseconds now) {
  free_ = std::max(free_, now) + time_.request + time_.prompt_token * request.prompt;
  waiting_.push_back({&request, free_});
  agenda_.wake(*this, free_, Phase::Release);
}

void FrontEnd::act(Picoseconds now, Phase phase) {
  (void)phase;
  while (!waiting_.empty() && waiting_.front().ready <= now) {
    Request& request = *waiting_.front().request;
    waiting_.pop_front();
    engine_.arrived(request, now);
  }
}

}  // namespace tandem
