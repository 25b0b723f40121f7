-- Whole filters go by their sum of magnitudes; tensors keep their size (channel-pruning takes them out of the
-- network). ResNet-20 on CIFAR-10: KL to the original 2.8 without 10 % of the filters; without 10 % of runs of 16
-- inputs 0.097, 0.035 with update = true.
recipe{
  name   = "l1",
  about  = "rows of the smallest sum of magnitudes set to zero",
  source = "Pruning Filters for Efficient ConvNets (Li et al., ICLR 2017, arXiv 1608.08710)",
}
local sparsity = param("sparsity", 0.1, {0.0, 0.9}, "fraction of the rows (filters) of each layer")
local pattern  = param("pattern", "rows", {"rows", "columns", "groups", "blocks"}, "what goes as a whole")
local update   = param("update", false, nil, "what stays makes up for what goes")
local samples  = param("samples", 256, {1, 100000}, "calibration samples")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

compress(net, {
  calibrate = data.calib:sample(samples, 1),
  rule("first|last", keep{}),
  rule(".*", prune{ criterion = "l1", pattern = pattern, sparsity = sparsity, update = update }),
})

report(evaluate(net, data.test))
save(net, "l1.safetensors")
