// methods: the pages of `vise methods` for variants of steps - what each computes, who published it, what it costs.
#include "compress/compress.h"

const compress_method compress_methods[] = {
    {"rtn", "quantize", "round to nearest, range from the extremes",
     "q = clamp(round(w / scale) + zero), w ~ scale (q - zero), rounding half to even. asym: scale = (max - min) /\n"
     "(2^b - 1), zero = round(-min / scale), the range always contains 0. sym: scale = 2 max|w| / (2^b - 1), zero =\n"
     "2^(b-1). One scale a tensor, an output row, or a group of neighbouring inputs.\n"
     "quantize{solver=\"rtn\", range=\"minmax\", bits=4, group=64}",
     "the baseline of GPTQ (Frantar et al., ICLR 2023, arXiv 2210.17323); Jacob et al., CVPR 2018 (arXiv 1712.05877)",
     "no data; one pass over the weights"},
    {"rtn-mse", "quantize", "round to nearest, range searched for the least error",
     "Shrinks min and max by p = 1 - i/100 for i = 0..79 and keeps the first p with the least sum |w - q(w)|^2.4.\n"
     "quantize{solver=\"rtn\", range=\"mse\", bits=3}",
     "GPTQ's Quantizer (norm 2.4, grid 100, maxshrink 0.8; arXiv 2210.17323)", "no data; 80 passes over the weights"},
    {"sign", "quantize", "one bit a weight: the sign, with the mean magnitude as scale",
     "w ~ a sign(w), a = mean |w| of the group, which is the least-squares scale (range=imatrix or golden: under the\n"
     "diagonal of H; other ranges search extremes, of which a sign has none, and change nothing).\n"
     "quantize{bits=1, group=64}",
     "XNOR-Net (Rastegari et al., ECCV 2016, arXiv 1603.05279), section 3.1", "no data; one pass"},
    {"ternary", "quantize", "-1, 0, 1 with the mean magnitude as scale, 1.6 bits a weight",
     "w ~ a clamp(round(w / a), -1, 1), a = mean |w| of the group; five codes to a byte. With range=\"mse\" a is the\n"
     "exact least-squares scale: mean of the k largest |w| for the k that maximises (their sum)^2 / k; imatrix and "
     "golden:\n"
     "the same under the diagonal of H; median: of |w|; absmax: 2/3 max|w| (ParetoQ), of it fast and percentile "
     "start.\n"
     "quantize{dtype=\"ternary\", group=64}",
     "BitNet b1.58 (Ma et al., arXiv 2402.17764); exact scale: Ternary Weight Networks (Li and Liu, arXiv 1605.04711), "
     "equation 5",
     "no data; one pass (range=mse: a sort of each group)"},
    {"dtypes", "quantize", "the data types: what each is, its bits and its scales",
     "int, intN, uintN even integers of 1 to 16 bits, symmetric or (uintN, sym=false) with a zero point; range=minmax "
     "is\n"
     "                 the full range, absmax that of +-(2^(b-1) - 1), narrow=true leaves the lowest code out for "
     "every\n"
     "                 solver; ternary -1 0 1; binary the sign\n"
     "eXmY             floats of X exponent and Y mantissa bits, sign beside them, 2 to 8 bits in all; fp4 = e2m1,\n"
     "                 fp6 = e3m2, fp8 = e4m3; saturating, half to even. Top codes\n"
     "                 are as OCP has them (e5m2 Inf and NaN, e4m3 one NaN, others numbers); eXmY-inf: the last\n"
     "                 exponent is Inf and NaN (IEEE), eXmY-nan (eXmYfn): the last code NaN, eXmY-all: numbers. With\n"
     "                 scale=\"e8m0\" and range=\"mse\" the bias is searched instead of a free scale\n"
     "mxfp4 mxfp6 mxfp6-e2m3 mxfp8 mxfp8-e5m2 mxint8\n"
     "                 blocks of 32 that share a power of two (OCP MX); nvfp4: e2m1 in blocks of 16 with e4m3 scales\n"
     "                 and one float for the matrix\n"
     "nf4, nf          quantiles of the normal distribution (QLoRA), `bits` bits; af4: AbnormalFloat (Yoshida)\n"
     "fp4-bnb, dynamic bitsandbytes' FP4 and dynamic-tree tables (8-bit Optimizers)\n"
     "lloyd            Lloyd-Max levels of N(0, 1), scale = root mean square\n"
     "quantile         quantiles of this layer's weights, stored with it\n"
     "power            even after sign(w) |w|^a, a searched for each layer (NUPES); dorefa: even after tanh\n"
     "                 (DoReFa); tanh: the same with a zero, one level fewer. Weights take the nearest level\n"
     "midrise          even levels without a zero (zero-excluding linear); seq: the middles of 2^bits even parts of\n"
     "                 -max .. max (ParetoQ)\n"
     "q4_0 q4_1 q5_0 q5_1 q8_0 q2_K q3_K q4_K q5_K q6_K iq4_nl iq4_xs ggml-mxfp4 ggml-nvfp4 tq1_0 tq2_0\n"
     "                 ggml's block formats, byte for byte; range=\"imatrix\" weighs by the diagonal of H\n"
     "granularity=column  a scale an input; rank1: scale min(r_i, c_j), largest magnitudes of row and column; with "
     "midrise that of 4-bit States\n"
     "split=true       a scale of its own for negative weights (AFPQ)\n"
     "scale=           f16 bf16 f32; e8m0 a power of two; e4m3 times one float; double: 8-bit codes around the mean, "
     "a\n"
     "                 float each 256 (QLoRA); super: 6-bit codes, an f16 each 16 (k-quants)\n"
     "All but ggml's take every granularity, range search, form of scales and solver, except hqq and bpdq, which have\n"
     "grids of their own, and deepcabac, which counts in whole steps. quantize{dtype=\"nf4\", solver=\"adaround\"}",
     "QLoRA (arXiv 2305.14314); OCP Microscaling Formats MX 1.0 (2023); OCP 8-bit floating point (2023); AFPQ (arXiv "
     "2311.01792); NUPES (arXiv 2308.05600); DoReFa-Net (arXiv 1606.06160); NF4 Isn't Information Theoretically "
     "Optimal "
     "(arXiv 2306.06965); 8-bit Optimizers (arXiv 2110.02861); Memory Efficient Optimizers with 4-bit States (arXiv "
     "2309.01507)",
     "no data; one pass (power: 16 passes over a sample; quantile: a sort of a sample)"},
    {"paretoq", "quantize", "the grids of 1, 1.58, 2, 3 and 4 bits that suit training best",
     "1 bit: dtype=binary, sign with mean |w|. 1.58: dtype=ternary range=absmax, levels -2/3 0 2/3 of the largest "
     "weight.\n"
     "2: dtype=seq, the middles of four even parts, -3/4 -1/4 1/4 3/4 of it (stretched elastic quantisation). 3 and "
     "4:\n"
     "dtype=int range=absmax, scale max / (2^(b-1) - 1). Only the grids: the authors go on to train weights and "
     "scales.\n"
     "quantize{dtype=\"seq\", bits=2, solver=\"gptq\"}",
     "ParetoQ (Liu et al., 2025, arXiv 2502.02631), section 4 and the authors' code (facebookresearch/ParetoQ)",
     "no data; one pass"},
    {"k-quants", "quantize", "ggml's block formats: super-blocks of quantised scales",
     "Blocks of 32 (q4_0 .. q8_0, iq4_nl) or 256 weights (k types), whose 16 or 32 neighbours share a scale, itself "
     "of\n"
     "4 to 8 bits. A handful of inverse scales around the extreme is tried, each with its least-squares scale; three\n"
     "bits descend over single codes. With range=\"imatrix\" a weight counts H_jj sqrt(mean w^2 + w^2). The bytes are\n"
     "those of ggml. quantize{dtype=\"q4_K\", range=\"imatrix\"}",
     "ggml (github.com/ggml-org/ggml), k-quants by Kawrakow (2023)",
     "no data (imatrix: calibration inputs); about 20 to 40 passes over the weights"},
    {"nf4", "quantize", "4-bit NormalFloat, absmax scales",
     "Levels: 8 quantiles above zero, 7 below, and zero, divided by the largest; w ~ absmax(group) level. Double\n"
     "quantisation of the scales with scale=\"double\". quantize{dtype=\"nf4\", group=64, scale=\"double\"}",
     "QLoRA (Dettmers et al., NeurIPS 2023, arXiv 2305.14314), section 3", "no data; one pass"},
    {"mxfp4", "quantize", "e2m1 floats in blocks of 32 that share a power of two",
     "Shared exponent: that of the block's largest weight less 2, the exponent of 6, the largest e2m1; values "
     "saturate.\n"
     "range=\"mse\" also tries the neighbouring exponents. 4.25 bits a weight. quantize{dtype=\"mxfp4\"}",
     "OCP Microscaling Formats MX 1.0 (2023), section 6.3", "no data; one pass (range=mse: 4)"},
    {"nvfp4", "quantize", "e2m1 floats in blocks of 16 with e4m3 scales and one float for the matrix",
     "Block scale: e4m3 nearest to absmax / 6 over the matrix scale, which is absmax / (6 * 448). 4.5 bits a weight.\n"
     "quantize{dtype=\"nvfp4\"}",
     "NVIDIA Blackwell's NVFP4 (2025)", "no data; two passes"},
    {"fp8", "quantize", "8-bit floats, e4m3 or e5m2, with a scale",
     "w ~ scale * e4m3(w / scale), scale = absmax / 448, saturating. quantize{dtype=\"fp8\"} or {dtype=\"e5m2\"}",
     "OCP 8-bit floating point (2023); Micikevicius et al., FP8 Formats for Deep Learning (arXiv 2209.05433)",
     "no data; one pass"},
    {"range-search", "quantize", "how the range of a grid is found",
     "absmax, minmax  the extremes\n"
     "mse             shrunk by 1 - i/100, i < 80, least sum |w - q|^2.4 (GPTQ's Quantizer: grid 100, maxshrink 0.8)\n"
     "near            0.9 .. 1.1 of the extremes in a hundred steps, the same sum (SliM-LLM)\n"
     "fast            the same up to i < 20, ended after five that are no better (llm-compressor)\n"
     "golden          golden section, first for the squared error weighted by the diagonal of H, then each scale for "
     "the\n"
     "                whole output error of its row under H, the others held; gptq then has its groups fixed ahead\n"
     "percentile      the extremes are percentiles of |w|\n"
     "cfp             |w| without its outliers: of those above Q3 + 1.5 (Q3 - Q1) the ones from the gap on that is\n"
     "                largest, squared, less the variance of those below it (CBQ's coarse-to-fine preprocessing)\n"
     "imatrix         21 ranges, for each the least-squares scale of its codes weighted by the diagonal of H; the "
     "best\n"
     "quantize{bits=3, range=\"imatrix\"}",
     "GPTQ (arXiv 2210.17323); llm-compressor's mse observer; AdaQuant (arXiv 2006.10518); ggml's block searches;\n"
     "CBQ (arXiv 2312.07950), section 3.4; SliM-LLM (arXiv 2405.14917)",
     "no data, but golden and imatrix: calibration inputs; absmax 1, mse 80, near 101, fast 6 to 20, golden 22, "
     "imatrix 43 passes, percentile a sort"},
    {"residual", "quantize", "quantise, then quantise what was left over, and again",
     "W ~ Q1 + Q2 + ...: each quantize step after the first codes the remainder with its own scales.\n"
     "rule(\".*\", quantize{bits=4}, quantize{bits=2})",
     "REx (Yvinec et al., NeurIPS 2023, arXiv 2203.14645)", "no data; one pass a step"},
    {"slim-llm", "quantize", "bits for groups of inputs by their salience, the mean kept",
     "Salience of a group: sum w^2 / U_ii^2, (H + damp)^-1 = U^T U. The n least salient groups get a bit less, the n "
     "most\n"
     "salient a bit more; n by trying each for the least output error of rounding to nearest (the authors: KL of the\n"
     "outputs). With gptq n is halved down to 0 with gptq itself and the best stays, so the output error is never "
     "above\n"
     "that of equal bits. One bit is the sign with mean |w|. range=\"near\" is the authors' salience-aware\n"
     "calibration of each group (salient weights count once, as in their code); range=\"imatrix\" weighs by H.\n"
     "quantize{solver=\"gptq\", bits=3, group=64, sym=false, range=\"near\", mix=\"salience\"}",
     "SliM-LLM (Huang et al., ICML 2025, arXiv 2405.14917), section 3.2",
     "calibration inputs; groups / 2 output errors and up to log2(groups) times the solver"},
    {"mixllm", "quantize", "bits for outputs, ranked over all layers of the rule",
     "An output's gain: sum F ((w - q_bits)^2 - (w - q_high)^2), F the squared gradients of the loss, q rounded to "
     "nearest;\n"
     "before the walk the outputs of all layers are ranked by gain a weight, and the first, `share` of all weights, "
     "get\n"
     "`high` bits. (The authors: |g d + (g d)^2 / 2| for each output of equal size.)\n"
     "quantize{solver=\"gptq\", bits=4, sym=false, mix=\"rows\", high=8, share=0.1}",
     "MixLLM (Zheng et al., arXiv 2412.14590), section 3.2",
     "calibration samples for gradients; every output is solved at both widths"},
    {"ptq161", "quantize", "salient inputs at 4 bits, all others as signs",
     "The `share` of inputs with the largest mean square is salient for every output (a bit an input) and rounded to "
     "`high`\n"
     "bits; the others are a sign(w), a scale a row (group > 0: and block), least squares under the inputs' second "
     "moment\n"
     "with the salient part's error in it. refine=\"cd\" turns signs over while the output error falls. (The authors "
     "learn\n"
     "the scales by gradient on a block's outputs, magnitude and angle, after a preprocessing that trains the "
     "weights.)\n"
     "quantize{bits=1, sym=false, mix=\"mask\", share=0.2, refine=\"cd\"}",
     "PTQ1.61 (Zhao et al., ACL 2025, arXiv 2502.13179), section 3",
     "calibration inputs; outputs inputs^2 operations a sweep"},
    {"rex", "quantize", "codes of remainders, for the outputs that are furthest off",
     "W ~ Q1 + Q2 + ...: after the first, each quantize codes what is left of the `rows` share of outputs whose "
     "remainder\n"
     "is largest; the others have nothing stored but a bit.\n"
     "rule(\".*\", quantize{bits=4}, quantize{bits=2, rows=0.5})",
     "REx (Yvinec et al., NeurIPS 2023, arXiv 2203.14645), sections 3.1 and 3.3", "no data; one pass a step"},
    {"rabit", "signs", "binary matrices with scales of rows and columns, each for what the others leave",
     "W ~ sum diag(g) B diag(h), B of signs: each by the best rank 1 of |R| (SVID), then in turns each anew for what\n"
     "the others leave. Only the start of RaBiT, which then trains the network.\n"
     "signs{rank=1, blocks=2, turns=20, weight=\"inputs\"}",
     "RaBiT (You et al., ICML 2026, arXiv 2602.05367); SVID: OneBit (Xu et al., arXiv 2402.11295)",
     "no data (weight=inputs: calibration inputs); blocks * turns eigenproblems of the smaller side"},
    {"bitstack", "signs", "blocks of signs times low-rank magnitudes, sorted over the network: one file, any size",
     "R scaled by the size of the inputs = sign(R) o |R|, of |R| the best rank k; again for what is left. A block's "
     "gain:\n"
     "fall of the relative output error a byte (the authors measure perplexity with each block gone). All blocks in "
     "the\n"
     "order of their gain: cut(net, {bytes=N}), model(path, {cut={bytes=N}}), vise eval FILE --cut bytes=N keep the "
     "first\n"
     "that fit, and of every layer one.\n"
     "signs{rank=16, blocks=8, weight=\"inputs\"}",
     "BitStack (Wang et al., ICLR 2025, arXiv 2410.23918)",
     "calibration inputs; an eigenproblem of the smaller side a block"},
    {"double-rounding", "quantize", "one stored code from which lower widths are cut",
     "Code of l bits = min(round(code / 2^d), 2^l - 1), scale 2^d s, zero z / 2^d, d = bits - l. s is searched from "
     "1.1 "
     "to\n"
     "0.5 of the extremes for the least sum over all widths of their squared error, each in units of its own least "
     "(the\n"
     "authors train s with all widths). cut(net, 4), model(path, {cut=4}), vise eval FILE --cut 4.\n"
     "quantize{bits=8, nested=4}",
     "Nearly Lossless Adaptive Bit Switching (Huang et al., arXiv 2502.01199), section 3.1",
     "no data; 61 passes a width"},
    {"gptq", "quantize", "column by column, later columns make up for each error",
     "Minimises tr((W-Q) H (W-Q)^T), H = X^T X / n of the layer's inputs: column i is rounded to its grid and the "
     "columns\n"
     "still to come move by -(w_i - q_i) / U_ii U[i, i+1:], with (H + damp mean(diag H) 1)^-1 = U^T U. damp 0.01 "
     "(raised\n"
     "and reported where H does not factor), block 128, order=\"act\": by falling diag H, static: group scales first.\n"
     "quantize{solver=\"gptq\", bits=3, order=\"act\"}",
     "GPTQ (Frantar, Ashkboos, Hoefler, Alistarh, ICLR 2023, arXiv 2210.17323)",
     "calibration inputs; inputs^3 + outputs inputs^2 operations a layer"},
    {"adaround", "quantize", "learn for each weight whether to round down or up",
     "Codes floor(w/s) + h(V), h a stretched sigmoid clipped to [0, 1]; V minimises tr(D H D^T) + 0.01 sum(1 - |2h - "
     "1|^b)\n"
     "with Adam, b falling from 20 to 2 after a fifth of the steps. The authors draw batches of inputs; here the "
     "whole\n"
     "calibration set enters through H, so a step has no noise. Single roundings are then flipped while the error "
     "falls.\n"
     "quantize{solver=\"adaround\", bits=3, sym=false, range=\"mse\", iterations=2000}",
     "AdaRound (Nagel et al., ICML 2020, arXiv 2004.10568); options as in BRECQ (Li et al., ICLR 2021, arXiv "
     "2102.05426)",
     "calibration inputs; iterations * outputs * inputs^2 operations a layer"},
    {"adaquant", "quantize", "weights and step sizes learned together",
     "Codes round((w + v) / s) + z; v and the step s follow the gradient of tr((Q-W) H (Q-W)^T) by Adam, rounding "
     "taken\n"
     "as the identity, 500 steps, rate 0.02 s falling to 0; a weight may move by any number of steps. The best of "
     "each\n"
     "row is kept. Then the\n"
     "authors tune biases (tune_biases; means alone: correct_bias) or batch norms (reestimate_norms).\n"
     "quantize{solver=\"adaquant\", bits=3}",
     "AdaQuant (Hubara et al., Improving Post Training Neural Quantization, arXiv 2006.10518)",
     "calibration inputs; iterations * outputs * inputs^2 operations a layer"},
    {"signround", "quantize", "rounding and clipping learned by signs of gradients",
     "Codes round(w / s + v) + z, v in [-1/2, 1/2], the range's ends times a and b in [0, 1] a group; all move by "
     "rate\n"
     "sign(gradient), rate 1/iterations falling to 0, 200 iterations. The best of each row is kept.\n"
     "quantize{solver=\"signround\", bits=3, sym=false, group=64}",
     "SignRound / AutoRound (Cheng et al., arXiv 2309.05516)",
     "calibration inputs; iterations * outputs * inputs^2 operations a layer"},
    {"decoupleq", "quantize", "integer part and float part of the layer in turn",
     "Codes by gptq's sweep for the scales and zeros there are, then scales and real zeros of all groups of a row "
     "from\n"
     "the normal equations under H; 6 turns (iterations), the best of each row is kept. sym: scales only.\n"
     "quantize{solver=\"decoupleq\", bits=2, sym=false}",
     "decoupleQ (Guo et al., 2024, arXiv 2404.12759)",
     "calibration inputs; inputs^3, and (1 + 2 groups) outputs inputs^2 operations a turn"},
    {"gsq", "quantize", "codes drawn by Gumbel-softmax and group scales, learned together",
     "A logit for each level of a weight (the 8 around gptq's code where there are more); the relaxed code is the "
     "mean\n"
     "level under softmax((k logits + Gumbel noise) / t), k 100 to 500, t 2 to 0.05. Logits and scales follow the "
     "output\n"
     "error by Lion from gptq's codes, 300 steps; every tenth the likeliest codes are looked at, each row keeps its "
     "best.\n"
     "The authors go block by block with the block's outputs as aim; here it is the layer's error under H.\n"
     "quantize{solver=\"gsq\", bits=2, group=64}",
     "GSQ (Dadgarnia et al., 2026, arXiv 2604.18556)",
     "calibration inputs; gptq, then iterations * outputs * inputs^2 operations"},
    {"bpdq", "quantize", "bit planes with weights of their own: a grid whose steps are fitted",
     "w ~ offset + sum of plane weights times bits: 2^bits levels a group that need not be even, (bits + 1) f16 a "
     "group.\n"
     "Group by group, 10 turns: plane weights by least squares under what H leaves for the group, bits column by "
     "column\n"
     "as gptq; the best turn's errors move the groups to come. refine=\"cd\" goes on with codes and plane weights "
     "under\n"
     "H itself. quantize{solver=\"bpdq\", bits=2, group=64, refine=\"cd\"}",
     "BPDQ (Chen et al., ICML 2026, arXiv 2602.04163)",
     "calibration inputs; inputs^3, and (bits + 3) outputs inputs group operations a turn"},
    {"dual-scale", "scale", "a scale an input beside those of the rows, that a neighbour can take in",
     "W ~ rounded(W / c) c: from powers 0, 1/4, .. 1 of the columns' largest weights, by turns W / c is rounded "
     "to\n"
     "nearest and the c that suits the codes best solves (H o Q^T Q) c = (H o Q^T W) 1; the c of least output error, "
     "1\n"
     "among them. The shift of the outputs' means goes into biases or norms by correct_bias.\n"
     "rule(\".*\", scale{method=\"dual\", bits=3, sym=true}, quantize{bits=3})",
     "D2Quant (Yan et al., 2026, arXiv 2602.02546): dual-scale quantiser and deviation-aware correction",
     "calibration inputs; 25 times inputs^3 / 3 + 3 outputs inputs^2 operations"},
    {"obq", "quantize", "the exact greedy order, every other weight of the row makes up for each error",
     "The free weight of a row with the least (w - q)^2 / [H^-1]_pp is rounded, the others move by -(w_p - q_p) /\n"
     "[H^-1]_pp [H^-1]_:p. At most 2,048 inputs; gptq is its approximation for larger layers.\n"
     "quantize{solver=\"obq\", bits=3}",
     "Optimal Brain Compression (Frantar, Singh, Alistarh, NeurIPS 2022, arXiv 2208.11580)",
     "calibration inputs; outputs inputs^3 operations a layer"},
    {"hqq", "quantize", "real-valued zero points that minimise a sparse norm of the error, without data",
     "Minimises sum |w - q|^0.7 over the zero of each group by turns with the error (soft threshold, beta 10, at most\n"
     "20 turns); the scale is that of the range. Zeros are stored as f16 (f32 where one is 256 or more).\n"
     "quantize{solver=\"hqq\", bits=4, group=64}",
     "Half-Quadratic Quantization (Badri and Shaji, 2023, mobiusml/hqq)", "no data; at most 20 passes"},
    {"coordinate-descent", "quantize", "cyclic descent on the codes after any solver",
     "Each code in turn goes to the grid point nearest w_j + ((w - q) H)_j / H_jj with its own error left out, where\n"
     "that lowers tr((W-Q) H (W-Q)^T); until nothing changes or `passes` are done. The error never rises.\n"
     "quantize{solver=\"gptq\", bits=3, refine=\"cd\"}",
     "QuantEase (Behdin et al., 2023, arXiv 2309.01885)", "calibration inputs; outputs inputs^2 operations a pass"},
    {"magnitude", "prune", "drop the smallest weights of each layer",
     "The floor(sparsity count) weights with the least |w| become 0; kept weights are stored with their positions.\n"
     "prune{criterion=\"magnitude\", sparsity=0.5}",
     "Han et al., NeurIPS 2015 (arXiv 1506.02626)", "no data; two passes over the weights, no sorting"},
    {"magnitude-global", "prune", "drop the smallest weights of all layers of the rule together",
     "One threshold for all matched layers, from their original weights; layers of small weights lose more.\n"
     "prune{criterion=\"magnitude\", scope=\"global\", sparsity=0.5}",
     "Blalock et al., What is the State of Neural Network Pruning, MLSys 2020 (arXiv 2003.03033)",
     "no data; three passes over all layers before the walk"},
    {"wanda", "prune", "drop the weights whose product with the size of their input is least",
     "In every output row the int(sparsity inputs) least |w_ij| ||x_j|| go, ||x_j||^2 the diagonal of H; n:m as well.\n"
     "An embedding's rows are ranked by |w|. variant=true: the share of each row's score sum that goes is the same "
     "for\n"
     "all rows and found by bisection. prune{criterion=\"wanda\", sparsity=0.5}",
     "Wanda (Sun, Liu, Bair, Kolter, ICLR 2024, arXiv 2306.11695)",
     "calibration inputs; one pass over the weights, no solving"},
    {"sparsegpt", "prune", "prune column by column, later columns make up for what goes",
     "In blocks of 128 columns the least w^2 / U_ii^2 of all rows go ((H + damp)^-1 = U^T U; n:m: of each run of m);\n"
     "what is lost moves the columns to come by -w_i / U_ii U[i, i+1:]. With bits the kept weights are rounded in the\n"
     "same sweep, so that pruning makes up for rounding too. Groups of a convolution each for themselves.\n"
     "prune{criterion=\"sparsegpt\", sparsity=0.5, bits=4}",
     "SparseGPT (Frantar, Alistarh, ICML 2023, arXiv 2301.00774)",
     "calibration inputs; inputs^3 + outputs inputs^2 operations a layer"},
    {"obs", "prune", "the exact greedy order, every other weight of the row makes up for each one that goes",
     "The weight (or block of neighbours) with the least w^2 / [H^-1]_pp of all rows goes, the row moves by\n"
     "-w_p / [H^-1]_pp [H^-1]_:p, p leaves the inverse. n:m: at most so many of each run.\n"
     "prune{criterion=\"obs\", sparsity=0.5}; prune{criterion=\"obs\", block=4}",
     "Optimal Brain Compression (Frantar, Singh, Alistarh, NeurIPS 2022, arXiv 2208.11580), ExactOBS; Hassibi and "
     "Stork,\n"
     "Optimal Brain Surgeon, NeurIPS 1992",
     "calibration inputs; outputs inputs^3 operations a layer, twice; at most 2,048 inputs"},
    {"nm", "prune", "keep n of every m neighbouring inputs",
     "The n largest |w| of every run of m inputs of a row stay; positions take ceil(log2 m) bits each (or a bitmap\n"
     "where that is smaller). prune{n=2, m=4}",
     "Mishra et al., Accelerating Sparse Deep Neural Networks (arXiv 2104.08378)", "no data; one pass"},
    {"l1", "prune", "drop units (rows, columns, groups, blocks) with the least sum of magnitudes",
     "A unit goes when the mean |w| of its weights is among the least (magnitude: the mean w^2).\n"
     "prune{criterion=\"l1\", pattern=\"rows\", sparsity=0.3}; to remove channels from the network: shrink{}",
     "Li et al., Pruning Filters for Efficient ConvNets (ICLR 2017, arXiv 1608.08710)", "no data; one pass"},
    {"taylor", "prune", "drop what the loss depends on least, to first order",
     "Score of a weight: sum over calibration samples of (g w)^2; of a unit: of (sum of g w over it)^2, g the "
     "gradient\n"
     "of the loss. scope=\"global\" ranks all layers together. prune{criterion=\"taylor\", samples=128}",
     "Molchanov et al., Importance Estimation for Neural Network Pruning (CVPR 2019, arXiv 1906.10771), eq. 8 and 9",
     "a backward pass for each of `samples` calibration samples"},
    {"saliency", "prune", "drop weights or units with the least w^2 / [H^-1]_cc",
     "The rise of the output error if a weight goes and its row makes up for it; over units its mean.\n"
     "prune{criterion=\"saliency\", pattern=\"groups\", length=16, sparsity=0.5}",
     "Optimal Brain Surgeon (Hassibi and Stork, NIPS 1992)", "calibration inputs; inputs^3 operations a layer"},
    {"icbs", "prune", "trade dropped for kept weights while the output error of what goes falls",
     "E = sum over rows of d^T H d, d the dropped weights. From wanda's mask on, blocks of the weights next to the "
     "cut\n"
     "are searched by trades under tabu, until no trade of two weights of a row (or run n:m) lowers E.\n"
     "prune{criterion=\"icbs\", sparsity=0.5, update=true}",
     "iCBS (Rosenberg et al., arXiv 2411.17860) on the layer's quadratic; The Combinatorial Brain Surgeon (arXiv "
     "2203.04466)",
     "calibration inputs; outputs (inputs^2 + passes block^2) operations a layer"},
    {"sap-pq-index", "prune", "how sparse each layer may be, from the shape of its weights",
     "I = 1 - d^(1/q - 1/p) |w|_p / |w|_q; d min(gamma (1 - (1+eta)^(-q/(q-p)) (1-I)^(qp/(q-p))), beta) of d weights\n"
     "go, `rounds` times of what is left. sparsity, if given, sets gamma. prune{scope=\"pq\"}",
     "Sparsity-informed adaptive pruning (Diao et al., ICLR 2023, arXiv 2302.05601), without training between rounds",
     "no data; one sort of the weights"},
    {"gqsa", "prune", "groups of inputs pruned as a whole, the others quantised with a scale each, then both learned",
     "Groups with the least mean of w^2 / [H^-1]_cc^2 go; a bit a group says which are kept, and codes and scales are\n"
     "stored for kept groups only. Then tune_blocks (BQPO: weights, scales and zero points of a block on its output)\n"
     "and tune_scales (E2E-OQP: scales and zero points on the network's loss); recipes/gqsa.lua.\n"
     "rule(\".*\", prune{criterion=\"gqsa\", pattern=\"groups\", length=16, sparsity=0.5},\n"
     "quantize{bits=4, group=16, sym=false})",
     "GQSA (Zeng et al., arXiv 2412.17560)",
     "calibration inputs; inputs^3 + outputs inputs^2 operations a layer, and what the two stages cost"},
    {"bct", "quantize", "small blocks that share a power of two, over every stored part of a transformer",
     "quantize{bits=8, group=64, scale=\"e8m0\"} for all layers - embedding, matrix products, head - and\n"
     "compress{others=\"f16\"} for norms, biases and position tables (recipes/bct.lua). What the paper does to values\n"
     "that are computed, not stored (GELU, softmax, layer norm, intermediate results), stays float: this program\n"
     "compresses what a file holds.",
     "BCT (Dong et al., Blockwise Compression of Transformer-based Models without Retraining, arXiv 2304.01483)",
     "no data; one pass over the weights"},
    {"cbq", "reconstruct", "rounding learned over overlapping windows of blocks",
     "quantize{range=\"cfp\"}, then reconstruct(net, part, { window = 2, loss = \"kl\", rank = 5 }): squared error "
     "and\n"
     "divergence of a window's output, rounding through factors of rank 5 (recipes/cbq.lua). Of the paper: windows "
     "and\n"
     "overlap, loss, LoRA-rounding, outliers of weights cut by the coarse-to-fine rule. Not: learned step sizes, and\n"
     "everything of activations, which stay float here.",
     "CBQ (Ding et al., ICLR 2025, arXiv 2312.07950)", "calibration samples; as reconstruct"},
    {"squeezellm", "codebook", "sensitivity-weighted codebooks, and the most sensitive weights by themselves",
     "outliers{criterion=\"fisher\", fraction=0.0005} (the largest F_i) and outliers{criterion=\"magnitude\",\n"
     "fraction=0.0045}, then\n"
     "codebook{bits=3, weight=\"fisher\"}: each row's book minimises sum F_i (w_i - book[code_i])^2, F_i the sum of "
     "the\n"
     "squared gradients of the loss. Books here are the exact optimum of each row.",
     "SqueezeLLM (Kim et al., ICML 2024, arXiv 2306.07629)",
     "a backward pass for each of `samples` calibration samples"},
    {"kmeans", "codebook", "one book of values a layer or row, by k-means",
     "Minimises sum (w_i - book[code_i])^2. codebook{bits=4, scope=\"layer\"}",
     "Deep Compression (Han, Mao, Dally, ICLR 2016, arXiv 1510.00149), section 3; exact in one dimension: Wang and "
     "Song, "
     "The R Journal 3/2, 2011",
     "no data; a sort and Lloyd's turns, or 2^bits n log n operations (exact)"},
    {"lnq", "codebook", "books of rows and codes in turn under the whole second moment",
     "Least (w - q) H (w - q)^T for every row, q_j = book[code_j]: from k-means (or codes with feedback, where "
     "better)\n"
     "each value of the book moves to its optimum, then each code to the best with all others held, four times; so\n"
     "`turns` times. Neither ever raises the error. codebook{bits=2, weight=\"hessian\", refine=\"lnq\", turns=20}",
     "LNQ of GuidedQuant (Kim et al., ICML 2025, arXiv 2505.07004), section 4; books by Gauss-Seidel, whose limit is "
     "their "
     "closed form",
     "calibration inputs; out in^2 operations a turn"},
    {"spqr", "outliers", "outliers kept apart, the rest in small groups by gptq",
     "W ~ sparse + Q(W - sparse): weights stay floats whose squared error over U_cc^2 in a sweep as gptq's is above\n"
     "threshold (0.2) times the mean of var(w_:c) / U_cc^2, H^-1 = U^T U; a group's grid is fitted without those that\n"
     "cost it more than that. criterion=\"obs\" takes a fraction by w^2 / [H^-1]_ii instead.\n"
     "rule(\".*\", outliers{criterion=\"spqr\", bits=3, group=16}, quantize{solver=\"gptq\", bits=3, group=16, "
     "sym=false})",
     "SpQR (Dettmers et al., ICLR 2024, arXiv 2306.03078), with scales as floats",
     "calibration inputs; as gptq, twice"},
    {"residual-vq", "vq", "several books of vectors, each for what those before it left over",
     "W ~ sum of book_k[code_k], `planes` books. Two books of 2^b vectors reach nearly what one of 2^(2b) would and "
     "are\n"
     "far smaller. A run's codes are chosen stage by stage, then each again with the others held; with feedback its\n"
     "error is carried on. A further vq{} step codes the remainder of the whole layer.\n"
     "vq{dim=4, bits=2, planes=2, feedback=\"ldlq\"}, or rule(\".*\", vq{dim=6, bits=1}, vq{dim=6, bits=1})",
     "residual vector quantisation: Chen, Guan and Wang, Sensors 2010 (doi 10.3390/s101211259)", "as vq, a step each"},
    {"vptq", "vq", "vectors down the columns, codes column by column with the errors carried on",
     "Runs of dim outputs of one input column. Books start by k-means weighted by diag H (residual stages: planes);\n"
     "codes are chosen column by column, and H^-1 moves the columns to come by each column's error, as in gptq; then\n"
     "the books get their least squares under the whole H (turns). outliers: the columns of the largest H_ii have\n"
     "books of their own, and the others make up for their error. vq{solver=\"vptq\", dim=2, bits=2}",
     "VPTQ (Liu et al., EMNLP 2024, arXiv 2409.17066), sections 3.1 and 3.2; the authors tune the books with gradients",
     "calibration inputs; out in (in + 2^(dim bits)) operations, and a product with H a turn"},
    {"vq4dit", "vq", "candidate vectors mixed by learned ratios until one is left",
     "Each run stands for the average of its `candidates` nearest vectors, weighted by softmax ratios; ratios and "
     "book\n"
     "are learned (Adam, `turns` steps) on the layer's output error plus a growing penalty on ratios between 0 and 1;\n"
     "then the largest counts, and the book gets its least squares. Never worse than k-means: the better one is kept.\n"
     "vq{solver=\"vq4dit\", dim=2, bits=2}",
     "VQ4DiT (Deng et al., AAAI 2025, arXiv 2408.17131); the authors learn on the outputs of whole blocks",
     "calibration inputs; a product with H a turn"},
    {"aqlm", "vq", "sums of vectors from several books, beam search and least squares in turn",
     "w_run ~ scale_row (book_1[code_1] + .. + book_M[code_M]), M = planes. From residual k-means and the feedback of\n"
     "gptq (a better start than the authors' k-means alone): books by least squares under the whole H, row scales, "
     "then\n"
     "every code again by beam search under the whole H, until the output error stands still (at most `turns`); "
     "scales\n"
     "and books are rounded to their stored type and the codes looked at once more. dim=0 takes the longest runs "
     "whose\n"
     "books stay within `share` of the codes. vq{solver=\"aqlm\", dim=4, bits=2, planes=2}",
     "AQLM (Egiazarian et al., ICML 2024, arXiv 2401.06118), section 3.2; without its tuning of whole blocks",
     "calibration inputs; a turn: out in^2 operations, beam times that for the last ones"},
    {"product-vq", "vq", "stretches of a row with books of their own",
     "The runs of a row fall into `spaces` equal stretches; each has its books. spaces = runs of a row: the classic\n"
     "product quantiser, a book for every sub-space. vq{dim=3, bits=2, spaces=48}",
     "Jegou, Douze and Schmid, PAMI 2011 (doi 10.1109/TPAMI.2010.57); for weights: Gong et al., arXiv 1412.6115",
     "as vq"},
    {"group-residual-vq", "vq", "groups of channels, each with several residual books",
     "The inputs are split into `spaces` groups, and each group's runs are coded in `planes` residual stages with "
     "books\n"
     "of its own. vq{dim=4, bits=2, planes=2, spaces=2}",
     "group-residual vector quantisation of HiFi-Codec (Yang et al., arXiv 2305.02765), here for weights", "as vq"},
    {"rans", "code", "entropy coding of what is stored",
     "Each array of codes, bitmap bits or gaps is stored in about n times its order-0 entropy, -sum p log2 p bits a\n"
     "code; the shares p are stored with it, and nothing is coded that would not get shorter. Steps and `vise info`\n"
     "print the entropy of the codes. rule(\".*\", quantize{solver=\"gptq\", bits=4}, code{})",
     "Duda, Asymmetric numeral systems (arXiv 1311.2540); its use after quantising: Deep Compression (Han et al., ICLR "
     "2016, arXiv 1510.00149)",
     "no data; two passes over the codes"},
    {"svd", "lowrank", "truncated singular value decomposition of the weight (or remainder)",
     "The U V of rank r with the least ||R - U V||^2. lowrank{method=\"svd\", fraction=0.5, factors=\"f16\"}",
     "Eckart and Young, Psychometrika 1936", "no data; O(out in min(out, in))"},
    {"svd-llm", "lowrank", "truncation-aware SVD: least output error on the calibration inputs",
     "The U V of rank r with the least tr((R - UV) H (R - UV)^T), H = X^T X / n: SVD of R L with L L^T = H, then "
     "L^-1.\n"
     "Computed from the eigenvectors of R H R^T, which are the same and need no inverse.\n"
     "lowrank{method=\"whitened\", ratio=0.5}",
     "SVD-LLM (Wang et al., ICLR 2025, arXiv 2403.07378)", "calibration inputs; O(out in^2 + out^2 in)"},
    {"rank-search", "lowrank", "the rank of each layer from its measured sensitivity, within a budget of bytes",
     "Each layer alone at several ratios, measured on the selection part; then the ranks with the least sum of\n"
     "divergences within the bytes: sensitivity(net, {options={lowrank{ratio=0.1}, ..}}), allocate(t, "
     "{budget={bytes=n}}).\n"
     "The authors search one threshold of perplexity; the allocator's choice is exact for the table.",
     "truncation rank search of ASVD (Yuan et al., arXiv 2312.05821), section 3.3",
     "as the factors; layers x ratios measurements of the network"},
    {"lorc", "lowrank", "low-rank compensation of the quantisation error",
     "W ~ Q + U V: quantise first, then a low-rank term of W - Q.\n"
     "rule(\".*\", quantize{bits=4}, lowrank{rank=8, factors=\"int8\"})",
     "ZeroQuant-V2 (Yao et al., arXiv 2303.08302), LoRC", "no data (whitened: calibration inputs)"},
    {"lowrank-then-quantize", "lowrank", "a low-rank part that absorbs the large directions, then integer codes",
     "W ~ U V + Q(W - U V). rule(\".*\", lowrank{rank=16, factors=\"f16\"}, quantize{bits=4, group=64})",
     "the decomposition of SVDQuant (Li et al., ICLR 2025, arXiv 2411.05007), without its smoothing",
     "no data (whitened: calibration inputs)"},
    {"awq", "quantize", "scales of the inputs, then clipping, both searched for the least output error",
     "s = mean|x|^r over sqrt(max s min s), r = 0, 0.05, .. 0.95; then each group is clipped at max|w| (1 - i/20).\n"
     "The scales are stored with the layer (f16). rule(\".*\", scale{method=\"awq\", bits=4, group=64},\n"
     "quantize{solver=\"awq\", sym=false, bits=4, group=64})",
     "AWQ (Lin et al., MLSys 2024, arXiv 2306.00978)", "calibration inputs; 20 products with H, 10 a group"},
    {"smoothquant", "scale", "magnitude moved between inputs and weights",
     "s = max|x|^alpha / max|w|^(1 - alpha) of each input; W s is stored, the inputs are divided by s.\n"
     "rule(\".*\", scale{method=\"smooth\", alpha=0.5}, quantize{bits=8})",
     "SmoothQuant (Xiao et al., ICML 2023, arXiv 2211.10438), equation 4", "calibration inputs; one pass"},
    {"quarot", "rotate", "a signed Hadamard rotation before any quantiser",
     "W R with R = D H: outliers spread over the row, so a coarse grid fits. Only a seed is stored.\n"
     "rule(\".*\", rotate{}, quantize{solver=\"gptq\", bits=3, group=64})",
     "QuaRot (Ashkboos et al., NeurIPS 2024, arXiv 2404.00456); both sides: QuIP# (arXiv 2402.04396)",
     "no data; n log n operations a row"},
    {"act-order", "permute", "gptq in the order of falling second moment, groups in that order too",
     "The permutation is stored (two bytes an input), so groups may follow it.\n"
     "rule(\".*\", permute{order=\"act\"}, quantize{solver=\"gptq\", bits=3, group=64})",
     "the --act-order of IST-DASLab/gptq", "calibration inputs; as gptq"},
    {"asvd", "lowrank", "singular value decomposition of the weight scaled by its inputs' magnitude",
     "s = mean|x|^alpha; W ~ (U V) / s with U V the best rank r of W s.\n"
     "rule(\".*\", scale{method=\"asvd\", alpha=0.5}, lowrank{ratio=0.5})",
     "ASVD (Yuan et al., arXiv 2312.05821)", "calibration inputs, one pass; O(out in min(out, in))"},
    {"svdquant", "lowrank", "smoothing, a low-rank part that absorbs the outliers, then four bits",
     "W s ~ U V + Q(W s - U V), s = max|x|^a / max|w|^b with the (a, b) of 39 that has the least output error.\n"
     "rule(\".*\", scale{method=\"svdquant\", rank=16, bits=4, group=64, sym=true}, lowrank{rank=16, "
     "factors=\"f16\"},\n"
     "quantize{bits=4, group=64})",
     "SVDQuant (Li et al., ICLR 2025, arXiv 2411.05007)", "calibration inputs; O(out in min(out, in))"},
    {"sparse-plus-lowrank", "prune", "a sparse part and a low-rank part",
     "prune then lowrank: U V approximates what was pruned; lowrank then prune: the largest of W - U V are stored.",
     "LoSparse (Li et al., ICML 2023, arXiv 2306.11222)", "no data (whitened: calibration inputs)"},
    {"qtip", "trellis", "trellis codes behind a rotation, feedback under H",
     "Rotated weights are nearly normal; runs of up to 256 down the columns are paths through a bitshift trellis of\n"
     "2^state states, found by Viterbi's search, and later columns make up for each column's error. Bits in quarters\n"
     "(Q-Palette). rule(\".*\", rotate{}, trellis{bits=2, state=16, code=\"hyb\"})",
     "QTIP (Tseng et al., NeurIPS 2024, arXiv 2406.11235); Q-Palette (Lee and Song, arXiv 2509.20214)",
     "calibration inputs; as trellis"},
    {"quip-sharp", "e8", "the lattice code E8P behind a rotation, block feedback under H",
     "rotate makes weights and H incoherent, e8 codes eight weights in 16 bits with block LDLQ; along=\"row\" as the\n"
     "authors, \"column\" keeps the feedback exact. rule(\".*\", rotate{side=\"both\"}, e8{bits=2, along=\"row\"})",
     "QuIP# (Tseng et al., ICML 2024, arXiv 2402.04396); without its fine-tuning", "calibration inputs; as e8"},
    {"turboquant", "qjl", "random rotation, Lloyd-Max levels, and a one-bit sketch for unbiased products",
     "mse: rotate{method=\"random\"}, quantize{dtype=\"lloyd\", bits=b}: squared error at most sqrt(3) pi / 2 4^-b "
     "|w|^2.\n"
     "prod: b - 1 bits so, then qjl{}: products with any input are right on average over seeds, their variance at "
     "most\n"
     "sqrt(3) pi^2 / inputs |w|^2 |x|^2 4^-b. rule(\".*\", rotate{method=\"random\"}, quantize{dtype=\"lloyd\", "
     "bits=2}, "
     "qjl{})",
     "TurboQuant (Zandieh et al., arXiv 2504.19874), algorithms 1 and 2", "no data; outputs inputs^2 operations"},
    {"lord", "lowrank", "low rank along the directions in which a layer's outputs vary",
     "U: leading eigenvectors of the covariance of the outputs, W (H - m m^T) W^T; W ~ U U^T W. What the mean loses "
     "is\n"
     "restored by correct_bias. rule(\".*\", lowrank{method=\"lord\", ratio=0.8})",
     "LORD (Kaushal et al., arXiv 2309.14021); Atomic Feature Mimicking (Yu and Wu, AAAI 2023)",
     "calibration inputs; O(out in^2 + out^3)"},
    {"spatial-svd", "lowrank", "a kernel as a vertical one followed by a horizontal one",
     "W[o, i, y, x] ~ sum_k U[(o, x), k] V[k, (i, y)]: kh x 1 to r channels, then 1 x kw. whitened: V as if places "
     "were\n"
     "uncorrelated, U the exact minimum of the output error for it. lowrank{split=\"spatial\", method=\"whitened\", "
     "ratio=0.5}",
     "Jaderberg et al., BMVC 2014 (arXiv 1405.3866), scheme 2; fitted to outputs as Zhang et al. (arXiv 1505.06798)",
     "no data, or calibration inputs; SVD of [out kw x in kh], whitened: (kw r)^3 + kw^2 r in^2 operations more"},
    {"channel-svd", "lowrank", "a kernel as a 1x1 convolution followed by the kernel on fewer channels",
     "W[o, i, y, x] ~ sum_k U[(o, y, x), k] V[k, i]. whitened: as spatial-svd. (split=\"none\" is the other order: "
     "the\n"
     "kernel to r channels, then 1x1.) lowrank{split=\"channel\", method=\"whitened\", ratio=0.5}",
     "Denton et al., NeurIPS 2014 (arXiv 1404.0736); fitted to outputs as Zhang et al. (arXiv 1505.06798)",
     "no data, or calibration inputs; SVD of [out kh kw x in], whitened: (kh kw r)^3 operations more"},
    {"gear", "lowrank", "outliers, low-bit codes, and a low-rank correction of what they leave over",
     "W ~ S + Q + U V. rule(\".*\", outliers{fraction=0.01}, quantize{bits=3, group=64},\n"
     "lowrank{method=\"whitened\", rank=4, factors=\"int8\"})",
     "GEAR (Kang et al., arXiv 2403.05527), there for caches of keys and values",
     "calibration inputs for whitened, else no data; as its three steps"},
    {"cabac", "code", "codes stored by an adaptive binary arithmetic coder",
     "Is it 0, its sign, is it greater than 1 .. 10, an exponential Golomb rest; shares of each bit learnt on the "
     "way,\n"
     "with the sign before as context. Codes without an order, and bytes, are coded bit by bit. Goes with\n"
     "quantize{solver=\"deepcabac\"}. code{coder=\"cabac\"}",
     "DeepCABAC (Wiedemann et al., IEEE JSTSP 2020, arXiv 1907.11900)", "no data; some 10 million codes a second"},
    {"deepcabac", "quantize", "codes chosen for error and coded length together",
     "Weight by weight in the order of the coder: of the nearest level, its neighbours and 0 the one with the least\n"
     "weight (w - q)^2 + lambda bits, bits being what the adaptive coder would spend in its state after the choices "
     "so\n"
     "far. step: in root mean squares of the layer; feedback: errors move the weights of the row still to come, as "
     "gptq.\n"
     "quantize{solver=\"deepcabac\", bits=8, granularity=\"tensor\", step=0.5, lambda=0.1}, code{coder=\"cabac\"}",
     "DeepCABAC (Wiedemann et al., IEEE JSTSP 2020, arXiv 1907.11900), sections 3.2 and 4; there weighted by the "
     "Fisher "
     "diagonal",
     "calibration inputs for weights and feedback; out in (in + 4 estimates) operations"},
    {"binary", "quantize", "signs with the mean magnitude of each group",
     "w ~ a sign(w), a = mean |w|: the scale of least squares; solver=\"gptq\" carries the errors on.\n"
     "quantize{dtype=\"binary\", group=64, solver=\"gptq\"}",
     "XNOR-Net (Rastegari et al., ECCV 2016, arXiv 1603.05279), section 3.1", "no data (gptq: calibration inputs)"},
    {"minifloat", "quantize", "floats of 2 to 8 bits, the split of exponent and mantissa free",
     "dtype=\"eXmY\": X exponent and Y mantissa bits beside the sign, to the nearest, half to even. The scale of a "
     "row\n"
     "or group takes the place of the exponent's bias; scale=\"e8m0\" with range=\"mse\" searches a whole bias "
     "instead.\n"
     "Top codes: as OCP has them, or -inf, -nan, -all behind the name. quantize{dtype=\"e3m2\", range=\"mse\"}",
     "Aggarwal et al., Post-Training Quantization with Low-precision Minifloats (arXiv 2311.12359); OCP 8-bit floating "
     "point (2023)",
     "no data; range=mse: 80 passes over the weights"},
    {"afpq", "quantize", "a scale of its own for the negative weights of each group",
     "Positive and negative weights each use the whole table of a float type. quantize{dtype=\"nf4\", group=64, "
     "split=true}",
     "AFPQ (Zhang et al., arXiv 2311.01792), section 3.2, scale per sign", "no data; one pass"},
    {"nupes", "quantize", "even levels after a power function, its exponent searched",
     "x -> sign(x) |x|^a, even levels, inverse; a from 0.25 to 1.25 by golden section on the squared error.\n"
     "quantize{dtype=\"power\", bits=4}",
     "NUPES (Yvinec et al., arXiv 2308.05600), the exponent; the authors also learn the rounding",
     "no data; 16 passes over a sample"},
    {"dorefa", "quantize", "even levels after tanh",
     "w' = tanh(w) / max |tanh(w)|, 2^b even levels from -1 to 1 (none is 0), and back by the inverse, so that the "
     "levels\n"
     "stand for weights. quantize{dtype=\"dorefa\", bits=4}; dtype=\"tanh\" has one level fewer, and 0",
     "DoReFa-Net (Zhou et al., arXiv 1606.06160), equation 9, without its training", "no data; one pass"},
    {"quantile", "quantize", "levels at the quantiles of each layer's weights",
     "Every level is used equally often; the table is stored with the layer. quantize{dtype=\"quantile\", bits=4}",
     "8-bit Optimizers (Dettmers et al., ICLR 2022, arXiv 2110.02861), section 2.2", "no data; a sort of a sample"},
    {"dynamic-tree", "quantize", "codes whose leading zeros are the exponent",
     "A sign, zeros that count powers of ten, a one, and the fraction in the bits that are left: fine around 0 and\n"
     "around 1. quantize{dtype=\"dynamic\", bits=8}",
     "8-bit Optimizers (Dettmers et al., ICLR 2022, arXiv 2110.02861), section 2.3", "no data; one pass"},
    {"rank1", "quantize", "scales of rows and columns together",
     "Weight [i, j] is divided by min(r_i, c_j), r and c the largest magnitudes of its row and column.\n"
     "quantize{granularity=\"rank1\", bits=4}; the paper's levels for second moments: dtype=\"midrise\"",
     "Memory Efficient Optimizers with 4-bit States (Li et al., NeurIPS 2023, arXiv 2309.01507), section 4.2",
     "no data; one pass"},
    {"qmoe", "code", "ternary codes, row by row, as 16-bit words of a fixed dictionary",
     "65,536 words for the likeliest runs of up to 14 pairs at 88.5 % zeros; each row is cut into the longest words.\n"
     "Shorter than 1.6 bits a code from about 60 % zeros on. quantize{dtype=\"ternary\"}, code{coder=\"dictionary\"}",
     "QMoE (Frantar and Alistarh, MLSys 2024, arXiv 2310.16795), section 3.3", "no data; one pass"},
    {"delta", "code", "arrays as differences from what another checkpoint predicts",
     "Predicted by the same array of that checkpoint where it is packed alike, by its weight rounded to this layer's\n"
     "scales (codes), or by its weight (floats). The file keeps that checkpoint's name and hash and opens with it "
     "only.\n"
     "code{coder=\"cabac\", against=\"original.safetensors\"}",
     "predictive coding; the coder is DeepCABAC's (arXiv 1907.11900)", "the other checkpoint; three passes"},
};
const size_t compress_method_count = sizeof compress_methods / sizeof *compress_methods;
