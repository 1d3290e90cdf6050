#include "sim/entry/systems/served_gang.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <optional>
#include <regex>

namespace tandem::entry {
namespace {

/// "TP4", "dep8", "tp8_ep8".
std::optional<ServedGang> gang_named(const std::string& text) {
  if (const std::int64_t groups = number_behind(text, "dep"); groups > 0) {
    return ServedGang{groups, groups, true};
  }
  ServedGang gang;
  gang.gpus = number_behind(text, "tp");
  if (gang.gpus == 0) return std::nullopt;
  gang.expert = std::max<std::int64_t>(1, number_behind(text, "ep"));
  return gang;
}

/// The end of an id that says how many chips there are, and how many runs of experts:
/// "..._tp8_0_ep8_0_316", "..._tp2_epnone_1".
std::optional<ServedGang> gang_of_id(const std::string& id) {
  const std::regex end(R"(_tp(\d+)(?:_0)?_ep(\d+|none)(?:_0)?_\d+$)");
  std::smatch found;
  if (!std::regex_search(id, found, end)) return std::nullopt;
  return ServedGang{std::atoll(found[1].str().c_str()),
                    std::max<std::int64_t>(1, std::atoll(found[2].str().c_str())), false};
}

}  // namespace

std::string ServedGang::keys() const {
  if (shares_requests) return fmt::format("attention_data: {0}, expert: {0}", gpus);
  return expert > 1 ? fmt::format("tensor: {}, expert: {}", gpus, expert)
                    : fmt::format("tensor: {}", gpus);
}

std::int64_t number_behind(std::string name, const std::string& word) {
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
  const auto at = name.find(word);
  return at == std::string::npos ? 0 : std::atoll(name.c_str() + at + word.size());
}

ServedGang served_gang(const ServedRow& row, const std::string& prefix, bool has_experts) {
  for (const char* name : {"parallelism", "file"}) {
    if (const auto named = gang_named(row.text(name))) return *named;
  }
  const std::int64_t groups = row.count(prefix + "attention_dp", 1);
  ServedGang gang{row.count(prefix + "tp", row.count("gpus", 1)) * groups,
                  row.count(prefix + "moe_ep", 1), groups > 1};
  const std::int64_t shared = row.count(prefix + "moe_tp", 0);
  if (const auto named = gang_of_id(row.text("id")); named && prefix.empty()) {
    gang.gpus = named->gpus;
    gang.expert = named->expert;
  } else if (shared == gang.expert && shared > 1 && shared * shared == gang.gpus) {
    gang.gpus = shared;
  }
  if (!has_experts) gang.expert = 1;
  return gang;
}

}  // namespace tandem::entry
