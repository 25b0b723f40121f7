-- Bit planes with weights of their own: 2^bits levels a group that need not be even, fitted with the codes. refine = cd goes
-- on with both under the inputs' second moment and is worth much at these widths.
-- ResNet-20 on CIFAR-10, all layers alike, a whole row a group: KL to the original at 3 bits 0.10 (256 images), with cd 0.037 (1,024
-- images); at 2 bits 0.35, with cd 0.16 (256 images; gptq 0.44). 2.13 bits a weight in all.
-- stories260K, 64 stories, all layers at 2 bits: perplexity 30.7 of 3.69 at 2.65 stored bits.
recipe{
  name   = "bpdq",
  about  = "bit planes on a variable grid",
  source = "BPDQ (Chen et al., ICML 2026, arXiv 2602.04163)",
}
local bits    = param("bits", 2, {1, 4}, "bit planes")
local group   = param("group", 0, {0, 1024}, "neighbouring weights that share plane weights; 0: a whole row")
local turns   = param("turns", 10, {1, 100}, "turns of codes and plane weights")
local refine  = param("refine", "cd", {"none", "cd"}, "cd: descent on codes and plane weights afterwards")
local samples = param("samples", 256, {1, 100000}, "calibration samples")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

compress(net, {
  calibrate = data.calib:sample(samples, 1),
  rule(".*", quantize{ solver = "bpdq", bits = bits, group = group, iterations = turns, refine = refine }),
})

report(evaluate(net, data.test))
save(net, "bpdq.safetensors")
