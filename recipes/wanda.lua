-- Wanda: in every output row the weights go whose product with the size of their input is least. No update, no solving.
-- ResNet-20 on CIFAR-10, 1,024 images: KL to the original 0.26 at 50 % (sparsegpt: 0.043).
-- stories260K, 64 stories: perplexity 18.3 of 3.69 at 50 %.
recipe{
  name   = "wanda",
  about  = "weights of little |w| times input size pruned, row by row",
  source = "Wanda (Sun, Liu, Bair, Kolter, ICLR 2024, arXiv 2306.11695)",
}
local sparsity   = param("sparsity", 0.5, {0.0, 0.99}, "fraction of the weights that become 0")
local pattern    = param("pattern", "free", {"free", "2:4", "4:8"}, "which weights may go together")
local sequential = param("sequential", 0, {0, 1}, "1: calibrate behind the layers already compressed")
local samples    = param("samples", 1024, {1, 100000}, "calibration samples")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

local step
if pattern == "free" then
  step = prune{ criterion = "wanda", sparsity = sparsity }
else
  local n, m = pattern:match("(%d):(%d)")
  step = prune{ criterion = "wanda", n = tonumber(n), m = tonumber(m) }
end

compress(net, {
  calibrate  = data.calib:sample(samples, 1),
  sequential = sequential == 1,
  rule("first|last", keep{}),
  rule(".*", step),
})

report(evaluate(net, data.test))
save(net, "wanda.safetensors")
