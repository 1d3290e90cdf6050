#include "sim/core/timeline.hpp"

#include <fmt/format.h>

#include <ostream>

namespace tandem {
namespace {

std::string json_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  return out + '"';
}

/// Microseconds with all six picosecond digits, without a detour over floating point.
std::string microseconds(Picoseconds t) {
  return fmt::format("{}.{:06d}", t.count() / 1000000, t.count() % 1000000);
}

}  // namespace

TimelineRecorder::Track TimelineRecorder::track(std::string_view group, std::string_view name) {
  const auto [it, is_new] = track_index_.try_emplace({std::string(group), std::string(name)},
                                                     static_cast<Track>(tracks_.size()));
  if (is_new) tracks_.push_back({std::string(group), std::string(name)});
  return it->second;
}

std::uint32_t TimelineRecorder::intern(std::string_view label) {
  const auto found = label_index_.find(label);
  if (found != label_index_.end()) return found->second;
  const auto id = static_cast<std::uint32_t>(labels_.size());
  labels_.emplace_back(label);
  label_index_.emplace(label, id);
  return id;
}

void TimelineRecorder::span(Track track, std::string_view label, Picoseconds start,
                            Picoseconds end) {
  events_.push_back({track, intern(label), false, start, end - start, 0.0});
}

void TimelineRecorder::counter(Track track, std::string_view label, Picoseconds time,
                               double value) {
  events_.push_back({track, intern(label), true, time, Picoseconds(0), value});
}

void TimelineRecorder::write_chrome_trace(std::ostream& out) const {
  std::map<std::string, int> groups;
  for (const TrackName& name : tracks_) groups.try_emplace(name.group, 0);
  int next = 1;
  for (auto& [group, id] : groups) id = next++;

  out << "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n";
  for (const auto& [group, id] : groups) {
    out << fmt::format(
        "{{\"ph\":\"M\",\"pid\":{},\"name\":\"process_name\",\"args\":{{\"name\":{}}}}},\n", id,
        json_string(group));
  }
  for (std::size_t t = 0; t < tracks_.size(); ++t) {
    out << fmt::format(
        "{{\"ph\":\"M\",\"pid\":{},\"tid\":{},\"name\":\"thread_name\",\"args\":{{\"name\":{}}}}}"
        ",\n",
        groups.at(tracks_[t].group), t + 1, json_string(tracks_[t].name));
  }
  for (const Event& event : events_) {
    const int pid = groups.at(tracks_[event.track].group);
    if (event.is_counter) {
      out << fmt::format(
          "{{\"ph\":\"C\",\"pid\":{},\"tid\":{},\"ts\":{},\"name\":{},\"args\":{{\"value\":{}}}}}"
          ",\n",
          pid, event.track + 1, microseconds(event.start), json_string(labels_[event.label]),
          event.value);
    } else {
      out << fmt::format(
          "{{\"ph\":\"X\",\"pid\":{},\"tid\":{},\"ts\":{},\"dur\":{},\"name\":{}}}"
          ",\n",
          pid, event.track + 1, microseconds(event.start), microseconds(event.duration),
          json_string(labels_[event.label]));
    }
  }
  out << "{\"ph\":\"M\",\"pid\":0,\"name\":\"trace_end\",\"args\":{}}\n]}\n";
}

}  // namespace tandem
