#!/usr/bin/env bash
# Installs what is missing, builds, and runs the main job: text written by a real model on a
# simulated GPU and LPU, then the capacity of one H100 against a GPU + LPU hybrid.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install_dependencies.sh
echo "== build (some six minutes on two cores the first time)"
scripts/build.sh release
tandem=build/release/sim/entry/tandem
model=workloads/checkpoints/little_tales

echo
echo "== 1. a small model: prompt on a simulated GPU, KV cache over a link, decode on a simulated LPU"
"$tandem" generate little_tales_hybrid --checkpoint "$model/model.bin" \
  --tokenizer "$model/tokenizer.bin" --prompt "Once there was" --tokens 128

echo
echo "== 2. Llama-3.1-8B: the highest load within the same SLO on one H100 and on a GPU + LPU hybrid (less than a minute)"
"$tandem" capacity llama8b_gpu llama8b_hybrid

echo
echo "== next: put tandem on your path, then docs/examples/tutorial.md (your own scenario in a quarter of an hour)"
echo "  export PATH=$PWD/build/release/sim/entry:\$PATH"
echo "  export PYTHONPATH=$PWD/build/release/sim/entry/python   # for import tandem"
