#include "sim/step/stage_store.hpp"

#include <unistd.h>

#include <fstream>
#include <sstream>

#include "sim/core/hash.hpp"

namespace tandem {
namespace {

constexpr const char* format_mark = "tandem-stage-3";

std::string checksum_of(const std::string& body) {
  return Hasher().add(body).hex();
}

/// Lines of a count and a name. False where there are fewer.
bool read_counts(std::istream& in, std::size_t lines, std::map<std::string, std::int64_t>& counts) {
  for (std::size_t i = 0; i < lines; ++i) {
    std::int64_t count = 0;
    std::string name;
    if (!(in >> count)) return false;
    in.ignore(1);
    if (!std::getline(in, name)) return false;
    counts[name] = count;
  }
  return true;
}

std::optional<StageResult> read_result(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  std::ostringstream text;
  text << file.rdbuf();
  return decode_stage_result(text.str());
}

// A reader sees the whole file or none: the text goes to a name of this process and is renamed.
void write_result(const std::filesystem::path& path, const std::string& text) {
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  if (error) return;
  const std::filesystem::path temporary =
      path.string() + "." + std::to_string(static_cast<long>(::getpid()));
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
  const std::string text = body.str();
  return text + checksum_of(text) + "\n";
}

std::optional<StageResult> decode_stage_result(const std::string& text) {
  const std::size_t tail = 17;  // 16 digits and the line end
  if (text.size() <= tail) return std::nullopt;
  const std::string body = text.substr(0, text.size() - tail);
  if (text.substr(body.size()) != checksum_of(body) + "\n") return std::nullopt;
  std::istringstream in(body);
  std::string mark;
  std::int64_t time = 0, matrix = 0, memory = 0;
  std::size_t activities = 0;
  StageResult result;
  if (!std::getline(in, mark) || mark != format_mark) return std::nullopt;
  if (!(in >> time >> matrix >> memory >> result.kernels >> activities)) return std::nullopt;
  in.ignore(1);
  if (!std::getline(in, result.bottleneck)) return std::nullopt;
  if (!read_counts(in, activities, result.activity)) return std::nullopt;
  std::size_t segments = 0;
  if (!(in >> segments)) return std::nullopt;
  for (std::size_t i = 0; i < segments; ++i) {
    std::int64_t segment = 0;
    if (!(in >> segment)) return std::nullopt;
    result.segments.emplace_back(segment);
  }
  std::size_t roles = 0;
  std::map<std::string, std::int64_t> times;
  if (!(in >> roles) || !read_counts(in, roles, times)) return std::nullopt;
  for (const auto& [role, picoseconds] : times) {
    result.kernel_times[role] = Picoseconds(picoseconds);
  }
  result.time = Picoseconds(time);
  result.matrix = Flops(matrix);
  result.memory = Bytes(memory);
  return result;
}

StageStore::StageStore(std::optional<std::filesystem::path> folder) : folder_(std::move(folder)) {}

std::filesystem::path StageStore::path_of(std::uint64_t key) const {
  const std::string name = Hasher().add(key).hex();
  return *folder_ / name.substr(0, 2) / (name + ".stage");
}

const StageResult* StageStore::find(std::uint64_t key) {
  const auto found = memory_.find(key);
  if (found != memory_.end()) return &found->second;
  if (!folder_) return nullptr;
  std::optional<StageResult> stored = read_result(path_of(key));
  if (!stored) return nullptr;
  ++loaded_;
  return &memory_.emplace(key, std::move(*stored)).first->second;
}

const StageResult& StageStore::put(std::uint64_t key, StageResult result) {
  ++computed_;
  if (folder_) write_result(path_of(key), encode_stage_result(result));
  return memory_.insert_or_assign(key, std::move(result)).first->second;
}

}  // namespace tandem
