#!/usr/bin/env bash
# Makes every figure and table of docs/ again, from a built program:
#   scripts/artifact.sh [--list] [DATA]
# DATA is the folder of measured tables (its manifest.yaml lists them); pages that need it are left
# out without it. --list prints the commands and runs none. Some take hours; docs/measured.json has
# the seconds of those that scripts/full.sh times.
set -euo pipefail
cd "$(dirname "$0")/.."
list=no
if [[ ${1:-} == --list ]]; then list=yes; shift; fi
data=${1:-}
tandem=build/release/sim/entry/tandem

make() {  # PAGE COMMAND...
  local page=$1
  shift
  echo "$page: $*"
  if [[ $list == no ]]; then "$@"; fi
}
to_file() { local page=$1; shift; "$@" > "$page.new" && mv "$page.new" "$page"; }

made() { make "docs/$1" "${@:2}"; }
printed() { make "docs/$1" to_file "docs/$1" "${@:2}"; }

printed config_reference.md "$tandem" describe --reference
made cli.md scripts/cli_page.py "$tandem"
printed lpu_published.md "$tandem" lpu published
printed head_to_head.md scripts/head_to_head.py "$tandem"
printed hybrids.md scripts/hybrids_page.py "$tandem"
made steps.md scripts/steps_page.py --tandem "$tandem"
made gdn.md scripts/gdn_page.py --tandem "$tandem"
made costs.md scripts/costs_page.py --tandem "$tandem"
made claims.md scripts/claims_page.py --tandem "$tandem"
made quality.md scripts/quality.py --tandem "$tandem"
printed models.md build/ci/tests/config/models_page
printed conformance.md build/ci/tests/conformance/conformance_page
made lpu_mutation.md scripts/lpu_mutation.sh build/ci/tests/lpu/lpu_machine_tests
if [[ -n $data ]]; then
  export TANDEM_DATA=$data
  made validation.md scripts/validation_page.py
  made services.md scripts/services_page.py --data "$data" --tandem "$tandem"
  # Its errors of services are read when the program is built: --calibrate, build, and this.
  made bands.md scripts/bands_page.py --data "$data" --tandem "$tandem"
fi
