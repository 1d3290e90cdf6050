#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/lpu/encoding.hpp"
#include "models/lpu/program_file.hpp"
#include "sim/core/diagnostics.hpp"
#include "tests/lpu/random_instruction.hpp"

namespace tandem::lpu {
namespace {

using ::testing::HasSubstr;
using testing::legal_maps;
using testing::lp30;
using testing::lpu_v1;
using testing::random_instruction;

constexpr std::uint64_t encoding_seed = 20261;

TEST(Encoding, EveryLegalInstructionDecodesToItself) {
  RandomStream random(encoding_seed, "encoding");
  for (const Geometry& geometry : {lpu_v1(), lp30()}) {
    const auto maps = legal_maps(geometry);
    for (int i = 0; i < 2000; ++i) {
      int queue = 0;
      const Instruction instruction = random_instruction(random, geometry, queue);
      const auto bad = find_illegality(instruction, queue, geometry, maps);
      ASSERT_FALSE(bad.has_value())
          << "seed " << encoding_seed << " case " << i << ": " << bad->message;
      const EncodedInstruction word = encode(instruction);
      ASSERT_EQ(decode(word), instruction) << "seed " << encoding_seed << " case " << i;
    }
  }
}

TEST(Encoding, ByteLayoutOfANopIsOpcodeThenCount) {
  Instruction nop;
  nop.count = 0x1234;
  // Opcode 0 in bits 0..4, count in bits 5..20: 0x1234 << 5 = 0x24680.
  const EncodedInstruction word = encode(nop);
  EXPECT_EQ(word[0], 0x80);
  EXPECT_EQ(word[1], 0x46);
  EXPECT_EQ(word[2], 0x02);
  EXPECT_EQ(word[3], 0x00);
}

TEST(Encoding, RefusesAFieldThatTheOpcodeDoesNotUse) {
  Instruction sync;
  sync.op = Opcode::Sync;
  sync.count = 3;
  EXPECT_THROW((void)encode(sync), ModelError);
}

TEST(Encoding, RefusesAStreamIdBeyondTenBits) {
  Instruction send;
  send.op = Opcode::Send;
  send.in = {Direction::East, 1024};
  EXPECT_THROW((void)encode(send), ModelError);
}

TEST(Encoding, RefusesUnknownOpcodesAndUnusedBits) {
  EncodedInstruction word{};
  word[0] = 31;
  EXPECT_THROW((void)decode(word), ModelError);
  word = {};
  word[0] = static_cast<std::uint8_t>(Opcode::Sync);
  word[15] = 0x80;
  EXPECT_THROW((void)decode(word), ModelError);
}

ProgramImage random_program(const Geometry& geometry) {
  RandomStream random(encoding_seed, "program");
  ProgramImage image;
  Program& program = image.program;
  program.chip = "lpu_v1";
  program.queues.resize(static_cast<std::size_t>(geometry.queue_count()));
  program.maps = legal_maps(geometry);
  program.register_limits[3] = 77;
  program.rows_used.assign(static_cast<std::size_t>(geometry.mem_slices() * geometry.banks), 5);
  for (int i = 0; i < 200; ++i) {
    int queue = 0;
    const Instruction instruction = random_instruction(random, geometry, queue);
    program.queues[static_cast<std::size_t>(queue)].push_back(instruction);
  }
  const auto bytes = static_cast<std::size_t>(geometry.vector_bytes());
  image.rows.push_back({3, 1, 40, std::vector<std::uint8_t>(bytes, 0xa5)});
  return image;
}

TEST(ProgramFile, ReadsBackWhatWasWritten) {
  const Geometry geometry = lpu_v1();
  const ProgramImage image = random_program(geometry);
  const auto bytes = encode_program(image, geometry);
  EXPECT_EQ(decode_program(bytes, geometry, "p.tlpu"), image);
}

std::string refusal(std::span<const std::uint8_t> bytes, const Geometry& geometry) {
  try {
    (void)decode_program(bytes, geometry, "p.tlpu");
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(ProgramFile, EveryTruncationIsRefusedWithItsOffset) {
  const Geometry geometry = lpu_v1();
  const auto bytes = encode_program(random_program(geometry), geometry);
  for (std::size_t size = 0; size < bytes.size(); size += 7) {
    const std::string message = refusal(std::span(bytes).first(size), geometry);
    EXPECT_THAT(message, HasSubstr("p.tlpu: error: at byte offset")) << size;
  }
}

TEST(ProgramFile, EveryFlippedByteIsRefused) {
  const Geometry geometry = lpu_v1();
  auto bytes = encode_program(random_program(geometry), geometry);
  for (std::size_t at = 0; at < bytes.size(); at += 13) {
    bytes[at] = static_cast<std::uint8_t>(bytes[at] ^ 0x10);
    EXPECT_THAT(refusal(bytes, geometry), HasSubstr("at byte offset")) << at;
    bytes[at] = static_cast<std::uint8_t>(bytes[at] ^ 0x10);
  }
  EXPECT_EQ(refusal(bytes, geometry), "accepted");
}

TEST(ProgramFile, NamesWhatIsWrong) {
  const Geometry geometry = lpu_v1();
  const auto good = encode_program(random_program(geometry), geometry);
  auto bytes = good;
  bytes[0] = 'X';
  EXPECT_THAT(refusal(bytes, geometry), HasSubstr("offset 0: not an LPU program"));
  bytes = good;
  bytes.back() = static_cast<std::uint8_t>(bytes.back() ^ 1);
  EXPECT_THAT(refusal(bytes, geometry), HasSubstr("the checksum does not match"));
  bytes = good;
  bytes.push_back(0);
  EXPECT_THAT(refusal(bytes, geometry), HasSubstr("bytes after the checksum"));
  // Header: 4 magic, 4 version, 2 length, 6 name; the fingerprint lies at 16.
  EXPECT_THAT(refusal(good, lp30()),
              HasSubstr("offset 16: the program was made for chip 'lpu_v1'"));
  // After it 8 fingerprint and 8192 limits; the number of maps lies at 8216.
  bytes = good;
  bytes[8219] = 0xff;
  EXPECT_THAT(refusal(bytes, geometry), HasSubstr("offset 8216"));
}

}  // namespace
}  // namespace tandem::lpu
