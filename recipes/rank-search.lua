-- Layers differ in how much rank they need: each is measured alone at several ratios, and the ranks with the least sum of
-- divergences at the bytes of one ratio for all are taken. (The authors search one threshold of perplexity over scaled
-- SVDs; here the choice is exact and the factors are the best in output error.) On ResNet-20 / CIFAR-10 at the bytes of
-- ratio 0.7: 89.6 % of 91.5, KL 0.155; one ratio for all, svd-llm: 87.4 %, 0.284.
recipe{
  name   = "rank-search",
  about  = "the rank of each layer from its measured sensitivity, at the bytes of one ratio for all",
  source = "truncation rank search: Yuan et al., ASVD (arXiv 2312.05821), section 3.3; factors: SVD-LLM (arXiv 2403.07378)",
}
local ratio   = param("ratio", 0.7, {0.05, 1}, "one ratio for all layers, whose bytes are the budget")
local method  = param("method", "whitened", {"svd", "whitened", "lord"}, "least error of the weights, of the outputs, or of their spread")
local solver  = param("solver", "exact", {"exact", "hull", "greedy", "lgreco"}, "how the ranks are chosen")
local samples = param("samples", 256, {1, 100000}, "calibration samples")
local look    = param("look", 128, {1, 100000}, "selection samples that divergences are measured on")

local net   = model(arg.model or "data/models/digits-cnn.safetensors")
local data  = dataset(arg.data or default_data(net))
local calib = data.calib:sample(samples, 1)
local ends  = rule("first|last", keep{})

local function thin(r) return lowrank{ method = method, ratio = r } end

compress(net, { calibrate = calib, ends, rule(".*", thin(ratio)) })
local uniform = evaluate(net, data.test, "one ratio")
report(uniform)

local options = { ["as it is"] = {} }
for i = 1, 9 do options[("ratio %.1f"):format(i / 10)] = thin(i / 10) end
local t = sensitivity(net, { options = options, calibrate = calib, except = "first|last",
                             measure = data.select:first(math.min(look, #data.select)) })
local choice = allocate(t, { budget = { bytes = uniform.bytes }, solver = solver, fixed = { ends } })
report(choice)

compress(net, { calibrate = calib, choice })
local searched = evaluate(net, data.test, "searched ranks")
report(searched, choice)
compare(searched, uniform)
save(net, "rank-search.safetensors")
