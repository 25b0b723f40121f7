-- Eight bits for every weight, rounded to nearest: the width at which most networks lose nothing. What it loses here
-- is the yardstick for everything below eight bits. ResNet-20 on CIFAR-10: KL to the original 0.0003.
-- ResNet-20 on CIFAR-10: 91.2 % of 91.5, KL to the original 0.0003 at 8.07 bits a weight.
recipe{
  name   = "w8",
  about  = "every weight rounded to 8 bits, one scale per output channel",
  source = "per-channel symmetric weights: Krishnamoorthi, Quantizing deep convolutional networks (arXiv 1806.08342)",
}
local samples = param("samples", 128, {1, 100000}, "calibration samples; they only measure the layers' errors")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

compress(net, {
  calibrate = data.calib:sample(samples, 1),
  rule(".*", quantize{ bits = 8 }),
})

report(evaluate(net, data.test))
save(net, "w8.safetensors")
