#!/bin/sh
# The structure that docs/architecture.md promises: include arrows point down, private headers stay private, each
# outside library belongs to one room, files stay readable, the top level is what it says.
cd "$(dirname "$0")/../.." || exit 1

find src -name '*.[ch]' | sort | xargs awk '
BEGIN {
    rooms = split("base numeric dataset model engine compress study session script ui cli", order, " ")
    for (i = 1; i <= rooms; i++) rank[order[i]] = i
    owner["curses"] = owner["ncurses"] = owner["ncursesw"] = owner["term"] = owner["panel"] = "ui"
    owner["lua"] = owner["lauxlib"] = owner["lualib"] = "script"
    owner["cblas"] = owner["lapacke"] = owner["lapack"] = owner["openblas_config"] = "numeric"
}
function complain(text) { print FILENAME ":" FNR ": " text; bad = 1 }
FNR == 1 {
    n = split(FILENAME, part, "/")
    room = n == 2 ? "main" : part[2]
    level = n == 2 ? rooms + 1 : rank[room]
    if (!level) complain("room " room " is not one of the rooms")
    if ($0 !~ /^\/\/ /) complain("does not open with a paragraph saying its job")
}
FNR == 701 { complain("is longer than 700 lines") }
/TODO|FIXME|XXX/ { complain("leaves work for later: " $0) }
/^[ \t]*#[ \t]*include[ \t]*"/ {
    split($0, quoted, "\"")
    target = quoted[2]
    if (!match(target, "/")) {
        if (room != "main") complain("include \"" room "/" target "\" with its room in front")
        next
    }
    to = substr(target, 1, RSTART - 1)
    if (!(to in rank)) complain("\"" target "\" is in no room")
    else if (to == room) next
    else if (rank[to] > level) complain(room " may not include from " to ", which lies above it")
    else if (target != to "/" to ".h") complain("\"" target "\" is private to " to)
}
/^[ \t]*#[ \t]*include[ \t]*</ {
    match($0, /<[^>]*>/)
    target = substr($0, RSTART + 1, RLENGTH - 2)
    name = target
    sub(/\.h$/, "", name)
    sub(/.*\//, "", name)
    if ((name in owner) && owner[name] != room) complain("only " owner[name] " may include <" target ">")
}
END { exit bad }
' || bad=1

allowed="Makefile src lua recipes views tests data docs LICENSE README.md .ci .gitignore .clang-format"
for name in $allowed; do
    [ -e "$name" ] || { echo "the top level has no $name"; bad=1; }
done
if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    found=$(git ls-files | cut -d/ -f1 | sort -u)
else
    found=$(ls -A | grep -vE '^(build.*|out|compile_commands\.json|\.git)$')
fi
for name in $found; do
    case " $allowed " in *" $name "*) ;; *) echo "$name does not belong on the top level"; bad=1 ;; esac
done
exit ${bad:-0}
