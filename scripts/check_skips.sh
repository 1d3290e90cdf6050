#!/usr/bin/env bash
# Fails when a test of the last ctest run in folder $1 was skipped without being listed, with its
# reason, in tests/allowed_skips.txt.
set -euo pipefail
cd "$(dirname "$0")/.."
log=$1/Testing/Temporary/LastTest.log
skipped=$(grep -aoP '^\[  SKIPPED \] \K[A-Za-z0-9_/]+\.[A-Za-z0-9_/]+' "$log" | sort -u || true)
[[ -z $skipped ]] && exit 0
unlisted=$(grep -vFf <(grep -v '^#' tests/allowed_skips.txt) <<<"$skipped" || true)
echo "skipped, with a listed reason: $(grep -cFf <(grep -v '^#' tests/allowed_skips.txt) <<<"$skipped" || true)"
if [[ -n $unlisted ]]; then
  echo "skipped without a listed reason:" $unlisted
  exit 1
fi
