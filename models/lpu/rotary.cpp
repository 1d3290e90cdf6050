// Cosines and sines of a position for every lane.
#include <algorithm>
#include <cmath>

#include "models/lpu/chip_host.hpp"

namespace tandem::lpu {
namespace {

std::size_t index_of(std::int64_t value) {
  return static_cast<std::size_t>(value);
}

// Llama 3.1: long wavelengths are stretched by `factor`, the ones between interpolate.
double scaled_frequency(double frequency, const ops::Llama3Scaling& scaling) {
  const double pi = 3.14159265358979323846;
  const double wavelength = 2 * pi / frequency;
  const auto original = static_cast<double>(scaling.original_context);
  const double low = original / scaling.low_frequency_factor;
  const double high = original / scaling.high_frequency_factor;
  if (wavelength < high) return frequency;
  if (wavelength > low) return frequency / scaling.factor;
  const double smooth = (original / wavelength - scaling.low_frequency_factor) /
                        (scaling.high_frequency_factor - scaling.low_frequency_factor);
  return (1 - smooth) * frequency / scaling.factor + smooth * frequency;
}

double scaled_frequency(double frequency, int pair, const ops::Rope& rope) {
  if (const auto* llama = std::get_if<ops::Llama3Scaling>(&rope.scaling)) {
    return scaled_frequency(frequency, *llama);
  }
  if (const auto* linear = std::get_if<ops::LinearScaling>(&rope.scaling)) {
    return frequency / linear->factor;
  }
  const auto* yarn = std::get_if<ops::YarnScaling>(&rope.scaling);
  if (yarn == nullptr) return frequency;
  const ops::YarnRange range = ops::yarn_range(rope);
  const double ramp = std::clamp((pair - range.low) / (range.high - range.low), 0.0, 1.0);
  return frequency / yarn->factor * ramp + frequency * (1 - ramp);
}

}  // namespace

void rotary_vectors(const ops::Rope& rope, const StageShape& shape, std::int64_t position,
                    std::vector<float>& cosine, std::vector<float>& sine) {
  cosine.assign(index_of(shape.lanes), 0.0F);
  sine.assign(index_of(shape.lanes), 0.0F);
  const bool proportional = rope.partial == ops::PartialRotary::Proportional;
  const int rotated = rope.rotated == 0 ? shape.head_dim : static_cast<int>(rope.rotated);
  const int width = proportional ? shape.head_dim : rotated;
  const double magnitude = ops::rope_magnitude(rope);
  for (int lane = 0; lane < shape.channels(); ++lane) {
    const int within = lane % shape.head_dim;
    if (within >= width) {
      cosine[index_of(lane)] = 1.0F;
      continue;
    }
    const bool interleaved = rope.layout == RopeLayout::Interleaved;
    const int pair = interleaved ? within / 2 : within % (width / 2);
    const bool first = interleaved ? within % 2 == 0 : within < width / 2;
    double frequency = std::pow(rope.theta, -2.0 * pair / width);
    frequency = 2 * pair < rotated ? scaled_frequency(frequency, pair, rope) : 0.0;
    const double angle = static_cast<double>(position) * frequency;
    cosine[index_of(lane)] = static_cast<float>(magnitude * std::cos(angle));
    const auto s = static_cast<float>(magnitude * std::sin(angle));
    sine[index_of(lane)] = first ? -s : s;
  }
}

}  // namespace tandem::lpu
