// Speed of the LPU machine in simulated chip cycles per second: a full LPU v1 whose four planes all
// take a new tile of weights every 21 cycles (22 in 16-bit types) and multiply one activation with
// each, as in a matrix-vector product. SRAM is filled before the clock starts.
#include <benchmark/benchmark.h>

#include "models/lpu/assembler.hpp"
#include "models/lpu/machine.hpp"
#include "models/lpu/verifier.hpp"
#include "sim/core/random.hpp"

namespace {

using namespace tandem::lpu;

constexpr int tiles_in_sram = 100;

Geometry lpu_v1() {
  Geometry geometry;
  geometry.clock = tandem::Hertz(900e6);
  geometry.links = {{"c2c", 16, 27, 270}};
  return geometry;
}

std::string nop(int cycles) {
  return cycles > 0 ? "nop " + std::to_string(cycles) + "\n" : "";
}

std::string loop(int times, int width, int interval, int stride) {
  return "loop " + std::to_string(times - 1) + " width " + std::to_string(width) + " interval " +
         std::to_string(interval) + " stride " + std::to_string(stride) + "\n";
}

// One-byte types, period 21. In each hemisphere the 16 slices nearest to the planes read bank 0 on
// streams 0..15 for the even plane (LW from 11 on, IW 31) and, ten cycles later, bank 1 on 16..31
// for the odd one (LW from 21 on, IW 41). In the cycle of its IW a plane takes no weights; its
// streams then bring the other plane's activation: even ABC in 41, odd ABC in 52. Each tile's
// result leaves 26 cycles later and is read by an ALU.
std::string byte_program(int rounds, const std::string& type, const std::string& result) {
  std::string text;
  const int tiles = rounds * tiles_in_sram;
  for (const std::string s : {"W", "E"}) {
    for (int i = 0; i < 16; ++i) {
      const int distance = 24 - (1 + (28 + i) / 2);
      const std::string even = " " + s + std::to_string(i);
      const std::string odd = " " + s + std::to_string(16 + i);
      text += "queue MEM_" + s + std::to_string(28 + i) + "\n" + nop(9 - distance) +
              "mem read 0:0" + even + " | read 1:11" + odd + "\nrepeat 8 interval 1 stride 1\n" +
              "mem read 0:9" + even + "\nmem read 0:10" + even + " | read 1:20" + odd +
              "\nrepeat 9 interval 1 stride 1\nmem read 1:30" + odd + "\n" +
              loop(tiles_in_sram, 6, 21, 20) + loop(rounds, 7, 21 * tiles_in_sram, 0);
    }
    text += "queue MEM_" + s + "26\nnop 29\nmem read 0:0 " + s + "16\nnop 10\nmem read 0:1 " + s +
            "0\n" + loop(tiles, 3, 21, 0);
  }
  for (int plane = 0; plane < 4; ++plane) {
    const std::string p = std::to_string(plane);
    const int late = plane % 2 == 0 ? 0 : 1;
    const int own = tiles - 2 * late;  // the last tiles of odd planes are not read whole
    const std::string outward = plane < 2 ? " W" : " E";
    const std::string inward = plane < 2 ? "E" : "W";
    text += "queue MXM" + p + ".weights\n" + nop(11 + 10 * late);
    for (int group = 0; group < 20; ++group) {
      text += "lw plane " + p + " group " + std::to_string(group) + outward +
              std::to_string(16 * late) + "\n";
    }
    text += "iw plane " + p + "\n" + loop(own, 21, 21, 0);
    const auto abc = [&](const char* accumulator) {
      return "abc plane " + p + " " + type + outward + std::to_string(16 - 16 * late) + " acc " +
             accumulator + "\n";
    };
    const std::string out = inward + std::to_string(4 * late);
    const auto acc = [&](const char* accumulator) {
      return "acc plane " + p + " acc " + accumulator + " " + result + " -> " + out + "\n";
    };
    // ABC 0, ABC 1 after 21, ACC 0 after 26; then ABC 0, ACC 1, ABC 1, ACC 0 every 42 cycles.
    text += "queue MXM" + p + ".compute\n" + nop(41 + 11 * late) + abc("0") + nop(20) + abc("1") +
            nop(4) + acc("0") + nop(15) + abc("0") + nop(4) + acc("1") + nop(15) + abc("1") +
            nop(4) + acc("0") + nop(15) + loop(own / 2 - 1, 8, 42, 0);
    text += "queue VXM" + p + "\n" + nop(41 + 11 * late + 26 + 24) + "alu relu " + result + " " +
            out + "\n" + loop(own - 1, 1, 21, 0);
  }
  return text;
}

// 16-bit types, period 22: both planes of a pair load in 11..30 and install in 31; the ABC of both
// halves (320 values of 16 bits) is in 32 and 33.
std::string pair_program(int rounds, const std::string& type) {
  std::string text;
  const int tiles = rounds * tiles_in_sram;
  for (const std::string s : {"W", "E"}) {
    for (int i = 0; i < 16; ++i) {
      const int distance = 24 - (1 + (28 + i) / 2);
      text += "queue MEM_" + s + std::to_string(28 + i) + "\n" + nop(9 - distance) +
              "mem read 0:0 " + s + std::to_string(i) + " | read 1:0 " + s +
              std::to_string(16 + i) + "\nrepeat 19 interval 1 stride 1\n" +
              loop(tiles_in_sram, 2, 22, 20) + loop(rounds, 3, 22 * tiles_in_sram, 0);
    }
    text += "queue MEM_" + s + "26\nnop 20\nmem read 0:0 " + s + "0 | read 1:0 " + s + "1\n" +
            loop(tiles, 1, 22, 0);
  }
  for (int plane = 0; plane < 4; ++plane) {
    const std::string p = std::to_string(plane);
    const std::string outward = plane < 2 ? " W" : " E";
    text += "queue MXM" + p + ".weights\nnop 11\n";
    for (int group = 0; group < 20; ++group) {
      text += "lw plane " + p + " group " + std::to_string(group) + outward +
              (plane % 2 == 0 ? "0\n" : "16\n");
    }
    text += "iw plane " + p + "\n" + loop(tiles, 21, 22, 0);
    if (plane % 2 != 0) continue;
    const std::string abc = "abc plane " + p + " " + type + outward + "0 acc ";
    const std::string out = plane < 2 ? "E0" : "W0";
    const std::string acc = "acc plane " + p + " acc ";
    const std::string to = " float32 -> " + out + "\n";
    // ABC 0, ABC 1 after 22, ACC 0 after 27; then as above, every 44 cycles.
    text += "queue MXM" + p + ".compute\nnop 32\n" + abc + "0 halves 2\nnop 20\n" + abc +
            "1 halves 2\nnop 3\n" + acc + "0" + to + "nop 16\n" + abc + "0 halves 2\nnop 3\n" +
            acc + "1" + to + "nop 16\n" + abc + "1 halves 2\nnop 3\n" + acc + "0" + to +
            "nop 16\n" + loop(tiles / 2 - 1, 8, 44, 0);
    text +=
        "queue VXM" + p + "\nnop 83\nalu relu float32 " + out + "\n" + loop(tiles - 1, 1, 22, 0);
  }
  return text;
}

// Random bytes below 0x60 without the sign now and then: finite in every format.
void fill_sram(Machine& machine, const Geometry& geometry) {
  tandem::RandomStream random(1, "lpu_bench");
  std::vector<std::uint8_t> row(static_cast<std::size_t>(geometry.vector_bytes()));
  for (int slice = 0; slice < geometry.mem_slices(); ++slice) {
    if (slice % geometry.mem_slices_per_hemisphere < 26) continue;
    for (int at = 0; at < 20 * tiles_in_sram + 31; ++at) {
      for (auto& byte : row) {
        byte = static_cast<std::uint8_t>(random.next() & 0xdfU);
        if ((byte & 0x5fU) >= 0x58U) byte = static_cast<std::uint8_t>(byte & 0x8fU);
      }
      for (int bank = 0; bank < geometry.banks; ++bank) machine.write_row(slice, bank, at, row);
    }
  }
}

std::string text_of(const std::string& type, int rounds) {
  if (type == "int8") return byte_program(rounds, type, "int32");
  if (type.starts_with("fp8")) return byte_program(rounds, type, "float32");
  return pair_program(rounds, type);
}

void gemv(benchmark::State& state, const std::string& type, bool functional, int rounds) {
  const Geometry geometry = lpu_v1();
  const ProgramImage image = assemble(text_of(type, rounds), geometry);
  if (const auto found = verify(assemble(text_of(type, 1), geometry).program, geometry, {});
      !found.empty()) {
    state.SkipWithError(format_violation(found[0]).c_str());
    return;
  }
  Machine machine(geometry, {}, functional);
  machine.load(image);
  if (functional) fill_sram(machine, geometry);
  std::int64_t cycles = 0;
  for (auto _ : state) cycles += machine.run().cycles;
  state.counters["chip_cycles/s"] =
      benchmark::Counter(static_cast<double>(cycles), benchmark::Counter::kIsRate);
}

BENCHMARK_CAPTURE(gemv, timed_int8, "int8", false, 50)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(gemv, timed_float16, "float16", false, 50)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(gemv, int8, "int8", true, 1)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(gemv, fp8_e4m3, "fp8_e4m3", true, 1)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(gemv, fp8_e5m2, "fp8_e5m2", true, 1)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(gemv, float16, "float16", true, 1)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(gemv, bfloat16, "bfloat16", true, 1)->Unit(benchmark::kMillisecond);

}  // namespace
