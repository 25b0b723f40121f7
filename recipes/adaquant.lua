-- Weights and step sizes of a layer are learned together, so that a weight may move by more than one step; then biases are
-- learned on the divergence of the outputs. The authors' other ends, means restored and batch norms measured again, can
-- cost more than they gain with few images and a good fit.
-- ResNet-20 on CIFAR-10, all layers alike, 3 bits, 256 images, 300 steps: top-1 91.4, KL to the original 0.070; without
-- tuning 91.0, 0.070. 1,024 images, 500 steps: untuned 0.067; biases corrected 0.080, with batch norms measured again as
-- well 0.24 (round to nearest: 1.35).
recipe{
  name   = "adaquant",
  about  = "weights and step sizes learned together, then biases",
  source = "AdaQuant (Hubara et al., Improving Post Training Neural Quantization, arXiv 2006.10518)",
}
local bits    = param("bits", 3, {2, 8}, "width of a weight")
local steps   = param("steps", 500, {1, 100000}, "steps of the optimiser, each over the whole calibration set")
local tune    = param("tune", "learn", {"none", "learn", "bias", "norms"}, "learn: biases by distillation; bias: means restored; norms: and statistics measured again")
local samples = param("samples", 256, {1, 100000}, "calibration samples")

local net   = model(arg.model or "data/models/digits-cnn.safetensors")
local data  = dataset(arg.data or default_data(net))
local calib = data.calib:sample(samples, 1)

compress(net, {
  calibrate = calib,
  rule(".*", quantize{ solver = "adaquant", bits = bits, iterations = steps }),
})
if tune == "learn" then tune_biases(net, calib) end
if tune == "bias" or tune == "norms" then correct_bias(net, calib) end
if tune == "norms" then reestimate_norms(net, calib) end

report(evaluate(net, data.test))
save(net, "adaquant.safetensors")
