-- The smallest file: `bits` counts every stored byte, header, scales and biases too, over the weights of the layers.
-- ResNet-20 on CIFAR-10, 91.5 %: bits = 3.0: 100,497 bytes, 91.4 %, KL 0.011; 2.0: 66,807, 90.9 %, 0.054; 1.5: 49,961, 89.7 %, 0.133.
-- What was tried on the way: docs/smallest.md.
recipe{
  name   = "smallest",
  about  = "a file of so many bits a weight, header and biases included, by entropy-coded rounding",
  source = "codes: DeepCABAC (arXiv 1907.11900); steps: Gersho and Gray, Vector Quantization (1992), section 8.3",
}
local bits    = param("bits", 2.0, {0.5, 8.0}, "bits a weight of the whole file")
local lambda  = param("lambda", 0.02, {0.0, 10.0}, "what a bit is worth in the choice of a code, in squared steps")
local power   = param("power", 0.25, {0.0, 1.0}, "how far steps follow the sensitivities; 0.5 would be best if they added up")
local probe   = param("probe", 64, {1, 100000}, "calibration samples while sensitivities and size are searched")
local samples = param("samples", 512, {1, 100000}, "calibration samples of the final codes")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))
local function some(part, n, seed) return #part > n and part:sample(n, seed) or part end
local calib, few, check = some(data.calib, samples, 1), some(data.calib, math.min(probe, samples), 2), some(data.select, 200, 1)

-- Folded, a batch norm leaves one bias a channel of its four values. Networks without any go on as they are.
local folded, without = pcall(fold_batch_norms, net, few)
if folded then net = without end
local weights = 0
for _, l in ipairs(net.layers) do weights = weights + l.weights end

-- Layers without a step stay as they are. Returns the bits a weight of the file that this makes.
local function round(step, factor, part)
  local plan = { calibrate = part, held = false, others = "f16", compact = true }
  -- A handful of samples says little about how inputs go together: columns then make up less for each other.
  local damp = math.max(0.01, math.min(40 / math.max(#part, 1) ^ 2, 1))
  for i, l in ipairs(net.layers) do
    if step[i] then
      plan[#plan + 1] = rule("^" .. l.name:gsub("%W", "\\%0") .. "$",
        quantize{ solver = "deepcabac", bits = 8, granularity = "channel", step = math.min(step[i] * factor, 100), lambda = lambda, damp = damp },
        code{ coder = "cabac" })
    end
  end
  local f = evaluate(compress(net, plan), check)
  return 8 * (f.bytes + f.header_bytes) / weights, f
end

-- What a layer's step costs: its own KL (where there are no logits, its change of the loss) at a step of 1.
local harm, alike = {}, {}
for i, l in ipairs(net.layers) do
  local _, f = round({ [i] = 1 }, 1, few)
  harm[i] = math.max(1e-6, f.kl or f.loss and math.abs(f.loss - f.original.loss) or 0)
  alike[i] = 1
end

-- Harm grows with the square of a step, k s^2, and bits fall by the n weights of the layer for each doubling: were harms
-- to add up, all would be least at given bits where s^2 is in proportion to n / k.
local function follow(power)
  local step, mean = {}, 0
  for i, l in ipairs(net.layers) do
    step[i] = (l.weights / harm[i]) ^ power
    mean = mean + math.log(step[i]) * l.weights / weights
  end
  for i in ipairs(step) do step[i] = math.min(math.max(step[i] / math.exp(mean), 0.05), 4) end
  return step
end

-- One factor for all steps: doubling it takes about a bit off each weight. The file is never larger than asked for.
local function fit(step)
  local factor, is, f = 2 ^ (2.2 - bits)
  for turn = 1, 8 do
    is = round(step, factor, few)
    if is <= bits and is > bits - 0.01 then break end
    factor = factor * 2 ^ (1.1 * (is - bits + 0.003))
  end
  for turn = 1, 8 do
    is, f = round(step, factor, calib)
    if is <= bits then break end
    factor = factor * 2 ^ (1.2 * (is - bits) + 0.002)
  end
  -- A dry run has no figures, which equal nothing, and knows no more of these bytes than a bound.
  if is > bits and f.loss == f.loss then error(("%.3f bits a weight are the least that was reached, above the %g asked for"):format(is, bits)) end
  return factor
end

-- Steps alike, or following the harms: what does better on the selection part.
local function finish(step, factor)
  round(step, factor, calib)
  if #data.calib > 0 then correct_bias(net, calib) end
  return evaluate(net, data.select)
end
local best
for _, step in ipairs(power > 0 and { alike, follow(power) } or { alike }) do
  local factor = fit(step)
  local f = finish(step, factor)
  log(("steps %s, times %.3f: loss %.4f, KL %.4f on the selection part"):format(step == alike and "alike" or
    "by sensitivity", factor, f.loss or 0, f.kl or 0))
  local loss = f.kl or f.loss or 0
  if not best or loss < best.loss then best = { step = step, factor = factor, loss = loss } end
end
report(finish(best.step, best.factor))

report(evaluate(net, data.test))
save(net, "smallest.safetensors")
