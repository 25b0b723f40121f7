-- Smoothing moves the inputs' outliers into the weights, the strongest directions of those go into a thin 16-bit branch,
-- and what is left takes four bits. How far to smooth is searched with all of it in place, as the authors do.
-- ResNet-20 / CIFAR-10: 91.5 % of 91.5, KL 0.024 (7.6 bits: its layers are small; 0.019 with alpha = 0.5).
-- stories260K: perplexity 4.08 of 3.69 (7.6 stored: factors of 16 columns weigh much beside 64; 4.12 with
-- alpha = 0.5, 4.15 unscaled).
recipe{
  name   = "svdquant",
  about  = "smoothing, a thin 16-bit low-rank branch, the rest of each layer in 4 bits",
  source = "Li et al., SVDQuant (arXiv 2411.05007), for the weights",
}
local rank    = param("rank", 8, {1, 256}, "rank of the branch")
local bits    = param("bits", 4, {2, 8}, "bits a weight")
local group   = param("group", 64, {0, 1024}, "neighbouring weights that share a scale; 0: a whole row")
local alpha   = param("alpha", 0.0, {0.0, 1.0}, "how much of the inputs' range goes into the weights; 0: searched")
local samples = param("samples", 256, {1, 100000}, "calibration samples")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

local smooth = alpha > 0 and scale{ method = "smooth", alpha = alpha }
  or scale{ method = "svdquant", rank = rank, bits = bits, group = group, sym = true }

compress(net, {
  calibrate = data.calib:sample(samples, 1),
  rule(".*", smooth,
             lowrank{ rank = rank, factors = "f16" },
             quantize{ bits = bits, group = group }),
})

report(evaluate(net, data.test))
save(net, "svdquant.safetensors")
