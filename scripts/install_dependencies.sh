#!/usr/bin/env bash
# Installs what Tandem needs on Debian 12, if anything is missing. Asks for nothing.
#
# install_dependencies.sh [PACKAGE ...]: these too. Tests of pages need chromium (116 MB to fetch, 372
# MB on disk), which no build does.
set -euo pipefail

packages=(
  g++ cmake ninja-build pkg-config ca-certificates
  libsystemc-dev libboost-dev libyaml-cpp-dev libfmt-dev libcli11-dev nlohmann-json3-dev
  libsqlite3-dev libmimalloc-dev libgtest-dev libgmock-dev libbenchmark-dev
  python3 python3-dev python3-pybind11 pybind11-dev python3-numpy python3-pandas
  python3-matplotlib python3-pytest python3-nbconvert jupyter-nbconvert python3-ipykernel
  python3-plotly mkdocs python3-mypy python3-distributed python3-pip python3-venv python3-setuptools python3-wheel clang-format-14
)

packages+=("$@")

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
    missing+=("$package")
done
((${#missing[@]} == 0)) && exit 0

as_root=()
if [[ $(id -u) -ne 0 ]]; then as_root=(sudo); fi
echo "Installing ${#missing[@]} missing packages (all of them: 300 MB to fetch, a few quiet minutes): ${missing[*]}"
"${as_root[@]}" apt-get update -qq
DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends \
  "${missing[@]}" >/dev/null
