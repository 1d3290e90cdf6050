// Wiring of groups and bridges: counts and routes of small systems and of a whole LPX rack.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/graph/routes.hpp"
#include "sim/graph/topology.hpp"

namespace tandem {
namespace {

using namespace tandem::literals;
using testing::ElementsAre;

Link link_class(const std::string& name, double bandwidth, double latency) {
  Link link;
  link.name = name;
  const auto number = [](double value) {
    Parameter parameter;
    parameter.value = value;
    return parameter;
  };
  link.parameters.set("bandwidth", number(bandwidth));
  link.parameters.set("latency", number(latency));
  link.parameters.set("packet", number(320));
  link.parameters.set("header", number(8));
  return link;
}

ChipGroup group(const std::string& pool, std::int64_t count, std::int64_t per_node,
                const std::string& link, const std::string& switch_kind) {
  ChipGroup made;
  made.pool = pool;
  made.count = count;
  made.chips_per_node = per_node;
  made.link = link;
  made.scale_out = "far";
  made.switch_kind = switch_kind;
  return made;
}

Bridge bridge(const std::vector<std::string>& links, std::int64_t lanes) {
  Bridge made;
  made.from = "lpu";
  made.to = "gpu";
  made.links = links;
  made.lanes = lanes;
  return made;
}

System system_with(std::vector<ChipGroup> groups, std::vector<Bridge> bridges = {}) {
  System system;
  system.name = "test";
  system.groups = std::move(groups);
  system.bridges = std::move(bridges);
  for (const char* name : {"near", "far", "port", "eth"}) {
    system.links[name] = link_class(name, 1e9, 1e-7);
  }
  return system;
}

std::vector<std::string> classes_of(const Topology& topology, const Route& route) {
  std::vector<std::string> names;
  for (const LinkId id : route.links) names.push_back(topology.link(id).link_class);
  return names;
}

TEST(MakeTopology, SwitchedNodesMeetInOneFabric) {
  const Topology t = make_topology(system_with({group("gpu", 4, 2, "near", "switch")}));
  // 4 chips, 2 node switches, 1 fabric; 4 duplex near + 4 duplex far.
  EXPECT_EQ(t.nodes().size(), 7U);
  EXPECT_EQ(t.links().size(), 16U);
  RouteFinder router(t, 1_KiB);
  EXPECT_THAT(classes_of(t, router.route(t.chip("gpu", 0), t.chip("gpu", 1))),
              ElementsAre("near", "near"));
  EXPECT_THAT(classes_of(t, router.route(t.chip("gpu", 0), t.chip("gpu", 2))),
              ElementsAre("far", "far"));
}

TEST(MakeTopology, OneNodeHasNoFabric) {
  const Topology t = make_topology(system_with({group("gpu", 8, 8, "near", "switch")}));
  EXPECT_EQ(t.nodes().size(), 9U);
  EXPECT_EQ(t.links().size(), 16U);
}

TEST(MakeTopology, LpxRackIsAllToAllInTheTrayAndSameIndexAcross) {
  const Topology t = make_topology(system_with({group("lpu", 256, 16, "near", "mesh")}));
  // In trays: 16 trays * 16 * 15 directed. Across: 16 indices * 16 * 15 directed.
  EXPECT_EQ(t.nodes().size(), 256U);
  EXPECT_EQ(t.links().size(), 2U * 16 * 16 * 15);
  RouteFinder router(t, 1_KiB);
  // Tray 0 index 3 to tray 5 index 3: direct; to tray 5 index 4: two hops, in either order.
  EXPECT_THAT(classes_of(t, router.route(t.chip("lpu", 3), t.chip("lpu", 83))), ElementsAre("far"));
  const auto routes = router.equal_routes(t.chip("lpu", 3), t.chip("lpu", 84), 8);
  ASSERT_EQ(routes.size(), 2U);
  // The lower next node is chip 4 of the own tray.
  EXPECT_THAT(classes_of(t, routes[0]), ElementsAre("near", "far"));
  EXPECT_THAT(classes_of(t, routes[1]), ElementsAre("far", "near"));
  // Bisection between trays 0..7 and 8..15: 16 indices * 8 * 8 links of 1 GB/s.
  std::vector<NodeId> low, high;
  for (int i = 0; i < 256; ++i) (i < 128 ? low : high).push_back(t.chip("lpu", i));
  EXPECT_DOUBLE_EQ(min_cut(t, low, high).count(), 16 * 8 * 8 * 1e9);
}

TEST(MakeTopology, BridgeWithoutRepeatedClassIsOneChainPerLane) {
  const Topology t = make_topology(
      system_with({group("gpu", 2, 2, "near", "switch"), group("lpu", 4, 4, "near", "mesh")},
                  {bridge({"port", "eth"}, 2)}));
  RouteFinder router(t, 1_KiB);
  // Lane 0: lpu 0 - gpu 0; lane 1: lpu 2 - gpu 1.
  EXPECT_THAT(classes_of(t, router.route(t.chip("lpu", 2), t.chip("gpu", 1))),
              ElementsAre("port", "eth"));
  EXPECT_THAT(classes_of(t, router.route(t.chip("gpu", 1), t.chip("lpu", 2))),
              ElementsAre("eth", "port"));
  // From lpu 1 over its mesh to a chip with a lane.
  EXPECT_THAT(classes_of(t, router.route(t.chip("lpu", 1), t.chip("gpu", 0))),
              ElementsAre("near", "port", "eth"));
}

TEST(MakeTopology, RepeatedClassMeetsInASwitchSharedByAllLanes) {
  const System system =
      system_with({group("gpu", 2, 2, "near", "switch"), group("lpu", 4, 4, "near", "mesh")},
                  {bridge({"port", "eth", "eth"}, 4)});
  const Topology t = make_topology(system);
  RouteFinder router(t, 1_KiB);
  // Every LPU reaches every GPU: 4 ports on the LPU side, but only 2 NICs, one per GPU.
  for (int l = 0; l < 4; ++l) {
    for (int g = 0; g < 2; ++g) {
      EXPECT_THAT(classes_of(t, router.route(t.chip("lpu", l), t.chip("gpu", g))),
                  ElementsAre("port", "eth", "eth"));
    }
  }
  // Into the GPUs: 2 NICs of 1 GB/s.
  EXPECT_DOUBLE_EQ(
      min_cut(t, {t.chip("lpu", 0), t.chip("lpu", 1), t.chip("lpu", 2), t.chip("lpu", 3)},
              {t.chip("gpu", 0), t.chip("gpu", 1)})
          .count(),
      2e9);
}

TEST(MakeTopology, NamesWhatIsWrong) {
  const auto message = [](const System& system) -> std::string {
    try {
      (void)make_topology(system);
    } catch (const ModelError& error) {
      return error.what();
    }
    return "";
  };
  ChipGroup lone = group("lpu", 72, 8, "near", "mesh");
  lone.scale_out.clear();
  EXPECT_EQ(message(system_with({lone})),
            "topology of system 'test': pool 'lpu' has several nodes and no 'scale_out' link");
  EXPECT_EQ(message(system_with({group("gpu", 2, 2, "nvlink", "switch")})),
            "topology of system 'test': no link class 'nvlink'");
  EXPECT_EQ(message(system_with({group("gpu", 2, 2, "near", "ring")})),
            "topology of system 'test': pool 'gpu' has switch kind 'ring'; must be 'switch' or "
            "'mesh'");
}

}  // namespace
}  // namespace tandem
