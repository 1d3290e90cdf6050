// Reads the keys of one map against its Section: unknown, missing and ill-formed keys are reported,
// values come out typed. A key that failed reads as its fallback, so that reading can go on.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "sim/config/keys.hpp"
#include "sim/config/loader.hpp"
#include "sim/config/tree.hpp"

namespace tandem::config {

class Library;

/// What every reader needs.
struct ReadContext {
  const ModelSchemas& schemas;
  const std::set<std::string>& sources;  ///< keys that `source:` may name
  Problems& problems;
  /// Where descriptions are, for names that nothing has to be read of; null: such names pass.
  const Library* library = nullptr;
};

/// Reads one map.
///
/// Contract: the tree and the context outlive the reader. Constructing it reports unknown and
/// missing keys; each getter may be asked only for keys of the section.
class MapReader {
 public:
  /// `subject` is how messages call the map: "chip 'lpu_v1'". `extra` are keys that the section
  /// does not know but that are legal here.
  MapReader(const Tree& tree, const Section& section, std::string subject, ReadContext& context,
            const std::vector<std::string>& extra = {});

  [[nodiscard]] bool has(const std::string& key) const;
  /// True when every one of the keys has a value; checks of keys against each other need them all.
  [[nodiscard]] bool has_all(std::initializer_list<const char*> keys) const;
  [[nodiscard]] std::string text(const std::string& key) const;
  [[nodiscard]] std::optional<double> optional_number(const std::string& key) const;
  [[nodiscard]] double number(const std::string& key) const;
  [[nodiscard]] std::int64_t count(const std::string& key) const;
  [[nodiscard]] bool flag(const std::string& key) const;
  /// The enumerator that `names` gives for the choice written.
  template <class Enum>
  [[nodiscard]] Enum choice(const std::string& key,
                            const std::vector<std::pair<std::string, Enum>>& names) const {
    const std::string word = choice_word(key);
    for (const auto& [name, value] : names) {
      if (name == word) return value;
    }
    return names.front().second;
  }
  [[nodiscard]] std::string choice_word(const std::string& key) const;
  /// The map (or whatever is there) under a key; null when it is left out.
  [[nodiscard]] const Tree* child(const std::string& key) const { return tree_.find(key); }
  /// Place of a key's value, or of the map when the key is left out.
  [[nodiscard]] SourcePlace place(const std::string& key) const;
  /// The text of a `source` key, checked against the list of sources.
  [[nodiscard]] std::string source(const std::string& key) const;
  void report(const std::string& key, std::string message) const;

 private:
  void check_keys(const std::vector<std::string>& extra) const;
  [[nodiscard]] const KeySpec& spec(const std::string& key) const;
  [[nodiscard]] const Tree* scalar(const std::string& key) const;

  const Tree& tree_;
  const Section section_;
  std::string subject_;
  ReadContext& context_;
};

/// Reports a file whose `kind` is missing or another one.
void check_kind(const Tree& tree, const std::string& kind, Problems& problems);

/// Complaint about a key that is not known, with the nearest known one.
[[nodiscard]] std::string unknown_key(const std::string& key, const std::string& subject,
                                      const std::vector<std::string>& known);

/// Reads a number and, where written, its origin. With `needs_origin` a number without source and
/// basis is reported; one set on the command line has the source "command-line". Nothing when the
/// number is unusable.
[[nodiscard]] std::optional<Parameter> read_parameter(const Tree& tree, const ParameterSpec& spec,
                                                      bool needs_origin, ReadContext& context);

/// Numbers without an origin: one, or a list of them, one per thing that `per` names; `example` is
/// a list as it may be written. Those that are unusable are reported and left out.
[[nodiscard]] std::vector<double> read_numbers(const Tree& tree, const ParameterSpec& spec,
                                               const std::string& per, const std::string& example,
                                               ReadContext& context);

}  // namespace tandem::config
