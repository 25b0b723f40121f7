// arch (private to script/): architectures are Lua files; this is how one is found for a checkpoint and run.
//
// An architecture file returns {name, about, source, recognise = function(tensors, config, metadata) -> config table,
// or nil and why not, build = function(g, config) -> output value, ignore = function(name) -> true for tensors of
// other implementations that the network does not need}. docs/architectures.md is the author's guide.
#ifndef VISE_SCRIPT_ARCH_H
#define VISE_SCRIPT_ARCH_H

#include <jansson.h>

#include "script/sandbox.h"

// A new model with weights drawn from `seed`: architecture `arch` (a name in lua/arch or a path to a .lua file) built
// from the config table at `config_index` of `L`. Errors name the field or node. May not raise.
model *script_model_new(const char *arch, lua_State *L, int config_index, const char *name, uint64_t seed,
                        base_err *err) BASE_MUST_USE;

// ---- private to arch*.c ------------------------------------------------------------------------

// A config between states: JSON values <-> Lua values. To Lua may raise; from Lua never raises, and fails on functions,
// cycles (depth) and mixed keys.
void arch_push_json(lua_State *L, const json_t *json);
json_t *arch_to_json(lua_State *L, int index, base_err *err);

// Pushes the builder object `g` that adds to `graph`; call protected. The object must not outlive the graph.
void arch_push_builder(lua_State *L, model_graph *graph);

// One run of an architecture file: what goes in and what comes out.
typedef struct arch_run {
    const char *name;             // for messages
    const model_tensors *tensors; // NULL: a new model, recognise is not asked
    const json_t *config;         // may be NULL: {}
    model_graph *graph;           // out
    json_t *used;                 // out: the config the graph was built from
    char *why_not;                // out: recognise said no
    base_err *err;
    json_t *metadata; // private
} arch_run;
// Runs the architecture whose table is on top of the stack of `L`. True: graph and used are set. False with why_not
// set: it does not fit; without: err says what failed. The caller frees all three.
bool arch_run_table(lua_State *L, arch_run *run);

#endif
