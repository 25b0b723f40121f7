// Private to ui/: the Start tab - what was used lately, what ships, a file picker, and a look into what the cursor is
// on.
#ifndef VISE_UI_START_H
#define VISE_UI_START_H

#include "ui/task.h"

typedef struct start_place { // a row of "places" or "files"
    char kind[12];           // "model", "data", "recipe", "run", "folder", "file"
    char name[160], about[160];
    char path[1024]; // of a run: "", its recipe's params are in `record`
    int64_t size;    // bytes, -1: not a file
    int64_t run;     // number in the history, 0: no run
} start_place;

typedef struct start_list {
    start_place *row;
    int count, capacity;
} start_list;
start_place *start_add(start_list *l, const char *kind, const char *path, const char *name, const char *about);
void start_list_free(start_list *l); // contents

// What a file or folder looks like from its name and, for folders, its files; never reads contents.
const char *start_kind(const char *path);

// start_look.c: what the preview shows, made in a task.
typedef struct start_look {
    char path[1024], kind[12];
    ui_page raw;  // lines as they are
    ui_page page; // wrapped to the panel
    float *image; // [channels x height x width] of the first sample, NULL: none
    int channels, height, width;
    char caption[80];
} start_look;
bool start_look_work(void *look, base_job *job, base_err *err); // fills a start_look with path, kind and raw.width
void start_look_free(start_look *l);                            // and l

#endif
