-- A weight is divided by the smaller of the largest magnitudes of its row and of its column. ResNet-20 on CIFAR-10: KL
-- to the original 0.063 at 4 bits, 0.30 at 3 (scales of rows alone: 0.094 and 1.35); 0.045 at 3 bits by gptq.
recipe{
  name   = "rank1",
  about  = "scales of rows and columns together",
  source = "Memory Efficient Optimizers with 4-bit States (Li et al., NeurIPS 2023, arXiv 2309.01507), section 4.2",
}
local bits    = param("bits", 4, {2, 8}, "width of a weight")
local dtype   = param("dtype", "int", {"int", "midrise", "nf4"}, "levels; midrise: even without a zero, the paper's for second moments")
local solver  = param("solver", "rtn", {"rtn", "gptq", "adaround", "signround", "gsq", "decoupleq"}, "how codes are chosen")
local samples = param("samples", 256, {1, 100000}, "calibration samples")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

compress(net, {
  calibrate = data.calib:sample(samples, 1),
  rule(".*", quantize{ granularity = "rank1", dtype = dtype, bits = bits, solver = solver }),
})

report(evaluate(net, data.test))
save(net, "rank1.safetensors")
