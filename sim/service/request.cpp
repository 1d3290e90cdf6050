#include "sim/service/request.hpp"

namespace tandem {

RequestRecord record_of(const Request& request) {
  RequestRecord record;
  record.id = request.id;
  record.arrival_s = to_seconds(request.arrival);
  record.prompt = request.prompt;
  record.output = request.output;
  record.ttft_ms = to_milliseconds(request.first_token - request.arrival);
  record.e2e_ms = to_milliseconds(request.finish - request.arrival);
  record.ttft_floor_ms = to_milliseconds(request.floor_to_first);
  if (request.output > 1) {
    const auto gaps = static_cast<double>(request.output - 1);
    record.tpot_ms = to_milliseconds(request.finish - request.first_token) / gaps;
    record.tpot_floor_ms = to_milliseconds(request.floor_after_first) / gaps;
  }
  record.cached_tokens = request.cached_tokens;
  record.preemptions = request.preemptions;
  return record;
}

}  // namespace tandem
