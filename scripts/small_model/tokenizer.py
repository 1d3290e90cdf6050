"""A byte-pair tokenizer in the format, and with the encoding rule, of llama2.c.

Token ids: 0 <unk>, 1 <s> (begins every document), 2 </s>, 3..258 the 256 bytes,
then single characters, then merges, each scored below the one before.
"""

import re
import struct
from collections import Counter
from pathlib import Path

UNK, BOS, EOS, FIRST_BYTE = 0, 1, 2, 3
SPECIAL_TOKENS = ["<unk>", "\n<s>\n", "\n</s>\n"]
PIECE = re.compile(r" ?[A-Za-z]+| ?[^A-Za-z ]+| ")


class Tokenizer:
    """A vocabulary with scores."""

    def __init__(self, tokens, scores):
        self.tokens = list(tokens)
        self.scores = list(scores)
        self.ids = {token: index for index, token in enumerate(self.tokens)}

    def __len__(self):
        return len(self.tokens)

    def encode(self, text):
        """Token ids of a text, without BOS: one leading space, then the best-scored merge first."""
        return self.merge(self.characters(" " + text)) if text else []

    def characters(self, text):
        """One token per character, or one per UTF-8 byte where the character is unknown."""
        ids = []
        for character in text:
            if character in self.ids:
                ids.append(self.ids[character])
            else:
                ids += [FIRST_BYTE + byte for byte in character.encode()]
        return ids

    def merge(self, ids):
        """Join neighbours, best score first and leftmost among equals, until none can be joined."""
        ids = list(ids)
        while True:
            best = None
            for place in range(len(ids) - 1):
                joined = self.ids.get(self.tokens[ids[place]] + self.tokens[ids[place + 1]])
                if joined is not None and (best is None or self.scores[joined] > self.scores[best[1]]):
                    best = place, joined
            if best is None:
                return ids
            place, joined = best
            ids[place:place + 2] = [joined]

    def encode_document(self, text, seen_pieces):
        """The same ids as ``encode``, word by word, keeping each word's ids in ``seen_pieces``."""
        ids = []
        for piece in PIECE.findall(" " + text):
            if piece not in seen_pieces:
                seen_pieces[piece] = self.merge(self.characters(piece))
            ids += seen_pieces[piece]
        return ids

    def decode(self, ids):
        """The text of token ids; the space right after a BOS is dropped, special tokens are silent."""
        written, previous = bytearray(), BOS
        for index in ids:
            if index >= FIRST_BYTE:
                written += self._bytes_of(index, after_bos=previous == BOS)
            previous = index
        return written.decode(errors="replace")

    def _bytes_of(self, index, after_bos):
        if index < FIRST_BYTE + 256:
            return bytes([index - FIRST_BYTE])
        token = self.tokens[index]
        return (token[1:] if after_bos and token.startswith(" ") else token).encode()

    def write(self, path):
        """Write llama2.c's tokenizer.bin."""
        encoded = [token.encode() for token in self.tokens]
        with open(path, "wb") as file:
            file.write(struct.pack("<i", max(map(len, encoded))))
            for token, score in zip(encoded, self.scores):
                file.write(struct.pack("<fi", score, len(token)) + token)

    @classmethod
    def read(cls, path):
        """Read llama2.c's tokenizer.bin to its end."""
        data, tokens, scores, offset = Path(path).read_bytes(), [], [], 4
        while offset < len(data):
            score, length = struct.unpack_from("<fi", data, offset)
            tokens.append(data[offset + 8:offset + 8 + length].decode())
            scores.append(score)
            offset += 8 + length
        return cls(tokens, scores)


def train_tokenizer(texts, vocabulary_size):
    """A tokenizer whose merges are the most frequent neighbours in the texts.

    Pieces (words, or runs of punctuation, with the space before them) are cut
    again with the encoder's own rule after every new merge, so the frequencies
    always count what the encoder will produce.
    """
    piece_counts = Counter(piece for text in texts for piece in PIECE.findall(" " + text))
    characters = sorted({character for piece in piece_counts for character in piece})
    tokens = SPECIAL_TOKENS + [f"<0x{byte:02X}>" for byte in range(256)] + characters
    tokenizer = Tokenizer(tokens, [0.0] * FIRST_BYTE + [0.0] * 256 + [-1e6] * len(characters))
    cuts = {piece: tokenizer.characters(piece) for piece in piece_counts}
    while len(tokenizer) < vocabulary_size:
        token = most_frequent_neighbours(tokenizer, cuts, piece_counts)
        tokenizer.ids[token] = len(tokenizer)
        tokenizer.scores.append(-float(len(tokenizer) - len(tokens)))
        tokenizer.tokens.append(token)
        for piece in cuts:
            if token in piece:
                cuts[piece] = tokenizer.merge(tokenizer.characters(piece))
    return tokenizer


def most_frequent_neighbours(tokenizer, cuts, piece_counts):
    """The most frequent pair of neighbouring tokens, joined; ties go to the alphabet's first."""
    counts = Counter()
    for piece, ids in cuts.items():
        for left, right in zip(ids, ids[1:]):
            counts[tokenizer.tokens[left] + tokenizer.tokens[right]] += piece_counts[piece]
    return min(counts, key=lambda joined: (-counts[joined], joined))
