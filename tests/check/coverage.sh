#!/bin/sh
# Prints how many lines of each file and room the tests ran. Argument: a folder built with --coverage.
cd "$(dirname "$0")/../.." || exit 1
build=$(cd "$1" && pwd)
command -v gcov >/dev/null 2>&1 || { echo "coverage needs gcov"; exit 1; }
find "$build/src" -name '*.gcda' | sort | xargs gcov -n -r -s "$(pwd)" 2>/dev/null | awk '
/^File / {
    file = $2
    gsub("\x27", "", file)
    next
}
/^Lines executed:/ && file ~ /^src\// {
    match($0, /[0-9.]+%/)
    share = substr($0, RSTART, RLENGTH - 1)
    lines = $NF
    if (lines > all[file]) { all[file] = lines; ran[file] = share * lines / 100 }
    file = ""
}
END {
    for (f in all) {
        split(f, part, "/")
        room = part[2]
        room_all[room] += all[f]; room_ran[room] += ran[f]
        total += all[f]; total_ran += ran[f]
        printf "%6.1f %% of %5d lines  %s\n", 100 * ran[f] / all[f], all[f], f | "sort -k5"
    }
    close("sort -k5")
    print ""
    for (r in room_all)
        printf "%6.1f %% of %5d lines  room %s\n", 100 * room_ran[r] / room_all[r], room_all[r], r | "sort -k6"
    close("sort -k6")
    if (total) printf "%6.1f %% of %5d lines  all\n", 100 * total_ran / total, total
}'
