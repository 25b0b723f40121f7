-- Which layers get how many bits: every layer alone at every option, measured on the selection part; then the options
-- with the least sum of divergences at the bytes that one width for all would take. The test part is looked at once, at
-- the end. Two networks of the same bytes say what was gained by what: one width for all, and one entropy-coded step.
-- At the bytes of 3 bits, KL on the test part (perplexity):
--              one width                  one step                   mixed
-- ResNet-20    0.049 [0.036, 0.062]       0.017 [0.012, 0.021]       0.0096 [0.0067, 0.0126]
-- stories260K  0.691 [0.680, 0.702] 7.33  0.380 [0.373, 0.386] 5.33  0.314 [0.308, 0.321] 5.02   (original 3.69)
-- In pairs mixed less one step: ResNet-20 -0.007 [-0.011, -0.002], stories260K -0.065 [-0.070, -0.060].
-- With options = widths ResNet-20 0.034 [0.024, 0.044]: whole bits are too coarse a choice.
recipe{
  name   = "mixed-precision",
  about  = "precision chosen layer by layer from measured sensitivities, at the bytes of one width for all",
  source = "one-on sensitivity and exact allocation, as HAWQ-V3 (arXiv 2011.10680), section 3.4; GPTQ (arXiv 2210.17323); DeepCABAC (arXiv 1907.11900)",
}
local bits    = param("bits", 3, {2, 6}, "the uniform width whose bytes are the budget")
local options = param("options", "steps", {"steps", "widths"}, "what a layer may take: an entropy-coded step, or a whole number of bits")
local solver  = param("solver", "exact", {"exact", "hull", "greedy", "baq", "lgreco"}, "how the options are chosen")
local samples = param("samples", 256, {1, 100000}, "calibration samples")
local look    = param("look", 400, {1, 100000}, "selection samples that losses are measured on")

local net   = model(arg.model or "data/models/digits-cnn.safetensors")
local data  = dataset(arg.data or default_data(net))
local calib = data.calib:sample(samples, 1)

local function gptq(b) return quantize{ solver = "gptq", bits = b, order = "act", range = "mse" } end
-- Rounding with feedback as gptq's, to a step in units of each row's root mean square, entropy-coded: bits follow from it.
local function coded(step)
  return { quantize{ solver = "deepcabac", bits = step < 0.1 and 12 or 8, granularity = "channel", step = step, lambda = 0.02 }, code{ coder = "cabac" } }
end

local function whole(figures) return figures.bytes + figures.header_bytes end

-- One width for all layers: the budget, and what is to be beaten.
compress(net, { calibrate = calib, rule(".*", gptq(bits)) })
local uniform = evaluate(net, data.test, "one width")
report(uniform)

local choices = {}
if options == "widths" then
  for b = 2, 8 do choices[tostring(b)] = gptq(b) end
else
  for _, s in ipairs{ 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.75, 0.9, 1.1, 1.4, 1.8 } do
    s = s * 2 ^ (3 - bits)
    choices[("step %.3g"):format(s)] = coded(s)
  end
end
local t = sensitivity(net, { options = choices, calibrate = calib, measure = data.select:first(math.min(look, #data.select)) })
report(t)

local coarse
-- One step for all layers, as fine as the bytes allow: what entropy coding does without a choice.
if options == "steps" then
  local step = 2 ^ (2.2 - bits)
  for turn = 1, 12 do
    compress(net, { calibrate = calib, held = false, rule(".*", table.unpack(coded(step))) })
    local is = evaluate(net, data.select:first(math.min(1, #data.select))) -- for its size
    local over = (whole(is) - whole(uniform)) / is.bytes * is.bits
    if over <= 0 and over > -0.01 then break end
    step = math.min(step * 2 ^ (1.05 * over + 0.004), 8)
  end
  coarse = evaluate(net, data.test, "one step")
  report(coarse)
end

-- The budget is of arrays; what the header grows by is taken off it.
local growth, choice, chosen = 0
for turn = 1, 6 do
  choice = allocate(t, { budget = { bytes = uniform.bytes - growth }, solver = solver })
  compress(net, { calibrate = calib, held = false, choice })
  chosen = evaluate(net, data.select, "mixed, on the selection part")
  if whole(chosen) <= whole(uniform) then break end
  growth = math.max(growth + 1, chosen.header_bytes - uniform.header_bytes)
end
report(chosen, choice)
local mixed = evaluate(net, data.test, "mixed")
report(mixed)
-- The same test samples in pairs.
if mixed.samples then
  compare(mixed, uniform)
  if coarse then compare(mixed, coarse) end
end
save(net, "mixed-precision.safetensors")
