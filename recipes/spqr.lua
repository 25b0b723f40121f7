-- SpQR: weights that a sweep as gptq's would pay most for stay floats, the rest gets few bits in small groups by GPTQ.
-- The paper quantises the scales once more; here they are f16. The first and the last layer keep 8 bits.
-- ResNet-20 on CIFAR-10: KL to the original 0.011 at 3 bits (4.56 stored); 0.011 at 4.49 with fraction = 0.01.
-- stories260K, 64 stories: perplexity 4.45 of 3.69 at 3 bits (5.41 stored); 4.56 at 5.25 with fraction = 0.01.
recipe{
  name   = "spqr",
  about  = "sensitive weights apart, the rest in small groups",
  source = "SpQR (Dettmers et al., ICLR 2024, arXiv 2306.03078)",
}
local bits     = param("bits", 3, {1, 8}, "width of the weights that are rounded")
local group    = param("group", 16, {0, 1024}, "neighbouring weights that share a scale; 0: a whole row")
local threshold = param("threshold", 0.2, {0.0, 100.0}, "error of a weight kept apart, relative to the layer's mean")
local fraction = param("fraction", 0.0, {0.0, 0.2}, "instead: this fraction of the weights, by saliency")
local samples  = param("samples", 256, {1, 100000}, "calibration samples")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

compress(net, {
  calibrate = data.calib:sample(samples, 1),
  rule("first|last", quantize{ bits = 8 }),
  rule(".*",
    fraction > 0 and outliers{ criterion = "obs", fraction = fraction }
      or outliers{ criterion = "spqr", threshold = threshold, bits = bits, group = group },
    quantize{ solver = "gptq", bits = bits, group = group, sym = false }),
})

report(evaluate(net, data.test))
save(net, "spqr.safetensors")
