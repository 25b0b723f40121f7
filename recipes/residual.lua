-- Codes for the weights, then codes for what those left over: two coarse grids make a fine one, and the second can be
-- left out where there is no room for it. ResNet-20 on CIFAR-10: KL to the original 0.026 at 6.08 bits (4 bits alone:
-- 0.094).
-- ResNet-20 on CIFAR-10: 91.2 % of 91.5, KL to the original 0.026 at 6.08 bits a weight.
recipe{
  name   = "residual",
  about  = "4-bit codes plus 2-bit codes of the remainder",
  source = "residual expansion: Yvinec et al., REx (arXiv 2203.14645), section 3",
}
local bits    = param("bits", 4, {1, 8}, "width of the first codes")
local more    = param("more", 2, {1, 8}, "width of the codes of the remainder")
local samples = param("samples", 128, {1, 100000}, "calibration samples; they only measure the layers' errors")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

compress(net, {
  calibrate = data.calib:sample(samples, 1),
  rule(".*", quantize{ bits = bits }, quantize{ bits = more }),
})

report(evaluate(net, data.test))
save(net, "residual.safetensors")
