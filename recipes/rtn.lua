-- Round to nearest, all layers alike, a scale a channel: what every other method is measured against. ResNet-20 on
-- CIFAR-10: KL to the original 0.094 at 4 bits, 1.35 at 3 (range = mse: 0.97).
-- stories260K: perplexity 4.56 of 3.69 at 4 bits, 36.6 at 3.
recipe{
  name   = "rtn",
  about  = "every weight rounded to its nearest level",
  source = "the baseline of every method here; grid and search: GPTQ (arXiv 2210.17323), quant.py",
}
local bits    = param("bits", 4, {1, 8}, "width of a weight")
local group   = param("group", 0, {0, 1024}, "neighbouring weights that share a scale; 0: a whole row")
local range   = param("range", "absmax", {"absmax", "minmax", "mse", "fast", "percentile"}, "how the range is found")
local samples = param("samples", 128, {1, 100000}, "calibration samples; they only measure the layers' errors")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

compress(net, {
  calibrate = data.calib:sample(samples, 1),
  rule(".*", quantize{ bits = bits, group = group, range = range }),
})

report(evaluate(net, data.test))
save(net, "rtn.safetensors")
