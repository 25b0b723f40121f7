-- OBQ: the exact greedy order that GPTQ approximates, one weight of a row at a time; for layers of up to 2,048 inputs.
-- The first and the last layer keep 8 bits.
-- ResNet-20 on CIFAR-10, 256 images: KL to the original 0.051 at 3 bits.
-- stories260K, 64 stories: perplexity 7.49 of 3.69 at 3 bits (4.1 stored).
recipe{
  name   = "obq",
  about  = "Optimal Brain Quantization, the first and the last layer in 8 bits",
  source = "Frantar, Singh, Alistarh: Optimal Brain Compression (NeurIPS 2022, arXiv 2208.11580)",
}
local bits    = param("bits", 3, {2, 8}, "width of the layers between the first and the last")
local refine  = param("refine", "none", {"none", "cd"}, "cd: coordinate descent on the codes afterwards")
local samples = param("samples", 256, {1, 100000}, "calibration samples")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

compress(net, {
  calibrate = data.calib:sample(samples, 1),
  rule("first|last", quantize{ bits = 8 }),
  rule(".*", quantize{ solver = "obq", bits = bits, refine = refine }),
})

report(evaluate(net, data.test))
save(net, "obq.safetensors")
