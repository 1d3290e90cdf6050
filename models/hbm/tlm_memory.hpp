// The burst-accurate memory as a TLM-2.0 target. Includes SystemC: only for writers of modules.
#pragma once

#include "sim/kernel/module.hpp"

// After systemc: the convenience socket spawns processes to offer nb_transport.
#include <tlm_utils/simple_target_socket.h>

#include <array>
#include <cstdint>
#include <map>
#include <tlm>

#include "models/hbm/burst_memory.hpp"

namespace tandem {

/// Loosely timed target: b_transport adds to the initiator's delay the time until the last beat,
/// queueing behind earlier transactions included; the convenience socket serves nb_transport from
/// it. Holds the bytes written; what was never written reads as zero. Answers an address error past
/// `capacity`, a byte-enable error to byte enables and a burst error to a streaming width below the
/// length.
class TlmMemory : public sc_core::sc_module {
 public:
  /// Throws ModelError on a memory without devices. The session must outlive it.
  TlmMemory(Session& session, sc_core::sc_module_name name, const HbmConfig& config,
            Bytes capacity);
  tlm_utils::simple_target_socket<TlmMemory, 64> socket;

 private:
  static constexpr std::uint64_t page_bytes = 4096;
  void b_transport(tlm::tlm_generic_payload& payload, sc_core::sc_time& delay);
  [[nodiscard]] tlm::tlm_response_status problem_of(const tlm::tlm_generic_payload& payload) const;
  void move_data(const tlm::tlm_generic_payload& payload);

  Session& session_;
  BurstMemory memory_;
  Bytes capacity_;
  std::map<std::uint64_t, std::array<unsigned char, page_bytes>> pages_;
};

}  // namespace tandem
