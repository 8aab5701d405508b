#!/usr/bin/env bash
# Makes .venv and checks the system's libraries. Usage: install.sh app|test|slow, from the repository's root.
# Versions are those of requirements.lock. Installs Debian packages only where that needs no password; otherwise names them.
set -euo pipefail

# --no-compile: compiling 25 000 modules is a third of the installation; what is imported is compiled then, once.
export PIP_DISABLE_PIP_VERSION_CHECK=1
venv=.venv
python=$venv/bin/python
suits='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))'

say() { printf '%s\n' "$*" >&2; }

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3.11 python3.12 python3}; do
        if "$candidate" -c "$suits" 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    say "Python 3.11 or 3.12 is needed; found neither. Install one, or name it: make app PYTHON=/path/to/python3.11"
    return 1
}

has_torch() { "$1" -c 'import torch; v = torch.__version__.split(".")[:2]; assert (int(v[0]), int(v[1])) >= (2, 8)' 2>/dev/null; }

# Install Debian packages, or say which are missing and for what.
debian_packages() {
    local purpose=$1
    shift
    local become=()
    if [ "$(id -u)" != 0 ]; then become=(sudo -n); fi
    if command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }; then
        say "Installing for $purpose: $*"
        "${become[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" >/dev/null && return
        "${become[@]}" apt-get -qq update && "${become[@]}" env DEBIAN_FRONTEND=noninteractive \
            apt-get -qq install -y --no-install-recommends "$@" >/dev/null && return
    fi
    say "Missing for $purpose. Install these packages and run this again: $*"
    return 1
}

renders() { "$python" -c 'import sys; from steering.doctor import renders; sys.exit(not renders())' 2>/dev/null; }

install_app() {
    if ! "$python" -c "$suits" 2>/dev/null; then
        local base shared=()
        base=$(find_python)
        if has_torch "$base"; then shared=(--system-site-packages); fi  # a GPU machine's own torch is used
        say "Making $venv with $("$base" --version)"
        "$base" -m venv --clear "${shared[@]}" "$venv"
    fi
    if ! has_torch "$python"; then
        say "Installing torch"
        "$python" -m pip install -q --no-compile torch==2.13.0
    fi
    say "Installing requirements"
    "$python" -m pip install -q --no-compile -r requirements.txt -c requirements.lock
    # shellcheck disable=SC2046
    if ! renders; then
        debian_packages "rendering the simulator without a screen" $(cat packages.txt) || true
        renders || say "The simulator cannot render here: recording and rollouts will fail, all else works."
    fi
}

# Install an extra of pyproject.toml.
install_extra() {
    "$python" - "$1" <<'PYTHON' >"$venv/$1.txt"
import sys
import tomllib

with open("pyproject.toml", "rb") as file:
    print("\n".join(tomllib.load(file)["project"]["optional-dependencies"][sys.argv[1]]))
PYTHON
    "$python" -m pip install -q --no-compile -r "$venv/$1.txt" -c requirements.lock
}

install_test() {
    say "Installing the test tools"
    install_extra dev
    # openpi's client asks for an older NumPy and runs with this one too
    "$python" -m pip install -q --no-compile --no-deps --upgrade --target "$venv/openpi" "openpi-client>=0.1.2,<0.2"
    if ! command -v chromium chromium-browser google-chrome >/dev/null; then
        debian_packages "the browser tests" chromium || true
    fi
}

case ${1:-} in
    app) install_app ;;
    test) install_test ;;
    slow)
        say "Installing what the slow tests need besides"
        install_extra loggers
        ;;
    *)
        say "Usage: $0 app|test|slow"
        exit 2
        ;;
esac
