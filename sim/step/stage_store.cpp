#include "sim/step/stage_store.hpp"

#include <unistd.h>

#include <array>
#include <charconv>
#include <fstream>
#include <sstream>
#include <string_view>
#include <thread>

#include "sim/core/hash.hpp"

namespace tandem {
namespace {

constexpr const char* format_mark = "tandem-stage-5";
constexpr const char* fit_mark = "tandem-fit-1";
constexpr const char* collective_mark = "tandem-collective-1";

std::string checksum_of(const std::string& body) {
  return Hasher().add(body).hex();
}

/// Reads numbers and lines one after the other; false from the first that is not there.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : left_(text) {}
  template <class... Numbers>
  [[nodiscard]] bool numbers(Numbers&... to) {
    return (number(to) && ...);
  }
  template <class Number>
  [[nodiscard]] bool number(Number& to) {
    const std::size_t start = left_.find_first_not_of(" \n");
    if (start == std::string_view::npos) return false;
    left_.remove_prefix(start);
    const auto [rest, error] = std::from_chars(left_.data(), left_.data() + left_.size(), to);
    if (error != std::errc()) return false;
    left_.remove_prefix(static_cast<std::size_t>(rest - left_.data()));
    return true;
  }
  /// The rest of the line, without the blank or line end before it.
  [[nodiscard]] bool rest_of_line(std::string& to) {
    if (left_.empty()) return false;
    left_.remove_prefix(1);
    return line(to);
  }
  [[nodiscard]] bool line(std::string& to) {
    const std::size_t end = left_.find('\n');
    if (end == std::string_view::npos) return false;
    to = left_.substr(0, end);
    left_.remove_prefix(end + 1);
    return true;
  }
  /// Lines of a count and a name.
  [[nodiscard]] bool counts(std::size_t lines, std::map<std::string, std::int64_t>& to) {
    for (std::size_t i = 0; i < lines; ++i) {
      std::int64_t count = 0;
      std::string name;
      if (!number(count) || !rest_of_line(name)) return false;
      to[name] = count;
    }
    return true;
  }
  [[nodiscard]] bool starts_with(std::string_view mark) {
    std::string first;
    return line(first) && first == mark;
  }

 private:
  std::string_view left_;
};

std::string sealed(const std::string& body) {
  return body + checksum_of(body) + "\n";
}

/// The body of a sealed text; nothing when it is damaged.
std::optional<std::string> unsealed(const std::string& text) {
  const std::size_t tail = 17;  // 16 digits and the line end
  if (text.size() <= tail) return std::nullopt;
  std::string body = text.substr(0, text.size() - tail);
  if (text.substr(body.size()) != checksum_of(body) + "\n") return std::nullopt;
  return body;
}

std::optional<std::string> read_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

/// The numbers of a fit in the order of their declaration.
std::vector<std::int64_t> numbers_of(const Fit& fit) {
  return {fit.capacity.count(),          fit.weights.count(),      fit.program.count(),
          fit.workspace.count(),         fit.kv_per_token.count(), fit.kv_block,
          fit.state_per_sequence.count()};
}

/// Of this thread of this process on this host: folders are shared by many of each.
std::string writer_name() {
  std::array<char, 256> host{};
  (void)::gethostname(host.data(), host.size() - 1);
  std::ostringstream name;
  name << host.data() << '.' << ::getpid() << '.' << std::this_thread::get_id();
  return name.str();
}

// A reader sees the whole file or none: the text goes to a name of this thread and is renamed.
void write_text(const std::filesystem::path& path, const std::string& text) {
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  if (error) return;
  const std::filesystem::path temporary = path.string() + "." + writer_name();
  {
    std::ofstream file(temporary, std::ios::binary | std::ios::trunc);
    file << text;
    file.close();
    if (!file) {
      std::filesystem::remove(temporary, error);
      return;
    }
  }
  std::filesystem::rename(temporary, path, error);
  if (error) std::filesystem::remove(temporary, error);
}

}  // namespace

StageResult summary_of(const StageCost& cost) {
  StageResult result;
  result.time = cost.time;
  result.activity = cost.activity.counts;
  result.bottleneck = cost.bottleneck;
  result.segments = cost.segments;
  for (const KernelCost& kernel : cost.kernels) {
    result.matrix += kernel.work.matrix * kernel.repeats;
    result.memory += (kernel.memory_read + kernel.memory_write) * kernel.repeats;
    result.kernels += kernel.repeats;
    result.kernel_times[kernel.role] += kernel.time * kernel.repeats;
  }
  return result;
}

std::string encode_stage_result(const StageResult& result) {
  std::ostringstream body;
  body << format_mark << '\n'
       << result.time.count() << ' ' << result.matrix.count() << ' ' << result.memory.count() << ' '
       << result.kernels << ' ' << result.activity.size() << '\n'
       << result.bottleneck << '\n';
  for (const auto& [name, count] : result.activity) body << count << ' ' << name << '\n';
  body << result.segments.size();
  for (const Picoseconds segment : result.segments) body << ' ' << segment.count();
  body << '\n' << result.kernel_times.size() << '\n';
  for (const auto& [role, time] : result.kernel_times) body << time.count() << ' ' << role << '\n';
  return sealed(body.str());
}

std::string encode_fit(const Fit& fit) {
  std::ostringstream body;
  body << fit_mark << '\n';
  for (const std::int64_t number : numbers_of(fit)) body << number << '\n';
  return sealed(body.str());
}

std::optional<Fit> decode_fit(const std::string& text) {
  const std::optional<std::string> body = unsealed(text);
  if (!body) return std::nullopt;
  Scanner in(*body);
  if (!in.starts_with(fit_mark)) return std::nullopt;
  std::vector<std::int64_t> numbers(numbers_of({}).size());
  for (std::int64_t& number : numbers) {
    if (!in.number(number)) return std::nullopt;
  }
  return Fit{.capacity = Bytes(numbers[0]),
             .weights = Bytes(numbers[1]),
             .program = Bytes(numbers[2]),
             .workspace = Bytes(numbers[3]),
             .kv_per_token = Bytes(numbers[4]),
             .kv_block = numbers[5],
             .state_per_sequence = Bytes(numbers[6])};
}

std::optional<StageResult> decode_stage_result(const std::string& text) {
  const std::optional<std::string> body = unsealed(text);
  if (!body) return std::nullopt;
  Scanner in(*body);
  std::int64_t time = 0, matrix = 0, memory = 0;
  std::size_t activities = 0, segments = 0, roles = 0;
  StageResult result;
  if (!in.starts_with(format_mark) ||
      !in.numbers(time, matrix, memory, result.kernels, activities) ||
      !in.rest_of_line(result.bottleneck) || !in.counts(activities, result.activity) ||
      !in.number(segments)) {
    return std::nullopt;
  }
  for (std::size_t i = 0; i < segments; ++i) {
    std::int64_t segment = 0;
    if (!in.number(segment)) return std::nullopt;
    result.segments.emplace_back(segment);
  }
  std::map<std::string, std::int64_t> times;
  if (!in.number(roles) || !in.counts(roles, times)) return std::nullopt;
  for (const auto& [role, picoseconds] : times) {
    result.kernel_times[role] = Picoseconds(picoseconds);
  }
  result.time = Picoseconds(time);
  result.matrix = Flops(matrix);
  result.memory = Bytes(memory);
  return result;
}

std::string encode_collective(const CollectiveCost& cost) {
  std::ostringstream body;
  body << collective_mark << '\n'
       << cost.time.count() << ' ' << cost.floor.count() << ' ' << cost.sms << ' '
       << cost.memory.count() << ' ' << cost.link_bytes.size() << '\n'
       << cost.algorithm << '\n'
       << cost.protocol << '\n'
       << cost.bound << '\n';
  for (const auto& [link, bytes] : cost.link_bytes) body << bytes << ' ' << link << '\n';
  return sealed(body.str());
}

std::optional<CollectiveCost> decode_collective(const std::string& text) {
  const std::optional<std::string> body = unsealed(text);
  if (!body) return std::nullopt;
  Scanner in(*body);
  std::int64_t time = 0, floor = 0, memory = 0;
  std::size_t links = 0;
  CollectiveCost cost;
  if (!in.starts_with(collective_mark) || !in.numbers(time, floor, cost.sms, memory, links) ||
      !in.rest_of_line(cost.algorithm) || !in.line(cost.protocol) || !in.line(cost.bound) ||
      !in.counts(links, cost.link_bytes)) {
    return std::nullopt;
  }
  cost.time = Picoseconds(time);
  cost.floor = Picoseconds(floor);
  cost.memory = Bytes(memory);
  return cost;
}

StageStore::StageStore(std::optional<std::filesystem::path> folder) : folder_(std::move(folder)) {}

std::filesystem::path StageStore::path_of(std::uint64_t key, const char* kind) const {
  const std::string name = Hasher().add(key).hex();
  return *folder_ / name.substr(0, 2) / (name + kind);
}

const StageResult* StageStore::find(std::uint64_t key) {
  const auto found = memory_.find(key);
  if (found != memory_.end()) return &found->second;
  if (!folder_) return nullptr;
  const std::optional<std::string> text = read_text(path_of(key, ".stage"));
  std::optional<StageResult> stored = text ? decode_stage_result(*text) : std::nullopt;
  if (!stored) return nullptr;
  ++loaded_;
  return &memory_.emplace(key, std::move(*stored)).first->second;
}

const StageResult& StageStore::put(std::uint64_t key, StageResult result) {
  ++computed_;
  if (folder_) write_text(path_of(key, ".stage"), encode_stage_result(result));
  return memory_.insert_or_assign(key, std::move(result)).first->second;
}

std::optional<Fit> StageStore::find_fit(std::uint64_t key) {
  const auto found = fits_.find(key);
  if (found != fits_.end()) return found->second;
  if (!folder_) return std::nullopt;
  const std::optional<std::string> text = read_text(path_of(key, ".fit"));
  const std::optional<Fit> stored = text ? decode_fit(*text) : std::nullopt;
  if (stored) fits_.emplace(key, *stored);
  return stored;
}

const CollectiveCost* StageStore::find_collective(std::uint64_t key) {
  const auto found = collectives_.find(key);
  if (found != collectives_.end()) return &found->second;
  if (!folder_) return nullptr;
  const std::optional<std::string> text = read_text(path_of(key, ".collective"));
  std::optional<CollectiveCost> stored = text ? decode_collective(*text) : std::nullopt;
  if (!stored) return nullptr;
  return &collectives_.emplace(key, std::move(*stored)).first->second;
}

const CollectiveCost& StageStore::put_collective(std::uint64_t key, CollectiveCost cost) {
  if (folder_) write_text(path_of(key, ".collective"), encode_collective(cost));
  return collectives_.insert_or_assign(key, std::move(cost)).first->second;
}

void StageStore::put_fit(std::uint64_t key, const Fit& fit) {
  if (folder_) write_text(path_of(key, ".fit"), encode_fit(fit));
  fits_.insert_or_assign(key, fit);
}

}  // namespace tandem
