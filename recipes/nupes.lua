-- x -> sign(x) |x|^a makes small weights use more levels; a is searched for the least error of the layer. ResNet-20 on
-- CIFAR-10: KL to the original 0.092 at 4 bits, 0.67 at 3 (even levels: 0.094 and 1.35); 0.051 at 3 bits by gptq.
recipe{
  name   = "nupes",
  about  = "even levels after a power function, its exponent searched for each layer",
  source = "NUPES (Yvinec et al., arXiv 2308.05600), the exponent; the authors also learn the rounding",
}
local bits    = param("bits", 4, {2, 8}, "width of a weight")
local group   = param("group", 0, {0, 1024}, "neighbouring weights that share a scale; 0: a whole row")
local solver  = param("solver", "rtn", {"rtn", "gptq", "adaround", "signround", "gsq", "decoupleq"}, "how codes are chosen")
local samples = param("samples", 256, {1, 100000}, "calibration samples")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

compress(net, {
  calibrate = data.calib:sample(samples, 1),
  rule(".*", quantize{ dtype = "power", bits = bits, group = group, solver = solver }),
})

report(evaluate(net, data.test))
save(net, "nupes.safetensors")
