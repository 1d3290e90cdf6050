#!/usr/bin/python3
"""Independent oracle of the reference model: logits of small decoders in float64.

Written from the papers' formulas with NumPy; shares no code with the simulator and has no caches:
every layer sees the whole sequence at once. The mathematics, with its sources, is in oracle_maths/.
Needs NumPy of Debian's /usr/bin/python3.

    oracle.py --check                       every golden in tests/lower/golden, within 1e-8 (nine digits are stored)
    oracle.py --update FILE...              recompute the logits of goldens in place
    oracle.py --model FILE --weights W.safetensors --tokens 1,2,3     print logits as JSON

A golden holds the network under "config", its "prompt" and the logits. Its weights are not stored:
seeded_weights() makes them from the tensors' names, here and in tests/lower/seeded_weights.hpp.
Tensor names and shapes are those of sim/describe/tensors.hpp.
"""
import argparse
import json
import pathlib
import sys

import numpy as np

from oracle_maths.decoder import Decoder
from oracle_maths.weights import read_safetensors, seeded_weights

GOLDENS = pathlib.Path(__file__).resolve().parent.parent / "tests" / "lower" / "golden"


def derive(golden):
    """The computed parts of a golden."""
    config, prompt = golden["config"], np.array(golden["prompt"])
    model = Decoder(config, seeded_weights(config))
    logits, hidden = model.forward(prompt)
    result = {"logits": logits}
    if config.get("mtp", {}).get("modules", 0):
        result["draft_logits"] = model.draft(hidden[:-1], prompt[1:])
    return result


def digits(rows):
    return [[float(f"{value:.9g}") for value in row] for row in rows]


def render(golden):
    """Short and readable: one line per row of numbers."""
    lines = []
    for key, value in golden.items():
        if key in ("logits", "draft_logits"):
            rows = ",\n  ".join(json.dumps(row, separators=(",", ":")) for row in value)
            lines.append(f' "{key}": [\n  {rows}\n ]')
        elif key == "prompt":
            lines.append(f' "{key}": {json.dumps(value)}')
        else:
            lines.append(f' "{key}": {json.dumps(value, indent=1)}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def update(paths):
    for path in map(pathlib.Path, paths):
        golden = json.loads(path.read_text())
        golden["command"] = f"scripts/oracle.py --update tests/lower/golden/{path.name}"
        for key, rows in derive(golden).items():
            golden[key] = digits(rows)
        path.write_text(render(golden))
    return 0


def check(paths):
    failed = 0
    for path in paths or sorted(GOLDENS.glob("*.json")):
        golden = json.loads(pathlib.Path(path).read_text())
        worst = 0.0
        for key, rows in derive(golden).items():
            stored = np.array(golden[key])
            worst = max(worst, np.abs(stored - rows).max() / np.abs(rows).max())
        is_good = worst < 1e-8  # nine digits are stored
        failed += not is_good
        print(f"{pathlib.Path(path).name}: {'equal' if is_good else 'DIFFERS'}, {worst:.1e}")
    return 1 if failed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--model", help="a JSON with the network, bare or under 'config'")
    parser.add_argument("--weights", help="safetensors with our tensor names; default: seeded")
    parser.add_argument("--tokens", help="comma-separated")
    options = parser.parse_args()
    if options.check:
        return check(options.files)
    if options.update:
        return update(options.files)
    if not options.model or not options.tokens:
        parser.error("--model and --tokens, or --check, or --update")
    config = json.loads(pathlib.Path(options.model).read_text())
    config = config.get("config", config)
    weights = read_safetensors(options.weights) if options.weights else seeded_weights(config)
    tokens = np.array([int(t) for t in options.tokens.split(",")])
    json.dump({"logits": Decoder(config, weights).forward(tokens)[0].tolist()}, sys.stdout)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
