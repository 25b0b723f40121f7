-- Does it matter what a layer is calibrated on? In parallel, on what the original network feeds it; in sequence, on what
-- the layers already compressed feed it, so that it can make up for some of their error. Everything else is the same.
-- ResNet-20 on CIFAR-10 at 3 bits: KL to the original 0.056 [0.042, 0.070] in parallel, 0.062 [0.044, 0.080] in sequence.
recipe{
  name   = "sequential-vs-parallel",
  about  = "GPTQ calibrated both ways, side by side",
  source = "Frantar et al., GPTQ (arXiv 2210.17323), which calibrates in sequence, block by block (section 4)",
}
local bits    = param("bits", 3, {2, 8}, "width of a weight")
local samples = param("samples", 256, {1, 100000}, "calibration samples")

local net   = model(arg.model or "data/models/digits-cnn.safetensors")
local data  = dataset(arg.data or default_data(net))
local calib = data.calib:sample(samples, 1)

for _, way in ipairs{ "parallel", "sequential" } do
  compress(net, {
    calibrate  = calib,
    sequential = way == "sequential",
    rule(".*", quantize{ solver = "gptq", bits = bits }),
  })
  report(evaluate(net, data.test, way))
  save(net, way .. ".safetensors")
end
