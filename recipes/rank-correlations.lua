-- Which cheap score ranks the layers as measuring does? Spearman's rank correlation of each metric with the network's
-- divergence when one layer alone is quantised.
-- ResNet-20 on CIFAR-10, 3 bit, 20 layers, 128 calibration (16 for curvature) and 400 selection images: distilled +0.91 (no
-- data), fisher +0.86, decoupled +0.84, trace_noise +0.74, weight_error, output_error and pruning +0.54, first_order,
-- top_eigenvalue and eigenvalue_spread +0.51, activation_variance +0.46, hessian_trace +0.44, canonical_correlation +0.36,
-- taylor +0.34, relevance +0.30, heavy_tail and pq_index -0.02. With 20 layers chance alone gives up to 0.44 in nineteen of
-- twenty tries.
recipe{
  name   = "rank-correlations",
  about  = "each sensitivity metric's rank correlation with the measured divergence, layer by layer",
  source = "training-free proxies judged by rank correlation, as in EMQ (Dong et al., arXiv 2307.10554)",
}
local bits     = param("bits", 3, {2, 8}, "width that each layer alone is rounded to")
local samples  = param("samples", 128, {16, 100000}, "calibration samples, for gradients and outputs")
local curvature = param("curvature", 16, {4, 100000}, "calibration samples for the metrics of curvature")
local measured = param("measured", 500, {16, 100000}, "selection samples that the truth is measured on")

local net    = model(arg.model or "data/models/digits-cnn.safetensors")
local data   = dataset(arg.data or default_data(net))
local calib  = data.calib:sample(math.min(samples, #data.calib), 1)
local select = data.select:sample(math.min(measured, #data.select), 1)

-- A small exponent and a small PQ index mean a sensitive layer: these two count the other way round.
local metrics = {
  "output_error", "weight_error", "canonical_correlation", "fisher", "first_order", "taylor", "relevance", "pruning",
  "decoupled", "activation_variance", "heavy_tail", "pq_index", "distilled",
  "hessian_trace", "trace_noise", "top_eigenvalue", "eigenvalue_spread",
}
-- Curvature takes many ways back: on the first samples, traces by classes drawn at random.
local curved = calib:first(math.min(curvature, #calib))
local small = {
  hessian_trace = { method = "sampled", probes = 16 }, trace_noise = { method = "sampled", probes = 16 },
  top_eigenvalue = {}, eigenvalue_spread = { subsets = 4 },
}
local function scores(metric)
  local how = small[metric] or {}
  how.metric, how.options, how.measure = metric, { [bits .. " bit"] = quantize{ bits = bits } }, select
  how.calibrate = small[metric] and curved or calib
  return sensitivity(net, how)
end

local truth, rows = scores("measured"), {}
for _, metric in ipairs(metrics) do
  local ok, t = pcall(scores, metric)
  local r = ok and rank_correlation(t, truth)
  if ok then rows[#rows + 1] = { metric, r or 0 } else log(metric .. ": " .. tostring(t)) end
end
table.sort(rows, function(a, b) return math.abs(a[2]) > math.abs(b[2]) end)
log(string.format("%-24s %s", "metric", "rank correlation with measured"))
for _, row in ipairs(rows) do log(string.format("%-24s %+.2f", row[1], row[2])) end
report(truth)
