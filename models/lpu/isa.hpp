// The instruction set: decoded instructions, what they mean and the program that holds them.
//
// Time frame: whole 320-byte vectors in the frame of superlane 0. An instruction issued at cycle t
// reads its operand cells at t and writes its result cells at t + latency. A stream cell
// (direction, id, position) holds a vector for one cycle and then moves one position; an operand
// must be in the cell in exactly the cycle in which it is read. Nothing interlocks.
//
// Types on streams: one-byte types take one stream; 16-bit types an aligned pair (low bytes on the
// even id, high bytes on the next); 32-bit types an aligned group of four, lowest byte first.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "models/lpu/geometry.hpp"
#include "sim/numerics/element.hpp"

namespace tandem::lpu {

enum class Opcode : std::uint8_t {
  // ICU, any queue
  Nop,     // count: issues nothing for `count` cycles (1..65535)
  Repeat,  // issues the previous instruction `count` more times, `interval` cycles apart; MEM rows
           // move by `stride` each time. The queue goes on one cycle after the last issue.
  Loop,  // issues the previous `width` words (NOPs, Repeats and inner Loops count as words) `count`
         // more times, iteration starts `interval` apart; MEM rows move by `stride` per iteration.
         // The queue goes on interval * (count + 1) cycles after the first iteration began. At
         // most four levels; no Sync or Notify inside.
  LoopReg,  // as Loop, `count` read from host register `reg` at the last Sync
  Sync,     // parks the queue until a Notify; the host may touch SRAM and registers meanwhile
  Notify,   // all queues that are parked `barrier` cycles later go on in that cycle. Convention:
            // every
            // used queue begins with Sync, and one of them with Notify, Sync.
  // MEM: one word, at most one access per bank
  Mem,
  // VXM
  Alu,
  // MXM
  LoadWeights,     // LW: weight streams -> shadow columns
  InstallWeights,  // IW: shadow -> active
  Activate,        // ABC: activation vector -> accumulator
  Emit,            // ACC: accumulator -> four inward streams
  // SXM
  Shift,        // lanes move by `amount` (positive: to higher lanes), zero filled
  Permute,      // lane i of the result is lane map[i] of the operand; map entry 0xffff gives zero
  Distribute,   // within each superlane, lane i of the result is lane map[i] (0..15 or 0xffff)
  Transpose16,  // 16 streams in and out: result stream j, superlane k, lane i = stream i, lane
                // 16k+j
  // C2C
  Send,  // vector on a stream -> link
  Recv,  // link -> stream: issues in the very cycle in which the vector arrives (Send + link
         // latency)
         // and puts it into the cell at the C2C position in that cycle
  // ICU, any queue that reaches streams
  Ifetch,  // the two vectors of the aligned pair `in` at the queue's own position hold the next
  // bytes of the queue's text (640 of them), which may be executed `icu_fetch` cycles later
  // ICU, any queue, right after a Sync
  Select,  // executes block number `reg` of the `count` blocks of `width` words that follow it; the
           // queue goes on behind them `interval` cycles later, whichever block it was
  Config,  // queue VXM0 only: superlanes 0..count-1 stay powered, on the whole chip, from the next
           // cycle on. The others give zeros, write nothing and count for no energy.
  // MEM
  AGen,  // sets the slice's address generator: accesses marked `generated` add `stride` times the
         // generator's step, which goes 0..count-1 and around, `width` words per step
  // SXM
  Rotate,  // n x n values (n = `amount`, 3 or 4) in the first lanes of every superlane, row by row:
           // stream r * n + c of the result holds them turned by r rows and c columns
  Sel3,    // lane i of the result is lane i, i - amount or i + amount of the operand as map[i] is
           // 0, 1 or 2; lanes from outside and map entry 0xffff give zero
  // C2C
  Deskew,         // the queue goes on at the next overflow of the chip's HAC, never in this cycle
  RuntimeDeskew,  // the queue goes on `count` cycles later, the clocks' drift included (none here)
  Transmit,       // as Send of a vector that holds the cycle in its first eight lanes
  // VXM
  Flag,  // lane 0 of the pair `in` becomes the value of host register `reg` at the next release
};

/// Number of opcodes; values of Opcode are 0..opcode_count - 1.
inline constexpr int opcode_count = 28;

/// Element types that instructions know.
enum class Type : std::uint8_t { Int8, Fp8E4m3, Fp8E5m2, Float16, Bfloat16, Int32, Float32, Int16 };
/// The format of sim/numerics whose bits a type carries. Throws ModelError for Int16, which only
/// the vector unit knows.
[[nodiscard]] ElementType element_type(Type type);
[[nodiscard]] constexpr int streams_of(Type type) {
  switch (type) {
    case Type::Int8:
    case Type::Fp8E4m3:
    case Type::Fp8E5m2:
      return 1;
    case Type::Float16:
    case Type::Bfloat16:
    case Type::Int16:
      return 2;
    case Type::Int32:
    case Type::Float32:
      return 4;
  }
  return 1;
}

/// A stream as an operand: direction of travel and id (first id of an aligned group).
struct StreamRef {
  Direction direction = Direction::East;
  std::uint16_t id = 0;
  bool operator==(const StreamRef&) const = default;
};

inline constexpr int type_count = 8;

/// One access of a MEM word. Row address = row + value of host register `reg` (0 = none). Gather
/// and Scatter add, per superlane, the 16-bit map value in the first lane of that superlane; they
/// read the map (and Scatter its data) at issue, occupy all banks of the slice in the next cycle,
/// and the result is in the cell (readable in SRAM) `mem_gather` cycles after issue.
struct MemAccess {
  enum class Kind : std::uint8_t { None, Read, Write, Gather, Scatter } kind = Kind::None;
  std::uint8_t bank = 0;
  std::uint16_t reg = 0;   ///< host address register added to the row; register 0 is always zero
  bool generated = false;  ///< the slice's address generator is added to the row too
  std::uint16_t row = 0;
  StreamRef stream;  ///< one stream; Gather and Scatter: data stream
  StreamRef map;     ///< Gather and Scatter: aligned pair with a row per superlane
  bool operator==(const MemAccess&) const = default;
};

enum class AluOp : std::uint8_t {
  Add,
  Sub,
  Mul,
  Max,
  Min,
  CmpGreater,
  Select,
  And,
  Or,
  Xor,
  ShiftLeft,
  ShiftRight,  // two operands
  Pass,
  Neg,
  Abs,
  Relu,
  Convert,  // one operand
  Exp,
  Tanh,
  Rsqrt,
  Recip,
  Log2,  // special: every fourth ALU only
  AccAdd,
  AccMax,
  AccClear,  // running value of the ALU over time; the result is the new value
  Mask,      // one operand
  CmpEqual,  // two operands
};

inline constexpr int alu_op_count = 27;

/// A VXM operand. Values are 32 bits per lane inside the mesh.
/// - Stream: the aligned group of `type` in the cell at the VXM, in the cycle of issue
/// - Alu: the output register of another ALU, which holds its last result until the next one
///   lands; a result lands `latency` cycles after issue and is readable from then on
/// - Immediate: the bits of `immediate` in every lane
struct AluOperand {
  enum class Kind : std::uint8_t { None, Stream, Alu, Immediate } kind = Kind::None;
  StreamRef stream;
  std::uint8_t alu = 0;
  bool operator==(const AluOperand&) const = default;
};

/// A decoded instruction. Fields that an opcode does not name are zero.
///
/// VXM semantics: x and y as given; both operands are Float32 unless `type` says Int32 (Add, Sub,
/// Max, Min, compares on integers; And/Or/Xor/shifts are on bits). Select: z = (x's sign bit set or
/// x == 0) ? own output register : y, i.e. "take y where x > 0". CmpGreater: 1.0f where x > y else
/// 0.0f, CmpEqual the same where x == y. Mask: all bits set where x is not zero, else none.
/// Convert: from `from` (on the operand's stream or, from an ALU, on its 32 bits) to `type`,
/// rounded as sim/numerics encodes that type; the result's stream group has the width of `type`.
/// Pass with a narrow `type` copies raw bits; other operations take Float32 or Int32 only. AccClear
/// sets the running value to x, or to zero where x is None. The running value is apart from the
/// output register and is updated at issue, so accumulations may follow each other every cycle.
/// At most one immediate per instruction. The result goes to the ALU's output register always, and
/// to the stream group `out` where has_out is set.
struct Instruction {
  Opcode op = Opcode::Nop;
  // ICU
  std::uint16_t count = 0;
  std::uint16_t width = 0;
  std::uint16_t interval = 0;
  std::int16_t stride = 0;
  std::uint16_t reg = 0;
  // MEM: at most two accesses, on different banks
  std::array<MemAccess, 2> access{};
  // VXM
  AluOp alu_op = AluOp::Pass;
  Type from = Type::Float32;
  Type type = Type::Float32;  ///< VXM result type; MXM operand type; SXM group width
  AluOperand x;
  AluOperand y;
  std::uint32_t immediate = 0;
  bool has_out = false;
  StreamRef out;  ///< VXM, SXM, Recv and Emit results
  // MXM
  std::uint8_t plane = 0;         ///< LW, IW, ABC, ACC; 16-bit types: the even plane of the pair
  std::uint8_t column_group = 0;  ///< LW: columns weight_streams * c ..
  std::uint8_t accumulator = 0;
  bool add = false;         ///< ABC: add to the accumulator instead of setting it
  std::uint8_t halves = 1;  ///< ABC on 16-bit types: 1 = lanes 0..159 only (one cycle),
                            ///< 2 = all 320 lanes (two cycles of the compute queue)
  StreamRef in;             ///< LW (first weight stream), ABC, SXM and Send operand
  // SXM
  std::int16_t amount = 0;
  std::uint16_t map = 0;  ///< index into Program::maps
  // C2C
  std::uint8_t link = 0;
  bool operator==(const Instruction&) const = default;
};

/// The instructions of one queue, in order.
using QueueProgram = std::vector<Instruction>;

/// Host registers: 0 is always zero; the others are set while parked at Sync. There is one for each
/// column port of a plane and each token of a pass, and more: appending a token to a column tile
/// writes every port of the tile, each at its own register, all but one of them into a row that
/// holds nothing. A slice sees the registers of its own two ports only, so its file is small.
inline constexpr int host_registers = 4096;
/// Bits of a register's number in an instruction.
inline constexpr int host_register_bits = 12;
/// Bits of a stream's number in an instruction, and how many streams of a direction those tell
/// apart.
inline constexpr int stream_id_bits = 10;
inline constexpr int most_stream_ids = 1 << stream_id_bits;

/// A place in SRAM that holds constants before the first instruction issues.
struct MemoryImageRow {
  std::uint16_t slice = 0;
  std::uint8_t bank = 0;
  std::uint16_t row = 0;
  std::vector<std::uint8_t> bytes;  ///< vector_bytes of them
  bool operator==(const MemoryImageRow&) const = default;
};

/// From a word of a queue on, words belong to an operator; `no_operator` ends it.
struct OperatorSpan {
  std::uint32_t first_word = 0;
  std::uint16_t mark = 0;
  bool operator==(const OperatorSpan&) const = default;
};
inline constexpr std::uint16_t no_operator = 65535;

/// Which operator of the model each word came from. For people: no machine reads it.
struct ProgramMarks {
  std::vector<std::string> operators;             ///< in program order; names may repeat
  std::vector<std::vector<OperatorSpan>> queues;  ///< one per queue, or none at all
  bool operator==(const ProgramMarks&) const = default;
};

/// One chip's program: what the machine runs, and nothing else it needs to know.
struct Program {
  std::string chip;                              ///< name of the chip it was made for
  std::vector<QueueProgram> queues;              ///< one per queue of the geometry
  std::vector<std::vector<std::uint16_t>> maps;  ///< for Permute (lanes long) and Distribute (16)
  /// Host registers may take values 0..limit; the verifier checks the worst case.
  std::array<std::uint16_t, host_registers> register_limits{};
  /// Words of each queue that are in its instruction buffer when the run begins; the rest must be
  /// brought by Ifetch. 65535 = all words; empty = all words of all queues.
  std::vector<std::uint16_t> preloaded;
  /// Rows used by data, for the capacity check: one count per (slice, bank).
  /// Index slice * banks + bank; empty = nothing declared.
  std::vector<std::uint16_t> rows_used;
  ProgramMarks marks;
  bool operator==(const Program&) const = default;
};

/// Bytes of one encoded instruction (the ICU fetches at most this much per queue and cycle).
inline constexpr int instruction_bytes = 16;
/// Vectors that one Ifetch reads.
inline constexpr int fetch_vectors = 2;
/// Deepest nesting of Loop and LoopReg.
inline constexpr int loop_depth_limit = 4;

[[nodiscard]] std::string_view name_of(Opcode op);
[[nodiscard]] std::string_view name_of(Type type);
[[nodiscard]] std::string_view name_of(AluOp op);
/// "E12" or "W3".
[[nodiscard]] std::string name_of(StreamRef stream);
/// Nop, Repeat, Loop, LoopReg, Sync, Select, Deskew, RuntimeDeskew: words that the queue itself
/// consumes and that issue nothing.
[[nodiscard]] bool is_queue_control(Opcode op);
[[nodiscard]] int operand_count(AluOp op);
[[nodiscard]] bool is_special(AluOp op);
/// Vectors that an SXM instruction reads and writes.
[[nodiscard]] int switch_inputs(const Instruction& instruction);
[[nodiscard]] int switch_outputs(const Instruction& instruction);
/// Cycles for which an instruction occupies its queue: 2 for an Activate over both halves, else 1.
[[nodiscard]] int queue_cycles(const Instruction& instruction);
[[nodiscard]] Direction outward(Hemisphere side);
[[nodiscard]] Direction inward(Hemisphere side);

/// What is wrong with an instruction whatever its cycle: `rule` is H1..H10, or "ISA" for a word
/// that the queue's unit cannot execute at all.
struct Illegality {
  std::string rule;
  std::string message;
};
/// Checks one instruction of `queue` against the chip: right unit, ranges, alignment, direction,
/// bank use. Says nothing about cycles. `maps` are the program's.
[[nodiscard]] std::optional<Illegality> find_illegality(
    const Instruction& instruction, int queue, const Geometry& geometry,
    const std::vector<std::vector<std::uint16_t>>& maps);

}  // namespace tandem::lpu
