// calls: the pages of what recipes do to a whole network beside compress and the rewrites: taking pieces out, and
// mending what lies beside the weights.
#include "compress/compress.h"

static const base_arg part[] = {{"part", BASE_TEXT, 0, 0, 0, "", NULL, "samples of the calibration part (required)"}};
static const size_t part_count = 1;

const compress_call compress_calls[] = {
    {"shrink", "shrink(net, { what =, option = value [, calibrate = part] })",
     "channels, hidden units, heads or whole blocks taken out: tensors, neighbours and graph get smaller",
     "Dimensions that must go together (a convolution's filters, its batch norm, the inputs of every layer that reads\n"
     "them, what residual sums tie to them; the gate and up rows of a gated unit; a key head with its queries) are "
     "found\n"
     "from the graph. The pieces with the least importance go. Importance: l1, l2 of the weights; taylor, |G W| "
     "summed;\n"
     "wanda, |W| times the input's norm; flap, its fluctuation; gram, the exact rise of the readers' output error;\n"
     "blocks: cosine of what goes in and comes out, taylor, or learnt gates (FoldGPT). repair: the readers' weights "
     "and\n"
     "biases move to the least-squares answer without the piece.",
     "Pruning Filters (Li et al., ICLR 2017, arXiv 1608.08710); Molchanov et al. (CVPR 2019, arXiv 1906.10771); FLAP\n"
     "(arXiv 2312.11983); ZipLM (arXiv 2302.04089); FoldGPT (arXiv 2407.00928); ShortGPT (arXiv 2403.03853)",
     "l1, l2: no data; else calibration samples: a forward pass (taylor, gate: backward passes); repair: inputs^3 a "
     "layer",
     compress_shrink_args, &compress_shrink_arg_count},
    {"correct_bias", "correct_bias(net, part)", "the mean of every compressed layer's output as it was",
     "E[W x] - E[Wc xc] over the samples, layer by layer through the compressed prefix, goes to the layer's bias or "
     "off\n"
     "the running mean of the batch norm behind it.",
     "Nagel et al., Data-Free Quantization (ICCV 2019, arXiv 1906.04721), section 4.2, with measured means",
     "calibration samples; two forward passes", part, &part_count},
    {"reconstruct", "reconstruct(net, part [, { option = value }])",
     "integer codes of whole blocks learned together, so that each block's output is as it was",
     "After compress: every weight of the block's layers goes to one of the two codes around it, by AdaRound's soft\n"
     "codes and Adam on the squared error of the block's output against the original network's, inputs coming through\n"
     "the compressed blocks before. Blocks end where one value is all that goes on (a residual sum, the relu behind "
     "it).\n"
     "Layers of quantize{} with even integer codes take part; scales stay; a block keeps its codes where the new ones\n"
     "are no better on the samples. window: blocks learned together, one block on each time (CBQ).",
     "BRECQ (Li et al., ICLR 2021, arXiv 2102.05426), with the squared error of the authors' default; window: CBQ\n"
     "(Ding et al., arXiv 2312.07950), section 3.2",
     "calibration samples; iterations batches for each block through the network up to it, twice forward and once back",
     compress_reconstruct_args, &compress_reconstruct_arg_count},
    {"reestimate_norms", "reestimate_norms(net, part)",
     "batch norms' means and variances as the compressed network has them",
     "Running statistics are taken anew on the samples, norm by norm through the compressed network.",
     "AdaQuant (Hubara et al., arXiv 2006.10518), batch-norm tuning", "calibration samples; one forward pass", part,
     &part_count},
};
const size_t compress_call_count = sizeof compress_calls / sizeof *compress_calls;
