# Sourced by ./quickstart and ./check: makes .venv once and installs adiabat into it; later calls start at once.
# Usage: environment EXTRA   (EXTRA is "" or "dev")

environment() {
  local extra="$1" python="${PYTHON:-python3}" stamp
  stamp=".venv/.installed-${extra:-core}"
  if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "adiabat needs Python 3.11 or later; '$python' is not. Set PYTHON to one that is." >&2
    return 1
  fi
  if [ -f "$stamp" ] && [ ! pyproject.toml -nt "$stamp" ] && [ ! constraints.txt -nt "$stamp" ]; then
    return 0
  fi
  echo "Installing adiabat into .venv (once) ..."
  [ -x .venv/bin/python ] || "$python" -m venv .venv || return 1
  local pip=(.venv/bin/python -m pip --disable-pip-version-check --quiet)
  # torch alone and first: another package asking for it would bring a build with gigabytes of GPU libraries
  "${pip[@]}" install "$(grep '^torch==' constraints.txt)" || return 1
  "${pip[@]}" install -c constraints.txt -e ".${extra:+[$extra]}" || return 1
  touch "$stamp"
}
