"""llama2.c version-0 checkpoints: a header of seven integers, then fp32 weights in order."""

import struct
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np

ROPE_THETA = 10000.0


@dataclass(frozen=True)
class Config:
    """The header; a positive vocab_size says that the classifier is the embedding table."""

    dim: int = 128
    hidden_dim: int = 320
    n_layers: int = 4
    n_heads: int = 4
    n_kv_heads: int = 2
    vocab_size: int = 512
    seq_len: int = 256

    @property
    def head_size(self):
        """Width of one attention head."""
        return self.dim // self.n_heads

    @property
    def kv_dim(self):
        """Width of the keys, and of the values, of one position."""
        return self.n_kv_heads * self.head_size

    def weight_shapes(self):
        """Name and shape of every trained weight, in file order."""
        layers, dim, hidden, kv_dim = self.n_layers, self.dim, self.hidden_dim, self.kv_dim
        return {
            "tok_emb": (self.vocab_size, dim),
            "rms_att": (layers, dim),
            "wq": (layers, dim, dim),
            "wk": (layers, kv_dim, dim),
            "wv": (layers, kv_dim, dim),
            "wo": (layers, dim, dim),
            "rms_ffn": (layers, dim),
            "w1": (layers, hidden, dim),
            "w2": (layers, dim, hidden),
            "w3": (layers, hidden, dim),
            "rms_final": (dim,),
        }

    def parameter_count(self):
        """How many weights are trained."""
        return sum(int(np.prod(shape)) for shape in self.weight_shapes().values())


def rotation_tables(config):
    """Cosines and sines of the rotary angles, one row per position, one column per pair."""
    pairs = np.arange(0, config.head_size, 2, dtype=np.float64)
    frequencies = ROPE_THETA ** -(pairs / config.head_size)
    angles = np.outer(np.arange(config.seq_len, dtype=np.float64), frequencies)
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def write_checkpoint(path, config, weights):
    """Write the header, the weights, and the rotation tables that version 0 carries."""
    with open(path, "wb") as file:
        file.write(struct.pack("<7i", *astuple(config)))
        for name, shape in config.weight_shapes().items():
            values = np.ascontiguousarray(weights[name], dtype="<f4")
            if values.shape != shape:
                raise ValueError(f"{name} has shape {values.shape}, expected {shape}")
            file.write(values.tobytes())
        for table in rotation_tables(config):
            file.write(table.astype("<f4").tobytes())


def read_checkpoint(path):
    """The configuration and the weights by name, with the rotation tables of the file."""
    data = Path(path).read_bytes()
    config = Config(*struct.unpack_from("<7i", data))
    table_shape = (config.seq_len, config.head_size // 2)
    shapes = {**config.weight_shapes(), "freq_cis_real": table_shape, "freq_cis_imag": table_shape}
    weights, offset = {}, struct.calcsize("<7i")
    for name, shape in shapes.items():
        count = int(np.prod(shape))
        weights[name] = np.frombuffer(data, "<f4", count, offset).reshape(shape)
        offset += 4 * count
    if offset != len(data):
        raise ValueError(f"{path} has {len(data)} bytes, its header calls for {offset}")
    return config, weights
