#!/bin/sh
# Runs the checks of the source and every test program given, goes on after failures, and closes with one line:
# N passed, N failed, N skipped. Arguments: cmocka programs and shell scripts (exit 0 passed, 77 skipped).
# As many run at once as there are processors (4 at most, or CHECK_JOBS): the longest start first, what measures time
# runs alone at the end, and the lines come in the order of the arguments, then those alone.
# A test that runs longer than CHECK_SECONDS (600) is ended and counts as failed.
set -u
cd "$(dirname "$0")/../.."

# Runs one program or script for the part below: --one FOLDER N PROGRAM, its words and exit code into FOLDER/N.*
if [ "${1:-}" = --one ]; then
    out=$2/$3
    limit=
    if command -v timeout >/dev/null 2>&1; then limit="timeout -k 10 ${CHECK_SECONDS:-600}"; fi
    export XDG_CACHE_HOME="$out.cache" # the user's own stays as it is, and no test finds another's
    start=$(date +%s)
    # shellcheck disable=SC2086
    case $4 in
    *.sh) $limit sh "$4" >"$out.out" 2>&1 </dev/null ;;
    *) CMOCKA_MESSAGE_OUTPUT=TAP $limit "$4" >"$out.out" 2>&1 </dev/null ;;
    esac
    echo "$? $(($(date +%s) - start))" >"$out.ending"
    mv "$out.ending" "$out.end" # whole from the moment it is there: another looks for it at any time
    rm -rf "$out.cache"
    echo "$3"
    exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
passed=0 failed=0 skipped=0 failures=
seconds=${CHECK_SECONDS:-600}
export OMP_WAIT_POLICY=passive # programs side by side must not wait for their threads by turning in circles

fail() {
    failed=$((failed + 1))
    failures="$failures
  $1"
}

# A script is one test.
script() {
    name=$1 out=$2 code=$3 took=$4
    case $code in
    0) passed=$((passed + 1)) word=passed ;;
    77) skipped=$((skipped + 1)) word="skipped: $(tail -n 1 "$out")" ;;
    *)
        word=FAILED
        fail "$name"
        ;;
    esac
    printf '%-44s %s (%d s)\n' "$name" "$word" "$took"
    case $code in 0 | 77) ;; *) sed 's/^/    /' "$out" ;; esac
}

# A cmocka program is as many tests as its lines say. One that dies before its last test fails once more.
program() {
    name=$1 out=$2 code=$3 took=$4
    skip=$(grep -cE '^(not )?ok [0-9]+ # SKIP' "$out") # cmocka says "not ok" for skipped ones too
    grep -vE '^(not )?ok [0-9]+ # SKIP' "$out" >"$work/ran"
    ok=$(grep -cE '^ok [0-9]+' "$work/ran")
    bad=$(grep -cE '^not ok' "$work/ran")
    planned=$(sed -n 's/^1\.\.\([0-9][0-9]*\).*/\1/p' "$out" | awk '{n += $1} END {print n + 0}')
    passed=$((passed + ok))
    skipped=$((skipped + skip))
    for t in $(sed -n 's/^not ok [0-9]* *-* *\([^ ]*\).*/\1/p' "$work/ran"); do fail "$name: $t"; done
    word="$ok passed"
    [ "$skip" = 0 ] || word="$word, $skip skipped"
    [ "$bad" = 0 ] || word="$word, $bad FAILED"
    if [ $((ok + skip + bad)) -lt "$planned" ] || { [ "$code" != 0 ] && [ "$bad" = 0 ]; }; then
        why="ended with $code after $((ok + skip + bad)) of $planned tests"
        [ "$code" != 124 ] || why="took longer than $seconds s"
        fail "$name: $why"
        word="$word, FAILED: $why"
        bad=1
    fi
    printf '%-44s %s (%d s)\n' "$name" "$word" "$took"
    [ "$bad" = 0 ] || sed 's/^/    /' "$out"
}

report() { # number, program
    [ -f "$work/$1.end" ] || echo "1 0" >"$work/$1.end"
    [ -f "$work/$1.out" ] || echo "did not start" >"$work/$1.out"
    read -r code took <"$work/$1.end"
    case $2 in
    *.sh) script "$2" "$work/$1.out" "$code" "$took" ;;
    *) program "${2#*/}" "$work/$1.out" "$code" "$took" ;;
    esac
    rm -f "$work/$1.out"
}

check() { # name, command...: a check of the source
    name=$1
    shift
    start=$(date +%s)
    "$@" >"$work/out" 2>&1
    script "$name" "$work/out" $? $(($(date +%s) - start))
}

jobs=${CHECK_JOBS:-$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)}
[ -n "${CHECK_JOBS:-}" ] || [ "$jobs" -le 4 ] || jobs=4

check "structure" sh tests/check/rooms.sh
check "format" sh tests/check/format.sh

# N and program, one a line: those that run side by side in the order they are told of, and those that run alone.
n=0
for t in "$@"; do
    n=$((n + 1))
    case $t in
    */ui/test_latency | */ui/test_tree | */session/test_overview | */engine/test_train) echo "$n $t" >>"$work/alone" ;;
    *) echo "$n $t" >>"$work/together" ;;
    esac
done
touch "$work/together" "$work/alone"
{
    grep -E '/recipes/test_shipped$' "$work/together"
    grep -E '/(compress/test_matrix|compress/test_facts|golden/test_golden.sh)$' "$work/together"
    grep -vE '/(recipes/test_shipped|compress/test_matrix|compress/test_facts|golden/test_golden.sh)$' "$work/together"
} >"$work/starts"

# Each program that ended says its number; what is next in order and has ended is reported.
{
    xargs -P "$jobs" -n 2 sh tests/check/run.sh --one "$work" <"$work/starts"
    while read -r k t; do sh tests/check/run.sh --one "$work" "$k" "$t"; done <"$work/alone"
    echo end
} | {
    cat "$work/together" "$work/alone" >"$work/order"
    exec 3<"$work/order"
    read -r next name <&3 || next=
    while read -r ended; do
        while [ -n "$next" ] && { [ -f "$work/$next.end" ] || [ "$ended" = end ]; }; do
            report "$next" "$name"
            read -r next name <&3 || next=
        done
    done
    [ -z "$failures" ] || printf '\nfailed:%s\n' "$failures"
    printf '\n%d passed, %d failed, %d skipped\n' $passed $failed $skipped
    [ $failed = 0 ]
}
