#include "sim/config/yaml_reader.hpp"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <fstream>
#include <optional>
#include <sstream>
#include <string_view>
#include <utility>

namespace tandem::config {
namespace {

/// Builds a Tree from parse events: events carry a mark for everything, nulls and duplicate keys
/// included, which yaml-cpp's own node tree drops.
class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(std::string file, Problems& problems) : file_(std::move(file)), problems_(problems) {}
  [[nodiscard]] Tree take() { return std::move(root_); }
  /// Line where the innermost list or map that has not ended begins; 0: none.
  [[nodiscard]] int open_line() const { return open_.empty() ? 0 : open_.back().tree.place.line; }

  void OnDocumentStart(const YAML::Mark& /*mark*/) override {}
  void OnDocumentEnd() override {}
  void OnAnchor(const YAML::Mark& mark, const std::string& name) override {
    problems_.report(place(mark), fmt::format("anchor '&{}' is not supported; write the value "
                                              "where it is needed, or use 'extends'",
                                              name));
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t /*anchor*/) override {
    problems_.report(place(mark),
                     "aliases ('*name') are not supported; write the value where it is needed, or "
                     "use 'extends'");
    add(node(Tree::Kind::Null, mark));
  }
  void OnNull(const YAML::Mark& mark, YAML::anchor_t /*anchor*/) override {
    add(node(Tree::Kind::Null, mark));
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t /*anchor*/,
                const std::string& value) override {
    check_tag(mark, tag);
    const bool is_plain_null = tag == "?" && (value == "null" || value == "~");
    Tree scalar = node(is_plain_null ? Tree::Kind::Null : Tree::Kind::Scalar, mark);
    scalar.text = value;
    add(std::move(scalar));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t /*anchor*/,
                       YAML::EmitterStyle::value /*style*/) override {
    check_tag(mark, tag);
    open_.push_back({node(Tree::Kind::Sequence, mark), {}, {}, false});
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t /*anchor*/,
                  YAML::EmitterStyle::value /*style*/) override {
    check_tag(mark, tag);
    open_.push_back({node(Tree::Kind::Map, mark), {}, {}, false});
  }
  void OnMapEnd() override { close(); }

 private:
  /// A list or map whose end has not come yet, and in a map the key that waits for its value.
  struct Open {
    Tree tree;
    std::string key;
    SourcePlace key_place;
    bool has_key = false;
  };

  [[nodiscard]] SourcePlace place(const YAML::Mark& mark) const {
    return {file_, mark.line + 1, mark.column + 1};
  }
  [[nodiscard]] Tree node(Tree::Kind kind, const YAML::Mark& mark) const {
    Tree tree;
    tree.kind = kind;
    tree.place = place(mark);
    return tree;
  }
  void check_tag(const YAML::Mark& mark, const std::string& tag) {
    if (tag.empty() || tag == "?" || tag == "!") return;
    problems_.report(place(mark), fmt::format("tag '{}' is not supported", tag));
  }
  void close() {
    Tree tree = std::move(open_.back().tree);
    open_.pop_back();
    add(std::move(tree));
  }
  void add(Tree tree) {
    if (open_.empty()) {
      root_ = std::move(tree);
      return;
    }
    Open& parent = open_.back();
    if (parent.tree.is_sequence()) {
      parent.tree.items.push_back(std::move(tree));
    } else if (!parent.has_key) {
      take_key(parent, tree);
    } else {
      parent.has_key = false;
      add_entry(parent, std::move(tree));
    }
  }
  void take_key(Open& parent, const Tree& tree) {
    if (!tree.is_scalar()) problems_.report(tree.place, "keys must be plain words");
    parent.key = tree.text;
    parent.key_place = tree.place;
    parent.has_key = true;
  }
  void add_entry(Open& parent, Tree value) {
    if (parent.key == "<<") {
      problems_.report(parent.key_place,
                       "merge keys ('<<') are not supported; use 'extends: other_file'");
      return;
    }
    if (const TreeEntry* first = parent.tree.find_entry(parent.key)) {
      problems_.report(parent.key_place, fmt::format("duplicate key '{}'; first written at line {}",
                                                     parent.key, first->key_place.line));
      return;
    }
    parent.tree.entries.push_back({parent.key, parent.key_place, std::move(value)});
  }

  std::string file_;
  Problems& problems_;
  Tree root_;
  std::vector<Open> open_;
};

/// Reports tabs in indentation, where yaml-cpp gives misleading messages or none.
bool has_tab_indentation(const std::string& text, const std::string& file, Problems& problems) {
  std::istringstream lines(text);
  std::string line;
  bool found = false;
  for (int number = 1; std::getline(lines, line); ++number) {
    const std::size_t tab = line.find_first_not_of(' ');
    if (tab == std::string::npos || line[tab] != '\t') continue;
    const std::size_t content = line.find_first_not_of(" \t\r");
    if (content == std::string::npos || line[content] == '#') continue;
    problems.report({file, number, static_cast<int>(tab) + 1},
                    "tab in indentation; YAML allows spaces only");
    found = true;
  }
  return found;
}

/// What a file holds; complains where it cannot be read.
std::optional<std::string> text_of(const std::string& path, Problems& problems) {
  std::ifstream file(path, std::ios::binary);
  if (!file.is_open()) {
    problems.report({path, 0, 0}, "cannot be read");
    return std::nullopt;
  }
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

/// Place just after the last character that is not white space.
SourcePlace end_of(const std::string& text, const std::string& file) {
  const std::size_t last = text.find_last_not_of(" \t\r\n");
  const std::string_view used = std::string_view(text).substr(0, last + 1);
  const auto lines = std::count(used.begin(), used.end(), '\n');
  const std::size_t begin = used.rfind('\n') + 1;  // npos + 1 is 0
  return {file, static_cast<int>(lines) + 1, static_cast<int>(used.size() - begin) + 1};
}

/// Where yaml-cpp found an error. It says of a text that stops within a line that it stops where
/// that line begins.
SourcePlace place_of(const YAML::Exception& error, const std::string& text,
                     const std::string& file) {
  const SourcePlace end = end_of(text, file);
  const SourcePlace marked{file, error.mark.line + 1, error.mark.column + 1};
  const bool is_line_cut = marked.line == end.line && marked.column == 1 && !text.ends_with('}') &&
                           !text.ends_with(']') && !text.ends_with('\n');
  return error.mark.line < 0 || marked.line > end.line || is_line_cut ? end : marked;
}

/// `format` is how messages call what the text should be.
Tree parse(const std::string& text, const std::string& file, const char* format,
           Problems& problems) {
  Tree nothing;
  nothing.place = {file, 1, 1};
  if (has_tab_indentation(text, file, problems)) return nothing;
  TreeBuilder builder(file, problems);
  try {
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    if (!parser.HandleNextDocument(builder)) {
      problems.report(nothing.place, "the file is empty");
      return nothing;
    }
    Tree tree = builder.take();
    Problems ignored;
    TreeBuilder rest(file, ignored);
    if (parser.HandleNextDocument(rest)) {
      problems.report(rest.take().place,
                      fmt::format("only one {} document per file is supported", format));
    }
    return tree;
  } catch (const YAML::Exception& error) {
    const bool is_unfinished = error.msg.find("flow not found") != std::string::npos;
    const std::string begin = is_unfinished && builder.open_line() > 0
                                  ? fmt::format("; it begins at line {}", builder.open_line())
                                  : std::string{};
    problems.report(place_of(error, text, file),
                    fmt::format("not valid {}: {}{}", format, error.msg, begin));
    return nothing;
  }
}

Tree nothing_in(const std::string& path) {
  Tree nothing;
  nothing.place.file = path;
  return nothing;
}

}  // namespace

Tree parse_yaml(const std::string& text, const std::string& file, Problems& problems) {
  return parse(text, file, "YAML", problems);
}

Tree read_yaml(const std::string& path, Problems& problems) {
  const std::optional<std::string> text = text_of(path, problems);
  return text ? parse_yaml(*text, path, problems) : nothing_in(path);
}

Tree read_json(const std::string& path, Problems& problems) {
  std::optional<std::string> text = text_of(path, problems);
  if (!text) return nothing_in(path);
  std::replace(text->begin(), text->end(), '\t', ' ');  // strings of JSON hold no raw tabs
  return parse(*text, path, "JSON", problems);
}

}  // namespace tandem::config
