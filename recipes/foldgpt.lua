-- Whole residual blocks that change what goes through them least are taken out.
-- stories260K, one of five blocks: 82.5 % of the parameters, perplexity 3.69 -> 8.15 by cosine or taylor, 9.5 by learnt
-- gates. So small a network has no block to spare; the paper's have 32.
recipe{
  name   = "foldgpt",
  about  = "residual blocks removed by their importance",
  source = "FoldGPT (Liu et al., arXiv 2407.00928), block removal; cosine also: ShortGPT (arXiv 2403.03853)",
}
local fraction = param("fraction", 0.2, {0.0, 0.9}, "of the blocks that go")
local by       = param("by", "cosine", {"cosine", "gate", "taylor"}, "importance: what goes in against what comes out, learnt gates, gradient")
local what     = param("what", "blocks", {"blocks", "branches"}, "branches: attention and feed-forward parts by themselves")
local cost     = param("cost", 1.0, {0.0, 100.0}, "gate: weight of the gates' mean beside the loss")
local epochs   = param("epochs", 4, {1, 1000}, "gate: times over the samples")
local samples  = param("samples", 64, {1, 100000}, "calibration samples")

local net  = model(arg.model or "data/models/text-llama.safetensors")
local data = dataset(arg.data or default_data(net))

local small = shrink(net, {
  what = what, by = by, fraction = fraction, samples = samples, cost = cost, epochs = epochs, calibrate = data.calib:sample(samples, 1),
})

report(evaluate(small, data.test))
save(small, "foldgpt.safetensors")
