#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test that fits a work day: formatting, house
# rules, unit and error tests, conformance, the sanitizer suite, the Python package and the project's
# own throughput baselines. Ends with one line that counts what passed.
set -euo pipefail
cd "$(dirname "$0")/.."
started=$SECONDS

scripts/install_dependencies.sh chromium
scripts/check_format.sh
echo "== build (ci preset, warnings are errors)"
scripts/build.sh ci
echo "== tests"
ctest --test-dir build/ci --output-on-failure -j 2 --no-tests=error
scripts/check_skips.sh build/ci

echo "== throughput baselines"
build/ci/sim/entry/tandem check workloads/baselines/ci.yaml

echo "== address and undefined-behaviour sanitizers (core, numerics, config, lpu)"
cmake --preset asan >/dev/null
cmake --build --preset asan --target sanitized_tests
ctest --test-dir build/asan --output-on-failure -j 2 --no-tests=error -L sanitized

echo "all checks passed in $((SECONDS - started)) s"
