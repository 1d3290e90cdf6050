#include "models/hbm/tlm_memory.hpp"

#include "sim/kernel/time.hpp"

namespace tandem {

TlmMemory::TlmMemory(Session& session, sc_core::sc_module_name name, const HbmConfig& config,
                     Bytes capacity)
    : sc_core::sc_module(name),
      socket("socket"),
      session_(session),
      memory_(config),
      capacity_(capacity) {
  socket.register_b_transport(this, &TlmMemory::b_transport);
}

tlm::tlm_response_status TlmMemory::problem_of(const tlm::tlm_generic_payload& payload) const {
  const auto capacity = static_cast<std::uint64_t>(capacity_.count());
  const std::uint64_t length = payload.get_data_length();
  if (length == 0 || payload.get_data_ptr() == nullptr) return tlm::TLM_GENERIC_ERROR_RESPONSE;
  if (length > capacity || payload.get_address() > capacity - length) {
    return tlm::TLM_ADDRESS_ERROR_RESPONSE;
  }
  if (payload.get_byte_enable_ptr() != nullptr) return tlm::TLM_BYTE_ENABLE_ERROR_RESPONSE;
  if (payload.get_streaming_width() < length) return tlm::TLM_BURST_ERROR_RESPONSE;
  return tlm::TLM_OK_RESPONSE;
}

void TlmMemory::move_data(const tlm::tlm_generic_payload& payload) {
  unsigned char* data = payload.get_data_ptr();
  for (std::uint64_t i = 0; i < payload.get_data_length(); ++i) {
    const std::uint64_t address = payload.get_address() + i;
    const auto page = pages_.find(address / page_bytes);
    if (payload.is_write()) {
      auto& bytes = page == pages_.end() ? pages_[address / page_bytes] : page->second;
      bytes[address % page_bytes] = data[i];
    } else {
      data[i] = page == pages_.end() ? 0 : page->second[address % page_bytes];
    }
  }
}

void TlmMemory::b_transport(tlm::tlm_generic_payload& payload, sc_core::sc_time& delay) {
  if (payload.get_command() == tlm::TLM_IGNORE_COMMAND) {
    payload.set_response_status(tlm::TLM_OK_RESPONSE);
    return;
  }
  const tlm::tlm_response_status status = problem_of(payload);
  payload.set_response_status(status);
  if (status != tlm::TLM_OK_RESPONSE) return;
  move_data(payload);
  const Picoseconds now = session_.now();
  const Picoseconds done = memory_.serve(
      now + from_sc_time(delay), payload.get_address(),
      Bytes(static_cast<std::int64_t>(payload.get_data_length())), payload.is_write());
  delay = to_sc_time(done - now);
}

}  // namespace tandem
