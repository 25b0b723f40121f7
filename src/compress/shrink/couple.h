// Private to compress/: which channels of which values, and so which slices of which parameters, must go together.
#ifndef VISE_COMPRESS_COUPLE_H
#define VISE_COMPRESS_COUPLE_H

#include "compress/layer.h"

// Every value of the graph has channels: axis 1 of images, the last axis of anything else. Channel c of value v has the
// place at[v] + c. Places that can only go together have one root.
typedef struct couple {
    const model *m;
    int64_t *at;       // [value_count + 1]
    int32_t *parent;   // [places]
    uint8_t *pinned;   // [places] at the root: stays whatever is asked
    int *space;        // [value_count] values whose channels are tied to each other share a root
    uint8_t *residual; // [value_count] at the root of a space: tied by a sum
    uint8_t *heads;    // [value_count] at the root of a space: tied by attention
} couple;

bool couple_make(couple *c, const model *m, base_err *err) BASE_MUST_USE;
void couple_free(couple *c);
int32_t couple_root(const couple *c, int64_t place);
int couple_space(const couple *c, int value);
int64_t couple_channels(const couple *c, int value);

// What can be taken away piece by piece: the units of one space and the nodes that read them.
typedef struct couple_group {
    int space;
    const char *name; // of the first node that makes it
    bool residual, heads;
    int32_t *unit; // [unit_count] roots, in the order of the first value's channels
    int unit_count;
    int *maker, *reader; // linear and conv2d nodes that make and read the units
    int maker_count, reader_count;
} couple_group;

// All spaces with at least two units, someone who makes and someone who reads them. Caller frees with
// couple_groups_free.
couple_group *couple_groups(const couple *c, int *count);
void couple_groups_free(couple_group *g, int count);
// Would every value of the space keep a channel if `unit` went after those marked in out [unit_count]?
bool couple_may_go(const couple *c, const couple_group *g, const uint8_t *out, int unit);
// unit_of[inputs of the node's matrix] = index of the unit that each input of a reader belongs to, -1: none.
void couple_inputs(const couple *c, const couple_group *g, int node, int32_t *unit_of);
// The same for the outputs (rows) of a maker.
void couple_outputs(const couple *c, const couple_group *g, int node, int32_t *unit_of);
// Takes the places whose root is marked in gone [places] out of a draft of the same model: parameters, attributes.
bool couple_cut(const couple *c, const uint8_t *gone, model_draft *d, base_err *err) BASE_MUST_USE;
// Puts the channels of a draft in another order: units of one layout by rank [places, at their roots],
// all others (-1) stay. One call for each layout.
bool couple_reorder(const couple *c, const int32_t *rank, model_draft *d, base_err *err) BASE_MUST_USE;
// Units of one layout stand in the same way in every value, so that one can take another's place: layout [unit_count]
// from 0, returns how many. Channels that a padded shortcut adds are laid out otherwise than those it hands on.
int couple_layouts(const couple *c, const couple_group *g, int32_t *layout);

#endif
