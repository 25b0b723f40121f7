-- The paper trains with weights rounded after tanh; here a finished network is rounded so. The first and the last
-- layer keep 8 bits. ResNet-20 on CIFAR-10: KL to the original 0.064 at 4 bits, 0.37 at 3, 0.047 at 3 bits by gptq.
recipe{
  name   = "dorefa",
  about  = "even levels after tanh",
  source = "DoReFa-Net (Zhou et al., arXiv 1606.06160), equation 9, without training",
}
local bits    = param("bits", 4, {2, 8}, "width of a weight")
local solver  = param("solver", "rtn", {"rtn", "gptq", "adaround", "signround", "gsq", "decoupleq"}, "how codes are chosen")
local samples = param("samples", 256, {1, 100000}, "calibration samples")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

compress(net, {
  calibrate = data.calib:sample(samples, 1),
  rule("first|last", quantize{ bits = 8 }),
  rule(".*", quantize{ dtype = "dorefa", bits = bits, solver = solver }),
})

report(evaluate(net, data.test))
save(net, "dorefa.safetensors")
