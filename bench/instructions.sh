#!/usr/bin/env bash
# Counts the instructions of Gantry's hot paths and writes them into docs/performance.md; takes some minutes.
#
#     bench/instructions.sh
#
# Without valgrind it says so and leaves the page as it is.

set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v valgrind >/dev/null 2>&1; then
    echo "skipped: instructions: valgrind is not installed"
    exit 0
fi
${CARGO:-cargo} build --release -p gantry -p gantry-bench
${CARGO:-cargo} run --quiet --release -p gantry-bench -- instructions --write docs/performance.md
