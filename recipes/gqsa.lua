-- GQSA: groups of neighbouring inputs go as a whole, the others are quantised with a scale each; positions cost a bit a
-- group, and nothing else is stored for what went. Then its two stages: each block learned on its output, and scales and
-- zero points on the loss of the whole network.
-- ResNet-20 on CIFAR-10, 512 images, 30 % of groups of 16 gone and 4 bits, 3.76 bits a weight: top-1 91.5 -> 77.6 (KL 0.74)
-- as pruned and rounded; with the rates of the authors' kind of network (rate = 1e-5, srate = 1e-5) 87.3 (0.255) after
-- the blocks and 87.4 (0.237) after the scales; such a small one takes larger rates: with 3e-4 91.1 (0.153) after the
-- blocks. stories260K, 64 texts, rate 1e-4: perplexity 144 as pruned and rounded, 72 after both.
recipe{
  name   = "gqsa",
  about  = "group sparsity and group quantisation, tuned block by block and end to end",
  source = "GQSA (Zeng et al., arXiv 2412.17560): group pruning, BQPO, E2E-OQP",
}
local sparsity = param("sparsity", 0.3, {0.0, 0.9}, "fraction of the groups that go")
local group    = param("group", 16, {2, 256}, "inputs of a group")
local bits     = param("bits", 4, {2, 8}, "width of what stays")
local salience = param("salience", "gqsa", {"gqsa", "saliency", "wanda", "magnitude"}, "w^2 / [H^-1]^2 as the paper has it, or another")
local update   = param("update", 1, {0, 1}, "1: kept weights of a layer make up for the others before the blocks are learned")
local blocks   = param("blocks", 2, {0, 100}, "BQPO: passes over the samples for each block; 0: none")
local rate     = param("rate", 3e-4, {0.0, 1.0}, "BQPO: rate of weights; scales and zero points ten times that")
local window   = param("window", 1, {1, 8}, "BQPO: blocks learned together")
local scales   = param("scales", 1, {0, 100}, "E2E-OQP: passes over the samples; 0: none")
local srate    = param("srate", 1e-5, {0.0, 1.0}, "E2E-OQP: rate of scales and zero points")
local loss     = param("loss", "task", {"task", "kl"}, "E2E-OQP: loss of the labels, or divergence from the original network")
local samples  = param("samples", 512, {1, 100000}, "calibration samples")

local net   = model(arg.model or "data/models/digits-cnn.safetensors")
local data  = dataset(arg.data or default_data(net))
local calib = data.calib:sample(samples, 1)

compress(net, {
  calibrate = calib,
  rule("first|last", quantize{ bits = 8 }),
  rule(".*", prune{ criterion = salience, pattern = "groups", length = group, sparsity = sparsity, update = update == 1 },
             quantize{ solver = "gptq", bits = bits, group = group, sym = false }),
})
if blocks > 0 then
  tune_blocks(net, calib, { epochs = blocks, rate = rate, quant_rate = 10 * rate, window = window })
end
if scales > 0 then tune_scales(net, calib, { epochs = scales, rate = srate, loss = loss }) end

report(evaluate(net, data.test))
save(net, "gqsa.safetensors")
