-- Does it matter what a layer is calibrated on? In parallel, on what the original network feeds it; in sequence, on what
-- the layers already compressed feed it, so that it can make up for some of their error. Everything else is the same.
recipe{
  name   = "sequential-vs-parallel",
  about  = "the same compression calibrated both ways, side by side",
  source = "sequential calibration as in SparseGPT (Frantar and Alistarh, arXiv 2301.00774), with SVD-LLM's low rank",
}
local ratio   = param("ratio", 0.6, {0.01, 1.0}, "values of both factors as a fraction of the layer's weights")
local samples = param("samples", 128, {1, 100000}, "calibration samples")

local net   = model(arg.model or "data/models/digits-cnn.safetensors")
local data  = dataset(arg.data or default_data(net))
local calib = data.calib:sample(samples, 1)

for _, way in ipairs{ "parallel", "sequential" } do
  compress(net, {
    calibrate  = calib,
    sequential = way == "sequential",
    rule(".*", lowrank{ method = "whitened", ratio = ratio }),
  })
  report(evaluate(net, data.test, way))
  save(net, way .. ".safetensors")
end
