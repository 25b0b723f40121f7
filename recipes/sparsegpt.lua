-- SparseGPT: the least important weights go, the others make up for them; the first and last layers stay as they are.
-- ResNet-20 on CIFAR-10, 1,024 images: KL to the original 0.043 at 50 %, 0.32 at 70 %; 2:4 in sequence 0.26 (wanda at
-- 50 %: 0.26).
-- stories260K, 64 stories: perplexity 17.2 of 3.69 at 50 %; so small a network has little to spare.
recipe{
  name   = "sparsegpt",
  about  = "weights pruned with an update of those that stay",
  source = "SparseGPT (Frantar, Alistarh, ICML 2023, arXiv 2301.00774)",
}
local sparsity   = param("sparsity", 0.5, {0.0, 0.99}, "fraction of the weights that become 0")
local pattern    = param("pattern", "free", {"free", "2:4", "4:8"}, "which weights may go together")
local sequential = param("sequential", 0, {0, 1}, "1: calibrate behind the layers already compressed")
local samples    = param("samples", 1024, {1, 100000}, "calibration samples")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

local step
if pattern == "free" then
  step = prune{ criterion = "sparsegpt", sparsity = sparsity }
else
  local n, m = pattern:match("(%d):(%d)")
  step = prune{ criterion = "sparsegpt", n = tonumber(n), m = tonumber(m) }
end

compress(net, {
  calibrate  = data.calib:sample(samples, 1),
  sequential = sequential == 1,
  rule("first|last", keep{}),
  rule(".*", step),
})

report(evaluate(net, data.test))
save(net, "sparsegpt.safetensors")
