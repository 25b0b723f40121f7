-- A method of one's own: round to nearest, written out. What quantize{} does, in a dozen lines to change at will.
-- On ResNet-20 at 4 bits it stores the very codes and scales of the recipe w4, and so gives the same figures.
recipe{
  name   = "my-rtn",
  about  = "round to nearest written in Lua: a first method of one's own",
  source = "an exercise; the method is the baseline of GPTQ (Frantar et al., arXiv 2210.17323)",
}
local bits    = param("bits", 4, {2, 8}, "width of a weight")
local samples = param("samples", 128, {1, 100000}, "calibration samples; they only measure the layers' errors")

local my_rtn = step{
  name = "my-rtn", about = "round to nearest, a scale per output", inputs = "none",
  apply = function(w, ctx)                                  -- w: [outputs x inputs], what is left to store
    local half  = 2 ^ (bits - 1)
    local scale = (w:abs():max("row") / (half - 1)):as("f16") -- the largest weight of a row is a level
    local safe  = scale:gt(0):where(scale, 1)               -- a row of zeros has no scale
    local code  = (w / safe):round():clamp(-half, half - 1) + half
    return ctx.codes{ codes = code, scales = scale, bits = bits }
  end,
}

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

compress(net, {
  calibrate = data.calib:sample(samples, 1),
  rule(".*", my_rtn),
})

report(evaluate(net, data.test))
save(net, "my-rtn.safetensors")
