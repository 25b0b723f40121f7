-- The other way round than low-rank-then-w4: quantise first, then let a small low-rank term make up for the error. On
-- ResNet-20 / CIFAR-10: 91.5 % of 91.5, KL 0.027 at 5.8 bits (its layers are small; w4-group: 0.058 at 4.3), with
-- bits = 3: 88.2 %, KL 0.23. stories260K: perplexity 4.23 of 3.69 (w4-group: 4.26).
recipe{
  name   = "lorc",
  about  = "4-bit weights plus a low-rank term that makes up for their error",
  source = "low-rank compensation: Yao et al., ZeroQuant-V2 (arXiv 2303.08302), section 5",
}
local rank    = param("rank", 8, {1, 256}, "rank of the correction")
local bits    = param("bits", 4, {2, 8}, "width of the codes")
local group   = param("group", 64, {0, 1024}, "neighbouring weights that share a scale; 0: a whole row")
local factors = param("factors", "int8", {"f16", "int8", "int4"}, "stored type of the correction")
local samples = param("samples", 128, {1, 100000}, "calibration samples; they only measure the layers' errors")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

compress(net, {
  calibrate = data.calib:sample(samples, 1),
  rule(".*", quantize{ bits = bits, group = group },
             lowrank{ rank = rank, factors = factors }),
})

report(evaluate(net, data.test))
save(net, "lorc.safetensors")
