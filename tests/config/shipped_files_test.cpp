// Every file under hw_configs/ and workloads/ loads with the catalogue that the executable uses.
#include <gtest/gtest.h>

#include <set>

#include "models/catalog/catalog.hpp"
#include "sim/config/loader.hpp"

namespace tandem {
namespace {

class ShippedFiles : public testing::Test {
 protected:
  static Loader make_loader() {
    ModelSchemas schemas;
    for (const ChipModelEntry& entry : chip_catalogue()) schemas[entry.name] = entry.schema;
    return {find_roots(), schemas};
  }
  /// Loads every file of a kind; a ConfigError becomes a failure that shows all its lines.
  template <class Load>
  void load_all(const std::string& kind, std::size_t at_least, Load load) {
    const std::vector<std::string> names = loader_.list(kind);
    EXPECT_GE(names.size(), at_least) << kind;
    for (const std::string& name : names) {
      try {
        load(name);
      } catch (const ConfigError& error) {
        ADD_FAILURE() << error.what();
      }
    }
  }
  void expect_sources(const ParameterSet& parameters, const std::string& what) {
    for (const auto& [name, parameter] : parameters.all()) {
      EXPECT_TRUE(sources_.contains(parameter.source)) << what << "." << name;
    }
  }
  const Loader loader_ = make_loader();
  const std::map<std::string, Source> sources_ = load_sources(loader_.roots());
};

TEST_F(ShippedFiles, Chips) {
  load_all("chips", 7,
           [&](const std::string& name) { expect_sources(loader_.chip(name).parameters, name); });
}

TEST_F(ShippedFiles, Links) {
  load_all("links", 14, [&](const std::string& name) {
    const Link link = loader_.link(name);
    expect_sources(link.parameters, name);
    std::int64_t fitted = 0;
    for (const auto& [key, parameter] : link.parameters.all()) {
      fitted += parameter.basis == Basis::Fitted ? 1 : 0;
    }
    EXPECT_LE(fitted, 6) << name;
  });
}

TEST_F(ShippedFiles, Fabrics) {
  load_all("fabrics", 4, [&](const std::string& name) {
    const Fabric fabric = loader_.fabric(name);
    expect_sources(fabric.parameters, name);
    for (const FabricLevel& level : fabric.levels) expect_sources(level.parameters, name);
    (void)loader_.chip(fabric.chip);
  });
}

TEST_F(ShippedFiles, Systems) {
  load_all("systems", 12,
           [&](const std::string& name) { expect_sources(loader_.system(name).parameters, name); });
}

TEST_F(ShippedFiles, Prices) {
  load_all("prices", 1,
           [&](const std::string& name) { expect_sources(loader_.prices(name).parameters, name); });
}

// Of which at most four are of kernels: tests/entry/fitted_software_test.cpp.
TEST_F(ShippedFiles, SoftwareHasAtMostSixFittedConstants) {
  load_all("software", 1, [&](const std::string& name) {
    const Software software = loader_.software(name);
    expect_sources(software.parameters, name);
    std::int64_t fitted = 0;
    for (const auto& [key, parameter] : software.parameters.all()) {
      fitted += parameter.basis == Basis::Fitted ? 1 : 0;
    }
    EXPECT_LE(fitted, 6) << name;
  });
}

TEST_F(ShippedFiles, ScenariosOfTheContractAreThere) {
  const std::vector<std::string> names = loader_.list("scenarios");
  const std::set<std::string> known(names.begin(), names.end());
  for (const char* name : {"stories260k_gpu", "stories260k_lpu", "stories260k_hybrid",
                           "llama8b_gpu", "llama8b_hybrid", "llama70b_gpu", "llama70b_hybrid"}) {
    EXPECT_TRUE(known.contains(name)) << name;
  }
  load_all("scenarios", 12, [&](const std::string& name) { (void)loader_.scenario(name); });
}

}  // namespace
}  // namespace tandem
