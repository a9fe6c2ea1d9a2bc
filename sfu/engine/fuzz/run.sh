#!/usr/bin/env bash
# Fuzzes each target for FUZZ_SECONDS (60), or only those named as arguments, with libFuzzer and the stable toolchain.
#
# What libFuzzer learnt is kept in target/fuzz-corpus/ and used the next time. An input that breaks a promise is written to
# fuzz/regressions/<target>/; keep it there, `cargo test -p plenum-core --test fuzz` replays it. Ends with 1 if there was one.
set -euo pipefail
cd "$(dirname "$0")"

seconds=${FUZZ_SECONDS:-60}
target_dir=$(realpath -m ../target/fuzz)
corpus=$(realpath -m ../target/fuzz-corpus)
host=$(rustc --print host-tuple)

# The counters that libFuzzer wants, as `cargo fuzz` puts them in. With --target they spare build scripts and macros.
export RUSTFLAGS="${RUSTFLAGS:-} -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares"
cargo build --release --locked --quiet --target "$host" --target-dir "$target_dir"
bin=$target_dir/$host/release

known=$(FUZZ_SEEDS=$corpus/seeds "$bin/fuzz" 2>/dev/null)
failed=()
for target in ${*:-$known}; do
  mkdir -p "$corpus/$target" "regressions/$target"
  log=$corpus/$target.log
  # An input that takes longer than 10 s, or 2 GB, is a finding too.
  if FUZZ_TARGET=$target "$bin/fuzz" "$corpus/$target" "$corpus/seeds/$target" "regressions/$target" \
    -max_total_time="$seconds" -len_control=0 -timeout=10 -rss_limit_mb=2048 -artifact_prefix="regressions/$target/" \
    -print_final_stats=1 >"$log" 2>&1; then
    printf '%-24s %s runs, %s inputs kept\n' "$target" \
      "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" "$(find "$corpus/$target" -type f | wc -l)"
  else
    failed+=("$target")
    printf '%-24s FAILED\n' "$target"
    tail -n 40 "$log"
  fi
  rmdir --ignore-fail-on-non-empty "regressions/$target"
done
[ ${#failed[@]} -eq 0 ] || { echo "broken: ${failed[*]}"; exit 1; }
