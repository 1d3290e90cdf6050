#include "sim/entry/rows/operators.hpp"

#include <algorithm>

namespace tandem::entry {

const std::vector<RowOperator>& row_operators() {
  static const std::vector<RowOperator> operators = [] {
    std::vector<RowOperator> all;
    for (const auto& part : {product_operators(), attention_operators(), latent_operators(),
                             expert_operators(), recurrent_operators(), layer_operators()}) {
      all.insert(all.end(), part.begin(), part.end());
    }
    std::sort(all.begin(), all.end(),
              [](const RowOperator& a, const RowOperator& b) { return a.name < b.name; });
    return all;
  }();
  return operators;
}

double software_value(const Software& software, const char* key, double fallback) {
  return software.parameters.has(key) ? software.parameters.value(key) : fallback;
}

}  // namespace tandem::entry
