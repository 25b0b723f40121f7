// The table of kinds: a file is checked by the first row whose prefix its name has.
#include "kinds.h"

const golden_kind golden_kinds[] = {
    {"gptq_", ".npz", "W", golden_gptq},
    {"adaround_", ".npz", "W", golden_adaround},
    {"rtn_", ".npz", "W", golden_rtn},
    {"obq_", ".npz", "W", golden_obq},
    {"squeezellm_", ".npz", "W", golden_squeezellm},
    {"hqq_", ".npz", "W", golden_hqq},
    {"sparsegpt_", ".npz", "W", golden_sparsegpt},
    {"awq_", ".npz", "x_mean_abs", golden_awq},
    {"svdllm_", ".npz", "W", golden_svdllm},
    {"wanda_", ".npz", "W", golden_wanda},
    {"tables_", ".npz", NULL, golden_tables},
    {"bnb_", ".npz", "W", golden_bnb},
    {"scalar_", ".npz", NULL, golden_scalar_quantisers},
    {"pvq_sizes", ".json", NULL, golden_pvq_sizes},
    {"ggml_", ".npz", "W", golden_ggml},
    {"hawq_", ".json", NULL, golden_hawq},
    {"hessian_", ".json", NULL, golden_hessian},
    {"pyhessian_", ".json", NULL, golden_hessian},
};
const size_t golden_kind_count = sizeof golden_kinds / sizeof golden_kinds[0];
