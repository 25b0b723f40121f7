-- The grids ParetoQ found best for each width, here without the training that they are meant for. The first and the
-- last layer keep 8 bits. ResNet-20 on CIFAR-10 by gptq: KL to the original 5.0, 0.34, 0.22, 0.092 and 0.016 at 1,
-- 1.58, 2, 3 and 4 bits; 2 bits by decoupleq 0.18 (89.1 % of 91.5), rounded 1.8.
recipe{
  name   = "paretoq",
  about  = "grids of 1, 1.58, 2, 3 and 4 bits",
  source = "ParetoQ (Liu et al., arXiv 2502.02631), section 4, weights only, without training",
}
local bits    = param("bits", "2", {"1", "1.58", "2", "3", "4"}, "width of a weight")
local solver  = param("solver", "gptq", {"rtn", "gptq", "adaround", "signround", "gsq", "decoupleq"}, "how codes are chosen")
local samples = param("samples", 256, {1, 100000}, "calibration samples")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

local grids = {
  ["1"]    = { dtype = "binary" },
  ["1.58"] = { dtype = "ternary", range = "absmax" },
  ["2"]    = { dtype = "seq", bits = 2 },
  ["3"]    = { dtype = "int3", range = "absmax" },
  ["4"]    = { dtype = "int4", range = "absmax" },
}
local how = grids[bits]
how.solver = solver
compress(net, {
  calibrate = data.calib:sample(samples, 1),
  rule("first|last", quantize{ bits = 8 }),
  rule(".*", quantize(how)),
})

report(evaluate(net, data.test))
save(net, "paretoq.safetensors")
