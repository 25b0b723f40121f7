-- Losses of layers do not add up: choices of widths for all layers are bred, each looked at as a whole network on the
-- selection part, at the bytes of one width for all.
-- On the digits CNN at the bytes of 3 bits: KL 0.0124 [0.0098, 0.0150] on the test part, uniform 0.0251 [0.0207, 0.0296].
-- ResNet-20: 0.064 [0.048, 0.080] against 0.064 [0.047, 0.081]: 320 choices of whole bits find nothing better there;
-- options with finer steps do (recipe mixed-precision).
recipe{
  name   = "evopress",
  about  = "widths of all layers bred at an exact budget, whole networks measured",
  source = "EvoPress (arXiv 2410.14649); GPTQ (arXiv 2210.17323)",
}
local bits        = param("bits", 3, {2, 6}, "the uniform width whose bytes are the budget")
local widest      = param("widest", 6, {3, 8}, "most bits that a layer may take")
local generations = param("generations", 20, {1, 10000}, "generations")
local offspring   = param("offspring", 16, {2, 1000}, "choices tried in each")
local samples     = param("samples", 128, {1, 100000}, "calibration samples")
local look        = param("look", 200, {1, 100000}, "selection samples that choices are measured on")

local net   = model(arg.model or "data/models/digits-cnn.safetensors")
local data  = dataset(arg.data or default_data(net))
local calib = data.calib:sample(samples, 1)

local function gptq(b) return quantize{ solver = "gptq", bits = b, order = "act", range = "mse" } end

compress(net, { calibrate = calib, rule(".*", gptq(bits)) })
local uniform = evaluate(net, data.test, "uniform")
report(uniform)

local check = data.select:first(math.min(look, #data.select))
local options = {}
for b = 2, math.max(widest, bits) do options[tostring(b)] = gptq(b) end
local t = sensitivity(net, { options = options, calibrate = calib, measure = check })

local choice = allocate(t, { budget = { bytes = uniform.bytes }, solver = "evopress", measure = check,
                             generations = generations, offspring = offspring })
compress(net, { calibrate = calib, choice })
report(evaluate(net, data.test, "mixed"), choice)
save(net, "evopress.safetensors")
