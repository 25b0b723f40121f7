-- QuIP# as its authors have it, but for their fine-tuning: both sides of each weight rotated, eight inputs of a row as a
-- point of E8P, blocks of columns one after another with their errors carried on. The recipe e8 has runs down columns and
-- chooses all runs again. ResNet-20 / CIFAR-10, 256 images: 90.7 % of 91.5, KL 0.081 at 2.07 bits a
-- weight, 0.071 with passes = 2 (e8: 0.087).
recipe{
  name   = "quip-sharp",
  about  = "the lattice code E8P along rows behind rotations of both sides, with block feedback",
  source = "Tseng et al., QuIP# (ICML 2024, arXiv 2402.04396), sections 3 to 4.2, without fine-tuning",
}
local bits    = param("bits", 2.0, {2.0, 4.0}, "bits a weight: 2, 3 or 4")
local passes  = param("passes", 0, {0, 20}, "times that all runs are chosen again; the authors: none")
local samples = param("samples", 256, {1, 100000}, "calibration samples")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

compress(net, {
  calibrate = data.calib:sample(samples, 1),
  rule("first|last", quantize{ bits = 8 }),
  rule(".*", rotate{ side = "both" }, e8{ bits = bits, along = "row", passes = passes }),
})

report(evaluate(net, data.test))
save(net, "quip-sharp.safetensors")
