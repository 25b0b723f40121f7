// Private to compress/: from what a solver chose to a stored term.
#ifndef VISE_COMPRESS_PACK_H
#define VISE_COMPRESS_PACK_H

#include "compress/layer.h"

// The tensor's own scale for grids with e4m3 scales: the largest of those is then 448, the top of e4m3.
void solver_outer_scale(solver_problem *p);

#endif
