-- SpQR: weights that are costly to round stay floats, the rest gets few bits in small groups by GPTQ. The paper
-- quantises the scales once more; here they are f16. The first and the last layer keep 8 bits.
-- ResNet-20 on CIFAR-10: KL to the original 0.011 at 3 bits (4.5 stored).
-- stories260K, 64 stories: perplexity 4.54 of 3.69 at 3 bits (5.25 stored).
recipe{
  name   = "spqr",
  about  = "sensitive weights apart, the rest in small groups",
  source = "SpQR (Dettmers et al., ICLR 2024, arXiv 2306.03078)",
}
local bits     = param("bits", 3, {1, 8}, "width of the weights that are rounded")
local group    = param("group", 16, {0, 1024}, "neighbouring weights that share a scale; 0: a whole row")
local fraction = param("fraction", 0.01, {0.0, 0.2}, "fraction of the weights kept apart")
local samples  = param("samples", 256, {1, 100000}, "calibration samples")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

compress(net, {
  calibrate = data.calib:sample(samples, 1),
  rule("first|last", quantize{ bits = 8 }),
  rule(".*", 
    outliers{ criterion = "obs", fraction = fraction },
    quantize{ solver = "gptq", bits = bits, group = group, sym = false }),
})

report(evaluate(net, data.test))
save(net, "spqr.safetensors")
