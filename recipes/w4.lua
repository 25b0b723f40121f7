-- Four bits for every weight, rounded to nearest: the baseline that every published method is compared with.
-- ResNet-20 on CIFAR-10: 90.2 % of 91.5, KL to the original 0.094 at 4.04 bits a weight; bits = 3: KL 1.35.
recipe{
  name   = "w4",
  about  = "every weight rounded to a few bits, one scale per output channel",
  source = "round to nearest, the baseline of GPTQ (Frantar et al., arXiv 2210.17323), table 1",
}
local bits    = param("bits", 4, {1, 8}, "width of a weight")
local samples = param("samples", 128, {1, 100000}, "calibration samples; they only measure the layers' errors")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

compress(net, {
  calibrate = data.calib:sample(samples, 1),
  rule(".*", quantize{ bits = bits }),
})

report(evaluate(net, data.test))
save(net, "w4.safetensors")
