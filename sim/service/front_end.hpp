// What a server does with a request before its scheduler sees it.
#pragma once

#include <map>

#include "sim/service/source.hpp"

namespace tandem {

/// Time between a request's arrival and the scheduler's first look at it, and of the way back of
/// its first token: connection, text to tokens, messages between processes.
struct FrontEndTime {
  Picoseconds request{0};
  Picoseconds prompt_token{0};
  [[nodiscard]] bool is_zero() const { return request.count() == 0 && prompt_token.count() == 0; }
};

/// Hands each request on when its time is over; requests do not wait for each other.
class FrontEnd final : public Component, public RequestInlet {
 public:
  FrontEnd(const FrontEndTime& time, Agenda& agenda, RequestInlet& engine);
  void arrived(Request& request, Picoseconds now) override;
  void act(Picoseconds now, Phase phase) override;

 private:
  FrontEndTime time_;
  Agenda& agenda_;
  RequestInlet& engine_;
  std::multimap<Picoseconds, Request*> waiting_;  ///< by when they are ready
};

}  // namespace tandem
