// The machine's public face: every call goes to the core.
#include "models/lpu/machine.hpp"
#include "models/lpu/machine_core.hpp"

namespace tandem::lpu {

Machine::Machine(const Geometry& geometry, const LatencyTable& latency, bool functional)
    : core_(std::make_unique<Core>(geometry, latency, functional)) {}
Machine::~Machine() = default;
Machine::Machine(Machine&&) noexcept = default;
Machine& Machine::operator=(Machine&&) noexcept = default;

void Machine::load(const Program& program, std::span<const MemoryImageRow> rows) {
  core_->load(program, rows);
}
void Machine::load(std::span<const std::uint8_t> file_bytes, std::string_view file_name) {
  load(decode_program(file_bytes, core_->geometry(), file_name));
}
void Machine::write_row(int slice, int bank, int row, std::span<const std::uint8_t> bytes) {
  core_->write_row(slice, bank, row, bytes);
}
std::vector<std::uint8_t> Machine::read_row(int slice, int bank, int row) const {
  return core_->read_row(slice, bank, row);
}
void Machine::set_register(int index, std::uint16_t value) {
  core_->set_register(index, value);
}
RunResult Machine::run(std::span<const LinkVector> inbound, const RunTimeline& timeline) {
  return core_->run(inbound, timeline);
}
void Machine::begin(const RunTimeline& timeline) {
  core_->begin(timeline);
}
bool Machine::advance(std::int64_t until) {
  return core_->advance(until);
}
void Machine::deliver(const LinkVector& vector) {
  core_->deliver(vector);
}
std::span<const LinkVector> Machine::sent() const {
  return core_->sent();
}
RunResult Machine::finish() {
  return core_->finish();
}

}  // namespace tandem::lpu
