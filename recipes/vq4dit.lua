-- VQ4DiT: every run of weights starts as a mixture of its nearest vectors; the ratios and the book are learned on the
-- output error until one vector is left; then the book gets its least squares. The first and the last layer keep 8 bits.
-- ResNet-20 on CIFAR-10, 1,024 images: KL to the original 0.28 at 2.06 bits a weight; k-means books alone
-- have 3.7 there, gptq 0.33.
recipe{
  name   = "vq4dit",
  about  = "codes by learned mixtures of candidate vectors",
  source = "VQ4DiT (Deng et al., AAAI 2025, arXiv 2408.17131), on each layer's output error",
}
local bits       = param("bits", 2, {1, 4}, "bits a weight; books come on top")
local dim        = param("dim", 2, {1, 3}, "neighbouring weights that share a code")
local candidates = param("candidates", 4, {1, 16}, "nearest vectors that are mixed")
local iterations = param("iterations", 200, {1, 10000}, "steps of the optimiser")
local samples    = param("samples", 256, {1, 100000}, "calibration samples")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

compress(net, {
  calibrate = data.calib:sample(samples, 1),
  rule("first|last", quantize{ bits = 8 }),
  rule(".*", vq{ solver = "vq4dit", bits = bits, dim = dim, candidates = candidates, turns = iterations }),
})

report(evaluate(net, data.test))
save(net, "vq4dit.safetensors")
