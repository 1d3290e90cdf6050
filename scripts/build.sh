#!/usr/bin/env bash
# Configures and builds one preset: build.sh [dev|release|asan|ci]. Default: ci.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-ci}
cmake --preset "$preset" >/dev/null
cmake --build --preset "$preset"
