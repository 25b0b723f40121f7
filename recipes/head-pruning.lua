-- Attention heads that matter least are taken out: their rows of q, k and v, their columns of o. With grouped queries a
-- key and value head goes with all its query heads.
-- stories260K with fraction = 0.25, one of four key heads a layer (two of eight query heads): parameters to 94 %,
-- operations to 86 %, perplexity 3.69 -> 4.24 by gram or taylor. The shipped text model has two key heads a layer: one of
-- them takes its perplexity from 3.33 to 6.38.
recipe{
  name   = "head-pruning",
  about  = "attention heads removed from every layer",
  source = "Molchanov et al. (arXiv 1906.10771) for taylor; Michel et al., Are Sixteen Heads Really Better than One? (arXiv 1905.10650)",
}
local fraction = param("fraction", 0.5, {0.0, 0.9}, "of the heads of each layer that go")
local by       = param("by", "gram", {"gram", "wanda", "flap", "taylor", "l1", "l2"}, "importance")
local repair   = param("repair", 1, {0, 1}, "1: the output projection makes up for what goes")
local samples  = param("samples", 64, {1, 100000}, "calibration samples")

local net  = model(arg.model or "data/models/text-llama.safetensors")
local data = dataset(arg.data or default_data(net))

local small = shrink(net, {
  what = "heads", by = by, fraction = fraction, repair = repair == 1, samples = samples,
  calibrate = data.calib:sample(samples, 1),
})

report(evaluate(small, data.test))
save(small, "head-pruning.safetensors")
