#include "models/lpu/assembler.hpp"

#include <fmt/format.h>

#include <map>

#include "models/lpu/assembler_line.hpp"

namespace tandem::lpu {
namespace {

class Assembler {
 public:
  explicit Assembler(const Geometry& geometry) : geometry_(geometry) {
    image_.program.queues.resize(static_cast<std::size_t>(geometry.queue_count()));
    for (int queue = 0; queue < geometry.queue_count(); ++queue) {
      queues_[geometry.queue_name(queue)] = queue;
    }
  }

  void read(AssemblyLine& line) {
    if (line.at_end()) return;
    const std::string_view first = line.word("a word");
    if (first == "queue") return select_queue(line);
    if (first == "chip") {
      image_.program.chip = line.word("the chip's name");
    } else if (first == "limit") {
      const std::uint16_t index = line.host_register();
      image_.program.register_limits[index] =
          static_cast<std::uint16_t>(line.number("the limit", 0, 65535));
    } else if (first == "map") {
      read_map(line);
    } else if (first == "preload") {
      read_preload(line);
    } else if (first == "rows_used") {
      rows_used();
    } else if (first == "rows") {
      const auto [slice, bank] = slice_and_bank(line);
      rows_used()[slice * static_cast<std::size_t>(geometry_.banks) + bank] =
          static_cast<std::uint16_t>(line.number("the number of rows", 0, geometry_.rows_per_bank));
    } else if (first == "data") {
      read_data(line);
    } else if (first == "operator") {
      read_operator(line);
    } else if (first == "of") {
      read_owner(line);
    } else {
      return read_instruction(first, line);
    }
    line.expect_end();
  }
  ProgramImage take() { return std::move(image_); }

 private:
  int find_queue(AssemblyLine& line) {
    const auto found = queues_.find(std::string(line.word("a queue")));
    if (found == queues_.end()) line.fail("the chip has no such queue");
    return found->second;
  }
  void select_queue(AssemblyLine& line) {
    queue_ = find_queue(line);
    line.expect_end();
  }
  void read_map(AssemblyLine& line) {
    std::vector<std::uint16_t> map;
    while (!line.at_end()) {
      map.push_back(line.accept("-") ? std::uint16_t{0xffff}
                                     : static_cast<std::uint16_t>(
                                           line.number("a lane", 0, geometry_.lanes() - 1)));
    }
    image_.program.maps.push_back(std::move(map));
  }
  // Queues without a line of their own hold all their words.
  void read_preload(AssemblyLine& line) {
    const int queue = find_queue(line);
    auto& words = image_.program.preloaded;
    words.resize(image_.program.queues.size(), 65535);
    words[static_cast<std::size_t>(queue)] =
        static_cast<std::uint16_t>(line.number("the number of words", 0, 65535));
  }
  std::vector<std::uint16_t>& rows_used() {
    image_.program.rows_used.resize(
        static_cast<std::size_t>(geometry_.mem_slices() * geometry_.banks));
    return image_.program.rows_used;
  }
  std::pair<std::size_t, std::size_t> slice_and_bank(AssemblyLine& line) const {
    const auto slice = line.number("the slice", 0, geometry_.mem_slices() - 1);
    const auto bank = line.number("the bank", 0, geometry_.banks - 1);
    return {static_cast<std::size_t>(slice), static_cast<std::size_t>(bank)};
  }
  void read_data(AssemblyLine& line) {
    const auto [slice, bank] = slice_and_bank(line);
    MemoryImageRow row;
    row.slice = static_cast<std::uint16_t>(slice);
    row.bank = static_cast<std::uint8_t>(bank);
    row.row = static_cast<std::uint16_t>(line.number("the row", 0, geometry_.rows_per_bank - 1));
    row.bytes = line.hex_bytes();
    const auto size = static_cast<std::size_t>(geometry_.vector_bytes());
    if (row.bytes.size() > size) {
      line.fail(fmt::format("{} bytes; a row has {}", row.bytes.size(), size));
    }
    row.bytes.resize(size);
    image_.rows.push_back(std::move(row));
  }
  void read_operator(AssemblyLine& line) {
    std::string name(line.word("the operator's name"));
    while (!line.at_end()) name += fmt::format(" {}", line.word("the operator's name"));
    image_.program.marks.operators.push_back(std::move(name));
    image_.program.marks.queues.resize(image_.program.queues.size());
  }
  // The words that follow belong to this operator.
  void read_owner(AssemblyLine& line) {
    if (queue_ < 0) line.fail("an operator's words before the first 'queue'");
    const auto queue = static_cast<std::size_t>(queue_);
    const auto count = static_cast<std::int64_t>(image_.program.marks.operators.size());
    const auto mark =
        line.accept("none") ? std::int64_t{no_operator} : line.number("the operator", 0, count - 1);
    image_.program.marks.queues.resize(image_.program.queues.size());
    image_.program.marks.queues[queue].push_back(
        {static_cast<std::uint32_t>(image_.program.queues[queue].size()),
         static_cast<std::uint16_t>(mark)});
  }
  void read_instruction(std::string_view mnemonic, AssemblyLine& line) {
    const Instruction instruction = parse_instruction(mnemonic, line);
    if (queue_ < 0) line.fail("an instruction before the first 'queue'");
    if (const auto bad = find_illegality(instruction, queue_, geometry_, image_.program.maps)) {
      line.fail(fmt::format("{}: {}", bad->rule, bad->message));
    }
    image_.program.queues[static_cast<std::size_t>(queue_)].push_back(instruction);
  }

  const Geometry& geometry_;
  std::map<std::string, int> queues_;
  int queue_ = -1;
  ProgramImage image_;
};

}  // namespace

ProgramImage assemble(std::string_view text, const Geometry& geometry, std::string_view file) {
  Assembler assembler(geometry);
  DiagnosticSink sink;
  int number = 1;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    try {
      AssemblyLine line(file, number, text.substr(0, end));
      assembler.read(line);
    } catch (const ConfigError& error) {
      for (const Diagnostic& complaint : error.diagnostics()) {
        sink.report(complaint.place, complaint.message);
      }
    }
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
  }
  sink.throw_if_any();
  return assembler.take();
}

}  // namespace tandem::lpu
