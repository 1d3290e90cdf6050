"""Files of Hugging Face's safetensors format, in bfloat16 and float32 (huggingface/safetensors, "Format")."""

import json
import struct
from pathlib import Path

import numpy as np

KEPT_IN_FLOAT32 = ("e_score_correction_bias",)


def bfloat16_bits(values):
    """Finite float32 values rounded to the nearest bfloat16, ties to even, as its 16 bits."""
    bits = np.ascontiguousarray(values, dtype="<f4").view("<u4")
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")


def float32_of(bits):
    """The float32 values of bfloat16 bits."""
    return (bits.astype("<u4") << 16).view("<f4")


def write_safetensors(path, tensors):
    """Write tensors by name: bfloat16, but biases that only choose experts in float32."""
    header, parts, offset = {"__metadata__": {"format": "pt"}}, [], 0
    for name in sorted(tensors):
        values = np.asarray(tensors[name], dtype=np.float32)
        keeps = name.endswith(KEPT_IN_FLOAT32)
        part = values.astype("<f4").tobytes() if keeps else bfloat16_bits(values).tobytes()
        header[name] = {
            "dtype": "F32" if keeps else "BF16",
            "shape": list(values.shape),
            "data_offsets": [offset, offset + len(part)],
        }
        parts.append(part)
        offset += len(part)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    Path(path).write_bytes(struct.pack("<Q", len(text)) + text + b"".join(parts))


def read_safetensors(path):
    """The tensors of a file by name, as float32."""
    data = Path(path).read_bytes()
    begin = 8 + struct.unpack_from("<Q", data)[0]
    tensors = {}
    for name, entry in json.loads(data[8:begin]).items():
        if name == "__metadata__":
            continue
        first, last = (begin + offset for offset in entry["data_offsets"])
        kind = {"BF16": "<u2", "F32": "<f4"}[entry["dtype"]]
        stored = np.frombuffer(data[first:last], kind)
        values = float32_of(stored) if kind == "<u2" else stored
        tensors[name] = values.reshape(entry["shape"])
    return tensors


def experts_apart(tensors):
    """Stacks of experts as one tensor per expert and projection, which is how DeepSeek stores them."""
    apart = {}
    for name, values in tensors.items():
        if name.endswith("experts.gate_up_proj"):
            base, width = name.removesuffix("gate_up_proj"), values.shape[1] // 2
            for index, both in enumerate(values):
                apart[f"{base}{index}.gate_proj.weight"] = both[:width]
                apart[f"{base}{index}.up_proj.weight"] = both[width:]
        elif name.endswith("experts.down_proj"):
            base = name.removesuffix("down_proj")
            apart.update({f"{base}{index}.down_proj.weight": one for index, one in enumerate(values)})
        else:
            apart[name] = values
    return apart
