#!/usr/bin/env bash
# Runs the quick checks by the other one of Python 3.11 and 3.12, where this machine has it, in .venv-other.
set -euo pipefail
cd "$(dirname "$0")/.."

case $(.venv/bin/python -c 'import sys; print(*sys.version_info[:2], sep=".")') in
  3.11) other=3.12 ;;
  *) other=3.11 ;;
esac
for python in "python$other" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$other".*/bin/python; do
  if "$python" -c 'import ensurepip' 2>/dev/null; then
    exec make --no-print-directory quick VENV=.venv-other PYTHON="$python"
  fi
done
echo "Python $other is not on this machine: nothing is checked by it"
