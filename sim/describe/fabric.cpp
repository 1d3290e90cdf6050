#include "sim/describe/fabric.hpp"

namespace tandem {

std::string_view name_of(Wiring wiring) {
  switch (wiring) {
    case Wiring::Complete:
      return "complete";
    case Wiring::Dragonfly:
      return "dragonfly";
    case Wiring::Ring:
      return "ring";
    case Wiring::Chain:
      return "chain";
  }
  return "";
}

ParameterSchema fabric_schema() {
  return {
      {"software_hop", Dimension::Count,
       "Cycles that software adds to a hop when messages are passed hop by hop instead of being "
       "scheduled end to end.",
       0, 0, 1e6},
      {"rack_chips", Dimension::Count, "Chips of one rack.", std::nullopt, 1, 1e6},
      {"chip_power", Dimension::Power, "At the wall, per chip with its share of the host.",
       std::nullopt, 0, 1e5},
  };
}

ParameterSchema fabric_level_schema() {
  return {
      {"units", Dimension::Count, "Units joined: chips, or whole copies of the level below.",
       std::nullopt, 1, 1e6},
      {"most_units", Dimension::Count, "Units that the ports allow.", std::nullopt, 1, 1e6},
      {"ports", Dimension::Count, "Ports of each chip for this level.", std::nullopt, 1, 256},
      {"lanes", Dimension::Count, "Serial lanes of one port.", std::nullopt, 1, 64},
      {"lane_rate", Dimension::Bandwidth, "Of one lane, per direction, as it runs.", std::nullopt,
       1, 1e15},
      {"interval", Dimension::Count, "Cycles between two vectors on a port.", std::nullopt, 1,
       65535},
      {"latency", Dimension::Count, "Cycles from Send to the matching Recv.", std::nullopt, 1, 1e6},
  };
}

}  // namespace tandem
