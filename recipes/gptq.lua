-- GPTQ: columns are rounded one after another, and those still to come move so as to make up for each error on the
-- calibration inputs. The first and the last layer keep 8 bits.
-- ResNet-20 on CIFAR-10, all layers alike, range = mse, 1,024 images: KL to the original 0.009 at 4 bits, 0.057 at 3, 0.83
-- at 2; with refine = cd 0.048 at 3 and 0.58 at 2 (round to nearest: 0.13, 0.89 and 4.4). Which 1,024 images are drawn
-- matters at 2 bits: 0.71 to 0.85 over six seeds, mean 0.78.
-- stories260K, 64 stories: perplexity 4.04 of 3.69 at 4 bits (4.9 stored), 7.58 at 3 (4.1 stored); groups of 64: 4.02
-- and 7.27.
recipe{
  name   = "gptq",
  about  = "GPTQ at a chosen width, the first and the last layer in 8 bits",
  source = "Frantar et al., GPTQ (arXiv 2210.17323), algorithm 1; order = act as in the authors' code",
}
local bits    = param("bits", 3, {2, 8}, "width of the layers between the first and the last")
local group   = param("group", 0, {0, 1024}, "neighbouring weights that share a scale; 0: a whole row")
local order   = param("order", "act", {"none", "act", "group"}, "columns as they are, by falling second moment, groups and columns inside so")
local range   = param("range", "auto", {"auto", "minmax", "mse"}, "range of each grid: extremes, or the least error")
local refine  = param("refine", "none", {"none", "cd"}, "cd: coordinate descent on the codes afterwards")
local samples = param("samples", 256, {1, 100000}, "calibration samples")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

compress(net, {
  calibrate = data.calib:sample(samples, 1),
  rule("first|last", quantize{ bits = 8 }),
  rule(".*",         quantize{ solver = "gptq", bits = bits, group = group, order = order, range = range,
                        refine = refine }),
})

report(evaluate(net, data.test))
save(net, "gptq.safetensors")
