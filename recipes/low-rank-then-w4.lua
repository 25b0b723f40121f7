-- The strongest directions of each layer go into a thin 16-bit branch first; what is left has a smaller range and takes
-- four bits better. (SVDQuant also smooths the activations first, since it quantises those too.)
-- ResNet-20 on CIFAR-10: 91.5 % of 91.5, KL to the original 0.022 at 7.32 bits a weight: layers this small have wide factors.
-- stories260K: perplexity 4.15 of 3.69.
recipe{
  name   = "low-rank-then-w4",
  about  = "a thin 16-bit low-rank branch, the rest of each layer in 4 bits",
  source = "Li et al., SVDQuant (arXiv 2411.05007), the decomposition of the weights",
}
local rank    = param("rank", 8, {1, 256}, "rank of the branch")
local bits    = param("bits", 4, {2, 8}, "width of the rest")
local group   = param("group", 64, {0, 1024}, "neighbouring weights that share a scale; 0: a whole row")
local samples = param("samples", 128, {1, 100000}, "calibration samples; they only measure the layers' errors")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

compress(net, {
  calibrate = data.calib:sample(samples, 1),
  rule(".*", lowrank{ rank = rank, factors = "f16" },
             quantize{ bits = bits, group = group }),
})

report(evaluate(net, data.test))
save(net, "low-rank-then-w4.safetensors")
