#include "sim/service/shared_links.hpp"

#include <utility>

namespace tandem {

NetworkModel::MessageId LinkView::send(Picoseconds at, const ChipAddress& from,
                                       const ChipAddress& to, Bytes size, Payload payload) {
  const MessageId id = links_.network_->send(at, from, to, size, std::move(payload));
  links_.sender_of_[id] = this;
  for (const std::string& link_class : path(from, to)) own_[link_class].bytes += size;
  links_.alarm_.set(*links_.network_);
  return id;
}

std::optional<Picoseconds> LinkView::next_delivery() {
  if (arrived_.empty()) return std::nullopt;
  return arrived_.front().time;
}

NetworkModel::Delivery LinkView::pop_delivery() {
  Delivery delivery = std::move(arrived_.front());
  arrived_.pop_front();
  return delivery;
}

Picoseconds LinkView::floor(const ChipAddress& from, const ChipAddress& to, Bytes size) const {
  return links_.network_->floor(from, to, size);
}

std::vector<std::string> LinkView::path(const ChipAddress& from, const ChipAddress& to) const {
  return links_.network_->path(from, to);
}

void SharedLinks::act(Picoseconds now, Phase phase) {
  (void)phase;
  alarm_.went_off(now);
  take_deliveries(*network_, now, [&](NetworkModel::Delivery delivery) {
    LinkView& view = *sender_of_.extract(delivery.id).mapped();
    view.arrived_.push_back(std::move(delivery));
    agenda_.wake(*view.owner_, now, Phase::Complete);
  });
  alarm_.set(*network_);
}

}  // namespace tandem
