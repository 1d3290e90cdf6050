#!/usr/bin/env bash
# Every figure at full size, into docs/measured.json: full.sh
# [accuracy|services|traces|functional|exactness|mathematics|capacity|speed|model|techniques|all].
# Each part takes minutes, not hours. Uses the release build, and the tests of
# the ci build for what only tests can compare.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install_dependencies.sh
scripts/build.sh release
scripts/build.sh ci
exec /usr/bin/python3 scripts/measure.py --tandem build/release/sim/entry/tandem \
  --tests build/ci/tests "${1:-all}"
