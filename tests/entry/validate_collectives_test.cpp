// `tandem validate` on tables of collectives: the system that a table means, its entry, and limits
// that no prediction may cross.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/core/diagnostics.hpp"
#include "sim/entry/rows/collective_rows.hpp"
#include "sim/entry/validation/validation.hpp"
#include "tests/entry/validation_folder.hpp"

namespace tandem::entry {
namespace {

using ::testing::HasSubstr;

std::string table_of(const std::string& id, const std::string& chip, const std::string& software,
                     const std::string& fabric) {
  return "- {id: " + id + ", file: sums.csv, op: all_reduce, chip: " + chip + ", software: \"" +
         software +
         "\", target: latency, measured: t, unit: us, columns: {ranks: n, bytes: bytes}, "
         "fixed: {dtype: bfloat16, fabric: " +
         fabric + "}, rows: 2}\n";
}

std::vector<double> predictions(const ValidationAnswer& answer, const std::string& table) {
  const CsvTable rows("rows.csv", answer.rows_csv);
  std::vector<double> result;
  for (std::size_t i = 0; i < rows.rows(); ++i) {
    const std::string& cell = rows.cell(i, *rows.find("predicted"));
    if (rows.cell(i, *rows.find("table")) == table && !cell.empty()) {
      result.push_back(std::stod(cell));
    }
  }
  return result;
}

ValidationAnswer answer_of_tables() {
  const Folder folder;
  folder.write("sums.csv", "n,bytes,t\n8,4096,1\n8,67108864,1\n");
  folder.write("manifest.yaml",
               "format: 1\ntables:\n" + table_of("library", "h100_sxm", "NCCL 2.29", "intra_node") +
                   table_of("graph", "h100_sxm", "Some kernel in a CUDA graph", "intra_node") +
                   table_of("rdma", "h800", "NCCL 2.29", "rdma_400g") +
                   table_of("nowhere", "rtx_4090", "NCCL 2.29", "intra_node"));
  ValidationRequest request;
  request.folder = folder.path();
  request.with_rows = true;
  return validate(make_context(), request);
}

TEST(ValidateCollectives, TablesNameTheirSystemsAndEntries) {
  const ValidationAnswer answer = answer_of_tables();
  const auto library = predictions(answer, "library"), graph = predictions(answer, "graph");
  const auto rdma = predictions(answer, "rdma");
  ASSERT_EQ(library.size(), 2U);
  ASSERT_EQ(graph.size(), 2U);
  ASSERT_EQ(rdma.size(), 2U);
  // A framework's kernel has no call to enter; above its workspace it calls the library.
  EXPECT_LT(graph[0], library[0]);
  EXPECT_EQ(graph[1], library[1]);
  // One 50 GB/s adapter each: 2 x 7/8 x 64 MiB take at least 2.3 ms.
  EXPECT_GT(rdma[1], 2.3);
  EXPECT_LT(library[1], 1);
  EXPECT_EQ(answer.entries[3].figures.predicted_rows, 0);
  EXPECT_THAT(answer.entries[3].not_predicted.begin()->first,
              HasSubstr("no system in hw_configs/systems joins 'rtx_4090' by 'intra_node'"));
}

TEST(ValidateCollectives, RowsOfExpertsTakeTheScalesOfTheirFormat) {
  const System system = make_context().loader.system("dgx_h100");
  const NamedRow row = {{"ranks", {"8", {}}},
                        {"tokens", {"4", {}}},
                        {"hidden", {"7168", {}}},
                        {"topk", {"8", {}}},
                        {"experts", {"256", {}}}};
  DiagnosticSink sink;
  // 7168 / 128 = 56 scales of 4 B and 16 B of place beside fp8; nothing beside bfloat16 sums.
  EXPECT_EQ(collective_row("moe_dispatch", row, system, {}, sink).collective.row_extra, Bytes(240));
  EXPECT_EQ(collective_row("moe_combine", row, system, {}, sink).collective.row_extra, Bytes(0));
  EXPECT_EQ(collective_row("moe_dispatch", row, system, {}, sink).ranks.size(), 8U);
  EXPECT_TRUE(sink.empty());
}

}  // namespace
}  // namespace tandem::entry
