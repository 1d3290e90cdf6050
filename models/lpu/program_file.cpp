#include "models/lpu/program_file.hpp"

#include <fmt/format.h>

#include "models/lpu/encoding.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/core/hash.hpp"

namespace tandem::lpu {
namespace {

constexpr std::string_view magic = "TLPU";
constexpr std::uint32_t format_version = 3;

std::uint64_t checksum(std::span<const std::uint8_t> bytes) {
  return Hasher()
      .add(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()))
      .value();
}

class ByteWriter {
 public:
  template <class T>
  void put(T value) {
    for (std::size_t i = 0; i < sizeof(T); ++i) {
      bytes.push_back(static_cast<std::uint8_t>(static_cast<std::uint64_t>(value) >> (8 * i)));
    }
  }
  void count(std::size_t value) { put(static_cast<std::uint32_t>(value)); }
  template <class Range>
  void append(const Range& range) {
    bytes.insert(bytes.end(), range.begin(), range.end());
  }
  std::vector<std::uint8_t> bytes;
};

class ByteReader {
 public:
  ByteReader(std::span<const std::uint8_t> bytes, std::string_view file)
      : bytes_(bytes), file_(file) {}
  [[noreturn]] void fail(const std::string& message) const { fail_at(at_, message); }
  [[noreturn]] void fail_at(std::size_t offset, const std::string& message) const {
    throw ConfigError({std::string(file_), 0, 0},
                      fmt::format("at byte offset {}: {}", offset, message));
  }
  std::span<const std::uint8_t> take(std::size_t size, std::string_view what) {
    if (bytes_.size() - at_ < size) {
      fail(fmt::format("the file ends inside {} ({} bytes needed, {} left)", what, size,
                       bytes_.size() - at_));
    }
    const auto part = bytes_.subspan(at_, size);
    at_ += size;
    return part;
  }
  template <class T>
  T get(std::string_view what) {
    std::uint64_t value = 0;
    const auto part = take(sizeof(T), what);
    for (std::size_t i = 0; i < sizeof(T); ++i) value |= std::uint64_t{part[i]} << (8 * i);
    return static_cast<T>(value);
  }
  // A count of items of at least `item_bytes` each: refused before memory is taken for them.
  std::size_t count(std::size_t item_bytes, std::string_view what) {
    const auto value = get<std::uint32_t>(what);
    if (value > (bytes_.size() - at_) / item_bytes) {
      fail_at(at_ - 4, fmt::format("{} {} cannot fit in the rest of the file", value, what));
    }
    return value;
  }
  [[nodiscard]] std::size_t at() const { return at_; }
  [[nodiscard]] std::size_t left() const { return bytes_.size() - at_; }

 private:
  std::span<const std::uint8_t> bytes_;
  std::string_view file_;
  std::size_t at_ = 0;
};

void read_header(ByteReader& reader, const Geometry& geometry, Program& program) {
  const auto start = reader.take(magic.size(), "the magic number");
  if (!std::equal(start.begin(), start.end(), magic.begin())) {
    reader.fail_at(0, "not an LPU program (it does not start with 'TLPU')");
  }
  const auto version = reader.get<std::uint32_t>("the version");
  if (version != format_version) {
    reader.fail_at(4, fmt::format("program format version {}; this Tandem reads version {}",
                                  version, format_version));
  }
  const auto length = reader.get<std::uint16_t>("the chip name's length");
  const auto name = reader.take(length, "the chip name");
  program.chip.assign(name.begin(), name.end());
  const std::size_t offset = reader.at();
  if (reader.get<std::uint64_t>("the geometry fingerprint") != geometry_fingerprint(geometry)) {
    reader.fail_at(offset, fmt::format("the program was made for chip '{}' with another geometry "
                                       "than this chip's; compile it again for this chip",
                                       program.chip));
  }
  for (auto& limit : program.register_limits) limit = reader.get<std::uint16_t>("register limits");
}

void read_maps(ByteReader& reader, Program& program) {
  program.maps.resize(reader.count(4, "maps"));
  for (auto& map : program.maps) {
    map.resize(reader.count(2, "map entries"));
    for (auto& entry : map) entry = reader.get<std::uint16_t>("a map");
  }
}

Instruction read_instruction(ByteReader& reader, int queue, const Geometry& geometry,
                             const Program& program) {
  const std::size_t offset = reader.at();
  const auto word = reader.take(instruction_bytes, "an instruction");
  Instruction instruction;
  try {
    instruction = decode(word.first<instruction_bytes>());
  } catch (const ModelError& error) {
    reader.fail_at(offset, fmt::format("queue {}: {}", geometry.queue_name(queue), error.what()));
  }
  if (const auto bad = find_illegality(instruction, queue, geometry, program.maps)) {
    reader.fail_at(offset, fmt::format("queue {}: {}", geometry.queue_name(queue), bad->message));
  }
  return instruction;
}

void read_queues(ByteReader& reader, const Geometry& geometry, Program& program) {
  const std::size_t offset = reader.at();
  const std::size_t queues = reader.count(4, "queues");
  if (queues != static_cast<std::size_t>(geometry.queue_count())) {
    reader.fail_at(offset,
                   fmt::format("{} queues; the chip has {}", queues, geometry.queue_count()));
  }
  program.queues.resize(queues);
  for (std::size_t queue = 0; queue < queues; ++queue) {
    const std::size_t words = reader.count(instruction_bytes, "instructions");
    program.queues[queue].reserve(words);
    for (std::size_t i = 0; i < words; ++i) {
      program.queues[queue].push_back(
          read_instruction(reader, static_cast<int>(queue), geometry, program));
    }
  }
}

void read_preloaded(ByteReader& reader, Program& program) {
  const std::size_t offset = reader.at();
  program.preloaded.resize(reader.count(2, "preloaded counts"));
  if (!program.preloaded.empty() && program.preloaded.size() != program.queues.size()) {
    reader.fail_at(offset, fmt::format("preloaded counts for {} queues; the program has {}",
                                       program.preloaded.size(), program.queues.size()));
  }
  for (auto& words : program.preloaded) words = reader.get<std::uint16_t>("preloaded counts");
}

void read_rows(ByteReader& reader, const Geometry& geometry, ProgramImage& image) {
  const std::size_t offset = reader.at();
  image.program.rows_used.resize(reader.count(2, "rows-used counts"));
  const auto banks = static_cast<std::size_t>(geometry.mem_slices() * geometry.banks);
  if (!image.program.rows_used.empty() && image.program.rows_used.size() != banks) {
    reader.fail_at(offset, fmt::format("rows-used counts for {} banks; the chip has {}",
                                       image.program.rows_used.size(), banks));
  }
  for (auto& rows : image.program.rows_used) rows = reader.get<std::uint16_t>("rows-used counts");
  const auto vector_bytes = static_cast<std::size_t>(geometry.vector_bytes());
  image.rows.resize(reader.count(5 + vector_bytes, "image rows"));
  for (MemoryImageRow& row : image.rows) {
    const std::size_t place = reader.at();
    row.slice = reader.get<std::uint16_t>("an image row");
    row.bank = reader.get<std::uint8_t>("an image row");
    row.row = reader.get<std::uint16_t>("an image row");
    if (row.slice >= geometry.mem_slices() || row.bank >= geometry.banks ||
        row.row >= geometry.rows_per_bank) {
      reader.fail_at(place, fmt::format("image row at slice {} bank {} row {} is not on the chip",
                                        row.slice, row.bank, row.row));
    }
    const auto bytes = reader.take(vector_bytes, "an image row");
    row.bytes.assign(bytes.begin(), bytes.end());
  }
}

void read_marks(ByteReader& reader, Program& program) {
  ProgramMarks& marks = program.marks;
  marks.operators.resize(reader.count(2, "operators"));
  for (std::string& name : marks.operators) {
    const auto bytes = reader.take(reader.get<std::uint16_t>("an operator"), "an operator's name");
    name.assign(bytes.begin(), bytes.end());
  }
  const std::size_t offset = reader.at();
  marks.queues.resize(reader.count(4, "queues of operators"));
  if (!marks.queues.empty() && marks.queues.size() != program.queues.size()) {
    reader.fail_at(offset, fmt::format("operators of {} queues; the program has {}",
                                       marks.queues.size(), program.queues.size()));
  }
  for (std::size_t queue = 0; queue < marks.queues.size(); ++queue) {
    marks.queues[queue].resize(reader.count(6, "words of operators"));
    for (OperatorSpan& span : marks.queues[queue]) {
      const std::size_t place = reader.at();
      span.first_word = reader.get<std::uint32_t>("an operator's word");
      span.mark = reader.get<std::uint16_t>("a word's operator");
      if (span.first_word >= program.queues[queue].size() ||
          (span.mark != no_operator && span.mark >= marks.operators.size())) {
        reader.fail_at(place, fmt::format("operator {} from word {} is not in the program",
                                          span.mark, span.first_word));
      }
    }
  }
}

void write_marks(ByteWriter& writer, const ProgramMarks& marks) {
  writer.count(marks.operators.size());
  for (const std::string& name : marks.operators) {
    writer.put(static_cast<std::uint16_t>(name.size()));
    writer.append(name);
  }
  writer.count(marks.queues.size());
  for (const auto& spans : marks.queues) {
    writer.count(spans.size());
    for (const OperatorSpan& span : spans) {
      writer.put(span.first_word);
      writer.put(span.mark);
    }
  }
}

void write_image(ByteWriter& writer, const ProgramImage& image, const Geometry& geometry) {
  writer.count(image.program.rows_used.size());
  for (const auto rows : image.program.rows_used) writer.put(rows);
  writer.count(image.rows.size());
  for (const MemoryImageRow& row : image.rows) {
    if (row.bytes.size() != static_cast<std::size_t>(geometry.vector_bytes())) {
      throw ModelError(fmt::format("lpu.program: image row of {} bytes; a vector has {}",
                                   row.bytes.size(), geometry.vector_bytes()));
    }
    writer.put(row.slice);
    writer.put(row.bank);
    writer.put(row.row);
    writer.append(row.bytes);
  }
}

}  // namespace

std::uint64_t geometry_fingerprint(const Geometry& geometry) {
  Hasher hasher;
  for (const int number :
       {geometry.superlanes, geometry.lanes_per_superlane, geometry.streams_per_direction,
        geometry.mem_slices_per_hemisphere, geometry.banks, geometry.rows_per_bank,
        geometry.mem_slices_per_sr, geometry.planes, geometry.plane_rows, geometry.plane_columns,
        geometry.weight_streams_per_plane, geometry.accumulators, geometry.vxm_alus,
        geometry.sxm_queues_per_hemisphere, geometry.hac_period}) {
    hasher.add(number);
  }
  for (const LinkClass& link : geometry.links) {
    hasher.add(link.count).add(link.cycles_per_vector).add(link.latency);
  }
  return hasher.value();
}

std::vector<std::uint8_t> encode_program(const ProgramImage& image, const Geometry& geometry) {
  const Program& program = image.program;
  ByteWriter writer;
  writer.append(magic);
  writer.put(format_version);
  writer.put(static_cast<std::uint16_t>(program.chip.size()));
  writer.append(program.chip);
  writer.put(geometry_fingerprint(geometry));
  for (const auto limit : program.register_limits) writer.put(limit);
  writer.count(program.maps.size());
  for (const auto& map : program.maps) {
    writer.count(map.size());
    for (const auto entry : map) writer.put(entry);
  }
  writer.count(program.queues.size());
  for (const QueueProgram& queue : program.queues) {
    writer.count(queue.size());
    for (const Instruction& instruction : queue) writer.append(encode(instruction));
  }
  writer.count(program.preloaded.size());
  for (const auto words : program.preloaded) writer.put(words);
  write_image(writer, image, geometry);
  write_marks(writer, program.marks);
  writer.put(checksum(writer.bytes));
  return std::move(writer.bytes);
}

ProgramImage decode_program(std::span<const std::uint8_t> bytes, const Geometry& geometry,
                            std::string_view file) {
  ByteReader reader(bytes, file);
  ProgramImage image;
  read_header(reader, geometry, image.program);
  read_maps(reader, image.program);
  read_queues(reader, geometry, image.program);
  read_preloaded(reader, image.program);
  read_rows(reader, geometry, image);
  read_marks(reader, image.program);
  const std::size_t end = reader.at();
  if (reader.get<std::uint64_t>("the checksum") != checksum(bytes.first(end))) {
    reader.fail_at(end, "the checksum does not match; the file is damaged");
  }
  if (reader.left() != 0) reader.fail("bytes after the checksum");
  return image;
}

}  // namespace tandem::lpu
