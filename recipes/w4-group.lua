-- Four bits with a scale and a zero point for every few neighbouring weights instead of for a whole row. A group costs
-- 16 + 4 bits, so groups of 64 come to about 4.3 bits a weight. ResNet-20 on CIFAR-10: KL to the original 0.058 (a
-- scale a channel: 0.094).
recipe{
  name   = "w4-group",
  about  = "4-bit weights in small groups, each with its own scale and zero point",
  source = "group-wise quantisation: Shen et al., Q-BERT (arXiv 1909.05840), section 3.2",
}
local bits    = param("bits", 4, {2, 8}, "width of a weight")
local group   = param("group", 64, {8, 1024}, "neighbouring weights that share a scale")
local sym     = param("sym", false, nil, "ranges symmetric around 0, without a zero point")
local samples = param("samples", 128, {1, 100000}, "calibration samples; they only measure the layers' errors")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

compress(net, {
  calibrate = data.calib:sample(samples, 1),
  rule(".*", quantize{ bits = bits, group = group, sym = sym }),
})

report(evaluate(net, data.test))
save(net, "w4-group.safetensors")
