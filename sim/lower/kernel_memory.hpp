// What simulated kernels did, by content key: one memory for all chips of a catalogue, and files
// that processes share. A remembered kernel only replaces a simulation that would have run, so no
// result depends on what a memory holds.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace tandem {

/// Where a chip's kernels are kept.
struct KernelShelf {
  std::uint64_t chip = 0;  ///< key of the chip, its software and the code that simulates it
  std::optional<std::filesystem::path> folder = std::nullopt;  ///< none: in memory alone
};

/// Numbers by key, shelf by shelf. Safe under threads.
///
/// Contract: a shelf's file may be written by many processes at once, cut short, and hold anything:
/// a line counts only with its check sum, and what does not count is simulated again. A file that
/// cannot be written is ignored.
class KernelMemory {
 public:
  /// `limit`: entries in memory. Where it is reached other shelves make way; a shelf that fills it
  /// alone takes no more, and its file grows no further.
  explicit KernelMemory(std::size_t limit = 200'000) : limit_(limit) {}
  /// Fills `numbers`; false where the kernel is not known with as many of them. What is known from
  /// elsewhere goes into the shelf's file as well.
  [[nodiscard]] bool find(const KernelShelf& shelf, std::uint64_t kernel,
                          std::span<std::int64_t> numbers);
  void put(const KernelShelf& shelf, std::uint64_t kernel, std::span<const std::int64_t> numbers);

 private:
  using Entries = std::unordered_map<std::uint64_t, std::vector<std::int64_t>>;
  /// What a shelf's file is known to hold.
  struct File {
    std::uintmax_t read_so_far = 0;  ///< bytes
    std::unordered_set<std::uint64_t> kernels;
  };
  [[nodiscard]] File& known_file(const KernelShelf& shelf);
  void read_news(const KernelShelf& shelf);
  void write(const KernelShelf& shelf, std::uint64_t kernel, std::span<const std::int64_t> numbers);
  /// False where there is no room.
  bool keep(const KernelShelf& shelf, std::uint64_t kernel, std::vector<std::int64_t> numbers);
  void clear_all_but(std::uint64_t chip);

  std::mutex lock_;
  std::size_t limit_;
  std::size_t kept_ = 0;
  std::unordered_map<std::uint64_t, Entries> shelves_;           ///< by chip
  std::map<std::pair<std::string, std::uint64_t>, File> files_;  ///< by folder and chip
};

}  // namespace tandem
