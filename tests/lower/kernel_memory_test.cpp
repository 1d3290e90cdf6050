// Are kernels that one process has simulated found by the next, whatever happened to the file?
#include "sim/lower/kernel_memory.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <thread>

namespace tandem {
namespace {

using Numbers = std::array<std::int64_t, 3>;

/// A folder of its own for each test, gone with it.
class ScratchFolder {
 public:
  ScratchFolder()
      : path_(std::filesystem::temp_directory_path() /
              (std::string("tandem_kernels_") +
               ::testing::UnitTest::GetInstance()->current_test_info()->name() +
               std::to_string(::getpid()))) {
    std::filesystem::remove_all(path_);
  }
  ~ScratchFolder() { std::filesystem::remove_all(path_); }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// What a memory of another process would find.
std::optional<Numbers> found(const KernelShelf& shelf, std::uint64_t kernel) {
  KernelMemory other;
  Numbers numbers{};
  return other.find(shelf, kernel, numbers) ? std::optional(numbers) : std::nullopt;
}

std::filesystem::path file_in(const std::filesystem::path& folder) {
  return std::filesystem::directory_iterator(folder / "kernels")->path();
}

TEST(KernelMemory, KeepsWhatItIsGivenShelfByShelf) {
  KernelMemory memory;
  memory.put({1}, 7, Numbers{1, -2, 3});
  Numbers numbers{};
  EXPECT_TRUE(memory.find({1}, 7, numbers));
  EXPECT_EQ(numbers, (Numbers{1, -2, 3}));
  EXPECT_FALSE(memory.find({2}, 7, numbers)) << "another chip";
  EXPECT_FALSE(memory.find({1}, 8, numbers)) << "another kernel";
  std::array<std::int64_t, 2> fewer{};
  EXPECT_FALSE(memory.find({1}, 7, fewer)) << "another form";
}

TEST(KernelMemory, SharesAFolderWithOtherProcesses) {
  const ScratchFolder folder;
  const KernelShelf shelf{1, folder.path()};
  KernelMemory first, second;
  Numbers numbers{};
  EXPECT_FALSE(second.find(shelf, 7, numbers));
  first.put(shelf, 7, Numbers{1, 2, 3});
  EXPECT_TRUE(second.find(shelf, 7, numbers)) << "news since the last look";
  second.put(shelf, 8, Numbers{4, 5, 6});
  EXPECT_TRUE(first.find(shelf, 8, numbers));
  EXPECT_EQ(numbers, (Numbers{4, 5, 6}));
  EXPECT_EQ(found({2, folder.path()}, 7), std::nullopt) << "another chip";
}

TEST(KernelMemory, TakesNoDamagedLine) {
  const ScratchFolder folder;
  const KernelShelf shelf{1, folder.path()};
  KernelMemory memory;
  memory.put(shelf, 7, Numbers{1, 2, 3});
  {
    // A writer that was killed, a line that was overwritten, and rubbish.
    std::ofstream file(file_in(folder.path()), std::ios::app);
    file << "\n9 4 5";
  }
  memory.put(shelf, 8, Numbers{4, 5, 6});
  {
    std::ofstream file(file_in(folder.path()), std::ios::app);
    file << "10 1 2 3 12345\nrubbish\n\n 7\n";
  }
  EXPECT_EQ(found(shelf, 7), (Numbers{1, 2, 3}));
  EXPECT_EQ(found(shelf, 8), (Numbers{4, 5, 6}));
  EXPECT_EQ(found(shelf, 9), std::nullopt);
  EXPECT_EQ(found(shelf, 10), std::nullopt);
}

TEST(KernelMemory, OtherShelvesMakeWayAndAreReadAgain) {
  const ScratchFolder folder;
  const KernelShelf one{1, folder.path()}, other{2, folder.path()};
  KernelMemory memory(2);
  Numbers numbers{};
  memory.put(one, 1, Numbers{1, 1, 1});
  memory.put(one, 2, Numbers{2, 2, 2});
  EXPECT_FALSE(memory.find(one, 9, numbers)) << "has read all of the file";
  memory.put(other, 3, Numbers{3, 3, 3});
  EXPECT_TRUE(memory.find(other, 3, numbers));
  EXPECT_TRUE(memory.find(one, 1, numbers)) << "from its file";
}

TEST(KernelMemory, WritesWhatItKnowsFromElsewhereOnceIntoEveryFile) {
  const ScratchFolder folder;
  const KernelShelf in_memory{1}, shelf{1, folder.path()};
  Numbers numbers{};
  KernelMemory memory;
  memory.put(in_memory, 7, Numbers{1, 2, 3});
  EXPECT_TRUE(memory.find(shelf, 7, numbers));
  EXPECT_EQ(found(shelf, 7), (Numbers{1, 2, 3}));
  const auto size = [&] {
    return std::filesystem::file_size(
        std::filesystem::directory_iterator(folder.path() / "kernels")->path());
  };
  const auto before = size();
  EXPECT_TRUE(memory.find(shelf, 7, numbers));
  KernelMemory other;
  EXPECT_TRUE(other.find(shelf, 7, numbers));
  EXPECT_EQ(size(), before);
}

TEST(KernelMemory, AShelfThatFillsItTakesNoMore) {
  const ScratchFolder folder;
  const KernelShelf shelf{1, folder.path()};
  KernelMemory memory(2);
  Numbers numbers{};
  for (std::uint64_t kernel = 0; kernel < 3; ++kernel) memory.put(shelf, kernel, Numbers{});
  EXPECT_TRUE(memory.find(shelf, 0, numbers));
  EXPECT_FALSE(memory.find(shelf, 2, numbers));
  EXPECT_EQ(found(shelf, 2), std::nullopt) << "the file grows no further";
  EXPECT_EQ(found(shelf, 1), Numbers{});
}

TEST(KernelMemory, IsSharedByThreads) {
  const ScratchFolder folder;
  KernelMemory memory;
  std::vector<std::thread> threads;
  for (std::uint64_t thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (std::uint64_t i = 0; i < 50; ++i) {
        const auto number = static_cast<std::int64_t>(i);
        memory.put({thread % 2, folder.path()}, i, Numbers{number, number, number});
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::uint64_t chip : {0U, 1U}) {
    EXPECT_EQ(found({chip, folder.path()}, 49), (Numbers{49, 49, 49}));
  }
}

}  // namespace
}  // namespace tandem
