// Are costs of collectives asked for once per store, and read back as they were?
#include "sim/step/stored_collectives.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

namespace tandem {
namespace {

CollectiveCost drawn_cost(std::int64_t time) {
  CollectiveCost cost;
  cost.time = Picoseconds(time);
  cost.floor = Picoseconds(7);
  cost.algorithm = "two_shot";
  cost.protocol = "ll128";
  cost.bound = "link";
  cost.link_bytes = {{"nvlink4", 4096}, {"a name with spaces", 1}};
  cost.sms = 12;
  cost.memory = Bytes(99);
  return cost;
}

void expect_equal(const CollectiveCost& a, const CollectiveCost& b) {
  EXPECT_EQ(a.time.count(), b.time.count());
  EXPECT_EQ(a.floor.count(), b.floor.count());
  EXPECT_EQ(a.algorithm, b.algorithm);
  EXPECT_EQ(a.protocol, b.protocol);
  EXPECT_EQ(a.bound, b.bound);
  EXPECT_EQ(a.link_bytes, b.link_bytes);
  EXPECT_EQ(a.sms, b.sms);
  EXPECT_EQ(a.memory.count(), b.memory.count());
}

/// Counts how often it is asked; every answer is another.
class Counting final : public CollectiveModel {
 public:
  explicit Counting(std::int64_t& asked) : asked_(asked) {}
  CollectiveCost cost(const std::vector<ChipAddress>&, const Collective&) override {
    return drawn_cost(++asked_);
  }
  std::vector<Tensor> exchange(const std::vector<ChipAddress>&, const Collective&,
                               const std::vector<Tensor>& inputs) override {
    return inputs;
  }

 private:
  std::int64_t& asked_;
};

TEST(StoredCollectives, AreAskedForOncePerQuestion) {
  std::int64_t asked = 0;
  StageStore store;
  StoredCollectives model(std::make_unique<Counting>(asked), 1, store);
  const std::vector<ChipAddress> pair{{"gpu", 0}, {"gpu", 1}};
  Collective reduce;
  reduce.bytes = Bytes(1024);
  const CollectiveCost first = model.cost(pair, reduce);
  expect_equal(model.cost(pair, reduce), first);
  EXPECT_EQ(asked, 1);
  (void)model.cost({{"gpu", 2}, {"gpu", 3}}, reduce);
  EXPECT_EQ(asked, 2);
  // Every part of the question counts.
  const auto changed = [&](auto change) {
    Collective other = reduce;
    change(other);
    const std::int64_t before = asked;
    (void)model.cost(pair, other);
    EXPECT_EQ(asked, before + 1);
  };
  changed([](Collective& c) { c.op = CollectiveOp::AllGather; });
  changed([](Collective& c) { c.entry = CollectiveEntry::Library; });
  changed([](Collective& c) { c.bytes = Bytes(2048); });
  changed([](Collective& c) { c.type = ElementType::Float32; });
  changed([](Collective& c) { c.tokens = 1; });
  changed([](Collective& c) { c.hidden = 1; });
  changed([](Collective& c) { c.top_k = 1; });
  changed([](Collective& c) { c.experts = 1; });
  changed([](Collective& c) { c.groups = 2; });
  changed([](Collective& c) { c.top_groups = 2; });
  changed([](Collective& c) { c.transport = MoeTransport::Bulk; });
  changed([](Collective& c) { c.row_extra = Bytes(1); });
  changed([](Collective& c) { c.sms = 1; });
  StoredCollectives other(std::make_unique<Counting>(asked), 2, store);
  const std::int64_t before = asked;
  (void)other.cost(pair, reduce);
  EXPECT_EQ(asked, before + 1) << "another system";
}

TEST(StoredCollectives, AreReadBackFromTheFolderAndFromNothingBroken) {
  const auto folder =
      std::filesystem::temp_directory_path() / ("collectives_" + std::to_string(getpid()));
  const CollectiveCost cost = drawn_cost(5);
  {
    StageStore store(folder);
    EXPECT_EQ(store.find_collective(3), nullptr);
    store.put_collective(3, cost);
  }
  StageStore store(folder);
  ASSERT_NE(store.find_collective(3), nullptr);
  expect_equal(*store.find_collective(3), cost);
  EXPECT_EQ(store.find_collective(4), nullptr);
  std::filesystem::remove_all(folder);

  const std::string text = encode_collective(cost);
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::string broken = text;
    broken[i] = static_cast<char>(broken[i] ^ 1);
    EXPECT_FALSE(decode_collective(broken)) << i;
    EXPECT_FALSE(decode_collective(text.substr(0, i))) << i;
  }
}

}  // namespace
}  // namespace tandem
