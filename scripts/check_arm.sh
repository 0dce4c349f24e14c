#!/bin/sh
# Builds the engine for 64-bit ARM (NEON) and verifies it there, emulated by QEMU: on Debian and Ubuntu, as root.
#
#   sh scripts/check_arm.sh                              the verification suite, then the tests of native kernels
#   sh scripts/check_arm.sh -m pytest tests/compute      any command of the emulated Python
#
# The first takes a quarter of an hour. Installs a cross compiler, QEMU and CMake, fetches the system's Python for ARM and
# wheels for it, and keeps all in build/arm, so that a second call only builds what changed. It says nothing about speed.
set -eu
cd "$(dirname "$0")/.."
arm=$PWD/build/arm
root=$arm/root site=$arm/site tree=$arm/tree
mkdir -p "$root"

if ! [ -e "$arm/installed" ]; then
  dpkg --add-architecture arm64
  apt-get update -qq
  apt-get install -y -qq g++-aarch64-linux-gnu qemu-user-static cmake ninja-build python3 python3-pip >/dev/null
  needed=$(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces \
    --no-enhances python3:arm64 libpython3-dev:arm64 libstdc++6:arm64 libgomp1:arm64 |
    grep '^[a-z].*:arm64$' | grep -v '^libc6-dev\|^linux' | sort -u)
  mkdir -p "$arm/packages"
  # shellcheck disable=SC2086
  (cd "$arm/packages" && apt-get download -qq $needed)
  for package in "$arm"/packages/*.deb; do dpkg-deb -x "$package" "$root"; done
  touch "$arm/installed"
fi
python=$(readlink -f "$root/usr/bin/python3")
version=${python##*python}

if ! [ -e "$site/pybind11" ]; then
  python3 -m pip install -q --target "$site" --only-binary=:all: --implementation cp --python-version "$version" \
    --platform manylinux_2_28_aarch64 --platform manylinux_2_17_aarch64 \
    numpy numba h5py safetensors rich typer pytest hypothesis scikit-learn pybind11
fi

rm -rf "$tree"
mkdir -p "$tree"
git ls-files -z --cached --others --exclude-standard | tar --null -T - --ignore-failed-read -cf - | tar -xf - -C "$tree"
cmake -S "$tree" -B "$arm/native" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX="$tree" \
  -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ \
  -DCMAKE_CXX_FLAGS="-isystem $root/usr/include" -Dpybind11_DIR="$site/pybind11/share/cmake/pybind11" \
  -DPYBIND11_FINDPYTHON=ON -DPython_INCLUDE_DIR="$root/usr/include/python$version" \
  -DPython_EXECUTABLE="$(command -v python3)" -DPYTHON_MODULE_EXTENSION=".so" >"$arm/native.log" ||
  { cat "$arm/native.log" >&2; exit 1; }
cmake --build "$arm/native"
cmake --install "$arm/native" >/dev/null

emulated=$root/usr/bin/emulated-python # what tests start as `sys.executable` is emulated too
cat >"$emulated" <<END
#!/bin/sh
exec qemu-aarch64-static -0 "$emulated" -L "$root" -E PYTHONPATH="$tree:$site" "$python" "\$@"
END
chmod +x "$emulated"
cd "$tree"
[ $# -eq 0 ] || exec "$emulated" "$@"
"$emulated" -m cortex verify --backend cpu
exec "$emulated" -m pytest -q -p no:cacheprovider tests/compute/test_native_*.py tests/compute/test_sums.py
