// Requests that go through their rounds together, so that one verification serves all of them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <set>
#include <utility>
#include <vector>

namespace tandem {

/// The requests of one verifying replica, by number.
///
/// Contract: members wait for each other before every verification. A request that cannot be sure
/// of its room in memory must leave(), or those that hold the room may wait for it for ever.
class RoundGroup {
 public:
  void join(std::int64_t request) { members_.insert(request); }
  /// Returns whether it was waiting: it then goes on by itself.
  bool leave(std::int64_t request) {
    members_.erase(request);
    return std::erase(waiting_, request) > 0;
  }
  [[nodiscard]] bool has(std::int64_t request) const { return members_.contains(request); }
  /// The drafts of a member are here.
  void wait(std::int64_t request) { waiting_.push_back(request); }
  /// All members, in the order in which their drafts came, once all of them wait; else nobody.
  [[nodiscard]] std::vector<std::int64_t> take_if_complete() {
    if (waiting_.size() < members_.size()) return {};
    return std::exchange(waiting_, {});
  }

 private:
  std::set<std::int64_t> members_;
  std::vector<std::int64_t> waiting_;  ///< members only
};

}  // namespace tandem
