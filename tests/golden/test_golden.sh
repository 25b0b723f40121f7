#!/bin/sh
# The golden runner over the vectors beside the checkout: every variant must be within its tolerance, or better.
dir=${VISE_GOLDEN:-../shared/golden}
[ -d "$dir" ] || { echo "no golden vectors at $dir"; exit 77; }
out=$("${VISE_BUILD:-build}/tests/golden/golden" "$dir")
code=$?
echo "$out" | grep -vE '^ok '
exit $code
