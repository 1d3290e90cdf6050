// The burst-accurate memory behind its address map, and as a TLM-2.0 target.
#include <gtest/gtest.h>
#include <tlm_utils/simple_initiator_socket.h>

#include <set>
#include <tuple>

#include "models/hbm/tlm_memory.hpp"
#include "sim/kernel/time.hpp"
#include "tests/hbm/presets.hpp"

namespace tandem {
namespace {
using namespace literals;

/// One stack of HBM3 at 6.4 Gb/s: 1024 pins, 819.2 GB/s.
HbmConfig one_stack() {
  return {DramKind::Hbm3, 1, BytesPerSecond(819.2e9), 260_ns, true};
}

TEST(BurstMemory, EveryBurstHasItsOwnPlaceAndChannelsShareEvenly) {
  const BurstMemory memory(one_stack());
  std::map<std::int64_t, int> per_channel;
  std::map<std::tuple<std::int64_t, std::int64_t, std::int64_t>, int> per_row;
  // 1 MiB: 4096 blocks of 256 bytes over 32 channels.
  for (std::uint64_t address = 0; address < (1 << 20); address += 32) {
    const BurstPlace place = memory.place_of(address);
    ++per_channel[place.channel];
    ++per_row[{place.channel, place.bank, place.row}];
  }
  ASSERT_EQ(per_channel.size(), 32U);
  for (const auto& [channel, bursts] : per_channel) EXPECT_EQ(bursts, 1024);
  // A page of 1 KiB holds 32 bursts: nothing lies on top of something else.
  for (const auto& [place, bursts] : per_row) EXPECT_EQ(bursts, 32);
}

TEST(BurstMemory, StreamsAtTheRefreshBoundAndStridesDoNotPileUp) {
  BurstMemory memory(one_stack());
  const Bytes bytes(64 << 20);
  const double seconds = to_seconds(memory.serve(0_ps, 0, bytes, false));
  const double share = static_cast<double>(bytes.count()) / seconds / 819.2e9;
  EXPECT_NEAR(share, refresh_bound(memory.timing()), 0.01);
  // 8 KiB is one round of the 32 channels: without the hash every read would be on one of them.
  std::set<std::int64_t> channels;
  for (std::uint64_t i = 0; i < 64; ++i) channels.insert(memory.place_of(i * 8192).channel);
  EXPECT_GT(channels.size(), 20U);
}

class Initiator : public sc_core::sc_module {
 public:
  explicit Initiator(sc_core::sc_module_name name) : sc_core::sc_module(name), socket("socket") {}
  tlm_utils::simple_initiator_socket<Initiator, 64> socket;

  tlm::tlm_response_status send(tlm::tlm_command command, std::uint64_t address,
                                std::vector<unsigned char>& data, sc_core::sc_time& delay) {
    tlm::tlm_generic_payload payload;
    payload.set_command(command);
    payload.set_address(address);
    payload.set_data_ptr(data.data());
    payload.set_data_length(static_cast<unsigned>(data.size()));
    payload.set_streaming_width(static_cast<unsigned>(data.size()));
    socket->b_transport(payload, delay);
    return payload.get_response_status();
  }
};

struct Bench {
  Session session;
  TlmMemory memory{session, "memory", one_stack(), Bytes(std::int64_t{16} << 30)};
  Initiator initiator{"initiator"};
  Bench() {
    initiator.socket.bind(memory.socket);
    session.run_until(1_us);
  }
};

TEST(TlmMemory, AReadCostsItsLatencyAndTheNextOneWaits) {
  Bench bench;
  std::vector<unsigned char> data(32);
  sc_core::sc_time delay;
  ASSERT_EQ(bench.initiator.send(tlm::TLM_READ_COMMAND, 0, data, delay), tlm::TLM_OK_RESPONSE);
  // 1 us is clock 1600 of 625 ps. nRCD + nCL + burst = 31 + 20 + 2 clocks: 33.125 ns.
  EXPECT_EQ(from_sc_time(delay), 33125_ps);
  // The same burst again at the same time: its row is open, and the read command of the first at
  // clock 31 lets it go tCCD_L = 4 clocks later: 35 + 20 + 2 = 57 clocks, 35.625 ns.
  delay = sc_core::SC_ZERO_TIME;
  ASSERT_EQ(bench.initiator.send(tlm::TLM_READ_COMMAND, 0, data, delay), tlm::TLM_OK_RESPONSE);
  EXPECT_EQ(from_sc_time(delay), 35625_ps);
  // Far ahead of the clock (a decoupled initiator): a hit, nCL + burst = 22 clocks after 1 us.
  delay = to_sc_time(1_us);
  ASSERT_EQ(bench.initiator.send(tlm::TLM_READ_COMMAND, 0, data, delay), tlm::TLM_OK_RESPONSE);
  EXPECT_EQ(from_sc_time(delay), 1_us + 13750_ps);
}

TEST(TlmMemory, HoldsWhatWasWritten) {
  Bench bench;
  std::vector<unsigned char> out(5000);
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<unsigned char>(i * 7);
  sc_core::sc_time delay;
  ASSERT_EQ(bench.initiator.send(tlm::TLM_WRITE_COMMAND, 4000, out, delay), tlm::TLM_OK_RESPONSE);
  std::vector<unsigned char> in(5001);
  ASSERT_EQ(bench.initiator.send(tlm::TLM_READ_COMMAND, 4000, in, delay), tlm::TLM_OK_RESPONSE);
  EXPECT_EQ(in.back(), 0);
  in.pop_back();
  EXPECT_EQ(in, out);
}

TEST(TlmMemory, AnswersWhatItCannotServe) {
  Bench bench;
  std::vector<unsigned char> data(64);
  sc_core::sc_time delay;
  EXPECT_EQ(bench.initiator.send(tlm::TLM_READ_COMMAND, (16ULL << 30) - 32, data, delay),
            tlm::TLM_ADDRESS_ERROR_RESPONSE);
  EXPECT_EQ(bench.initiator.send(tlm::TLM_IGNORE_COMMAND, 0, data, delay), tlm::TLM_OK_RESPONSE);
  tlm::tlm_generic_payload payload;
  payload.set_command(tlm::TLM_READ_COMMAND);
  payload.set_data_ptr(data.data());
  payload.set_data_length(64);
  payload.set_streaming_width(8);
  bench.initiator.socket->b_transport(payload, delay);
  EXPECT_EQ(payload.get_response_status(), tlm::TLM_BURST_ERROR_RESPONSE);
  payload.set_streaming_width(64);
  payload.set_byte_enable_ptr(data.data());
  bench.initiator.socket->b_transport(payload, delay);
  EXPECT_EQ(payload.get_response_status(), tlm::TLM_BYTE_ENABLE_ERROR_RESPONSE);
  EXPECT_EQ(delay, sc_core::SC_ZERO_TIME);
}

}  // namespace
}  // namespace tandem
