#include "sim/lower/kernel_memory.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <string>
#include <string_view>

#include "sim/core/hash.hpp"

namespace tandem {
namespace {

std::filesystem::path file_of(const KernelShelf& shelf) {
  return *shelf.folder / "kernels" / (Hasher().add(shelf.chip).hex() + ".log");
}

std::uint64_t check_sum(std::uint64_t kernel, std::span<const std::int64_t> numbers) {
  Hasher hash;
  hash.add(kernel).add(numbers.size());
  for (const std::int64_t number : numbers) hash.add(number);
  return hash.value();
}

/// Begins with a line end: the line before may have been cut short.
std::string line_of(std::uint64_t kernel, std::span<const std::int64_t> numbers) {
  std::string line = "\n" + std::to_string(kernel);
  for (const std::int64_t number : numbers) line += " " + std::to_string(number);
  return line + " " + std::to_string(check_sum(kernel, numbers)) + "\n";
}

/// The next word as a number; false at the end of the line or where it is none.
template <class Number>
bool take(std::string_view& line, Number& number) {
  const char* const end = line.data() + line.size();
  const auto [rest, error] = std::from_chars(line.data(), end, number);
  if (error != std::errc()) return false;
  line.remove_prefix(static_cast<std::size_t>(rest - line.data()));
  if (!line.empty() && line.front() == ' ') line.remove_prefix(1);
  return true;
}

struct Line {
  std::uint64_t kernel = 0;
  std::vector<std::int64_t> numbers;
};

std::optional<Line> parse(std::string_view text) {
  Line line;
  const std::size_t last = text.rfind(' ');
  if (last == std::string_view::npos) return std::nullopt;
  std::string_view sum_text = text.substr(last + 1);
  std::string_view body = text.substr(0, last);
  std::uint64_t sum = 0;
  if (!take(sum_text, sum) || !sum_text.empty() || !take(body, line.kernel)) return std::nullopt;
  line.numbers.reserve(static_cast<std::size_t>(std::count(body.begin(), body.end(), ' ')) + 1);
  for (std::int64_t number = 0; take(body, number);) line.numbers.push_back(number);
  if (!body.empty() || sum != check_sum(line.kernel, line.numbers)) return std::nullopt;
  return line;
}

// One write at the end of the file: lines of processes do not mix where the file system keeps that
// promise, and fail their check sums where it does not.
void append(const std::filesystem::path& path, const std::string& text) {
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  const int file = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  if (file < 0) return;
  [[maybe_unused]] const auto written = ::write(file, text.data(), text.size());
  ::close(file);
}

}  // namespace

bool KernelMemory::keep(const KernelShelf& shelf, std::uint64_t kernel,
                        std::vector<std::int64_t> numbers) {
  if (kept_ >= limit_) clear_all_but(shelf.chip);
  if (kept_ >= limit_) return false;
  if (shelves_[shelf.chip].insert_or_assign(kernel, std::move(numbers)).second) ++kept_;
  return true;
}

/// What makes way is read again from its file when it is asked for.
void KernelMemory::clear_all_but(std::uint64_t chip) {
  std::erase_if(shelves_, [&](const auto& shelf) { return shelf.first != chip; });
  std::erase_if(files_, [&](const auto& file) { return file.first.second != chip; });
  kept_ = shelves_[chip].size();
}

KernelMemory::File& KernelMemory::known_file(const KernelShelf& shelf) {
  return files_[{shelf.folder->native(), shelf.chip}];
}

/// What other processes have added since the last look.
void KernelMemory::read_news(const KernelShelf& shelf) {
  const std::filesystem::path path = file_of(shelf);
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  if (error) return;
  File& known = known_file(shelf);
  const std::uintmax_t seen = known.read_so_far;
  if (size <= seen) return;
  std::string text(static_cast<std::size_t>(size - seen), '\0');
  std::ifstream file(path, std::ios::binary);
  file.seekg(static_cast<std::streamoff>(seen));
  if (!file.read(text.data(), static_cast<std::streamsize>(text.size()))) return;
  const std::size_t whole = text.rfind('\n');
  if (whole == std::string::npos) return;
  known.read_so_far = seen + whole + 1;
  const std::string_view all = std::string_view(text).substr(0, whole + 1);
  for (std::size_t from = 0; from < all.size();) {
    const std::size_t end = all.find('\n', from);
    if (std::optional<Line> line = parse(all.substr(from, end - from))) {
      (void)keep(shelf, line->kernel, std::move(line->numbers));
      known.kernels.insert(line->kernel);
    }
    from = end + 1;
  }
}

bool KernelMemory::find(const KernelShelf& shelf, std::uint64_t kernel,
                        std::span<std::int64_t> numbers) {
  const std::lock_guard<std::mutex> guard(lock_);
  const auto known = [&]() -> const std::vector<std::int64_t>* {
    const auto entries = shelves_.find(shelf.chip);
    if (entries == shelves_.end()) return nullptr;
    const auto found = entries->second.find(kernel);
    return found == entries->second.end() ? nullptr : &found->second;
  };
  const std::vector<std::int64_t>* found = known();
  const auto is_written = [&] { return known_file(shelf).kernels.contains(kernel); };
  const bool may_be_news = shelf.folder && (found == nullptr || !is_written());
  if (may_be_news) {
    read_news(shelf);
    found = known();
  }
  if (found == nullptr || found->size() != numbers.size()) return false;
  std::ranges::copy(*found, numbers.begin());
  if (may_be_news && !is_written()) write(shelf, kernel, numbers);
  return true;
}

void KernelMemory::write(const KernelShelf& shelf, std::uint64_t kernel,
                         std::span<const std::int64_t> numbers) {
  append(file_of(shelf), line_of(kernel, numbers));
  known_file(shelf).kernels.insert(kernel);
}

void KernelMemory::put(const KernelShelf& shelf, std::uint64_t kernel,
                       std::span<const std::int64_t> numbers) {
  const std::lock_guard<std::mutex> guard(lock_);
  const bool has_room = keep(shelf, kernel, {numbers.begin(), numbers.end()});
  if (has_room && shelf.folder) write(shelf, kernel, numbers);
}

}  // namespace tandem
