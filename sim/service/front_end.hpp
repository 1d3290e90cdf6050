// What a server does with a request before its scheduler sees it.
#pragma once

#include <deque>

#include "sim/service/source.hpp"

namespace tandem {

/// Time that one process spends on each request: connection, text to tokens, the way to the engine
/// and back, and the first token's text.
struct FrontEndTime {
  Picoseconds request{0};
  Picoseconds prompt_token{0};
  [[nodiscard]] bool is_zero() const { return request.count() == 0 && prompt_token.count() == 0; }
};

/// Takes requests one after the other and hands each on when its time is over: requests that come
/// together wait for each other.
class FrontEnd final : public Component, public RequestInlet {
 public:
  FrontEnd(const FrontEndTime& time, Agenda& agenda, RequestInlet& engine);
  void arrived(Request& request, Picoseconds now) override;
  void act(Picoseconds now, Phase phase) override;

 private:
  struct Waiting {
    Request* request;
    Picoseconds ready;
  };
  FrontEndTime time_;
  Agenda& agenda_;
  RequestInlet& engine_;
  std::deque<Waiting> waiting_;
  Picoseconds free_{0};
};

}  // namespace tandem
