-- Which layers suffer from which width? Every layer alone at every width, the rest as it was, in the metric of your
-- choice; the table goes to the history, to `vise report` and to the screen's heat map. Cells are kept: a second run, or
-- one with more widths, measures only what is not there yet.
-- The shipped digits network, 2 to 8 bits, 179 images: the first two convolutions at 2 bits lose 1.1 nats each, the last
-- layer 0.07; from 7 bits on every layer loses less than 0.0001.
recipe{
  name   = "sensitivity",
  about  = "what every layer loses at every width, one layer at a time",
  source = "one-on sensitivity, as HAWQ-V3 (Yao et al., arXiv 2011.10680), section 3.4",
}
local metric  = param("metric", "measured", {"measured", "output_error", "weight_error", "fisher", "distilled"},
                      "what is measured: divergence of the outputs, or a cheaper stand-in")
local low     = param("low", 2, {1, 8}, "narrowest width, bits")
local high    = param("high", 8, {1, 12}, "widest width, bits")
local solver  = param("solver", "rtn", {"rtn", "gptq"}, "how codes are chosen")
local group   = param("group", 0, {0, 4096}, "weights that share a scale; 0: a row")
local samples = param("samples", 256, {1, 100000}, "calibration samples")
local look    = param("look", 500, {1, 100000}, "selection samples that losses are measured on")

local net   = model(arg.model or "data/models/digits-cnn.safetensors")
local data  = dataset(arg.data or default_data(net))
local calib = data.calib:sample(math.min(samples, #data.calib), 1)

local options = {}
for bits = math.min(low, high), math.max(low, high) do
  options[tostring(bits)] = quantize{ solver = solver, bits = bits, group = group }
end
report(sensitivity(net, {
  metric = metric, options = options, calibrate = calib, measure = data.select:first(math.min(look, #data.select)),
}))
