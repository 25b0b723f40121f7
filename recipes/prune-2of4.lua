-- Of every four neighbouring inputs the two largest weights stay: the pattern that sparse matrix units compute at twice
-- the speed. The first and the last layer stay whole.
-- ResNet-20 on CIFAR-10: 48.7 % of 91.5, KL to the original 3.4; 17 bits a weight, since those that stay are floats.
recipe{
  name   = "prune-2of4",
  about  = "two of every four neighbouring weights removed",
  source = "Mishra et al., Accelerating sparse deep neural networks (arXiv 2104.08378), without retraining",
}
local n       = param("n", 2, {1, 15}, "weights that stay of every m")
local m       = param("m", 4, {2, 16}, "length of a run of neighbours")
local samples = param("samples", 128, {1, 100000}, "calibration samples; they only measure the layers' errors")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

compress(net, {
  calibrate = data.calib:sample(samples, 1),
  rule("first|last", keep{}),
  rule(".*",         prune{ n = n, m = m }),
})

report(evaluate(net, data.test))
save(net, "prune-2of4.safetensors")
