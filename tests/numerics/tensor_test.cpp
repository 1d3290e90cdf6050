// Does a tensor keep what was stored, in its own type?
#include "sim/numerics/tensor.hpp"

#include <gtest/gtest.h>

#include "sim/core/diagnostics.hpp"

namespace tandem {
namespace {

TEST(Tensor, stores_in_its_type_and_starts_at_zero) {
  Tensor tensor(ElementType::Bfloat16, {2, 3});
  EXPECT_EQ(tensor.elements(), 6);
  EXPECT_EQ(tensor.bytes().size(), 12U);
  EXPECT_EQ(tensor.load(5), 0.0F);
  tensor.store(5, 0x1.03p0F);  // a tie of bfloat16: the even neighbour is 1.0000010b * 2^0
  EXPECT_EQ(tensor.load(5), 0x1.04p0F);
  EXPECT_EQ(tensor.load(4), 0.0F);
}

TEST(Tensor, floats_are_the_elements_in_place) {
  Tensor tensor(ElementType::Float32, {2});
  tensor.floats()[1] = 2.5F;
  EXPECT_EQ(tensor.load(1), 2.5F);
  Tensor narrow(ElementType::Float16, {2});
  EXPECT_THROW((void)narrow.floats(), ModelError);
}

TEST(Tensor, converts_each_element_once) {
  Tensor tensor(ElementType::Float32, {2});
  tensor.store(0, 1000.0F);
  tensor.store(1, -0.3F);
  const Tensor narrow = tensor.converted(ElementType::Fp8E4m3);
  EXPECT_EQ(narrow.load(0), 448.0F);
  EXPECT_EQ(narrow.load(1), -0.3125F);  // 0.3 = 1.2 * 2^-2; eighths: 1.25 * 2^-2
  EXPECT_EQ(narrow.shape(), tensor.shape());
  EXPECT_EQ(tensor.converted(ElementType::Float32), tensor);
}

TEST(Tensor, rejects_impossible_shapes) {
  EXPECT_THROW(Tensor(ElementType::Float32, {2, -1}), ModelError);
  EXPECT_THROW(Tensor(ElementType::Float32, {std::int64_t{1} << 40, std::int64_t{1} << 40}),
               ModelError);
  EXPECT_EQ(Tensor(ElementType::Float32, {0, 5}).elements(), 0);
}

}  // namespace
}  // namespace tandem
