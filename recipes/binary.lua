-- Signs with the mean magnitude of each group, the exact least-squares scale. The first and the last layer keep 8
-- bits. A finished network does not survive it without training. ResNet-20 on CIFAR-10: KL to the original 6.8
-- rounded, 4.0 by gptq (18 % top-1), 3.1 by decoupleq (34 %).
recipe{
  name   = "binary",
  about  = "one bit a weight",
  source = "XNOR-Net (Rastegari et al., arXiv 1603.05279), section 3.1, weights only, without training",
}
local group   = param("group", 64, {0, 1024}, "neighbouring weights that share a scale; 0: a whole row")
local solver  = param("solver", "gptq", {"rtn", "gptq", "adaround", "signround", "gsq", "decoupleq"}, "how signs are chosen")
local samples = param("samples", 256, {1, 100000}, "calibration samples")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

compress(net, {
  calibrate = data.calib:sample(samples, 1),
  rule("first|last", quantize{ bits = 8 }),
  rule(".*", quantize{ dtype = "binary", group = group, solver = solver }),
})

report(evaluate(net, data.test))
save(net, "binary.safetensors")
