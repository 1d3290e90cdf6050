#include "sim/step/rank_exchange.hpp"

#include <algorithm>

#include "sim/core/diagnostics.hpp"
#include "sim/core/integers.hpp"

namespace tandem {
namespace {

Bytes bytes_in(const Tensor& tensor) {
  return Bytes(static_cast<std::int64_t>(tensor.bytes().size()));
}

/// Elements [begin, end) as a row of `length`, the rest zeros.
Tensor padded(const Tensor& from, std::int64_t begin, std::int64_t end, std::int64_t length) {
  Tensor tensor(from.type(), {length});
  const auto width = bytes_of(from.type());
  std::copy(from.bytes().begin() + begin * width, from.bytes().begin() + end * width,
            tensor.bytes().begin());
  return tensor;
}

void append_elements(const Tensor& from, std::int64_t begin, std::int64_t count, Tensor& to,
                     std::int64_t at) {
  const auto width = bytes_of(from.type());
  const auto first = from.bytes().begin() + begin * width;
  std::copy(first, first + count * width, to.bytes().begin() + at * width);
}

/// Exchanges that a collective model runs.
class CollectiveExchange {
 public:
  CollectiveExchange(const Exchange& exchange, const std::vector<ChipAddress>& chips,
                     std::vector<RankTensors> brought, CollectiveModel& collectives,
                     ExchangeRecord& record)
      : exchange_(exchange), chips_(chips), collectives_(collectives), record_(record) {
    for (RankTensors& tensors : brought) {
      if (tensors.size() != 1 || tensors.front().type() != exchange.type) {
        throw ModelError("gang: a chip brings the wrong tensors to '" + std::string(exchange.role) +
                         "'");
      }
      inputs_.push_back(std::move(tensors.front()));
    }
  }

  std::vector<RankTensors> run() {
    std::vector<Tensor> results;
    switch (exchange_.op) {
      case CollectiveOp::AllReduce:
        results = collective(inputs_, 1);
        break;
      case CollectiveOp::AllGather:
        results = gathered();
        break;
      case CollectiveOp::ReduceScatter:
        results = scattered();
        break;
      default:
        throw ModelError("gang: '" + std::string(exchange_.role) + "' has no functional form");
    }
    std::vector<RankTensors> out;
    for (Tensor& result : results) out.push_back({std::move(result)});
    return out;
  }

 private:
  [[nodiscard]] std::int64_t ranks() const { return static_cast<std::int64_t>(inputs_.size()); }

  /// `times`: how much longer the collective's buffer is than one input.
  std::vector<Tensor> collective(const std::vector<Tensor>& inputs, std::int64_t times) {
    Collective what;
    what.op = exchange_.op;
    what.type = exchange_.type;
    what.entry = exchange_.op == CollectiveOp::AllReduce ? CollectiveEntry::InGraph
                                                         : CollectiveEntry::Library;
    what.bytes = bytes_in(inputs.front()) * times;
    record_.bytes = what.bytes;
    if (what.bytes.count() == 0) return inputs;
    return collectives_.exchange(chips_, what, inputs);
  }

  /// The parts one after the other; those that travel are as long as the longest.
  std::vector<Tensor> gathered() {
    std::int64_t longest = 0;
    std::int64_t total = 0;
    for (const Tensor& input : inputs_) {
      longest = std::max(longest, input.elements());
      total += input.elements();
    }
    std::vector<Tensor> parts;
    for (const Tensor& input : inputs_) {
      parts.push_back(padded(input, 0, input.elements(), longest));
    }
    std::vector<Tensor> results;
    for (const Tensor& whole : collective(parts, ranks())) {
      Tensor result(exchange_.type, {total});
      std::int64_t at = 0;
      for (std::int64_t part = 0; total > 0 && part < ranks(); ++part) {
        const std::int64_t count = inputs_[index_of(part)].elements();
        append_elements(whole, part * longest, count, result, at);
        at += count;
      }
      results.push_back(std::move(result));
    }
    return results;
  }

  /// Every rank gets the sum of its own rows, in runs as even as they come.
  std::vector<Tensor> scattered() {
    const std::int64_t rows = exchange_.rows;
    const std::int64_t longest = ceil_div(rows, ranks()) * exchange_.width;
    std::vector<Tensor> buffers;
    for (const Tensor& input : inputs_) {
      Tensor buffer(exchange_.type, {ranks() * longest});
      for (std::int64_t part = 0; part < ranks(); ++part) {
        const ShareRange own = share_of(rows, ranks(), part);
        append_elements(input, own.begin * exchange_.width, own.size() * exchange_.width, buffer,
                        part * longest);
      }
      buffers.push_back(std::move(buffer));
    }
    std::vector<Tensor> results = collective(buffers, 1);
    for (std::int64_t part = 0; rows > 0 && part < ranks(); ++part) {
      Tensor& result = results[index_of(part)];
      const std::int64_t count = share_of(rows, ranks(), part).size() * exchange_.width;
      result = padded(result, 0, count, count);
    }
    return results;
  }

  const Exchange& exchange_;
  const std::vector<ChipAddress>& chips_;
  CollectiveModel& collectives_;
  ExchangeRecord& record_;
  std::vector<Tensor> inputs_;
};

/// Hands over a tensor from every rank to every rank, `sets` of them.
std::vector<RankTensors> hand_over(const Exchange& exchange, std::vector<RankTensors> brought,
                                   std::size_t sets, ExchangeRecord& record) {
  const std::size_t ranks = brought.size();
  std::vector<RankTensors> results(ranks, RankTensors(sets * ranks));
  for (std::size_t from = 0; from < ranks; ++from) {
    if (brought[from].size() != sets * ranks) {
      throw ModelError("gang: a chip brings rows for another number of chips to '" +
                       std::string(exchange.role) + "'");
    }
    for (std::size_t set = 0; set < sets; ++set) {
      for (std::size_t to = 0; to < ranks; ++to) {
        Tensor& tensor = brought[from][set * ranks + to];
        if (from != to) (set == 0 ? record.bytes : record.indices) += bytes_in(tensor);
        results[to][set * ranks + from] = std::move(tensor);
      }
    }
  }
  return results;
}

}  // namespace

std::vector<RankTensors> run_exchange(const std::vector<Exchange>& views,
                                      const std::vector<ChipAddress>& chips,
                                      std::vector<RankTensors> brought,
                                      CollectiveModel& collectives, ExchangeRecord& record) {
  const Exchange& exchange = views.front();
  record.role = exchange.role;
  record.layer = exchange.layer;
  record.op = exchange.op;
  if (exchange.op == CollectiveOp::MoeDispatch) {
    return hand_over(exchange, std::move(brought), 2, record);
  }
  if (exchange.op == CollectiveOp::MoeCombine) {
    return hand_over(exchange, std::move(brought), 1, record);
  }
  return CollectiveExchange(exchange, chips, std::move(brought), collectives, record).run();
}

}  // namespace tandem
