-- Rotating a layer's inputs spreads its outliers over whole rows, so that a coarse grid fits; only a seed is stored, and
-- decoding turns back. On ResNet-20 / CIFAR-10 at 3 bits: 91.9 % of 91.5, KL 0.039 at 3.06 bits a weight.
-- stories260K, 64 stories: perplexity 7.48 of 3.69 at 3 bits (4.1 stored).
recipe{
  name   = "quarot",
  about  = "GPTQ behind a Hadamard rotation of each layer's inputs",
  source = "Ashkboos et al., QuaRot (arXiv 2404.00456), without folding",
}
local bits    = param("bits", 3, {2, 8}, "bits a weight")
local group   = param("group", 0, {0, 1024}, "neighbouring weights that share a scale; 0: a whole row")
local samples = param("samples", 256, {1, 100000}, "calibration samples")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

compress(net, {
  calibrate = data.calib:sample(samples, 1),
  rule("first|last", quantize{ bits = 8 }),
  rule(".*", rotate{},
             quantize{ solver = "gptq", bits = bits, group = group, order = "act" }),
})

report(evaluate(net, data.test))
save(net, "quarot.safetensors")
