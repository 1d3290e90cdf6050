#include "sim/entry/lpu_view.hpp"

#include <fmt/format.h>

#include <charconv>
#include <map>
#include <nlohmann/json.hpp>

#include "models/lpu/listing.hpp"
#include "models/lpu/schedule_map.hpp"
#include "models/lpu/stream_use.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/entry/lpu_page.hpp"

namespace tandem::entry {
namespace {

using PageJson = nlohmann::json;

// Kinds of instructions that the page colours apart, in the order of its legend.
enum class Kind : std::uint8_t {
  Read,
  Write,
  ReadWrite,
  Indexed,
  Simple,
  Special,
  Load,
  Install,
  Activate,
  Emit,
  Switch,
  Send,
  Receive,
  Control,
};

Kind kind_of_memory(const lpu::Instruction& word) {
  using Access = lpu::MemAccess::Kind;
  bool reads = false;
  bool writes = false;
  for (const lpu::MemAccess& access : word.access) {
    if (access.kind == Access::Gather || access.kind == Access::Scatter) return Kind::Indexed;
    reads = reads || access.kind == Access::Read;
    writes = writes || access.kind == Access::Write;
  }
  if (reads && writes) return Kind::ReadWrite;
  return writes ? Kind::Write : Kind::Read;
}

Kind kind_of(const lpu::Instruction& word) {
  using lpu::Opcode;
  switch (word.op) {
    case Opcode::Mem:
      return kind_of_memory(word);
    case Opcode::Alu:
      return lpu::is_special(word.alu_op) ? Kind::Special : Kind::Simple;
    case Opcode::LoadWeights:
      return Kind::Load;
    case Opcode::InstallWeights:
      return Kind::Install;
    case Opcode::Activate:
      return Kind::Activate;
    case Opcode::Emit:
      return Kind::Emit;
    case Opcode::Send:
    case Opcode::Transmit:
      return Kind::Send;
    case Opcode::Recv:
      return Kind::Receive;
    case Opcode::Notify:
    case Opcode::Ifetch:
    case Opcode::Config:
    case Opcode::AGen:
    case Opcode::Flag:
      return Kind::Control;
    default:
      return Kind::Switch;
  }
}

// Numbers in base 128, lowest digits first, for a page that unpacks them with a few lines.
class Packer {
 public:
  void unsigned_number(std::uint64_t value) {
    for (; value >= 128; value >>= 7) bytes_.push_back(static_cast<char>(value % 128 + 128));
    bytes_.push_back(static_cast<char>(value));
  }
  void signed_number(std::int64_t value) {
    unsigned_number((static_cast<std::uint64_t>(value) << 1) ^
                    static_cast<std::uint64_t>(value >> 63));
  }
  void count(std::size_t value) { unsigned_number(value); }
  [[nodiscard]] std::string base64() const {
    constexpr std::string_view digits =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string text;
    for (std::size_t i = 0; i < bytes_.size(); i += 3) {
      std::uint32_t group = 0;
      for (std::size_t k = i; k < i + 3; ++k) {
        group = group << 8 | (k < bytes_.size() ? static_cast<unsigned char>(bytes_[k]) : 0U);
      }
      for (const int shift : {18, 12, 6, 0}) text += digits[group >> shift & 63U];
    }
    const std::size_t padding = (3 - bytes_.size() % 3) % 3;
    text.replace(text.size() - padding, padding, padding, '=');
    return text;
  }

 private:
  std::string bytes_;
};

// Instructions that differ only in their rows share an entry: its text, and what it does.
class Templates {
 public:
  explicit Templates(const OpenProgram& program) : program_(program) {}

  std::size_t index_of(const lpu::Instruction& word) {
    lpu::Instruction form = word;
    for (lpu::MemAccess& access : form.access) access.row = 0;
    const std::string text = lpu::list_instruction(form);
    const auto [entry, is_new] = index_.try_emplace(text, index_.size());
    if (is_new) entries_.push_back(describe(form, text));
    return entry->second;
  }
  [[nodiscard]] PageJson take() { return std::move(entries_); }

 private:
  static PageJson streams(const std::vector<lpu::StreamUse>& uses) {
    PageJson list = PageJson::array();
    for (const lpu::StreamUse& use : uses) {
      const int east = use.first.direction == lpu::Direction::East ? 1 : 0;
      list.push_back({east, use.first.id, use.count, use.latency});
    }
    return list;
  }
  PageJson describe(const lpu::Instruction& word, const std::string& text) const {
    const int cycles = lpu::queue_cycles(word);
    const bool sends = word.op == lpu::Opcode::Send || word.op == lpu::Opcode::Transmit;
    const int busy = sends ? program_.geometry.link_class(word.link).cycles_per_vector : cycles;
    const lpu::StreamUses uses = lpu::streams_used(word, program_.geometry, program_.latencies);
    return {text, static_cast<int>(kind_of(word)), cycles,
            busy, streams(uses.operands),          streams(uses.results)};
  }

  const OpenProgram& program_;
  std::map<std::string, std::size_t> index_;
  PageJson entries_ = PageJson::array();
};

// One queue after the other: a count of items, then runs and loops, a loop before its body.
class SchedulePacker {
 public:
  SchedulePacker(const OpenProgram& program, Templates& templates, Packer& out)
      : program_(program), templates_(templates), out_(out) {}

  void pack(const lpu::ScheduleMap& map) {
    for (std::size_t queue = 0; queue < map.queues.size(); ++queue) {
      words_ = &program_.image.program.queues[queue];
      previous_ = {};
      rows_ = {};
      const lpu::QueueSchedule& schedule = map.queues[queue];
      out_.count(schedule.runs.size() + schedule.loops.size());
      std::size_t loop = 0;
      for (std::size_t run = 0; run < schedule.runs.size(); ++run) {
        for (; loop < schedule.loops.size() && schedule.loops[loop].first == run; ++loop) {
          pack(schedule.loops[loop], items_inside(schedule, loop));
        }
        pack(schedule.runs[run]);
      }
    }
  }

 private:
  enum Flag : unsigned { is_loop = 1, repeats = 2, other_mark = 4, first_row = 8, second_row = 16 };

  static std::size_t items_inside(const lpu::QueueSchedule& schedule, std::size_t outer) {
    std::size_t items = schedule.loops[outer].last - schedule.loops[outer].first;
    for (std::size_t i = outer + 1; i < schedule.loops.size(); ++i) {
      if (schedule.loops[i].first >= schedule.loops[outer].last) break;
      ++items;
    }
    return items;
  }

  void pack(const lpu::ScheduleLoop& loop, std::size_t items) {
    out_.unsigned_number(is_loop);
    out_.signed_number(loop.start - previous_.start);
    previous_.start = loop.start;
    out_.count(items);
    out_.signed_number(loop.further);
    out_.signed_number(loop.interval);
    out_.signed_number(loop.stride);
    out_.signed_number(loop.reg);
  }

  void pack(const lpu::ScheduleRun& run) {
    const lpu::Instruction& word = (*words_)[run.word];
    unsigned flags = 0;
    if (run.count > 1) flags |= repeats;
    if (run.mark != previous_.mark) flags |= other_mark;
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      if (word.access[i].kind != lpu::MemAccess::Kind::None)
        flags |= i == 0 ? first_row : second_row;
    }
    out_.unsigned_number(flags);
    out_.signed_number(run.start - previous_.start);
    out_.count(templates_.index_of(word));
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      if (word.access[i].kind == lpu::MemAccess::Kind::None) continue;
      out_.signed_number(int{word.access[i].row} - rows_[i]);
      rows_[i] = word.access[i].row;
    }
    if (run.count > 1) {
      out_.signed_number(run.count);
      out_.signed_number(run.interval);
      out_.signed_number(run.stride);
    }
    out_.count(run.word - previous_.word);
    if (run.mark != previous_.mark) out_.unsigned_number(run.mark);
    previous_ = run;
  }

  const OpenProgram& program_;
  Templates& templates_;
  Packer& out_;
  const lpu::QueueProgram* words_ = nullptr;
  lpu::ScheduleRun previous_;
  std::array<int, 2> rows_{};
};

// Which part of the chip a queue belongs to, as the page groups its rows.
std::string unit_of(const lpu::Geometry& geometry, int queue) {
  if (queue < geometry.mem_slices()) {
    return geometry.mem_hemisphere(queue) == lpu::Hemisphere::West ? "MEM west" : "MEM east";
  }
  if (queue < geometry.mxm_weights_queue(0)) return "VXM";
  if (queue < geometry.sxm_queue(lpu::Hemisphere::West, 0)) return "MXM";
  if (queue < geometry.c2c_queue(0)) return "SXM";
  return "C2C";
}

PageJson head_of(const OpenProgram& program, const lpu::ScheduleMap& map, PageJson templates,
                 const lpu::HostRegisters& registers) {
  const lpu::Geometry& geometry = program.geometry;
  PageJson queues = PageJson::array();
  std::size_t words = 0;
  for (int queue = 0; queue < geometry.queue_count(); ++queue) {
    const std::size_t length = program.image.program.queues[static_cast<std::size_t>(queue)].size();
    words += length;
    queues.push_back({geometry.queue_name(queue), unit_of(geometry, queue),
                      geometry.queue_position(queue), length});
  }
  PageJson limits = PageJson::object();
  for (std::size_t reg = 0; reg < registers.size(); ++reg) {
    const int limit = program.image.program.register_limits[reg];
    if (limit != 0) limits[std::to_string(reg)] = {limit, registers[reg]};
  }
  return {{"chip", program.chip},
          {"note", program.note},
          {"clock", static_cast<double>(geometry.clock.count())},
          {"cycles", map.cycles},
          {"superlanes", geometry.superlanes},
          {"streams", geometry.streams_per_direction},
          {"words", words},
          {"releases", map.releases},
          {"registers", limits},
          {"operators", program.image.program.marks.operators},
          {"queues", std::move(queues)},
          {"templates", std::move(templates)}};
}

// JSON inside a script element: a name may not end the element.
std::string script_text(const PageJson& value) {
  std::string text;
  for (const char c : value.dump()) {
    if (c == '<') {
      text += "\\u003c";
    } else {
      text += c;
    }
  }
  return text;
}

void replace(std::string& page, std::string_view slot, std::string_view text) {
  const std::size_t at = page.find(slot);
  if (at != std::string::npos) page.replace(at, slot.size(), text);
}

}  // namespace

std::string schedule_page(const OpenProgram& program, const lpu::HostRegisters& registers) {
  lpu::ScheduleMap map;
  blame_program(program, [&] {
    map = lpu::map_schedule(program.image.program, program.geometry, program.latencies, registers);
  });
  Templates templates(program);
  Packer packer;
  SchedulePacker(program, templates, packer).pack(map);
  std::string page(lpu_page);
  replace(page, "@HEAD@", script_text(head_of(program, map, templates.take(), registers)));
  replace(page, "@RUNS@", packer.base64());
  return page;
}

void set_register(const std::string& text, const OpenProgram& program,
                  lpu::HostRegisters& registers) {
  const std::size_t equals = text.find('=');
  const auto parse = [&](std::string_view part, int highest) {
    int value = -1;
    const auto result = std::from_chars(part.data(), part.data() + part.size(), value);
    const bool is_whole = result.ec == std::errc() && result.ptr == part.data() + part.size();
    if (!is_whole || value < 0 || value > highest) {
      throw ConfigError(
          fmt::format("--register '{}': expected rN=VALUE, N below {} and VALUE within "
                      "the program's limit",
                      text, lpu::host_registers));
    }
    return static_cast<std::size_t>(value);
  };
  if (text.empty() || text[0] != 'r' || equals == std::string::npos) parse("", 0);
  const std::string_view view(text);
  const std::size_t reg = parse(view.substr(1, equals - 1), lpu::host_registers - 1);
  const std::size_t value =
      parse(view.substr(equals + 1), program.image.program.register_limits[reg]);
  registers[reg] = static_cast<std::uint16_t>(value);
}

}  // namespace tandem::entry
