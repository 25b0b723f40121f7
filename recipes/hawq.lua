-- Widths by curvature: the trace of the loss's Hessian in each layer's weights times what each width changes them, the
-- least sum at the bytes of one width for all. Only calibration data is looked at before the end.
-- ResNet-20 at the bytes of 3 bits, all layers, rounded to nearest: top-1 84.2 % [81.8, 86.3] against 70.3 % [67.4, 73.1]
-- of uniform, KL 0.346 [0.298, 0.394] against 0.969 [0.857, 1.081]. On the digits CNN (five layers) KL 0.193 against 0.132:
-- there is little to rank.
recipe{
  name   = "hawq",
  about  = "widths chosen layer by layer from Hessian traces, at the bytes of one width for all",
  source = "HAWQ-V2 (arXiv 1911.03852), traces; HAWQ-V3 (arXiv 2011.10680), section 3.4, the choice",
}
local bits    = param("bits", 3, {2, 6}, "the uniform width whose bytes are the budget")
local widest  = param("widest", 8, {3, 8}, "most bits that a layer may take")
local samples = param("samples", 128, {1, 100000}, "calibration samples")
local traces  = param("traces", "auto", {"auto", "hutchinson", "sampled"}, "how traces are had; sampled: all layers in one pass")
local probes  = param("probes", 64, {2, 100000}, "random probes of a trace, where it is not computed exactly")

local net   = model(arg.model or "data/models/digits-cnn.safetensors")
local data  = dataset(arg.data or default_data(net))
local calib = data.calib:sample(samples, 1)

local function rounded(b) return quantize{ bits = b, range = "mse" } end

compress(net, { calibrate = calib, rule(".*", rounded(bits)) })
local uniform = evaluate(net, data.test, "uniform")
report(uniform)

local options = {}
for b = 2, math.max(widest, bits) do options[tostring(b)] = rounded(b) end
local t = sensitivity(net, { options = options, metric = "trace_noise", method = traces, probes = probes, calibrate = calib })
report(t)

local choice = allocate(t, { budget = { bytes = uniform.bytes }, solver = "ilp" })
compress(net, { calibrate = calib, choice })
report(evaluate(net, data.test, "mixed"), choice)
save(net, "hawq.safetensors")
