#!/bin/sh
# A few cells of each table that others left, in their protocol (tests/real/tables.c; all of them: make facts).
"${VISE_BUILD:-build}/tests/real/tables" short
