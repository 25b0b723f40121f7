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
     "blocks: cosine of what goes in and comes out, taylor, or learnt gates (FoldGPT's first stage;\n"
     "its second, weights shared by the blocks that stay, is not here). repair: the readers' weights and biases\n"
     "move to the least-squares answer without the piece.",
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
     "codes and Adam on the error of the block's output against the original network's, inputs coming through the\n"
     "compressed blocks before. Blocks end where one value is all that goes on (a residual sum, the relu behind it; "
     "in\n"
     "a transformer the attention part and the feed-forward part are a block each, so that its block is window = 2).\n"
     "Layers of quantize{} with even integer codes take part; scales stay; a block keeps its codes where the new ones\n"
     "are no better on the samples. loss: BRECQ weighs squared differences by squared gradients g of\n"
     "KL(original || compressed up to here): its equation by g^2 (bare), its code by (1 + |g|)^2 (fisher), its "
     "script's\n"
     "default not at all (plain). CBQ: window > 1 learns overlapping windows, one block on each time; loss = \"kl\" "
     "adds\n"
     "the divergence of the outputs' softmax; rank > 0 learns a layer's rounding through two thin factors (LoRA-\n"
     "rounding; added to where AdaRound begins, for those codes are the run's). Ours, not CBQ's: scales and "
     "activations\n"
     "are not learned, and rates are AdaRound's. Its outlier preprocessing is quantize{range = \"cfp\"}.",
     "BRECQ (Li et al., ICLR 2021, arXiv 2102.05426), equation 10, and the authors' quant/block_recon.py, "
     "data_utils.py;\n"
     "CBQ (Ding et al., ICLR 2025, arXiv 2312.07950)",
     "calibration samples; for each block its inputs, targets and gradients of all samples are held; fisher, bare: "
     "two\n"
     "passes through the network and one back; then iterations batches through the block, forward and back",
     compress_reconstruct_args, &compress_reconstruct_arg_count},
    {"reestimate_norms", "reestimate_norms(net, part)",
     "batch norms' means and variances as the compressed network has them",
     "Running statistics are taken anew on the samples, norm by norm through the compressed network.",
     "AdaQuant (Hubara et al., arXiv 2006.10518), batch-norm tuning", "calibration samples; one forward pass", part,
     &part_count},
    {"tune_blocks", "tune_blocks(net, part [, { option = value }])",
     "weights behind integer codes, scales and zero points of a block learned on its output (GQSA's BQPO)",
     "After compress: code = clamp(round(w / s) + z), value s (code - z); w, s and z follow the gradient of the mean\n"
     "squared error of the block's output against the original network's, rounding taken as the identity, inputs "
     "coming\n"
     "through the compressed blocks before. w begins as the original weight, as near as its code allows. Layers of\n"
     "quantize{} with even integer codes and plain scales take part, alone or pruned: what was pruned stays so. After\n"
     "every pass the error is measured on all samples; the best is kept, so that it never rises. Blocks as in\n"
     "reconstruct.",
     "GQSA (Zeng et al., arXiv 2412.17560), block quantisation-pruning optimisation; derivatives, rates and passes "
     "are\n"
     "those of Block-AP in EfficientQAT (Chen et al., arXiv 2407.11062, quantize/block_ap.py)",
     "calibration samples; for each block epochs passes of all samples through it, forward and back",
     compress_tune_blocks_args, &compress_tune_blocks_arg_count},
    {"tune_biases", "tune_biases(net, part [, { option = value }])",
     "biases of layers and norms learned so that the network's outputs are as they were (AdaQuant's bias tuning)",
     "After compress: all weights stay, biases follow the gradient of KL(original || compressed) of the outputs (of a\n"
     "network that gives its input back, of its own squared error). Where a norm stands behind a layer its bias is\n"
     "learned: folded it would be the layer's. After every pass the divergence is measured on all samples with the\n"
     "biases as stored; the best is kept, so that it never rises on them.",
     "AdaQuant (Hubara et al., Improving Post Training Neural Quantization, arXiv 2006.10518), bias tuning by\n"
     "distillation; rate and passes are ours",
     "calibration samples, no labels; epochs passes through the original network, the compressed one, and back",
     compress_tune_biases_args, &compress_tune_biases_arg_count},
    {"tune_scales", "tune_scales(net, part [, { option = value }])",
     "scales and zero points learned on the loss of the whole network, codes frozen (GQSA's E2E-OQP)",
     "After compress: s and z of value s (code - z) follow the gradient of the loss of the labels, or with loss = "
     "\"kl\"\n"
     "of the divergence from the original network's outputs; codes and pruned positions stay. Layers as in "
     "tune_blocks.\n"
     "After every pass the loss is measured on all samples; the best is kept, so that it never rises on them.",
     "GQSA (Zeng et al., arXiv 2412.17560), end-to-end optimised quantisation-pruning; rate and batch are those of\n"
     "E2E-QP in EfficientQAT (Chen et al., arXiv 2407.11062), which trains the scales alone (zeros = false)",
     "calibration samples (loss = \"task\": with labels); epochs passes through the network, forward and back",
     compress_tune_scales_args, &compress_tune_scales_arg_count},
};
const size_t compress_call_count = sizeof compress_calls / sizeof *compress_calls;
