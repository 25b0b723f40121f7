-- Every weight between the first and the last layer becomes -1, 0 or 1 times a scale; five such weights fit a byte.
-- The networks of the paper are trained with these weights: rounding a finished one shows how much training must repair.
-- ResNet-20 on CIFAR-10: KL to the original 6.5 rounded, 2.5 by gptq, 0.51 by decoupleq, 0.47 by gsq (82.5 % of 91.5).
recipe{
  name   = "ternary",
  about  = "weights of -1, 0 and 1; the first and the last layer keep 8 bits",
  source = "exact scale: Li and Liu, Ternary Weight Networks (arXiv 1605.04711), equation 5",
}
local range   = param("range", "mse", {"mse", "auto"}, "exact least-squares scale, or the mean magnitude (BitNet b1.58)")
local solver  = param("solver", "rtn", {"rtn", "gptq", "adaround", "signround", "gsq", "decoupleq"}, "how codes are chosen")
local group   = param("group", 0, {0, 1024}, "neighbouring weights that share a scale; 0: a whole row")
local samples = param("samples", 128, {1, 100000}, "calibration samples; they only measure the layers' errors")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

compress(net, {
  calibrate = data.calib:sample(samples, 1),
  rule("first|last", quantize{ bits = 8 }),
  rule(".*",         quantize{ dtype = "ternary", range = range, group = group, solver = solver }),
})

report(evaluate(net, data.test))
save(net, "ternary.safetensors")
