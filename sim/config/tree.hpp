// A YAML document as a plain value that remembers where everything was written. Descriptions are
// merged (`extends`), changed (`--set`) and checked in this form.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "sim/core/diagnostics.hpp"

namespace tandem::config {

struct TreeEntry;

/// One node: nothing, a text, a list or a map whose keys keep the order of the file.
struct Tree {
  enum class Kind { Null, Scalar, Sequence, Map };
  Kind kind = Kind::Null;
  std::string text;
  std::vector<Tree> items;
  std::vector<TreeEntry> entries;
  SourcePlace place;

  [[nodiscard]] bool is_null() const { return kind == Kind::Null; }
  [[nodiscard]] bool is_scalar() const { return kind == Kind::Scalar; }
  [[nodiscard]] bool is_map() const { return kind == Kind::Map; }
  [[nodiscard]] bool is_sequence() const { return kind == Kind::Sequence; }
  /// The value of a key; null when this is not a map or has no such key.
  [[nodiscard]] const Tree* find(std::string_view key) const;
  [[nodiscard]] Tree* find(std::string_view key);
  [[nodiscard]] const TreeEntry* find_entry(std::string_view key) const;
  /// The value of a key, made when missing. A node that is not a map becomes an empty one.
  Tree& child(std::string_view key, const SourcePlace& key_place);
  void remove(std::string_view key);
};

struct TreeEntry {
  std::string key;
  SourcePlace key_place;
  Tree value;
};

/// A number with its origin: `{value: ..., source: ..., basis: ...}`.
[[nodiscard]] bool is_sourced_number(const Tree& tree);

/// A scalar node.
[[nodiscard]] Tree make_scalar(std::string text, SourcePlace place);

/// `changes` over `base`: maps merge key by key, everything else is replaced, null removes. A
/// sourced number is replaced as a whole, so that no number keeps the source of another.
void merge_into(Tree& base, const Tree& changes);

/// True when the place is an override of the command line and not a file.
[[nodiscard]] bool is_override_place(const SourcePlace& place);

/// Diagnostics of a load. Thrown at once, each one once, by file (in order of first complaint),
/// line and column: as RefusedError where all of them are of CombinationChecks.
class Problems {
 public:
  void report(SourcePlace place, std::string message);
  void report(const ConfigError& error);
  [[nodiscard]] std::size_t size() const { return diagnostics_.size(); }
  [[nodiscard]] bool empty() const { return diagnostics_.empty(); }
  /// Whether something was reported there: what hangs on it need not be checked.
  [[nodiscard]] bool has(const SourcePlace& place) const;
  void throw_if_any() const;
  /// Each once, in the order in which they are thrown.
  [[nodiscard]] std::vector<Diagnostic> all() const;

 private:
  friend class CombinationChecks;
  std::vector<Diagnostic> diagnostics_;
  std::size_t combinations_ = 0;  ///< of the diagnostics, those of values that do not go together
  int checks_ = 0;
};

/// While it lives, complaints are of values that are legal by themselves and do not go together.
class CombinationChecks {
 public:
  explicit CombinationChecks(Problems& problems) : problems_(problems) { ++problems_.checks_; }
  ~CombinationChecks() { --problems_.checks_; }
  CombinationChecks(const CombinationChecks&) = delete;
  CombinationChecks& operator=(const CombinationChecks&) = delete;

 private:
  Problems& problems_;
};

/// ", did you mean 'x'?" or nothing, for the end of a complaint about `word`.
[[nodiscard]] std::string suggestion(std::string_view word,
                                     const std::vector<std::string>& candidates);

}  // namespace tandem::config
