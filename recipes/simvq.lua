-- A book of 256 vectors that costs 32 bytes: random vectors that a seed describes, turned by a basis of 4 x 4.
-- ResNet-20 / CIFAR-10, 256 images: 90.9 % of 91.5, KL 0.118 at 2.08 bits a weight.
recipe{
  name   = "simvq",
  about  = "codes into a book of fixed normal vectors turned by a learned basis",
  source = "Zhu et al., SimVQ (arXiv 2411.02038), the basis by least squares",
}
local bits    = param("bits", 2, {1, 3}, "bits a weight")
local length  = param("length", 4, {1, 4}, "neighbouring weights that share a code")
local rank    = param("rank", 0, {0, 64}, "rows of the basis; 0: length")
local samples = param("samples", 256, {1, 100000}, "calibration samples")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

compress(net, {
  calibrate = data.calib:sample(samples, 1),
  rule("first|last", quantize{ bits = 8 }),
  rule(".*", rotate{}, simvq{ length = length, bits = bits, rank = rank }),
})

report(evaluate(net, data.test))
save(net, "simvq.safetensors")
