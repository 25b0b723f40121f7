#!/bin/sh
# The golden runner on a folder of its own: what is right passes whatever its variants are called, what is broken gets a
# line with a sentence and a status that says so, and nothing of it ends the run.
golden=${VISE_BUILD:-build}/tests/golden/golden
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
fail() { echo "$1"; exit 1; }

# Three layers of 8 MiB at 8 bits, half way between all at 4 and all at 8: the second, which hurts most, keeps 8.
table='"hessian_trace": [1, 2, 3], "dw2_8bit": [0, 0, 0], "dw2_4bit": [0.5, 0.4, 0.1],
"params": [8388608, 8388608, 8388608], "tied_layers": {},
"instances": [{"kind": "size", "frac": 0.5, "limit": 18.0, "opt_loss": 0.8, "opt_bits": "484"}]'
mkdir "$dir/good"
echo "{$table}" >"$dir/good/hawq_three.json"
echo '{"pvq_N": {"1,1": "2", "2,2": "8", "3,2": "18", "32,32": "7624"}}' >"$dir/good/pvq_sizes_wrong.json"
out=$("$golden" "$dir/good") && fail "a wrong count passed"
echo "$out" | grep -q '^BAD .*pvq_sizes_wrong .* codes 75' || fail "three of four counts are right: $out"
rm "$dir/good/pvq_sizes_wrong.json"
echo '{"pvq_N": {"1,1": "2", "2,2": "8", "3,2": "18"}}' >"$dir/good/pvq_sizes_few.json"
out=$("$golden" "$dir/good") || fail "a right folder failed: $out"
echo "$out" | grep -q '^5 passed, 0 failed$' || fail "four solvers and a table of counts pass: $out"

mkdir "$dir/bad"
i=0
while read -r prefix text; do
    i=$((i + 1))
    printf '%s' "$text" >"$dir/bad/${prefix}_$i.json"
done <<'END'
hawq {
hawq []
hawq {"hessian_trace": [1, "a"], "dw2_4bit": [1, 2], "dw2_8bit": [1, 2], "instances": [{}]}
hawq {"hessian_trace": [1e300], "dw2_4bit": [1], "dw2_8bit": [1], "instances": [{}]}
hawq {"hessian_trace": [1], "dw2_4bit": [1], "dw2_8bit": [0], "params": [1], "tied_layers": {"7": 0}, "instances": [{}]}
hawq {"hessian_trace": [1], "dw2_4bit": [1], "dw2_8bit": [0], "params": [1], "instances": [{"kind": "heat", "limit": 1}]}
hawq {"hessian_trace": [1], "dw2_4bit": [1], "dw2_8bit": [0], "params": [1], "instances": [{"kind": "size", "limit": 0}]}
pvq_sizes {"pvq_N": {}}
pvq_sizes {"pvq_N": {"5": "2"}}
pvq_sizes {"pvq_N": {"99999999,5": "2"}}
pvq_sizes {"pvq_N": {"1,1": 2}}
pyhessian {"model": "../x", "layers": {"a": {}}}
hessian {"layers": 5}
END
printf 'PK\003\004 no archive' >"$dir/bad/hqq_torn.npz"
: >"$dir/bad/awq_empty.npz"
out=$("$golden" "$dir/bad") && fail "broken files passed"
count=$(echo "$out" | sed 's/.*codes//' | grep -c '[a-z] [a-z]')
echo "$out" | grep -q '^0 passed, ' || fail "a broken file passed: $out"
[ "$count" -ge $((i + 2)) ] || fail "each of $((i + 2)) broken files gets a sentence, $count did: $out"

# The real files cut short.
real=${VISE_GOLDEN:-../shared/golden}
if [ -d "$real" ]; then
    mkdir "$dir/cut"
    for f in "$real"/*.npz; do
        size=$(wc -c <"$f")
        head -c $((size / 2)) "$f" >"$dir/cut/$(basename "$f")"
    done
    out=$("$golden" "$dir/cut")
    [ $? = 1 ] || fail "half files end with status 1"
    echo "$out" | grep -q '^0 passed, ' || fail "half a file passed: $out"
fi
exit 0
