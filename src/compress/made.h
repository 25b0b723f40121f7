// Private to compress/: telling a listener of a layer that is finished.
#ifndef VISE_COMPRESS_MADE_H
#define VISE_COMPRESS_MADE_H

#include "compress/result.h"

void made_tell(const compress_plan *plan, const model *m, const compress_result *r, int index);

#endif
