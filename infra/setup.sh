#!/usr/bin/env bash
# Sets up this checkout on Debian: system packages where it may install them, a virtual environment in .venv,
# Python packages. Quick when nothing has changed.
#   infra/setup.sh job     what a job needs
#   infra/setup.sh app     also specimens, evaluation and the review page: every command of vinbatch
#   infra/setup.sh test    also what the tests need
# VENV names another folder than .venv, PYTHON another Python than the first that fits.
set -euo pipefail
cd "$(dirname "$0")/.."
part=${1:?usage: infra/setup.sh job|app|test}
venv=${VENV:-.venv}

say() { printf 'setup: %s\n' "$*" >&2; }

job_packages=(
  fonts-liberation2 fonts-dejavu-core                            # for letters of fonts that are not in a PDF
  poppler-utils poppler-data                                     # the second PDF renderer
  g++                                                            # compiles the engine's own CPU kernels
)
app_packages=(
  fonts-noto-core                                                # what specimens are printed in
  fonts-freefont-ttf fonts-open-sans fonts-roboto-unhinted fonts-lato fonts-crosextra-carlito
)
test_packages=(
  radosgw ceph-mon ceph-osd                                      # a real S3 server
  tesseract-ocr tesseract-ocr-vie                                # what the demo model is compared with
  pgbouncer                                                      # a pooler before PostgreSQL
  chromium                                                       # what the review page is tried in
)

python=${PYTHON:-}
if [ -z "$python" ]; then
  for candidate in python3 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null &&
      "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))'; then
      python=$candidate
      break
    fi
  done
fi
[ -n "$python" ] || { say "Python 3.11 or 3.12 is needed: apt-get install python3 (Debian 12), or set PYTHON"; exit 1; }

wanted=("${job_packages[@]}")
[ "$part" != job ] && wanted+=("${app_packages[@]}")
[ "$part" = test ] && wanted+=("${test_packages[@]}")
[ -x "$venv"/bin/python ] || "$python" -c 'import ensurepip' 2>/dev/null || wanted+=(python3-venv)

if command -v apt-get >/dev/null; then
  missing=()
  for package in "${wanted[@]}"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  if [ ${#missing[@]} -gt 0 ]; then
    sudo=()
    [ "$(id -u)" -eq 0 ] || sudo=(sudo -n)
    if [ "$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null; then
      say "installing ${missing[*]}"
      "${sudo[@]}" apt-get update -qq
      "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    else
      say "these system packages are missing and only an administrator may install them:"
      say "    sudo apt-get install ${missing[*]}"
    fi
  fi
else
  say "this is not Debian: install what corresponds to: ${wanted[*]}"
fi

if [ ! -x "$venv"/bin/python ]; then
  say "making $venv with $("$python" --version)"
  "$python" -m venv "$venv"
fi
export PIP_DISABLE_PIP_VERSION_CHECK=1

# Every package at the locked version, with files whose hashes the lock knows; `make lock` renews it.
locked() { awk -v name="$1" '/^[^ ]/ { wanted = index($0, name "==") == 1 } wanted' infra/requirements.lock; }
[ -x "$venv"/bin/uv ] || "$venv"/bin/pip install -q --no-deps --require-hashes -r <(locked uv)

locks=(-r infra/requirements.lock)
[ "$part" != job ] && locks+=(-r infra/requirements-extras.lock)
[ "$part" = test ] && locks+=(-r infra/requirements-test.lock -r infra/requirements-vocabulary.lock)
install=("$venv"/bin/uv pip install -q --python "$venv"/bin/python)
say "installing Python packages"
"${install[@]}" --no-deps --require-hashes "${locks[@]}"

# torch: an administrator's own folder of wheels wins (pip's find-links); else uv takes the build that fits
# this machine's GPU, and the CPU build where there is none. What CUDA packages it wants, that build says.
find_links=${PIP_FIND_LINKS:-$("$venv"/bin/pip config get global.find-links 2>/dev/null || true)}
if [ -n "$find_links" ]; then
  export UV_FIND_LINKS=$find_links
else
  export UV_TORCH_BACKEND=${UV_TORCH_BACKEND:-auto}
fi
"${install[@]}" -c infra/constraints.txt torch
# A GPU's build has brought its own Triton, a CPU's has none: the tests run our GPU kernels by its interpreter.
if [ "$part" = test ] && [ "$(uname -sm)" = "Linux x86_64" ]; then
  "$venv"/bin/python -c 'import importlib.util as u, sys; sys.exit(u.find_spec("triton") is None)' ||
    "${install[@]}" --no-deps triton==3.7.1
fi
"${install[@]}" --no-deps --no-build-isolation -e .

# uv leaves no bytecode; compiled once here, no process need compile torch, transformers and Ray for itself
# where Python may not write it (a read-only image, PYTHONDONTWRITEBYTECODE). Packages carry some files that
# are no Python: what cannot be compiled is no error.
say "compiling them"
"$venv"/bin/python -m compileall -q -j 0 "$venv"/lib >/dev/null 2>&1 || true
if [ "$part" = test ]; then touch "$venv"/.ready-test; fi
if [ "$part" != job ]; then touch "$venv"/.ready-app; fi
