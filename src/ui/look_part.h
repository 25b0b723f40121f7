// Private to ui/: what the layer panel keeps, for its files.
#ifndef VISE_UI_LOOK_PART_H
#define VISE_UI_LOOK_PART_H

#include "ui/host.h"
#include "ui/look.h"

enum { LOOK_CACHED = 12, LOOK_KEY = 1200 };

// Models that tasks have open; touched on their thread alone (and at the end, when there are none).
typedef struct look_files {
    model *m[2]; // the original, the saved one
    char *key[2];
} look_files;

typedef struct look_entry {
    char key[LOOK_KEY]; // layer, which making of it, which files
    look_figures f;
} look_entry;

typedef struct look_part {
    look_store store;
    look_files files;
    look_entry *entry[LOOK_CACHED]; // the longest unused first
    int count;
    look_view view;
    bool logs[LOOK_PAGES];
    int page, samples, layer;
    int64_t row;
    int array;
    bool mean;
    study_colours map;
    // What a task works on, and what could not be had.
    char asking[LOOK_KEY], failed[LOOK_KEY], trouble[1024], shown[LOOK_KEY];
    int asking_what, failed_what;
    int64_t asked; // tasks started so far
    int outliers;  // rows of the source
} look_part;

enum look_what { LOOK_ALL, LOOK_SPECTRA, LOOK_MOMENTS };

look_part *look_own(const ui_app *app);
look_entry *look_find(look_part *own, const char *key); // NULL: not there; else the newest used
// look_task.c
void look_ask(ui_app *app, look_part *own, const ui_layer *layer, const char *key, enum look_what what);
void look_key(const ui_app *app, look_part *own, const char *layer, char key[LOOK_KEY]);
void look_files_close(look_files *f);

#endif
