#!/usr/bin/env bash
# Every figure at full size, into docs/measured.json: full.sh [functional|capacity|speed|model|all].
# Each part takes minutes, not hours. Uses the release build.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install_dependencies.sh
scripts/build.sh release
exec /usr/bin/python3 scripts/measure.py --tandem build/release/sim/entry/tandem "${1:-all}"
