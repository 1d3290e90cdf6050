#!/usr/bin/env bash
# Fails when a C++ file is not formatted as the pinned clang-format (14) would format it.
set -euo pipefail
cd "$(dirname "$0")/.."
git ls-files '*.cpp' '*.hpp' | xargs clang-format-14 --dry-run --Werror
