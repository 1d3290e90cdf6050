#include "sim/config/csv.hpp"

#include <gtest/gtest.h>

#include "sim/entry/kernel_table.hpp"
#include "sim/numerics/formats/quant_format.hpp"

namespace tandem::entry {
namespace {

TEST(CsvTable, KeepsQuotedCommasAndLineBreaksInOneCell) {
  const CsvTable table("t.csv", "a,b\n\"1,5\",\"two\nlines \"\"quoted\"\"\"\r\n3,4\n");
  ASSERT_EQ(table.rows(), 2U);
  EXPECT_EQ(table.cell(0, 0), "1,5");
  EXPECT_EQ(table.cell(0, 1), "two\nlines \"quoted\"");
  EXPECT_EQ(table.cell(1, 1), "4");
  // The second row starts after the line break inside the first: line 4.
  EXPECT_EQ(table.place(1, 1).line, 4);
  EXPECT_EQ(table.place(1, 1).column, 3);
}

TEST(CsvTable, QuotingForOutputReadsBackAsTheSameCell) {
  const std::string cell = "x,\"y\"\nz";
  const CsvTable table("t.csv", "c\n" + csv_quoted(cell) + "\n");
  EXPECT_EQ(table.cell(0, 0), cell);
}

TEST(CsvTable, ReportsEveryRowOfTheWrongWidth) {
  try {
    const CsvTable table("t.csv", "a,b\n1\n1,2\n1,2,3\n");
    FAIL() << "accepted";
  } catch (const ConfigError& error) {
    ASSERT_EQ(error.diagnostics().size(), 2U);
    EXPECT_EQ(error.diagnostics()[0].place.line, 2);
    EXPECT_EQ(error.diagnostics()[1].message, "row has 3 cells, the header has 2");
  }
}

TEST(KernelRows, ReadsColumnsInAnyOrderAndTheCacheState) {
  const CsvTable table("t.csv", "dtype,k,l2,n,m\nfp8,64,warm,32,16\n");
  const auto rows = kernel_rows(table, "gemm", Software{});
  ASSERT_EQ(rows.size(), 1U);
  ASSERT_EQ(rows[0].kernels.size(), 2U);
  EXPECT_EQ(kind_name(rows[0].kernels[0]), "quantise");
  const auto& shape = std::get<GemmKernel>(rows[0].kernels[1].shape);
  EXPECT_EQ(shape.m, 16);
  EXPECT_EQ(shape.n, 32);
  EXPECT_EQ(shape.k, 64);
  EXPECT_EQ(shape.precision, &formats::find_precision("fp8"));
  EXPECT_TRUE(rows[0].warm);
}

TEST(KernelRows, AreSustainedWhereTheirColumnSaysSo) {
  const CsvTable table("t.csv", "m,n,k,dtype,sustained\n1,8,8,bfloat16,1\n1,8,8,bfloat16,0\n");
  const auto rows = kernel_rows(table, "gemm", Software{});
  EXPECT_TRUE(rows.at(0).sustained);
  EXPECT_FALSE(rows.at(1).sustained);
}

TEST(KernelRows, KeepTheirPlaceBesideBadOnes) {
  const CsvTable table("t.csv", "m,n,k,dtype\n0,8,8,bfloat16\n1,8,8,bfloat16\n");
  DiagnosticSink bad_cells;
  const auto rows = kernel_rows(table, "gemm", Software{}, bad_cells);
  EXPECT_EQ(bad_cells.size(), 1U);
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_TRUE(rows[0].kernels.empty());
  EXPECT_EQ(rows[1].kernels.size(), 1U);
}

TEST(KernelRows, NamesEveryBadCellWithItsPlace) {
  const CsvTable table("t.csv", "m,n,k,dtype\n1,0,8,bf17\n");
  try {
    (void)kernel_rows(table, "gemm", Software{});
    FAIL() << "accepted";
  } catch (const ConfigError& error) {
    ASSERT_EQ(error.diagnostics().size(), 2U);
    EXPECT_EQ(error.diagnostics()[0].place.column, 3);  // n
    EXPECT_EQ(error.diagnostics()[1].place.column, 7);  // dtype
  }
}

}  // namespace
}  // namespace tandem::entry
