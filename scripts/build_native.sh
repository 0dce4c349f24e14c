#!/bin/sh
# Builds the compiled engine into compute/ and the bindings of CUDA's libraries into gpu_compute/, so that a checkout
# runs on them without being installed.
#
#   sh scripts/build_native.sh [PYTHON]        default: python3; CXX and CXXFLAGS are obeyed
#
# The Python must have pybind11 installed. Objects stay in build/dev, so a second call compiles only what changed.
set -eu
cd "$(dirname "$0")/.."
python=$(command -v "${1:-python3}") || { echo "build_native: there is no ${1:-python3}" >&2; exit 1; }
pybind11=$("$python" -c "import pybind11; print(pybind11.get_cmake_dir())") || {
  echo "build_native: $python has no pybind11; install it: $python -m pip install pybind11" >&2
  exit 1
}
mkdir -p build
generator=
if command -v ninja >/dev/null && [ ! -e build/dev/Makefile ]; then generator="-G Ninja"; fi
# shellcheck disable=SC2086
cmake -S . -B build/dev $generator -DCMAKE_BUILD_TYPE=Release -Dpybind11_DIR="$pybind11" \
  -DPython_EXECUTABLE="$python" -DPYBIND11_FINDPYTHON=ON -DCMAKE_INSTALL_PREFIX="$PWD" >build/dev.log 2>&1 ||
  { cat build/dev.log >&2; exit 1; }
cmake --build build/dev
rm -f compute/_native*.so gpu_compute/_cuda*.so
cmake --install build/dev >/dev/null
echo "built" compute/_native*.so gpu_compute/_cuda*.so
