-- SqueezeLLM: a book of values for every output row, fitted where the loss feels errors most (squared gradients); the
-- most sensitive and the largest weights are stored by themselves. The first and the last layer keep 8 bits.
-- ResNet-20 on CIFAR-10: KL to the original 0.074 at 3 bits (3.5 stored), 0.014 at 4 (4.9 stored).
-- stories260K, 64 stories: perplexity 4.87 of 3.69 at 3 bits (5.8 stored: rows of 64 weights and books of 8 values).
recipe{
  name   = "squeezellm",
  about  = "Fisher-weighted codebooks and a few weights as floats",
  source = "SqueezeLLM (Kim et al., ICML 2024, arXiv 2306.07629)",
}
local bits      = param("bits", 3, {1, 8}, "bits a code: 2^bits values a row")
local sensitive = param("sensitive", 0.0005, {0.0, 0.1}, "fraction of the weights kept apart for their sensitivity")
local large     = param("large", 0.0045, {0.0, 0.1}, "fraction of the weights kept apart for their size")
local weight    = param("weight", "fisher", {"none", "hessian", "fisher"}, "what an error in a weight costs")
local samples   = param("samples", 128, {1, 100000}, "calibration samples")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

compress(net, {
  calibrate = data.calib:sample(samples, 1),
  rule("first|last", quantize{ bits = 8 }),
  rule(".*", 
    outliers{ criterion = "fisher", fraction = sensitive, samples = samples },
    outliers{ criterion = "magnitude", fraction = large },
    codebook{ bits = bits, weight = weight, samples = samples }),
})

report(evaluate(net, data.test))
save(net, "squeezellm.safetensors")
