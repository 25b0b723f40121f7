-- GPTQ: columns are rounded one after another, and those still to come move so as to make up for each error on the
-- calibration inputs. The first and the last layer keep 8 bits.
recipe{
  name   = "gptq",
  about  = "GPTQ at a chosen width, the first and the last layer in 8 bits",
  source = "Frantar et al., GPTQ (arXiv 2210.17323), algorithm 1; order = act as in the authors' code",
}
local bits    = param("bits", 3, {2, 8}, "width of the layers between the first and the last")
local group   = param("group", 0, {0, 1024}, "neighbouring weights that share a scale; 0: a whole row")
local order   = param("order", "act", {"none", "act"}, "columns as they are, or by falling second moment of their input")
local samples = param("samples", 256, {1, 100000}, "calibration samples")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

compress(net, {
  calibrate = data.calib:sample(samples, 1),
  rule("first|last", quantize{ bits = 8 }),
  rule(".*",         quantize{ solver = "gptq", bits = bits, group = group, order = order }),
})

report(evaluate(net, data.test))
save(net, "gptq.safetensors")
