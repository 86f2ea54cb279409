#!/usr/bin/env bash
# Builds a plugin crate of this workspace to a component-ready .wasm beside its manifest:
#
#     plugins/build.sh plugins/nd-cartpole nd-cartpole.wasm
#
# Takes rustup's standard library for wasm32-unknown-unknown where it is installed, and otherwise builds one with
# Debian's compiler (packages rustc-web, cargo-web, rust-web-src).
set -euo pipefail

if [ $# -ne 2 ]; then
    echo "usage: plugins/build.sh CRATE_FOLDER OUTPUT_NAME.wasm" >&2
    exit 2
fi
root=$(cd "$(dirname "$0")/.." && pwd)
crate=$(cd "$1" && pwd)
output=$crate/$2
target=wasm32-unknown-unknown
build=${CARGO_TARGET_DIR:-$root/target}/plugins

cargo=(cargo)
build_std=()
remap=("$root=/potstill" "${CARGO_HOME:-$HOME/.cargo}=/cargo")

if compgen -G "$(rustc --print target-libdir --target "$target" 2>/dev/null)/libcore-*.rlib" >/dev/null; then
    build=$build/rustup
else
    compiler=${POTSTILL_WEB_RUSTC:-/usr/bin/rustc}
    source=$("$compiler" --print sysroot 2>/dev/null)/lib/rustlib/src/rust/library
    if [ ! -d "$source" ]; then
        echo "No standard library for $target. Install one of:" >&2
        echo "    rustup target add $target" >&2
        echo "    apt-get install rustc-web cargo-web rust-web-src        (Debian)" >&2
        exit 1
    fi
    linker=
    for candidate in "$(rustc --print sysroot 2>/dev/null)"/lib/rustlib/*/bin/rust-lld "$(command -v wasm-ld || true)" \
        "$(command -v wasm-ld-19 || true)"; do
        if [ -x "$candidate" ]; then linker=$candidate && break; fi
    done
    if [ -z "$linker" ]; then
        echo "No linker for $target: install Debian's package lld-19, which has wasm-ld-19." >&2
        exit 1
    fi
    export RUSTC=$compiler RUSTC_BOOTSTRAP=1 CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=$linker
    cargo=("$(dirname "$compiler")/cargo")
    build_std=(-Zbuild-std=std,panic_abort)
    remap+=("$(readlink -f "$source")=/rust" "$source=/rust")
    build=$build/web
fi

flags=()
for path in "${remap[@]}"; do flags+=("--remap-path-prefix=$path"); done
export CARGO_ENCODED_RUSTFLAGS
CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f' && echo "${flags[*]}")

cd "$crate"
CARGO_TARGET_DIR=$build "${cargo[@]}" build --profile plugin --target "$target" ${build_std[@]+"${build_std[@]}"}
name=$(sed -n 's/^name = "\(.*\)"/\1/p' Cargo.toml | head -1 | tr - _)
cp "$build/$target/plugin/$name.wasm" "$output"
echo "$output: $(wc -c <"$output") bytes"
