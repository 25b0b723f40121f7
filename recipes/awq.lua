-- AWQ: inputs that carry much get finer weights. Their scales are searched, then the clipping of each group, both for the
-- least output error; the scales are stored with the layer. On ResNet-20 / CIFAR-10 (4 bits): 91.8 % of 91.5, KL 0.024 at
-- 4.68 bits a weight; on stories260K with groups of 64: perplexity 3.98 of 3.69 at 5.1 bits.
-- At 3 bits 5.72 of 3.69 (4.3 stored).
recipe{
  name   = "awq",
  about  = "scales of the inputs and clipping of the groups, both searched for the least output error",
  source = "Lin et al., AWQ (arXiv 2306.00978)",
}
local bits    = param("bits", 4, {2, 8}, "bits a weight")
local group   = param("group", 64, {0, 1024}, "neighbouring weights that share a scale; 0: a whole row")
local samples = param("samples", 256, {1, 100000}, "calibration samples")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

compress(net, {
  calibrate = data.calib:sample(samples, 1),
  rule("first|last", quantize{ bits = 8 }),
  rule(".*", scale{ method = "awq", bits = bits, group = group },
             quantize{ solver = "awq", bits = bits, group = group, sym = false }),
})

report(evaluate(net, data.test))
save(net, "awq.safetensors")
