// Are safetensors files read exactly, in every element type and over shards, and is every damaged
// header refused with the file's and the tensor's name?
#include "sim/lower/safetensors.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "sim/core/diagnostics.hpp"
#include "sim/core/random.hpp"
#include "tests/support/property.hpp"

namespace tandem {
namespace {

using Tensors = std::map<std::string, Tensor, std::less<>>;

class Safetensors : public testing::Test {
 protected:
  void SetUp() override {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = std::filesystem::path(testing::TempDir()) / (std::string("st_") + info->name());
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& bytes) const {
    const std::string path = (folder_ / name).string();
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }
  /// A file of a header and data, with the length that belongs there.
  std::string write_file(const std::string& header, const std::string& data) const {
    return write("a.safetensors", length_of(header.size()) + header + data);
  }
  static std::string length_of(std::uint64_t length) {
    std::string bytes(8, '\0');
    std::memcpy(bytes.data(), &length, 8);
    return bytes;
  }
  static std::string error_of(const std::string& path) {
    try {
      const SafetensorsReader reader(path);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "";
  }
  void expect_refused(const std::string& header, const std::string& data, const char* part) const {
    const std::string error = error_of(write_file(header, data));
    EXPECT_NE(error.find("a.safetensors"), std::string::npos) << header;
    EXPECT_NE(error.find(part), std::string::npos) << header << "\n" << error;
  }

  std::filesystem::path folder_;
};

TEST_F(Safetensors, what_is_written_is_read_back_in_every_type) {
  Tensors tensors;
  for (const ElementType type :
       {ElementType::Float32, ElementType::Bfloat16, ElementType::Float16, ElementType::Fp8E4m3,
        ElementType::Fp8E5m2, ElementType::Int8, ElementType::Int32}) {
    Tensor tensor(type, {2, 3});
    for (std::int64_t i = 0; i < 6; ++i) tensor.store(i, static_cast<float>(i * i - 7));
    tensors.emplace(std::string(name_of(type)), tensor);
  }
  tensors.emplace("scalar", Tensor(ElementType::Float32, {}));
  tensors.emplace("empty", Tensor(ElementType::Float32, {0, 4}));
  const std::string path = (folder_ / "all.safetensors").string();
  write_safetensors(path, tensors);
  const SafetensorsReader reader(path);
  ASSERT_EQ(reader.tensors().size(), tensors.size());
  for (const auto& [name, tensor] : tensors) {
    EXPECT_EQ(reader.read(name), tensor.converted(ElementType::Float32)) << name;
  }
}

TEST_F(Safetensors, a_file_by_hand_is_read_by_the_letter_of_the_format) {
  // 1.5 in bfloat16 is 0x3fc0; U8 200; e4m3 0x38 is 1 (exponent bits 7 = bias, mantissa 0).
  const std::string header =
      R"({"__metadata__":{"format":"pt"},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]},)"
      R"("a":{"dtype":"BF16","shape":[1,1],"data_offsets":[0,2]},)"
      R"("c":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[3,4]}}  )";
  const SafetensorsReader reader(write_file(header, std::string("\xc0\x3f\xc8\x38", 4)));
  EXPECT_EQ(reader.tensors().size(), 3U);
  EXPECT_EQ(reader.read("a").load(0), 1.5F);
  EXPECT_EQ(reader.read("b").load(0), 200.0F);
  EXPECT_EQ(reader.read("c").load(0), 1.0F);
  EXPECT_EQ(reader.at("a").shape, (std::vector<std::int64_t>{1, 1}));
  EXPECT_THROW((void)reader.read("d"), ConfigError);
}

TEST_F(Safetensors, damaged_headers_are_refused_by_file_and_tensor) {
  const std::string data(8, 'x');
  expect_refused("", data, "not a JSON object");
  expect_refused("{", data, "not a JSON object");
  expect_refused("[1]", data, "not a JSON object");
  expect_refused(R"({"t":{"shape":[2],"data_offsets":[0,8]}})", data, "tensor 't': has no dtype");
  expect_refused(R"({"t":{"dtype":"F31","shape":[2],"data_offsets":[0,8]}})", data, "'F31'");
  expect_refused(R"({"t":{"dtype":"F32","data_offsets":[0,8]}})", data, "has no shape");
  expect_refused(R"({"t":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", data, "its shape");
  expect_refused(R"({"t":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}})", data, "its shape");
  expect_refused(R"({"t":{"dtype":"F32","shape":[2]}})", data, "pair of data_offsets");
  expect_refused(R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0,9]}})", data, "within 8");
  expect_refused(R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", data, "within 8");
  expect_refused(R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", data,
                 "does not fill its 4 bytes");
  // 2^62 * 4 and 2^32 * 2^32 overflow 64 bits.
  expect_refused(R"({"t":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,0]}})", "",
                 "does not fill");
  expect_refused(R"({"t":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", "",
                 "does not fill");
  expect_refused(R"({"t":{"dtype":"U8","shape":[4611686018427387904,8,0],"data_offsets":[0,0]}})",
                 "", "does not fill");
  expect_refused(R"({"t":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", data,
                 "fill 4 of 8 bytes");
  expect_refused(R"({"t":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},)"
                 R"("u":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})",
                 data, "tensor 'u': begins at byte 4");
}

TEST_F(Safetensors, impossible_lengths_and_missing_files_are_refused) {
  EXPECT_NE(error_of(write("a.safetensors", "abc")).find("not a safetensors file"),
            std::string::npos);
  EXPECT_NE(error_of(write("a.safetensors", length_of(1000) + "{}")).find("header of 1000"),
            std::string::npos);
  EXPECT_NE(error_of(write("a.safetensors", length_of(~std::uint64_t{0}) + "{}")).find("header of"),
            std::string::npos);
  EXPECT_NE(error_of((folder_ / "none.safetensors").string()).find("cannot be opened"),
            std::string::npos);
  EXPECT_NE(error_of(folder_.string()).find("holds neither"), std::string::npos);
}

TEST_F(Safetensors, shards_are_read_through_their_index_or_folder) {
  Tensor one(ElementType::Float32, {2});
  one.store(1, 3.0F);
  write_safetensors((folder_ / "s1.safetensors").string(), {{"a", one}});
  write_safetensors((folder_ / "s2.safetensors").string(), {{"b", one}});
  write("model.safetensors.index.json",
        R"({"metadata":{},"weight_map":{"a":"s1.safetensors","b":"s2.safetensors"}})");
  const SafetensorsReader reader(folder_.string());
  EXPECT_EQ(reader.read("a"), one);
  EXPECT_EQ(reader.read("b"), one);
  EXPECT_TRUE(reader.file_of(reader.at("b")).ends_with("s2.safetensors"));

  const auto refuse = [&](const std::string& map, const char* part) {
    const std::string error = error_of(write("x.index.json", map));
    EXPECT_NE(error.find(part), std::string::npos) << error;
  };
  refuse("{}", "no 'weight_map'");
  refuse(R"({"weight_map":{"a":7}})", "not a string");
  refuse(R"({"weight_map":{"a":"../s1.safetensors"}})", "not a file name");
  refuse(R"({"weight_map":{"b":"s1.safetensors"}})", "tensor 'b': is not here");
  refuse(R"({"weight_map":{"a":"s3.safetensors"}})", "cannot be opened");
}

// Any bytes at all: either a reader or a ConfigError, never anything else. Damage is by truncation,
// changed bytes and inserted bytes, most of it in the header.
TEST_F(Safetensors, random_damage_never_does_more_than_throw) {
  Tensors tensors;
  tensors.emplace("model.layers.0.weight", Tensor(ElementType::Bfloat16, {3, 5}));
  tensors.emplace("scales", Tensor(ElementType::Float32, {2, 2}));
  tensors.emplace("codes", Tensor(ElementType::Int8, {9}));
  const std::string good = (folder_ / "good.safetensors").string();
  write_safetensors(good, tensors);
  std::ifstream stream(good, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(stream)), {});
  const int cases = test::property_cases(300);
  int refused = 0;
  for (int seed = 0; seed < cases; ++seed) {
    SCOPED_TRACE(seed);
    RandomStream random(static_cast<std::uint64_t>(seed), "safetensors damage");
    const auto pick = [&](std::size_t below) {
      return static_cast<std::size_t>(random.integer(0, static_cast<std::int64_t>(below) - 1));
    };
    std::string damaged = bytes;
    for (std::int64_t edits = random.integer(1, 4); edits > 0; --edits) {
      const auto letter = static_cast<char>(random.integer(0, 255));
      const std::int64_t how = random.integer(0, 3);
      if (how == 0) damaged.resize(pick(damaged.size()) + 1);
      if (how == 1) damaged[pick(damaged.size())] = letter;
      if (how == 2) damaged[pick(std::min<std::size_t>(damaged.size(), 12))] = letter;
      if (how == 3) damaged.insert(pick(damaged.size()), 1, "0123456789[]{},:\""[pick(17)]);
    }
    try {
      const SafetensorsReader reader(write("damaged.safetensors", damaged));
      for (const auto& entry : reader.tensors()) (void)reader.read(entry.first);
    } catch (const ConfigError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, cases / 2);
}

}  // namespace
}  // namespace tandem
