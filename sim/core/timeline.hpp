// Records what happened when, and writes it as Chrome trace JSON, which Perfetto opens.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "sim/core/units.hpp"

namespace tandem {

/// Spans on named tracks. A track is a (group, name) pair: a chip and one of its parts, a link, a
/// request. A null recorder pointer means "not recording"; models must accept it.
class TimelineRecorder {
 public:
  using Track = std::uint32_t;
  /// The track of that name, made when first asked for.
  Track track(std::string_view group, std::string_view name);
  void span(Track track, std::string_view label, Picoseconds start, Picoseconds end);
  void counter(Track track, std::string_view label, Picoseconds time, double value);
  [[nodiscard]] std::size_t size() const { return events_.size(); }
  /// Chrome trace event format; time stamps in microseconds with picosecond digits. The same
  /// recorded events give the same bytes.
  void write_chrome_trace(std::ostream& out) const;

 private:
  struct TrackName {
    std::string group;
    std::string name;
  };
  struct Event {
    Track track;
    std::uint32_t label;
    bool is_counter;
    Picoseconds start;
    Picoseconds duration;
    double value;
  };
  std::uint32_t intern(std::string_view label);

  std::vector<TrackName> tracks_;
  std::map<std::pair<std::string, std::string>, Track> track_index_;
  std::vector<std::string> labels_;
  std::map<std::string, std::uint32_t, std::less<>> label_index_;
  std::vector<Event> events_;
};

}  // namespace tandem
