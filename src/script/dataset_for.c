// dataset_for: which dataset belongs to a model, so that a recipe needs only --model.
//
// Evidence, best first: the dataset that the file's metadata names, the characters of a character-level model, and the
// shapes of input and output beside the model's name. A dataset that is not there is never the answer.
#include <stdlib.h>
#include <string.h>

#include "script/script.h"

// What a known dataset looks like from the model's side.
typedef struct known_data {
    const char *path;  // below base_home()
    const char *needs; // a file or folder of real data, below the real folder; NULL: ships
    const char *name;  // as models' metadata has it
    int64_t values;    // of one sample; 0: tokens
    int64_t outputs;   // classes or vocabulary
} known_data;

static const known_data known[] = {
    {"data/digits", NULL, "digits", 64, 10},
    {"tests/real/cifar10.lua", "datasets/cifar10", "cifar10", 3072, 10},
    {"tests/real/mnist.lua", "datasets/mnist", "mnist", 784, 10},
    {"tests/real/tinystories.lua", "datasets/tinystories_val", "tinystories", 0, 512},
};

static char *below_home(const char *path) {
    return base_join(base_home(), path);
}

static bool real_is_there(const char *relative) {
    const char *given = getenv("VISE_REAL");
    char *folder = given && *given ? base_strdup(given) : base_join(base_home(), "../shared/real");
    char *path = base_join(folder, relative);
    bool there = base_is_dir(path) || base_is_file(path);
    free(folder);
    free(path);
    return there;
}

static char *if_there(const known_data *k) {
    char *path = below_home(k->path);
    if ((base_is_dir(path) || base_is_file(path)) && (!k->needs || real_is_there(k->needs))) return path;
    free(path);
    return NULL;
}

// Metadata "dataset" is a name: of a known dataset, or of a folder in data/.
static char *from_metadata(const model *m) {
    char *name = m->tensors ? model_tensors_meta(m->tensors, "dataset") : NULL;
    if (!name) return NULL;
    char *path = NULL;
    for (size_t i = 0; i < sizeof known / sizeof *known && !path; i++)
        if (strcmp(known[i].name, name) == 0) path = if_there(&known[i]);
    bool plain = *name && *name != '.' && !strchr(name, '/');
    char *folder = !path && plain ? base_sprintf("%s/data/%s", base_home(), name) : NULL;
    if (folder && base_is_dir(folder)) {
        path = folder;
        folder = NULL;
    }
    free(folder);
    free(name);
    return path;
}

// The shipped text, when the model knows exactly its characters.
static char *from_vocabulary(const model *m) {
    if (!m->vocabulary) return NULL;
    char *path = below_home("data/text");
    base_err ignored;
    data_spec *spec = script_dataset_spec(path, &ignored);
    bool same = spec && spec->vocabulary && strcmp(spec->vocabulary, m->vocabulary) == 0;
    data_spec_free(spec);
    if (same) return path;
    free(path);
    return NULL;
}

static char *from_shapes(const model *m) {
    if (!m->graph) return NULL;
    const model_graph *g = m->graph;
    const model_shape *out = model_graph_shape(g, g->output);
    int64_t values = g->input_kind == DATA_TOKENS ? 0 : model_shape_count(&g->input);
    int64_t outputs = out && out->ndim ? out->dim[out->ndim - 1] : 0;
    if (g->task == MODEL_RECONSTRUCT) return NULL;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].values == values && known[i].outputs == outputs) return if_there(&known[i]);
    return NULL;
}

char *script_dataset_for(const model *m) {
    char *path = from_metadata(m);
    if (!path) path = from_vocabulary(m);
    if (!path && !m->vocabulary) path = from_shapes(m);
    return path;
}
