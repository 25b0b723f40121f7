-- Layers whose inputs spike - a few positions far above all others - stay wide, the rest gets few bits.
-- stories260K: the five down_proj have ratios of 4.0 to 6.4, all others 1.6 to 3.0, as in the paper's GLU models. At 3 bits,
-- 64 stories: perplexity 8.35 of 3.69 (4.36 stored bits); no layer wide 11.83 (3.22), gate_proj or up_proj instead 9.0, 9.1.
recipe{
  name   = "qfem",
  about  = "layers kept wide where activations spike, by the max-median ratio of their inputs",
  source = "Yang et al., Activation Spikes in GLU-Based LLMs (arXiv 2405.14428), section 4.1, QFeM",
}
local bits    = param("bits", 3, {2, 8}, "bits of the other layers")
local wide    = param("wide", 8, {2, 16}, "bits of layers that spike")
local ratio   = param("ratio", 3.0, {1.0, 1000000.0}, "largest max-median ratio of a layer that is narrow")
local samples = param("samples", 128, {1, 100000}, "calibration samples")

local net   = model(arg.model or "data/models/text-llama.safetensors")
local data  = dataset(arg.data or default_data(net))
local calib = data.calib:sample(samples, 1)

local t = sensitivity(net, { metric = "activation_spike", calibrate = calib })
report(t)
local rules = { calibrate = calib }
for _, name in ipairs(t.rows) do
  if t:value(name) > ratio then
    log(string.format("%s: ratio %.1f, %d bits", name, t:value(name), wide))
    rules[#rules + 1] = rule("^" .. name:gsub("%p", "\\%0") .. "$", quantize{ bits = wide })
  end
end
rules[#rules + 1] = rule(".*", quantize{ solver = "gptq", bits = bits })
compress(net, rules)

report(evaluate(net, data.test))
save(net, "qfem.safetensors")
