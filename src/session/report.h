// Private to session/: the charts of a report, each one <svg> or nothing where there is nothing to draw.
#ifndef VISE_SESSION_REPORT_H
#define VISE_SESSION_REPORT_H

#include "session/session.h"

void report_size_chart(base_buf *out, const session_recorded *runs,
                       int count);                                        // metric over bytes, the best ones joined
void report_heat(base_buf *out, const session_recorded *runs, int count); // errors of layers, over runs or figures
void report_bound_chart(base_buf *out, const session_recorded *run);      // weight error against the bound
// What sensitivity() and allocate() found in a run: heat maps, and what was chosen.
void report_tables(base_buf *out, const session_recorded *run);
void report_predicted_chart(base_buf *out, const session_recorded *runs, int count); // of all allocations

#endif
