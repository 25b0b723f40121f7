-- Four bits for every weight, rounded to nearest: the baseline that every published method is compared with.
recipe{
  name   = "w4",
  about  = "every weight rounded to 4 bits, one scale per output channel",
  source = "round to nearest; Krishnamoorthi, Quantizing deep convolutional networks, 2018, section 2",
}
local bits    = param("bits", 4, {1, 8}, "width of a weight")
local samples = param("samples", 512, {1, 100000}, "calibration samples, for the error figures only")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

compress(net, {
  calibrate = data.calib:sample(samples, 1),
  rule(".*", quantize{ bits = bits }),
})

report(evaluate(net, data.test))
save(net, "w4.safetensors")
